"""Who asks, and whether they may: `caller: Reads` as a parameter of an endpoint.

A machine sends `Authorization: Bearer cfk_...`, a person the cookie of a session. 401 without, 403 without the scope.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from console.rest.problems import ProblemError
from console.rest.service import Service, service_of
from schemas.access import ROLE_SCOPES, Role, Scope
from store.keys import key_holder
from store.pool import borrowed

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

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key, as `coilflow keys create` makes it.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks."""

    name: str  # of a person; of a key "key:NAME"; what audit records say as `who`
    kind: Literal["key", "person"]
    scopes: frozenset[Scope]


async def caller(
    request: Request,
    needed: SecurityScopes,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Caller:
    """Who asks, where they may do what the endpoint does.

    Raises:
        ProblemError: 401 where nobody is known by what was sent, 403 where it is not theirs to do.
    """
    found = None
    if bearer is not None:
        found = await run_in_threadpool(_by_key, service_of(request), bearer.credentials)
    if found is None:
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            "nobody is known by what was sent",
            remedy="send `Authorization: Bearer KEY` with a key of `coilflow keys create`, or sign in",
        )
    missing = sorted({Scope(scope) for scope in needed.scopes} - found.scopes)
    if missing:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            f"{found.name} may not do this: it needs {', '.join(missing)}",
            remedy="use a key with that scope, or ask for a role that has it",
        )
    return found


def _by_key(service: Service, key: str) -> Caller | None:
    with borrowed(service.pool) as connection:
        holder = key_holder(connection, key, now=datetime.now(UTC))
    if holder is None:
        return None
    return Caller(name=f"key:{holder.name}", kind="key", scopes=holder.scopes)


def csrf_token_of(_: Request) -> str:
    """The token that forms of this session send back as `csrf_token`; empty for who is not signed in."""
    return ""


Reads = Annotated[Caller, Security(caller, scopes=[Scope.READ])]
GivesFeedback = Annotated[Caller, Security(caller, scopes=[Scope.FEEDBACK])]
Operates = Annotated[Caller, Security(caller, scopes=[Scope.OPERATE])]
ChangesModels = Annotated[Caller, Security(caller, scopes=[Scope.MODELS])]
SendsEvents = Annotated[Caller, Security(caller, scopes=[Scope.EVENTS])]
