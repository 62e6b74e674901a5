"""What operators say is stored once and stays; a correction supersedes what it names."""

from dataclasses import replace

import pytest

from schemas.errors import StoreError
from store.connection import Connection
from store.feedback import Feedback, LatestFeedback, latest_feedback, record_feedback
from tests.store.given import NOON, key_of

SAID = Feedback(
    key=key_of("7"), source="/mes", event_id="1", label="OK", given_at=NOON, face="top", from_m=3.5, to_m=4.0
)


def rows(connection: Connection) -> list[dict[str, object]]:
    return connection.execute("select * from coilflow.feedback order by feedback_id").fetchall()


def test_the_same_event_twice_is_one_row(connection: Connection) -> None:
    assert record_feedback(connection, [SAID, SAID]) == (True, False)
    assert record_feedback(connection, [replace(SAID, label="NOK")]) == (False,)
    [row] = rows(connection)
    assert (row["label"], row["face"], row["from_m"], row["given_at"]) == ("OK", "top", 3.5, NOON)


def test_the_same_id_from_another_source_is_another_event(connection: Connection) -> None:
    assert record_feedback(connection, [SAID, replace(SAID, source="/web")]) == (True, True)


def test_feedback_on_an_unknown_coil_is_kept(connection: Connection) -> None:
    assert record_feedback(connection, [replace(SAID, key=key_of("never seen"))]) == (True,)


def test_a_correction_supersedes_the_event_of_its_own_source_first(connection: Connection) -> None:
    record_feedback(connection, [SAID, replace(SAID, source="/web", label="NOK")])
    record_feedback(connection, [replace(SAID, event_id="2", label="NOK", corrects="1")])
    record_feedback(connection, [replace(SAID, source="/phone", event_id="3", corrects="1")])
    first, web, own, foreign = rows(connection)
    assert own["supersedes"] == first["feedback_id"]
    assert foreign["supersedes"] == web["feedback_id"]


def test_a_correction_that_comes_before_what_it_corrects_keeps_its_name(connection: Connection) -> None:
    record_feedback(connection, [replace(SAID, event_id="2", corrects="1"), SAID])
    early, _ = rows(connection)
    assert (early["supersedes"], early["corrects"]) == (None, "1")


def test_what_was_said_last_is_found(connection: Connection) -> None:
    assert latest_feedback(connection, key_of("7")) == ()
    record_feedback(connection, [SAID, replace(SAID, event_id="2", label="NOK", note="scratch")])
    [latest] = latest_feedback(connection, key_of("7"))
    assert isinstance(latest, LatestFeedback)
    assert (latest.label, latest.note) == ("NOK", "scratch")


def test_it_is_never_changed(connection: Connection) -> None:
    record_feedback(connection, [SAID])
    with pytest.raises(Exception, match="append-only"):
        connection.execute("update coilflow.feedback set label = 'NOK'")


def test_a_value_that_the_database_refuses_stores_nothing_of_its_batch(connection: Connection) -> None:
    with pytest.raises(StoreError):
        record_feedback(connection, [SAID, replace(SAID, event_id="2", to_m=1.0)])
    assert rows(connection) == []
