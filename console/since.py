"""Times as people give them on the command line."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from schemas.errors import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only since then: 2026-11-20T06:00, or 2h, 3d ago.")
]


def moment(text: str | None, *, now: datetime, option: str = "--since") -> datetime | None:
    """Read a time of `--since` or another option: ISO 8601, UTC where it names no zone, or how long ago, as in 90m.

    Args:
        text: as it was given; None: no time.
        now: with a time zone.
        option: that was given.

    Raises:
        UsageError: it is neither.
    """
    if text is None:
        return None
    try:
        if text[-1:] in _UNITS and text[:-1].isdecimal():
            return now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        given = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option} {text!r} is no time", remedy="give 2026-11-20T06:00, or 90m, 2h, 3d") from error
    return given if given.tzinfo else given.replace(tzinfo=UTC)
