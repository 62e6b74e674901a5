"""`POST /theme`: light, dark, or as the system likes."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse

from console.web.pages import THEME_COOKIE, THEMES, own_place

_A_YEAR_S = 365 * 24 * 3600

router = APIRouter(include_in_schema=False)


@router.post("/theme")
def post_theme(theme: Annotated[str, Form()] = "", place: Annotated[str, Form(alias="next")] = "/") -> RedirectResponse:
    """Keep what the reader likes in a cookie, and go back to the page."""
    answer = RedirectResponse(own_place(place), status_code=HTTPStatus.SEE_OTHER)
    if theme in THEMES:
        answer.set_cookie(THEME_COOKIE, theme, max_age=_A_YEAR_S, httponly=True, samesite="strict")
    else:
        answer.delete_cookie(THEME_COOKIE, httponly=True, samesite="strict")
    return answer
