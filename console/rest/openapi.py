"""The OpenAPI document: every answer that an operation can give, errors as problem details."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from console.rest.enums import name_enums
from console.rest.event_bodies import event_schemas
from console.rest.problems import MEDIA_TYPE, Problem, ProblemError, problem

_FIRST_ERROR = 400
_ANYWHERE = {
    HTTPStatus.TOO_MANY_REQUESTS: "too often: wait for `Retry-After`",
    HTTPStatus.SERVICE_UNAVAILABLE: "the database is away or busy: send it again after `Retry-After`",
}
_NAMED = {HTTPStatus.NOT_FOUND: "there is nothing of that name"}
_BEHIND_A_KEY = {
    HTTPStatus.UNAUTHORIZED: "nobody is known by what was sent",
    HTTPStatus.FORBIDDEN: "it is not the caller's to do",
}
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds to wait"}}
_HEADERS = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    "429": _RETRY_AFTER,
    "503": _RETRY_AFTER,
}
_REPLAYED = {
    "schema": {"type": "boolean"},
    "description": "true where the key of `Idempotency-Key` was sent before: this is the answer of then",
}
TAGS = [
    {"name": "events", "description": "Readings and feedback in, and what happens out."},
    {"name": "coils", "description": "What became of coils, and what they look like."},
    {"name": "feedback", "description": "What people say of coils."},
    {"name": "reviews", "description": "Coils that a person is asked to look at."},
    {"name": "models", "description": "What serves, how good it is, and to change it."},
    {"name": "schedule", "description": "Jobs, their runs, and why they did or did not act."},
    {"name": "dead letters", "description": "What got no verdict."},
    {"name": "audits", "description": "Reports for the file."},
    {"name": "health", "description": "For what starts, routes and watches consoles; without a key."},
]
_WITH_BODY = {
    HTTPStatus.REQUEST_TIMEOUT: "the body did not come whole in time",
    HTTPStatus.BAD_REQUEST: "the body cannot be read",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "the body does not say that it is JSON",
    HTTPStatus.UNPROCESSABLE_ENTITY: "the request breaks the contract",
}


def name_methods(app: FastAPI) -> None:
    """Let an answer 405 name every method of its path; the router names those of one route."""

    @app.exception_handler(HTTPStatus.METHOD_NOT_ALLOWED)
    def _not_allowed(request: Request, error: HTTPException) -> JSONResponse:
        paths = describe(app)["paths"]
        found = (paths[path] for path in paths if compile_path(path)[0].match(request.scope["path"]))
        methods = sorted(method.upper() for method in next(found, {}))
        allow = ", ".join(methods) or (error.headers or {}).get("Allow", "")
        remedy = f"use {allow}; see /docs"
        return problem(error.status_code, f"{request.method} is not for this", remedy=remedy, headers={"Allow": allow})


def known_parameters_only(request: Request) -> None:
    """Refuse a parameter that the document does not have, or one given twice: a filter is not left out in silence.

    Raises:
        ProblemError: 422.
    """
    operation = describe(request.app)["paths"][request.scope["route"].path][request.method.lower()]
    known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known or given.count(name) > 1:
            what = f"there is no parameter {name}" if name not in known else f"{name} is given more than once"
            remedy = f"there are {', '.join(known)}" if known else "give none"
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, what, remedy=remedy)


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of an application, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app)
    return app.openapi_schema


def _document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=TAGS,
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update(event_schemas())
    _, problems = models_json_schema(((Problem, "serialization"),), ref_template="#/components/schemas/{model}")
    schemas.update(problems["$defs"])
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _complete(operation, named="{" in path, versioned=path.startswith("/api/"))
    name_enums(found)
    return found


def _complete(operation: dict[str, Any], *, named: bool, versioned: bool) -> None:
    answers = operation["responses"]
    common = dict(_ANYWHERE)
    if versioned:
        common[HTTPStatus.UNPROCESSABLE_ENTITY] = _WITH_BODY[HTTPStatus.UNPROCESSABLE_ENTITY]
    if named:
        common |= _NAMED
    if "security" in operation:
        common |= _BEHIND_A_KEY
    if "requestBody" in operation:
        common |= _WITH_BODY
    for status, said in common.items():
        answers.setdefault(str(status.value), {"description": said})
    is_keyed = any(one["name"] == "idempotency-key" for one in operation.get("parameters", ()))
    for status, answer in answers.items():
        if status.isdecimal() and int(status) >= _FIRST_ERROR:
            _describe_problem(answer)
            if status in _HEADERS:
                answer.setdefault("headers", {}).update(_HEADERS[status])
        elif is_keyed:
            answer.setdefault("headers", {})["Idempotent-Replayed"] = _REPLAYED
    operation["responses"] = dict(sorted(answers.items()))


def _describe_problem(answer: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/Problem"}
    for content in answer.get("content", {}).values():  # FastAPI says JSON, whatever it is
        if "HTTPValidationError" in str(content):
            answer["description"] = _WITH_BODY[HTTPStatus.UNPROCESSABLE_ENTITY]
        else:
            schema = content["schema"]
    answer["content"] = {MEDIA_TYPE: {"schema": schema}}
