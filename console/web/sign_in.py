"""`/sign-in` and `/sign-out`: a session for a person."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import escape

from console.passwords import AT_ONCE, is_password
from console.rest.access import (
    SESSION_COOKIE,
    Reads,
    SignInNeededError,
    anyone,
    keep_session,
    lifetime_of,
    rates_of,
)
from console.rest.problems import ProblemError, problem
from console.rest.rates import address_of
from console.rest.service import Service, service_of
from console.web.pages import here_of, own_place, render, wants_page
from schemas.access import one_spelling
from store.connection import utf8_fault
from store.pool import borrowed
from store.sessions import end_session, follow_link, signed_in, start_session
from store.users import SignIn, user_to_sign_in

log = structlog.get_logger("coilflow.console")

SIGN_IN = "/sign-in"
_WRONG = "There is nobody of that name with that password."
_OLD_LINK = "This link was used already, or is older than ten minutes."

router = APIRouter(include_in_schema=False)


def add_sign_in(app: FastAPI) -> None:
    """Serve both, and lead browsers that show no session there."""
    app.state.hashing = CapacityLimiter(AT_ONCE)  # in threads of its own: other requests do not wait for passwords
    app.include_router(router)

    @app.exception_handler(SignInNeededError)
    def _lead(request: Request, error: SignInNeededError) -> Response:
        if request.method != "GET" or not wants_page(request):
            return problem(error.status, str(error), remedy=error.remedy, headers=dict(error.headers or {}))
        here = here_of(request)
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return _again(here)
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': here})}", status_code=HTTPStatus.SEE_OTHER)


def _again(here: str) -> HTMLResponse:
    """A page that asks for itself: what a foreign page links to is asked for without the cookie at first."""
    address = escape(own_place(here))
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>coilflow</title>'
        f'<meta http-equiv="refresh" content="0; url={address}"></head>'
        f'<body><main><a href="{address}">Go on to coilflow</a></main></body></html>'
    )


@router.get(SIGN_IN, dependencies=[Depends(anyone)])
def get_sign_in(
    request: Request,
    once: str | None = None,
    next: str = "/",  # noqa: A002 - as the address says
) -> Response:
    """The form; who brings a one-time link or is signed in already goes on."""
    service, had = service_of(request), request.cookies.get(SESSION_COOKIE)
    now, lifetime = datetime.now(UTC), lifetime_of(service.settings.console)
    with borrowed(service.pool) as connection:
        if once is None:
            if had and signed_in(connection, had, lifetime=lifetime, now=now):
                return RedirectResponse(own_place(next), status_code=HTTPStatus.SEE_OTHER)
            return _form(request, place=next)
        user_id = follow_link(connection, once, now=now)
        token = (
            None
            if user_id is None
            else start_session(connection, user_id, password_hash=None, instead_of=had, lifetime=lifetime, now=now)
        )
    if token is None:
        log.warning("sign-in refused", why="one-time link used or too old", address=address_of(request))
        return _form(request, place=next, fault=_OLD_LINK, status=HTTPStatus.FORBIDDEN)
    log.info("signed in", by="one-time link", address=address_of(request))
    return _gone_on(request, token, own_place(next))


@router.post(SIGN_IN, dependencies=[Depends(anyone)])
async def post_sign_in(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    place: Annotated[str, Form(alias="next")] = "/",
) -> Response:
    """Begin a session where name and password fit; a wrong name and a wrong password are told alike."""
    name = one_spelling(name.strip())
    try:
        await rates_of(request).count_sign_in(request, name)
    except ProblemError as error:
        log.warning("sign-in refused", why="too many tries", address=address_of(request))
        if not wants_page(request):
            raise
        answer = _form(request, place=place, fault=f"{error}; {error.remedy}.", status=error.status)
        answer.headers.update(error.headers or {})
        return answer
    service = service_of(request)
    known = await run_in_threadpool(_known, service, name)
    fits = await to_thread.run_sync(
        is_password, password, None if known is None else known.password_hash, limiter=request.app.state.hashing
    )
    if known is None or not fits:
        # What was typed may be a password in the wrong field: only names that exist are told.
        named = None if known is None else known.name
        log.warning("sign-in refused", why="name or password", name=named, address=address_of(request))
        return _form(request, place=place, fault=_WRONG, status=HTTPStatus.FORBIDDEN)
    token = await run_in_threadpool(_session, service, known, request.cookies.get(SESSION_COOKIE))
    if token is None:  # disabled, or given another password, in this moment
        return _form(request, place=place, fault=_WRONG, status=HTTPStatus.FORBIDDEN)
    log.info("signed in", by="password", name=known.name, address=address_of(request))
    await rates_of(request).forget_sign_ins(request, name)
    return _gone_on(request, token, own_place(place))


@router.post("/sign-out")
def post_sign_out(request: Request, _: Reads) -> RedirectResponse:
    """End the session."""
    with borrowed(service_of(request).pool) as connection:
        end_session(connection, request.cookies.get(SESSION_COOKIE, ""))
    answer = RedirectResponse(SIGN_IN, status_code=HTTPStatus.SEE_OTHER)
    answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    return answer


def _known(service: Service, name: str) -> SignIn | None:
    if utf8_fault(name):
        return None
    with borrowed(service.pool) as connection:
        return user_to_sign_in(connection, name)


def _session(service: Service, known: SignIn, had: str | None) -> str | None:
    with borrowed(service.pool) as connection:
        return start_session(
            connection,
            known.user_id,
            password_hash=known.password_hash,
            instead_of=had,
            lifetime=lifetime_of(service.settings.console),
            now=datetime.now(UTC),
        )


def _form(
    request: Request, *, place: str, fault: str | None = None, status: HTTPStatus = HTTPStatus.OK
) -> HTMLResponse:
    return render(request, "sign_in.html", status=status, next=own_place(place), fault=fault)


def _gone_on(request: Request, token: str, place: str) -> RedirectResponse:
    answer = RedirectResponse(place, status_code=HTTPStatus.SEE_OTHER)
    keep_session(request, answer, token)
    return answer
