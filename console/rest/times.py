"""Times as they are sent: RFC 3339, with their zone."""

import re
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

_ZONE_WITHOUT_SIGN = re.compile(r"T.* \d\d:?\d\d$")


def _no_number(value: object) -> object:
    """Refuse what pydantic would take for seconds since 1970: a time that nobody meant."""
    text = value if isinstance(value, str) else ""
    if _ZONE_WITHOUT_SIGN.search(text):
        raise ValueError("in an address the + of a zone is written as %2B")
    if isinstance(value, int | float) or text.lstrip("+-").replace(".", "", 1).isdecimal():
        raise ValueError("a time is written as 2026-11-20T06:00:00Z")
    return value


def _in_any_zone(value: datetime) -> datetime:
    """Refuse a time that does not exist in another zone, and so cannot be told there."""
    if not MINYEAR < value.year < MAXYEAR:
        raise ValueError("a time lies between the years 2 and 9998")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_in_any_zone)]
