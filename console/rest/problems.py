"""Errors as RFC 9457 problem details."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from schemas.errors import CoilflowError, NotFoundError, RegistryError, StoreUnavailableError, UsageError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
Answers = dict[int | str, dict[str, Any]]  # what an operation may answer besides, by status
_REFUSALS = {
    NotFoundError: HTTPStatus.NOT_FOUND,
    RegistryError: HTTPStatus.CONFLICT,
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class Problem(BaseModel):
    """Problem details (RFC 9457): what was wrong, and what to do."""

    title: str = Field(description="Of the status.")
    status: int
    detail: str = Field(description="What was wrong, in a sentence.")
    remedy: str | None = Field(default=None, description="What to do; left out where nothing helps.")


class ProblemError(HTTPException):
    """Ends a request with a problem, whoever was reading it."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, remedy: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(status, detail, headers)
        self.status = status
        self.remedy = remedy

    def __str__(self) -> str:
        return self.detail


def problem(
    status: int, detail: str, *, remedy: str | None = None, headers: dict[str, str] | None = None, **more: object
) -> JSONResponse:
    """A problem: `title`, `status`, `detail`, and `remedy` where there is one."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "remedy": remedy, **more}
    return JSONResponse(
        {name: value for name, value in body.items() if value is not None},
        status_code=status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def add_problems(app: FastAPI) -> None:
    """Let every error of the app leave as a problem."""

    @app.exception_handler(ProblemError)
    def _problem(_: Request, error: ProblemError) -> JSONResponse:
        return problem(error.status, str(error), remedy=error.remedy, headers=dict(error.headers or {}))

    @app.exception_handler(StoreUnavailableError)
    def _unavailable(_: Request, error: StoreUnavailableError) -> JSONResponse:
        wait = {"Retry-After": str(RETRY_AFTER_S)}
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), remedy=error.remedy, headers=wait)

    @app.exception_handler(CoilflowError)
    def _failed(_: Request, error: CoilflowError) -> JSONResponse:
        found = (status for kind, status in _REFUSALS.items() if isinstance(error, kind))
        return problem(next(found, HTTPStatus.INTERNAL_SERVER_ERROR), str(error), remedy=error.remedy)

    @app.exception_handler(Exception)
    def _unexpected(_: Request, __: Exception) -> JSONResponse:  # the server logs it with its trace
        remedy = "send it again; if it fails again, the console's log says why"
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something unexpected went wrong", remedy=remedy)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        nothing = error.status_code == HTTPStatus.NOT_FOUND
        detail = f"there is nothing at {request.url.path}" if nothing else str(error.detail)
        return problem(error.status_code, detail, remedy="see /docs", headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["loc"] == ("body",) and isinstance(first["input"], bytes):  # it does not say that it is JSON
            sent = request.headers.get("content-type", "not given")
            detail = f"the content type is {sent}, and the body is read as JSON"
            return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, remedy="send Content-Type: application/json")
        where = ".".join(str(part) for part in first["loc"])
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}", remedy="see /docs")
