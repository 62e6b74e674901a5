"""Whatever is sent, the console answers as its OpenAPI document says, and never with an error of its own."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
from schemathesis import Case

from console.rest.app import create_app
from console.rest.service import Service, running_service
from flows.serving import following
from processors.decode import decode_message
from scheduler.registry import registered_jobs
from schemas.access import ROLE_SCOPES, Role
from schemas.console_settings import ConsoleSettings
from schemas.settings import Settings
from store.connection import connect
from store.databases import create_database, drop_database
from store.drift import DriftCheck, store_drift_check
from store.leadership import leader_session, take_over
from store.migrations import migrate
from store.schedules import register_schedules
from tests.audit.given import a_line, bad, candidate, refuse, say
from tests.flows.given import coil
from tests.rest.given import bearer, served

CONFIG = {
    "seed": 8,
    "generation": {
        "deterministic": True,
        "max-examples": 12,
        "no-shrink": True,
        "database": "none",
        "with-security-parameters": False,
    },
    "checks": {
        "positive_data_acceptance": {"enabled": False},  # what is right may still be in conflict with what is
        "ignored_auth": {"enabled": False},  # it adds false credentials to the true ones; see test_access.py
    },
}
WITHOUT_END = "/api/v1/stream"  # a stream of events: it answers for as long as it is listened to
OFTEN = ConsoleSettings(requests_a_minute=1_000_000, anonymous_requests_a_minute=1_000_000)
DOCUMENT = create_app(cast("Service", SimpleNamespace(settings=Settings(console=OFTEN)))).openapi()

schema = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(CONFIG)).exclude(
    path=WITHOUT_END
)


def _story(dsn: str, folder: Path) -> Settings:
    """Fill a database with something of everything."""
    line = a_line(dsn, folder, console=OFTEN)
    line.assess(coil("1"), bad("2"), coil("3"), bad("4"))
    now = datetime.now(UTC)
    with connect(dsn) as connection:
        say(connection, "1", "OK", by="anna")
        say(connection, "2", "NOK", by="anna", defect_kind="thin_edge", face="top", from_m=1.0, to_m=2.0, note="seen")
        say(connection, "2", "OK", by="ben")
        say(connection, "unknown", "OK", by="ben")
        candidate(connection, line, "v2", parent="v1")
        refuse(connection, "5", "no reading")
        figure = {"psi": 0.4, "at_least": 0.2, "mean": 1.0, "reference_mean": 0.5, "coils": 500}
        store_drift_check(
            connection,
            DriftCheck(
                checked_at=now,
                plant="linz",
                ensemble_version="v1",
                coils=500,
                drifted=True,
                sentence="the level of the top face has drifted",
                figures={"level": figure},
            ),
        )
    with leader_session(dsn) as session:
        taken = take_over(session, "given", silent_after_s=60)
        assert taken is not None
        crons = {name: job.cron for name, job in registered_jobs(line.settings).items()}
        register_schedules(session, crons, epoch=taken.epoch, now=now)
    return line.settings


@pytest.fixture(scope="module")
def console(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """Address of a console, and the headers of an engineer."""
    name = f"coilflow_schema_{uuid.uuid4().hex[:12]}"
    dsn = create_database(postgres_server, name)
    try:
        migrate(dsn)
        settings = _story(dsn, tmp_path_factory.mktemp("line"))
        with (
            following(dsn, settings, kind="inbox") as serving,
            running_service(
                dsn, serving.current, settings, decode=decode_message, connections=8, wait_s=2.0
            ) as service,
            served(service) as address,
        ):
            yield address, bearer(dsn, *ROLE_SCOPES[Role.ENGINEER])
    finally:
        drop_database(postgres_server, name)


@schema.parametrize()
def test_every_answer_is_described(case: Case[Any], console: tuple[str, dict[str, str]]) -> None:
    address, headers = console
    case.call_and_validate(base_url=address, headers=headers, timeout=30)
