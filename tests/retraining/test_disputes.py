"""Promises of what people differ on: it neither holds a new champion up nor speaks for it."""

from collections.abc import Sequence
from pathlib import Path

from schemas.coils import CoilKey
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.labels import list_labels
from tests.retraining.given import NOON, Coils, accept_successor, coils, judge, label
from tests.retraining.test_refusals import DAY
from tests.retraining.test_ways_back import WATCHED, promoting, serve, take_over


def contradict(
    connection: Connection, batch: Coils, ids: Sequence[str], *, face: str, days: float, settles: bool = False
) -> None:
    """Another voice says the contrary of what that face says."""
    nok = {str(batch.first + place): bool(one) for place, one in enumerate(batch.nok(face))}
    at = NOON + days * DAY
    words = [
        Feedback(
            key=CoilKey(plant="linz", coil_id=coil),
            source="laboratory",
            event_id=f"{coil} {days}",
            label="OK" if nok[coil] else "NOK",
            given_at=at,
            operator="jo",
            settles=settles,
        )
        for coil in ids
    ]
    record_feedback(connection, words, received_at=at)


def test_disputed_coils_hold_no_watch_open(database: str, connection: Connection, tmp_path: Path) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        serve(connection, given, 0, count=40, first=0, by="champion")
        accept_successor(connection, tmp_path, given, "good", face="top")
        take_over(connection, 1, "good")
        at(1.1)
        batch = coils(WATCHED, first=100)
        asked = judge(connection, given, batch, at=NOON + 1.2 * DAY, by="good")
        label(connection, batch, asked[2:], face="top", at=NOON + 1.3 * DAY)
        assert "labels_to_come: 2 of the watched coils" in at(1.4)
        label(connection, batch, asked[:2], face="top", at=NOON + 1.5 * DAY)
        contradict(connection, batch, asked[:2], face="top", days=1.5)
        assert sum(one.disputed for one in list_labels(connection)) == 2
        assert f"watched: {WATCHED - 2} of {WATCHED} coils" in at(1.6), "later coils stand in for them"
        serve(connection, given, 1.7, count=2, first=200, by="good")
        assert "good kept: no_worse" in at(1.9)


def test_disputes_hide_no_bad_champion_and_what_is_settled_counts(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    with promoting(database, connection, tmp_path) as (given, at):
        serve(connection, given, 0, count=40, first=0, by="champion")
        accept_successor(connection, tmp_path, given, "bad")
        take_over(connection, 1, "bad")
        at(1.1)
        batch = coils(WATCHED, first=100)
        asked = judge(connection, given, batch, at=NOON + 1.2 * DAY, by="bad")
        label(connection, batch, asked, face="bottom", at=NOON + 1.3 * DAY)
        contradict(connection, batch, asked, face="bottom", days=1.4)
        assert sum(one.disputed for one in list_labels(connection)) == len(asked)
        assert f"watched: {WATCHED - len(asked)} of {WATCHED} coils" in at(1.45), "nobody has said what any of them is"
        contradict(connection, batch, asked, face="bottom", days=1.5, settles=True)
        assert "bad rolled_back: worse_than_before" in at(1.6)
