"""A console in this process, on a port and a database of its own, with a scorer that needs no model."""

from collections.abc import Iterator

import httpx
import pytest

from console.rest.service import Service, running_service
from flows.served import always
from processors.decode import decode_message
from schemas.access import Scope
from schemas.console_settings import ConsoleSettings
from schemas.settings import Settings
from schemas.stream_settings import StreamSettings
from tests.flows.judging import MeanScorer
from tests.rest.given import bearer, served

SETTINGS = Settings(
    stream=StreamSettings(settle_s=0.05),
    destinations=("kafka:coil.verdicts",),
    console=ConsoleSettings(requests_a_minute=1_000_000, event_requests_a_minute=1_000_000),
)


@pytest.fixture
def service(database: str) -> Iterator[Service]:
    """Two connections, which are waited for a moment only."""
    with running_service(
        database, always(MeanScorer()), SETTINGS, decode=decode_message, connections=2, wait_s=0.2
    ) as running:
        yield running


@pytest.fixture
def client(service: Service, database: str) -> Iterator[httpx.Client]:
    """Speaks to the console, with a key that may do everything."""
    with (
        served(service) as address,
        httpx.Client(base_url=address, headers=bearer(database, *Scope), timeout=120) as opened,
    ):
        yield opened
