"""Settings of the console: who is heard, how long, and how much at once."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Hours = Annotated[float, Field(gt=0)]
_Seconds = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]


class ConsoleSettings(BaseModel):
    """REST and the page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: tuple[str, ...] = ()  # names by which browsers reach it, beside addresses, localhost and this machine's own
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()  # whose X-Forwarded-For and X-Forwarded-Proto are believed
    session_idle_h: _Hours = 8.0  # without a request, a person is signed out
    session_h: _Hours = 24.0  # since signing in, whatever was done
    failed_sign_ins: _Count = 10  # of a name from an address in a quarter of an hour; ten times as many of either
    requests_a_minute: _Count = 3_000  # of one key or session
    event_requests_a_minute: _Count = 30_000  # of one key, to `/api/v1/events`
    anonymous_requests_a_minute: _Count = 600  # of one address, without a valid key or session
    body_s: _Seconds = 30.0  # a request that has not come whole by then is given up
