"""Where a value lies on an axis, and which ticks an axis has."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS_S = (
    *(60 * minutes for minutes in (1, 5, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
    *(86400 * days for days in (1, 2, 7, 14, 28, 91, 182, 364)),
)
_DAY_S = 86400


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Values from `low` to `high` laid out from one place to another, in units of the drawing."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        """Where a value lies; one outside lies at the end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A place on an axis that bears its name."""

    value: float
    text: str


def value_ticks(low: float, high: float, *, percent: bool, most: int = 5) -> tuple[Tick, ...]:
    """Round values that enclose a range: the first is at most `low`, the last at least `high`.

    >>> [tick.text for tick in value_ticks(0.71, 0.98, percent=True)]
    ['70 %', '80 %', '90 %', '100 %']
    """
    span = high - low if high > low else max(abs(high), 1.0)
    magnitude = 10.0 ** math.floor(math.log10(span / most))
    step = next(
        magnitude * size
        for size in (*_STEPS, 20.0)
        if math.ceil(high / (magnitude * size) - 1e-9) - math.floor(low / (magnitude * size) + 1e-9) <= most
    )
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(
        Tick(value=place * step, text=said(place * step, percent=percent))
        for place in range(first, max(last, first + 1) + 1)
    )


def said(value: float, *, percent: bool) -> str:
    """A value as people read it.

    >>> said(0.123456, percent=True), said(0.123456, percent=False)
    ('12.3 %', '0.123')
    """
    return f"{100 * value:.3g} %" if percent else f"{value:.3g}"


def time_ticks(after: datetime, until: datetime, *, most: int = 7) -> tuple[Tick, ...]:
    """Full minutes, hours or days by the server's clock, in seconds since 1970, at most so many."""
    first_s, last_s = after.timestamp(), until.timestamp()
    step_s = next((step for step in _TIME_STEPS_S if (last_s - first_s) / step <= most), _TIME_STEPS_S[-1])
    every = max(1, round(step_s / _DAY_S))
    days = range(after.astimezone().toordinal() - every, until.astimezone().toordinal() + 2)
    midnights = [datetime.fromordinal(day) for day in days if day % every == 0]
    clock = [
        midnight + timedelta(seconds=passed)
        for midnight in midnights
        for passed in range(0, _DAY_S, min(step_s, _DAY_S))
    ]
    ticks = [Tick(value=at.timestamp(), text=_moment(at, step_s)) for at in clock]
    return tuple(tick for tick in ticks if first_s <= tick.value <= last_s)


def padded(after: datetime, until: datetime) -> tuple[datetime, datetime]:
    """A time that is long enough for an axis."""
    return (after, until) if until > after else (after - timedelta(hours=1), until + timedelta(hours=1))


def _moment(at: datetime, step_s: float) -> str:
    if step_s >= _DAY_S * 28:
        return f"{at:%b %Y}"
    return f"{at:%H:%M}" if at.hour or at.minute else f"{at.day} {at:%b}"
