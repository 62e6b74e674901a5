"""What workers say of the changes is kept and announced."""

from datetime import timedelta

import pytest

from schemas.errors import StoreError
from schemas.events import EVENT, ModelChangedEvent
from store.connection import Connection
from store.swaps import SwapAnswer, Worker, answer, answers, note_worker, workers
from tests.registry.given import TOPIC, register
from tests.store.given import NOON


def said(worker: str, outcome: str = "swapped", reason: str = "") -> SwapAnswer:
    return SwapAnswer(
        worker=worker,
        plant="",
        ensemble_version="e1",
        role="champion",
        outcome="refused" if outcome == "refused" else "swapped",
        reason=reason,
        at=NOON,
    )


def test_every_answer_is_kept_and_announced(connection: Connection) -> None:
    register(connection, "e1", "e2")
    given = [said("w1"), said("w2", "refused", "it is too slow"), said("w1")]
    for one in given:
        answer(connection, one, name="line", announce=(TOPIC,))
    assert answers(connection) == answers(connection, "e1") == tuple(given)
    assert answers(connection, "e2") == ()
    rows = connection.execute("select payload from coilflow.outbox order by outbox_id").fetchall()
    events = [EVENT.validate_python(row["payload"]) for row in rows]
    assert len({event.id for event in events}) == 3
    assert [
        (event.data.change, event.data.worker, event.data.reason)
        for event in events
        if isinstance(event, ModelChangedEvent)
    ] == [("swapped", "w1", None), ("refused", "w2", "it is too slow"), ("swapped", "w1", None)]


def test_an_answer_on_what_is_not_registered_or_without_its_reason_is_refused(connection: Connection) -> None:
    with pytest.raises(StoreError, match="answer on ensemble 'e1'"):
        answer(connection, said("w1"), name="line", announce=(TOPIC,))
    register(connection, "e1")
    with pytest.raises(StoreError, match="answer on ensemble 'e1'"):
        answer(connection, said("w1", "refused"), name="line", announce=(TOPIC,))
    assert answers(connection) == ()
    assert connection.execute("select 1 from coilflow.outbox").fetchall() == []


def test_a_worker_is_known_by_when_it_looked_last(connection: Connection) -> None:
    for minutes, name in ((0, "old"), (5, "new"), (6, "new")):
        seen = Worker(worker=name, host="h", kind="kafka", seen_at=NOON + timedelta(minutes=minutes))
        note_worker(connection, seen)
    assert workers(connection, since=NOON + timedelta(minutes=1)) == (
        Worker(worker="new", host="h", kind="kafka", seen_at=NOON + timedelta(minutes=6)),
    )
