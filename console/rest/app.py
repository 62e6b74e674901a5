"""The REST application."""

from importlib.metadata import version

from fastapi import FastAPI

from console.rest import coils, events, explanations, health, schedule
from console.rest.problems import add_problems
from console.rest.service import Service


def create_app(service: Service) -> FastAPI:
    """Build the application around a running service."""
    app = FastAPI(
        title="coilflow",
        version=version("coilflow"),
        description="Events of galvanized coils in, verdicts out; errors are RFC 9457 problem details.",
    )
    app.state.service = service
    add_problems(app)
    for router in (events.router, explanations.router, coils.router, schedule.router, health.router):
        app.include_router(router)
    return app
