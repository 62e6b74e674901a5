"""`/docs` and `/openapi.json`: the API in words, and its pages by files of this installation alone."""

from functools import cache
from html import escape
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response, Security
from fastapi.responses import HTMLResponse

from console.rest.access import caller, csrf_token_of
from console.rest.guards import SECURITY_HEADERS
from console.rest.problems import ProblemError
from console.web.static_files import static_url
from schemas.access import Scope

_POLICY = SECURITY_HEADERS["Content-Security-Policy"] + "; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
_MEDIA_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="csrf-token" content="{csrf_token}">
<title>API · coilflow</title>
<link rel="icon" href="{icon}" type="image/svg+xml">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js" defer></script>
<script type="module" src="{start}"></script>
</head>
<body><main id="api"></main></body>
</html>
"""

router = APIRouter(include_in_schema=False, dependencies=[Security(caller, scopes=[Scope.READ])])


@router.get("/openapi.json")
def get_openapi(request: Request) -> dict[str, Any]:
    """The OpenAPI document."""
    document: dict[str, Any] = request.app.openapi()
    return document


@router.get("/docs")
def get_docs(request: Request) -> HTMLResponse:
    """The API to look at and to try: Swagger UI."""
    page = _PAGE.format(
        csrf_token=escape(csrf_token_of(request)), icon=static_url("icon.svg"), start=static_url("api.js")
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/{name}")
def get_docs_file(name: str) -> Response:
    """A file of Swagger UI."""
    if name not in _MEDIA_TYPES:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no file {name}", remedy="see /docs")
    return Response(_swagger(name), media_type=_MEDIA_TYPES[name], headers={"Cache-Control": "private, max-age=3600"})


@cache
def _swagger(name: str) -> bytes:
    return (files("fastapi_offline") / "static" / name).read_bytes()
