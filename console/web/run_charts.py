"""Runs of a job as a row of bars: as tall as they took long, with a shape of their own where they did not commit."""

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from console.web.svg import Attribute, tag
from store.schedule import PastFire

_BAR, _HEIGHT = 9.0, 30.0


def run_strip(fires: Sequence[PastFire]) -> Markup:
    """Fires from the oldest to the newest; what each was stands in its title, and in the table beside the strip.

    Args:
        fires: of one job, newest first.
    """
    longest_s = max((took_s(fire) or 0.0 for fire in fires), default=0.0) or 1.0
    parts = []
    for place, fire in enumerate(reversed(fires)):
        x, took = place * _BAR + 1, took_s(fire)
        hint = tag("title", f"{fire.fire_at.astimezone():%Y-%m-%d %H:%M:%S}: {fire.state}, {said_s(took)}")
        if fire.state == "committed":
            tall = 4 + (_HEIGHT - 6) * (took or 0.0) / longest_s
            parts.append(tag("rect", hint, x=x, y=_HEIGHT - tall, width=_BAR - 2, height=tall, class_="ran"))
        elif fire.state in ("failed", "missed"):
            cross = f"M{x:.1f} {_HEIGHT - 9:.1f}l7 8m0 -8l-7 8"
            parts.append(tag("path", hint, d=cross, class_="not-ran"))
        else:
            parts.append(tag("circle", hint, cx=x + 3.5, cy=_HEIGHT - 5, r=3, class_="waits"))
    width = max(len(fires), 1) * _BAR
    size: dict[str, Attribute] = {"viewBox": f"0 0 {width:g} {_HEIGHT:g}", "width": width, "height": _HEIGHT}
    failed = sum(fire.state in ("failed", "missed") for fire in fires)
    told = f"last {len(fires)} runs, {failed} failed or missed, the longest took {said_s(longest_s)}"
    return tag("svg", *parts, attributes=size, class_="run-strip", role="img", aria_label=told)


def took_s(fire: PastFire) -> float | None:
    """How long the last attempt took, s; None where it has not ended, or there was none."""
    if fire.started_at is None or fire.ended_at is None:
        return None
    return (fire.ended_at - fire.started_at).total_seconds()


def said_s(seconds: float | None) -> str:
    """A duration for people.

    >>> said_s(0.04), said_s(75), said_s(7300)
    ('0.04 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds is None:
        return "not run"
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def since(moment: datetime, now: datetime) -> str:
    """How long ago something was, or how long it is until then."""
    return said_s(abs((now - moment).total_seconds()))
