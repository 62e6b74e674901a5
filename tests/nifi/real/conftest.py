"""The world of the tests in a real NiFi, made once."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from store.databases import create_database, drop_database
from store.migrations import migrate
from tests.fix_kafka import fresh_topics
from tests.fix_mqtt import mqtt_broker
from tests.flows.given import fill_plant_database
from tests.nifi.real.coils import Phase, phases
from tests.nifi.real.server import nifi_server
from tests.nifi.real.world import DEADLINE_S, World, listening
from tests.wheels import build_wheel, environment_with


@pytest.fixture(scope="session")
def all_phases() -> list[Phase]:
    """The coils, as they are sent."""
    return phases()


@pytest.fixture(scope="session")
def world(
    postgres_server: str,
    kafka_server: str,
    all_phases: list[Phase],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A plant with a NiFi that has not started, and coilflow installed from its wheel."""
    folder = tmp_path_factory.mktemp("w")
    wheel = build_wheel(folder)
    commands = environment_with(f"coilflow[nifi] @ {wheel.as_uri()}", folder / "installed")
    with ExitStack() as stack:
        names = [f"{name}_{uuid.uuid4().hex[:8]}" for name in ("coilflow", "plant")]
        dsn, plant_dsn = (create_database(postgres_server, name) for name in names)
        for name in names:
            stack.callback(drop_database, postgres_server, name)
        migrate(dsn)
        mqtt = stack.enter_context(mqtt_broker())
        source = fill_plant_database([one for phase in all_phases for one in phase.asked], plant_dsn)
        (folder / "data").mkdir()
        (folder / "data" / "coilflow.toml").write_text(
            f'plant_dsn = "{source}"\nthreads = 1\n[stream]\ndeadline_s = {DEADLINE_S}\n'
        )
        ready = stack.enter_context(listening(mqtt, "coilready"))
        yield World(
            folder=folder,
            nifi=stack.enter_context(nifi_server(folder / "nifi")),
            commands=commands,
            dsn=dsn,
            plant_source=source,
            kafka=fresh_topics(kafka_server, partitions=3),
            mqtt=mqtt,
            ready=ready,
        )


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say what was seen, also where pytest keeps what is printed: `make test-nifi` shows it."""
    capture, reporter = map(request.config.pluginmanager.getplugin, ("capturemanager", "terminalreporter"))

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"    {text}")

    return line
