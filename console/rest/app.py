"""The application: REST and the page, behind its guards."""

from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from console.metrics import measured, routed
from console.rest import (
    audits,
    coils,
    deadletters,
    docs,
    events,
    explanations,
    feedback,
    health,
    matrices,
    model_changes,
    models,
    pictures,
    reviews,
    schedule,
    search,
    stream,
)
from console.rest.access import known_first
from console.rest.guards import bounded, known_names_only, own_cookies_only, own_pages_only, secured, unambiguous
from console.rest.names import keep_slashes
from console.rest.openapi import describe, known_parameters_only, name_methods
from console.rest.problems import add_problems
from console.rest.rates import Rates
from console.rest.service import Service
from console.web.sign_in import add_sign_in
from console.web.site import add_site


class _Console(FastAPI):
    """Whose every answer is secured, counted and described, that to an error nobody expected too."""

    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI's, secured and measured."""
        return measured(secured(super().build_middleware_stack()))

    def openapi(self) -> dict[str, Any]:
        """FastAPI's, with every answer."""
        return describe(self)


def create_app(service: Service) -> FastAPI:
    """Build the application around a running service."""
    app = _Console(
        title="coilflow",
        version=version("coilflow"),
        description="Events of galvanized coils in, verdicts out. Every error is a problem as RFC 9457 has it, also "
        "those that any request may meet: 405, 421 (the console is not known by the name it was called), 431 and 500.",
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,  # see console/rest/docs.py
        redoc_url=None,
        openapi_url=None,
    )
    settings = service.settings.console
    app.state.service, app.state.rates = service, Rates(settings)
    app.add_middleware(routed)
    app.add_middleware(keep_slashes)
    app.add_middleware(bounded, body_s=settings.body_s)
    app.add_middleware(own_cookies_only)
    app.add_middleware(unambiguous)
    app.add_middleware(own_pages_only)
    app.add_middleware(known_names_only, names=settings.hosts)
    add_problems(app)
    name_methods(app)
    for part in (
        events,
        explanations,
        feedback,
        search,
        stream,
        coils,
        matrices,
        pictures,
        reviews,
        model_changes,  # before what is named by any version: a method that is not allowed says which is
        models,
        schedule,
        deadletters,
        audits,
    ):
        app.include_router(part.router, dependencies=[Depends(known_parameters_only)])
    app.include_router(health.router)
    app.include_router(docs.router)
    add_sign_in(app)
    add_site(app)
    # Within the handlers of errors, which `add_middleware` is not.
    app.router.middleware_stack = known_first(app.router.middleware_stack)  # type: ignore[assignment]  # any awaitable
    return app
