"""All of the page, for the app to include."""

from fastapi import FastAPI

from console.web import coil, heat_maps, line, review, static_files, theme
from console.web.problem_pages import add_problem_pages


def add_site(app: FastAPI) -> None:
    """Serve the page: its routers, its files, and problems as pages; call it after the handlers of errors stand."""
    for router in (line.router, coil.router, review.router, heat_maps.router, static_files.router, theme.router):
        app.include_router(router)
    add_problem_pages(app)
