"""How often one caller is heard: counted in this process, by the minute."""

import ipaddress
import math
import time
from http import HTTPStatus

from fastapi import Request
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.limits import RateLimitItem

from console.rest.problems import ProblemError
from schemas.console_settings import ConsoleSettings

EVENTS_PATH = "/api/v1/events"
_SIGN_IN_WINDOW_S = 15 * 60
_TIMES = 10  # as many tries of one address, and of one name from everywhere, as of one name from one address
_LONGEST_NAME = 64
_IPV6_NETWORK = 64  # bits that one customer is given at least


class Rates:
    """The counts of one console; more than a limit is a problem that says when to come again."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(settings.requests_a_minute)
        self._events = RateLimitItemPerMinute(settings.event_requests_a_minute)
        self._anonymous = RateLimitItemPerMinute(settings.anonymous_requests_a_minute)
        self._of_both = RateLimitItemPerSecond(settings.failed_sign_ins, _SIGN_IN_WINDOW_S)
        self._of_one = RateLimitItemPerSecond(_TIMES * settings.failed_sign_ins, _SIGN_IN_WINDOW_S)

    async def count_request(self, request: Request, caller: str) -> None:
        """One more of a key or a session; raises ProblemError (429) where it is one too many."""
        if request.url.path == EVENTS_PATH:
            await self._take(self._events, "events", caller)
        else:
            await self._take(self._requests, "request", caller)

    async def count_anonymous(self, request: Request) -> None:
        """One more of an address that showed no valid key or session; raises ProblemError (429)."""
        await self._take(self._anonymous, "anonymous", address_of(request))

    async def count_sign_in(self, request: Request, name: str) -> None:
        """One more try to sign in, before anything is looked up; raises ProblemError (429).

        Of one name less from one address than from everywhere: who tries a name out does not keep out whose it is.
        """
        await self._take(self._of_one, "address", address_of(request))
        await self._take(self._of_both, "both", _counted(name), address_of(request))
        await self._take(self._of_one, "name", _counted(name))

    async def forget_sign_ins(self, request: Request, name: str) -> None:
        """Somebody signed in by that name."""
        await self._limiter.clear(self._of_both, "both", _counted(name), address_of(request))
        await self._limiter.clear(self._of_one, "name", _counted(name))

    async def _take(self, limit: RateLimitItem, kind: str, *who: str) -> None:
        if not await self._limiter.hit(limit, kind, *who):
            stats = await self._limiter.get_window_stats(limit, kind, *who)
            wait_s = max(1, math.ceil(stats.reset_time - time.time()))
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {limit.amount} {_WORDS[kind]} in {limit.get_expiry()} s",
                remedy=f"come again in {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )


_WORDS = {
    "events": "requests with events",
    "request": "requests",
    "anonymous": "requests without a valid key or session",
    "address": "tries to sign in from one address",
    "both": "tries to sign in by one name from one address",
    "name": "tries to sign in by one name",
}


def _counted(name: str) -> str:
    """However it is written, and no longer than names are."""
    return name[:_LONGEST_NAME].casefold()


def address_of(request: Request) -> str:
    """Of who asks; of IPv6 the network, as one machine has many addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False)) if address.version == 6 else host
