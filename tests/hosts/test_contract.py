"""One contract over the hosts: the same events give the same rows, whichever way they came."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.chunks import CoilEvents, coils_from_events
from processors.decode import EventFault, decode_message
from schemas.coils import CoilKey, Origin
from schemas.stream_settings import KafkaSettings
from store.connection import connect
from store.databases import create_database, drop_database
from store.migrations import migrate
from tests.fix_kafka import fresh_topics
from tests.hosts.hosts import HOSTS, settings_for
from tests.hosts.scenarios import NOT_ENDED, SCENARIOS
from tests.streams.lines import PLANT

Rows = dict[str, dict[str, list[dict[str, Any]]]]  # coil -> table -> rows

TABLES = {
    "coils": "select coil_id, state, zn_min_g_m2, zn_max_g_m2, length_m, started_at from coilflow.coils",
    "verdicts": "select coil_id, revision, role, label, p_nok, threshold, ensemble_version, observed, reasons, "
    "review, review_probability, supersedes from coilflow.verdicts order by verdict_id",
    "assessments": "select v.coil_id, a.model, a.version, a.p_nok "
    "from coilflow.assessments a join coilflow.verdicts v using (verdict_id) order by 1, 2",
    "readings": "select coil_id, revision, readings from coilflow.readings order by 1, 2",
    "dead_letters": "select coil_id, plant, whole_coil, step, error, remedy, state from coilflow.dead_letters",
    "outbox": "select payload -> 'data' ->> 'coil_id' as coil_id, event_id, key, slot, "
    "payload #- '{time}' #- '{data,decided_at}' as payload from coilflow.outbox where payload is not null",
}


@pytest.fixture(scope="module")
def topics(kafka_server: str) -> Callable[[], KafkaSettings]:
    """Fresh topics."""
    return lambda: fresh_topics(kafka_server, partitions=2)


@pytest.fixture(scope="module")
def judged(
    topics: Callable[[], KafkaSettings], postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Rows]]:
    """What a host made of all scenarios, each host asked once."""
    known: dict[str, Rows] = {}
    databases = []

    def ask(host: str) -> Rows:
        if host not in known:
            databases.append(name := f"coilflow_hosts_{host}_{id(known)}")
            dsn = create_database(postgres_server, name)
            migrate(dsn)
            known[host] = rows_of(host, dsn, topics(), tmp_path_factory.mktemp(host))
        return known[host]

    yield ask
    for name in databases:
        drop_database(postgres_server, name)


def rows_of(host: str, dsn: str, kafka: KafkaSettings, folder: Path) -> Rows:
    lines = [line for lines in SCENARIOS.values() for line in lines]
    HOSTS[host](dsn, lines, settings_for(host, kafka, folder, deadline_s=600.0), folder)
    found: Rows = {name: {table: [] for table in TABLES} for name in SCENARIOS}
    with connect(dsn) as connection:
        for table, query in TABLES.items():
            for row in connection.execute(query.encode()):
                found[row["coil_id"]][table].append(row)
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("host", [host for host in HOSTS if host != "local"])
def test_a_coil_ends_as_it_does_on_the_local_host(host: str, scenario: str, judged: Callable[[str], Rows]) -> None:
    assert judged(host)[scenario] == judged("local")[scenario]


def test_every_scenario_ends_as_something_and_both_ends_are_among_them(judged: Callable[[str], Rows]) -> None:
    states = [rows["coils"][0]["state"] for rows in judged("local").values()]
    assert set(states) == {"decided", "dead_lettered"}


def test_each_verdict_keeps_why_a_person_is_asked_and_how_likely_that_was(judged: Callable[[str], Rows]) -> None:
    verdicts = [verdict for rows in judged("local").values() for verdict in rows["verdicts"]]
    for verdict in verdicts:
        assert verdict["review_probability"] == (0.5 if verdict["label"] == "OK" else 1.0)
        assert verdict["review"] or verdict["label"] == "OK"
    assert {bool(verdict["review"]) for verdict in verdicts if verdict["label"] == "OK"} == {True, False}


@pytest.mark.parametrize(
    ("host", "reason"), [("local", "not_ended"), ("kafka", "deadline"), ("inbox", "deadline"), ("nifi", "deadline")]
)
def test_a_coil_that_never_ends_is_judged_on_the_same_readings_and_each_host_says_why(
    host: str, reason: str, topics: Callable[[], KafkaSettings], database: str, tmp_path: Path
) -> None:
    HOSTS[host](database, NOT_ENDED, settings_for(host, topics(), tmp_path, deadline_s=1.0), tmp_path)
    with connect(database) as connection:
        [row] = connection.execute("select revision, label, p_nok, observed, reasons from coilflow.verdicts").fetchall()
    [said] = row.pop("reasons")
    assert said.startswith(reason)
    given = CoilEvents(
        key=CoilKey(plant=PLANT, coil_id="not ended"),
        origin=Origin(place="", original=bytes),
        events=tuple(
            event for line in NOT_ENDED if not isinstance(found := decode_message(line), EventFault) for event in found
        ),
    )
    [revision] = coils_from_events([given]).coils.revisions
    assert row == {"revision": revision, "label": "OK", "p_nok": 0.0, "observed": 1.0}
