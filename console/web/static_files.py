"""`/static/{digest}/{name}`: styles and scripts, kept by browsers for good under the digest of what they hold."""

import hashlib
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from fastapi import APIRouter, Response

from console.rest.problems import ProblemError

_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_EACH_TIME = "no-cache"  # the digest of an older page: it gets what there is now
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticFiles:
    """All of them: one digest over all, so that a script finds those it imports beside it."""

    digest: str
    contents: dict[str, bytes]  # by name


@cache
def static_files() -> StaticFiles:
    """Read them once: they are part of the installation."""
    folder = files("console.web") / "static"
    contents = {
        file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _MEDIA_TYPES
    }
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(name.encode() + b"\0" + hashlib.sha256(contents[name]).digest())
    return StaticFiles(digest=digest.hexdigest()[:12], contents=contents)


def static_url(name: str) -> str:
    """Where a page finds one of them.

    Raises:
        KeyError: there is no such file.
    """
    found = static_files()
    if name not in found.contents:
        raise KeyError(name)
    return f"/static/{found.digest}/{name}"


@router.get("/static/{digest}/{name}")
def get_static(digest: str, name: str) -> Response:
    """A file by its name."""
    found = static_files()
    content = found.contents.get(name)
    if content is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no file {name}", remedy="load the page anew")
    keep = _FOR_GOOD if digest == found.digest else _ASK_EACH_TIME
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    return Response(content, media_type=media_type, headers={"Cache-Control": keep})
