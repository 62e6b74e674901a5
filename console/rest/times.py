"""Times as they are sent: RFC 3339, with their zone."""

from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator


def _no_number(value: object) -> object:
    """Refuse what pydantic would take for seconds since 1970: a time that nobody meant."""
    text = value if isinstance(value, str) else ""
    if isinstance(value, int | float) or text.lstrip("+-").replace(".", "", 1).isdecimal():
        raise ValueError("a time is written as 2026-11-20T06:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number)]
