"""The processors one after the other, as NiFi runs them: from chunk events to announced verdicts."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import pytest

from store.connection import connect
from tests.flows.given import coil, events_of
from tests.nifi.running import PROCESSORS, Running, Transferred, load
from tests.waiting import wait_until

_CHAIN = ("AssembleCoil", "NormalizeCoil", "ScoreCoil", "RecordVerdict", "SampleForReview")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("COILFLOW_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COILFLOW_STREAM__SETTLE_S", "0.001")


@contextmanager
def canvas(dsn: str, **more: str) -> Iterator[dict[str, Running]]:
    """Each processor of the chain, scheduled; what a processor has no property for, it is not told."""
    with ExitStack() as stack:
        placed = {}
        for name in _CHAIN:
            kind = load(PROCESSORS / f"{name}.py")
            had = {one.name for one in kind().getPropertyDescriptors()}
            placed[name] = Running(
                kind, {key: text for key, text in {"Database DSN": dsn, **more}.items() if key in had}
            )
            placed[name].schedule()
            stack.callback(placed[name].stop)
        yield placed


def through(placed: dict[str, Running], given: Transferred) -> Transferred:
    """What RecordVerdict gives of a batch of coils."""
    for name in _CHAIN[1:4]:
        assert given.relationship == "success", given.attributes
        given = placed[name].give(given.content, given.attributes)
    return given


def due(placed: dict[str, Running]) -> Transferred:
    """Tick until coils are due."""
    found: list[Transferred] = []

    def looked() -> bool:
        found.append(placed["AssembleCoil"].give(b"", {"uuid": "tick"}))
        assert found[-1].relationship in ("success", "waiting"), found[-1].attributes
        return found[-1].relationship == "success"

    wait_until(looked)
    return found[-1]


def said_of(*coils: str) -> bytes:
    return b"".join(orjson.dumps(event) + b"\n" for name in coils for event in events_of(coil(name)))


def test_chunk_events_become_verdicts_and_a_replay_gives_the_same_events(database: str) -> None:
    with canvas(database, Mode="announce") as placed:
        heard = placed["AssembleCoil"].give(said_of("1", "2", "3"), {"uuid": "a"})
        batch = heard if heard.relationship == "success" else due(placed)
        first, again = through(placed, batch), through(placed, batch)
        reviewed = placed["SampleForReview"].give(first.content, first.attributes)
    assert (first.relationship, again.content) == ("success", first.content)
    events = [orjson.loads(line) for line in first.content.splitlines()]
    assert sorted(event["data"]["coil_id"] for event in events) == ["1", "2", "3"]
    assert (first.attributes["coilflow.verdicts.new"], again.attributes["coilflow.verdicts.new"]) == ("3", "0")
    assert first.attributes["coilflow.step"] == "record_verdict"
    assert reviewed.relationship in ("review", "success")
    assert placed["RecordVerdict"].logger.bulletins == []
    with connect(database) as connection:
        row = connection.execute("select count(*) as n from coilflow.verdicts").fetchone()
    assert row is not None
    assert row["n"] == 3


def test_in_observe_mode_verdicts_are_stored_and_go_where_nothing_is_announced(database: str) -> None:
    with canvas(database, Mode="observe") as placed:
        heard = placed["AssembleCoil"].give(said_of("1"), {"uuid": "a"})
        done = through(placed, heard if heard.relationship == "success" else due(placed))
    assert done.relationship == "observed"
    assert done.attributes["coilflow.verdicts.new"] == "1"


def test_processors_that_are_connected_in_another_order_say_so_and_keep_what_came(database: str) -> None:
    with canvas(database) as placed:
        heard = placed["AssembleCoil"].give(said_of("1"), {"uuid": "a"})
        batch = heard if heard.relationship == "success" else due(placed)
        for name in ("ScoreCoil", "RecordVerdict", "SampleForReview"):
            wrong = placed[name].give(batch.content, batch.attributes)
            assert (wrong.relationship, wrong.content) == ("dead_letter", batch.content)
            assert wrong.attributes["coilflow.remedy"].startswith("connect")
