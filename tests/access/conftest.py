"""A console in this process, served as by the command."""

from collections.abc import Iterator

import pytest

from console.rest.service import Service, running_service
from flows.served import always
from processors.decode import decode_message
from schemas.console_settings import ConsoleSettings
from schemas.settings import Settings
from tests.flows.judging import MeanScorer
from tests.rest.given import served

SETTINGS = Settings(console=ConsoleSettings(hosts=("coilflow.plant",)))


@pytest.fixture
def service(database: str) -> Iterator[Service]:
    """With four connections."""
    with running_service(
        database, always(MeanScorer()), SETTINGS, decode=decode_message, connections=4, wait_s=5.0
    ) as running:
        yield running


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """Where it listens."""
    with served(service) as listening:
        yield listening
