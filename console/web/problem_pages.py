"""A problem as a page where a browser asked for one."""

import inspect
import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from console.rest.problems import MEDIA_TYPE
from console.web.pages import render, wants_page

Handler = Callable[[Request, Any], Any]


def add_problem_pages(app: FastAPI) -> None:
    """Let errors of the app, whose handlers stand, be pages to browsers; programs get problem details as before."""
    for kind, handler in list(app.exception_handlers.items()):
        app.exception_handlers[kind] = _page_where_asked(handler)


def _page_where_asked(handler: Handler) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        answer = handler(request, error)
        if inspect.isawaitable(answer):
            answer = await answer
        if answer.headers.get("content-type", "").partition(";")[0] != MEDIA_TYPE or not wants_page(request):
            return answer  # type: ignore[no-any-return]
        said = json.loads(answer.body)
        problem = {"title": "", "detail": None, "remedy": None, **said}
        page = render(request, "problem.html", status=answer.status_code, problem=problem)
        kept = {name: value for name, value in answer.headers.items() if name in {"retry-after", "www-authenticate"}}
        page.headers.update(kept)
        return page

    return handle
