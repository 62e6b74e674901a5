"""A crontab in words.

A library that does it, cron-descriptor, says "on day 1 of the month, or on Monday" where the crontabs of
`scheduler.cron` mean both, and knows no `last`: it would tell people something else than what happens.
"""

import re
from collections.abc import Mapping

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NAMED_DAYS = {name[:3].lower(): name for name in _DAYS} | {str(place): name for place, name in enumerate(_DAYS)}
_NAMED_MONTHS = {name[:3].lower(): name for name in _MONTHS} | {str(n): name for n, name in enumerate(_MONTHS, 1)}


def in_words(cron: str) -> str:
    """What a crontab of five fields says.

    >>> in_words("0 1 * * 0"), in_words("*/10 * * * *"), in_words("0 6,18 1 * mon-fri")
    ('at 01:00 on Sunday', 'every 10 minutes', 'at 06:00 and 18:00 on day 1 of the month if that is Monday to Friday')
    """
    fields = cron.split()
    if len(fields) != 5:
        return f"as `{cron}` says"
    minute, hour, day, month, weekday = fields
    told = [_clock(minute, hour)]
    if day != "*":
        told.append("on the last day of the month" if day == "last" else f"on {_plain(day, 'day', {})} of the month")
    if weekday != "*":
        days = _plain(weekday, "weekday", _NAMED_DAYS)
        told.append(f"if that is {days}" if day != "*" else f"on {days}")
    if month != "*":
        told.append(f"in {_plain(month, 'month', _NAMED_MONTHS)}")
    return " ".join(told)


def _clock(minute: str, hour: str) -> str:
    minutes, hours = minute.split(","), hour.split(",")
    if all(one.isdecimal() for one in (*minutes, *hours)):
        return "at " + _and([f"{int(h):02d}:{int(m):02d}" for h in hours for m in minutes])
    every = re.fullmatch(r"\*/(\d+)", hour)
    past = "" if minute == "0" else f" at {_plain(minute, 'minute', {})}"
    if hour == "*":
        return _each(minute) or f"every hour at {_plain(minute, 'minute', {})}"
    if every and minute.isdecimal():
        return f"every {every[1]} hours{past}"
    return f"{_each(minute) or 'at ' + _plain(minute, 'minute', {})} of {_plain(hour, 'hour', {})}"


def _each(minute: str) -> str | None:
    every = re.fullmatch(r"\*/(\d+)", minute)
    if minute in ("*", "*/1"):
        return "every minute"
    return f"every {every[1]} minutes" if every else None


def _plain(field: str, unit: str, names: Mapping[str, str]) -> str:
    """A field's items: names as they are, numbers with their unit."""
    items = []
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        named = [names.get(end.lower(), end) for end in (first, last) if end]
        told = f"every {unit}" if span == "*" else " to ".join(named)
        items.append(f"{told} by steps of {step}" if step else told)
    bare = not names and not any(item.startswith("every ") for item in items)
    return f"{unit} {_and(items)}" if bare else _and(items)


def _and(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
