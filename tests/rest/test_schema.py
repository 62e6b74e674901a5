"""Whatever is sent, the console answers as its OpenAPI document says, and never with an error of its own."""

import itertools
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
import schemathesis
from schemathesis import Case
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, unsupported_method

from console.rest.app import create_app
from console.rest.problems import ProblemError
from console.rest.rates import EVENTS_PATH
from console.rest.service import Service, running_service
from flows.serving import following
from processors.decode import decode_message
from scheduler.registry import registered_jobs
from schemas.access import ROLE_SCOPES, Role, Scope
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

GENERATION = {
    "deterministic": True,
    "max-examples": 12,
    "no-shrink": True,
    "database": "none",
    "with-security-parameters": False,
}
CONFIG = {
    "seed": 8,
    "generation": GENERATION,
    "checks": {
        "positive_data_acceptance": {"enabled": False},  # what is right may still be in conflict with what is
        "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 406, 409, 413, 415, 422]},
        "ignored_auth": {"enabled": False},  # it adds false credentials to the true ones; see test_access.py
    },
}
WITHOUT_END = "/api/v1/stream"  # a stream of events: it answers for as long as it is listened to
_OFTEN = 1_000_000
OFTEN = ConsoleSettings(requests_a_minute=_OFTEN, event_requests_a_minute=_OFTEN, anonymous_requests_a_minute=_OFTEN)
DOCUMENT = create_app(cast("Service", SimpleNamespace(settings=Settings(console=OFTEN)))).openapi()

Callers = dict[str, dict[str, str]]  # headers by who it is
WHO = itertools.cycle(("everybody", *Role, "sender", "nobody"))
THERE: dict[str, Iterator[object]] = {  # what `_story` tells of, to be named in paths
    "plant": itertools.cycle(["linz"]),
    "coil_id": itertools.cycle(["1", "2", "3", "4", "5", "unknown"]),
    "version": itertools.cycle(["v1", "v2"]),
    "job": itertools.cycle(["retrain", "score"]),
    "dead_letter_id": itertools.cycle([1, 2]),
}

schemathesis.serializer.alias("application/vnd.apache.arrow.stream", "application/octet-stream")
whole = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(CONFIG))
schema, streams = whole.exclude(path=WITHOUT_END), whole.include(path=WITHOUT_END)
right = schemathesis.Config.from_dict({**CONFIG, "generation": {**GENERATION, "mode": "positive", "max-examples": 4}})
named = schemathesis.openapi.from_dict(DOCUMENT, config=right).include(path_regex="{")


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
def console(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Callers]]:
    """Address of a console, and the headers of everybody who may call it."""
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
            callers: Callers = {role: bearer(dsn, *ROLE_SCOPES[role]) for role in Role}
            callers |= {"nobody": {}, "sender": bearer(dsn, Scope.EVENTS), "everybody": bearer(dsn, *Scope)}
            yield address, callers
    finally:
        drop_database(postgres_server, name)


@schema.parametrize()
def test_every_answer_is_described_whoever_asks(case: Case[Any], console: tuple[str, Callers]) -> None:
    address, callers = console
    who = next(WHO)
    left_out = [unsupported_method] if who == "nobody" else []  # who is not known is told no more than that
    if case.operation.path == EVENTS_PATH:
        left_out.append(negative_data_rejection)  # of a batch each event is told by itself
    case.call_and_validate(base_url=address, headers=callers[who], timeout=30, excluded_checks=left_out)


@named.parametrize()
def test_every_answer_on_what_there_is_is_described(case: Case[Any], console: tuple[str, Callers]) -> None:
    address, callers = console
    case.path_parameters.update({name: next(THERE[name]) for name in case.path_parameters})
    case.call_and_validate(base_url=address, headers=callers["everybody"], timeout=60)


@streams.parametrize()
def test_the_stream_begins_as_described(case: Case[Any], console: tuple[str, Callers]) -> None:
    address, callers = console
    asked = case.as_transport_kwargs(base_url=address, headers=callers[next(WHO)])
    with requests.request(**asked, stream=True, timeout=30) as answer:
        if answer.ok:
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
            assert next(answer.iter_lines()) == b"retry: 1000"
        else:
            case.validate_response(answer)


def test_no_operation_is_left_out() -> None:
    operations = {f"{method} {path}" for path, of_path in DOCUMENT["paths"].items() for method in of_path}
    parts = (one for part in (schema, streams) for one in part.get_all_operations())
    tried = {one.ok().label.lower() for one in parts if isinstance(one, Ok)}
    assert tried == {one.lower() for one in operations}
    names = {one["name"] for of in DOCUMENT["paths"].values() for op in of.values() for one in op.get("parameters", ())
             if one["in"] == "path"}  # fmt: skip
    assert names == THERE.keys()


@pytest.mark.parametrize("fault", [RuntimeError("broken"), ProblemError(HTTPStatus.IM_A_TEAPOT, "tea", remedy="none")])
def test_an_operation_that_breaks_is_found(
    console: tuple[str, Callers], monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("console.rest.search.list_coils", broken)
    address, callers = console
    case = schema["/api/v1/coils"]["GET"].Case()
    with pytest.raises(FailureGroup):
        case.call_and_validate(base_url=address, headers=callers[Role.VIEWER], timeout=30)
