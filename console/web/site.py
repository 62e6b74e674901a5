"""All of the page, for the app to include."""

from fastapi import FastAPI

from console.web import (
    coil,
    data,
    heat_maps,
    letters,
    line,
    model_actions,
    models,
    review,
    schedule,
    static_files,
    theme,
)
from console.web.problem_pages import add_problem_pages


def add_site(app: FastAPI) -> None:
    """Serve the page: its routers, its files, and problems as pages; call it after the handlers of errors stand."""
    working = (line.router, coil.router, heat_maps.router, review.router)
    watching = (models.router, model_actions.router, schedule.router, data.router, letters.router)
    for router in (*working, *watching, static_files.router, theme.router):
        app.include_router(router)
    add_problem_pages(app)
