"""Names of coils in paths: percent-encoded, so that a plant or coil id may hold a slash."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Depends
from starlette.types import ASGIApp, Receive, Scope, Send

from console.rest.problems import ProblemError
from schemas.coils import CoilKey
from store.connection import utf8_fault

REST, PAGE = "/api/v1/coils/", "/coils/"
_PLACES = (REST, PAGE, "/api/v1/reviews/", "/api/v1/audits/coils/")  # below which a plant and a coil are named


def coil_path(key: CoilKey, *, under: str = REST) -> str:
    """Where to look for a coil; `under=PAGE` for people."""
    return under + "/".join(_segment(name) for name in key)


def _segment(name: str) -> str:
    """A name as one segment; who resolves a path takes a dot alone, and two, for folders (RFC 3986, section 5.2.4)."""
    return name.replace(".", "%2E") if name in (".", "..") else quote(name, safe="")


def keep_slashes(app: ASGIApp) -> ASGIApp:
    """Let a slash that was sent as %2F stay within its segment where coils are named.

    Servers decode the path before it is routed. Where coils are named, `/` and `%` of a segment are left encoded,
    so that `{plant}/{coil_id}/matrix` matches three segments whatever the names hold; `NamedCoil` decodes them.
    """

    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_PLACES) and "raw_path" in scope:
            segments = scope["raw_path"].decode("ascii", "replace").split("/")
            path = "/".join(unquote(segment).replace("%", "%25").replace("/", "%2F") for segment in segments)
            scope = {**scope, "path": path}
        await app(scope, receive, send)

    return kept


def named_coil(plant: str, coil_id: str) -> CoilKey:
    """The coil that a path names; raises ProblemError where no coil can have such names."""
    key = CoilKey(plant=unquote(plant), coil_id=unquote(coil_id))
    if any(utf8_fault(name) for name in key):
        raise never_seen(key)
    return key


NamedCoil = Annotated[CoilKey, Depends(named_coil)]


def never_seen(key: CoilKey) -> ProblemError:
    """The problem of a coil that is not there."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        f"coil {key.coil_id} of plant {key.plant} was never seen",
        remedy="check both names, or send its events first",
    )
