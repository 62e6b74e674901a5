"""Who asks, and whether they may: `caller: Reads` as a parameter of an endpoint.

A machine sends `Authorization: Bearer cfk_...`, a person the cookie of a session. 401 without, 403 without the scope.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as ASGIScope

from console.rest.problems import ProblemError
from console.rest.rates import Rates
from console.rest.service import Service, service_of
from schemas.access import ROLE_SCOPES, Role, Scope
from schemas.console_settings import ConsoleSettings
from store.keys import KeyHolder, key_holder
from store.pool import borrowed
from store.sessions import Lifetime, SignedIn, signed_in

__all__ = [
    "ROLE_SCOPES",
    "Caller",
    "ChangesModels",
    "GivesFeedback",
    "Operates",
    "Reads",
    "Role",
    "Scope",
    "SendsEvents",
    "csrf_token_of",
]

SESSION_COOKIE = "coilflow_session"
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORMS_OF_ALL = ("/sign-in", "/theme")  # what who is not signed in may send
_FORM = "application/x-www-form-urlencoded"

# For the OpenAPI document; `caller` reads the header by itself.
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key, as `coilflow keys create` makes it. Who is signed in by a browser needs none, but sends "
    f"`{CSRF_HEADER}` with writes.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks."""

    name: str  # of a person; of a key "key:NAME"; what audit records say as `who`
    kind: Literal["key", "person"]
    scopes: frozenset[Scope]


class SignInNeededError(ProblemError):
    """Nobody is known by what was sent."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.UNAUTHORIZED,
            "nobody is known by what was sent",
            remedy="send `Authorization: Bearer KEY` with a key of `coilflow keys create`, or sign in",
            headers={"WWW-Authenticate": "Bearer"},
        )


async def caller(request: Request, needed: SecurityScopes, _: Annotated[object, Security(_bearer)]) -> Caller:
    """Who asks, where they may do what the endpoint does.

    Raises:
        ProblemError: 401 where nobody is known by what was sent, 403 where it is not theirs to do or a write came
            from another page, 429 where it is too often.
    """
    found = getattr(request.state, "caller", None) or await _identified(request)
    missing = sorted({Scope(scope) for scope in needed.scopes} - found.scopes)
    if missing:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            f"{found.name} may not do this: it needs {', '.join(missing)}",
            remedy="use a key with that scope, or ask for a role that has it",
        )
    if found.kind == "person" and request.method not in SAFE_METHODS:
        await _check_csrf(request)
    return found


def known_first(app: ASGIApp) -> ASGIApp:
    """Look who writes before anything of what they send is read: endpoints are asked after their body is."""

    async def run(scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and scope["path"] not in FORMS_OF_ALL:
            await _identified(Request(scope, receive))
        await app(scope, receive, send)

    return run


async def _identified(request: Request) -> Caller:
    rates = rates_of(request)
    authorization = request.headers.get("authorization")
    token = request.cookies.get(SESSION_COOKIE, "") if authorization is None else ""
    found = await run_in_threadpool(_looked_up, service_of(request), authorization, token)
    if found is None:
        await rates.count_anonymous(request)
        raise SignInNeededError
    await rates.count_request(request, found.name)
    request.state.caller = found
    request.state.session_token = token
    return found


def _looked_up(service: Service, authorization: str | None, token: str) -> Caller | None:
    scheme, _, key = (authorization or "").partition(" ")
    if not token and scheme.lower() != "bearer":
        return None
    now = datetime.now(UTC)
    with borrowed(service.pool) as connection:
        if token:
            person = signed_in(connection, token, lifetime=lifetime_of(service.settings.console), now=now)
            return None if person is None else _person(person)
        holder = key_holder(connection, key.strip(), now=now)
        return None if holder is None else _machine(holder)


def _person(known: SignedIn) -> Caller:
    return Caller(name=known.name, kind="person", scopes=ROLE_SCOPES[known.role])


def _machine(known: KeyHolder) -> Caller:
    return Caller(name=f"key:{known.name}", kind="key", scopes=known.scopes)


async def _check_csrf(request: Request) -> None:
    sent = request.headers.get(CSRF_HEADER)
    if sent is None and request.headers.get("content-type", "").lower().startswith(_FORM):
        field = (await request.form()).get(CSRF_FIELD)
        sent = field if isinstance(field, str) else None
    if not hmac.compare_digest((sent or "").encode(), csrf_token_of(request).encode()):
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "the write does not come from a page of this session",
            remedy=f"load the page anew; a script sends the page's csrf-token as `{CSRF_HEADER}`",
        )


def csrf_token_of(request: Request) -> str:
    """The token that forms of this session send back as `csrf_token`; empty for who is not signed in."""
    token = getattr(request.state, "session_token", "")
    return hmac.new(token.encode(), b"coilflow csrf", hashlib.sha256).hexdigest() if token else ""


def keep_session(request: Request, answer: Response, token: str) -> None:
    """Let the browser keep a session, out of reach of scripts and of other pages."""
    answer.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(lifetime_of(service_of(request).settings.console).whole.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def lifetime_of(settings: ConsoleSettings) -> Lifetime:
    """How long sessions last."""
    return Lifetime(idle=timedelta(hours=settings.session_idle_h), whole=timedelta(hours=settings.session_h))


def rates_of(request: Request) -> Rates:
    """The counts of the app."""
    rates = request.app.state.rates
    if not isinstance(rates, Rates):
        raise TypeError("the app was made without its rates")
    return rates


async def anyone(request: Request) -> None:
    """For what is open to all and takes work: counted by address; raises ProblemError (429)."""
    await rates_of(request).count_anonymous(request)


Reads = Annotated[Caller, Security(caller, scopes=[Scope.READ])]
GivesFeedback = Annotated[Caller, Security(caller, scopes=[Scope.FEEDBACK])]
Operates = Annotated[Caller, Security(caller, scopes=[Scope.OPERATE])]
ChangesModels = Annotated[Caller, Security(caller, scopes=[Scope.MODELS])]
SendsEvents = Annotated[Caller, Security(caller, scopes=[Scope.EVENTS])]
