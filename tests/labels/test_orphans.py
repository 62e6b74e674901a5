"""Feedback whose coil never comes ages into a dead letter, and counts again once the coil is there."""

from dataclasses import replace

import orjson

from flows.feedback import age_orphans, draw_second_reviews
from schemas.loop_settings import ReviewSettings
from schemas.settings import Settings
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.labels import label_of, review_queue
from store.verdicts import record_verdicts
from tests.labels.conftest import Command
from tests.labels.given import minutes, word
from tests.store.given import NOON, decided, key_of

SETTINGS = Settings(review=ReviewSettings(orphan_days=14, second_share=1.0))
DAY = 24 * 60


def received(connection: Connection, *words: Feedback) -> None:
    record_feedback(connection, words, received_at=NOON)


def letters(connection: Connection) -> list[dict[str, object]]:
    return connection.execute("select * from coilflow.dead_letters order by dead_letter_id").fetchall()


def test_an_orphan_waits_then_becomes_a_letter_that_holds_its_event(connection: Connection) -> None:
    said = replace(
        word("NOK", kind="thin_edge", settles=True, corrects="x"), face="top", from_m=1.5, to_m=2.0, note="é"
    )
    received(connection, said, word("OK", coil="8"))
    record_verdicts(connection, [decided("8")], decided_at=NOON, destinations=())
    assert age_orphans(connection, minutes(14 * DAY - 1), SETTINGS) == 0
    assert label_of(connection, key_of("7")) is not None
    assert age_orphans(connection, minutes(14 * DAY), SETTINGS) == 1
    assert age_orphans(connection, minutes(15 * DAY), SETTINGS) == 0
    assert label_of(connection, key_of("7")) is None
    assert label_of(connection, key_of("8")) is not None
    [letter] = letters(connection)
    assert (letter["step"], letter["coil_id"], letter["whole_coil"]) == ("feedback", "7", False)
    event = orjson.loads(bytes(letter["original"]))  # type: ignore[call-overload]
    assert (event["type"], event["id"], event["data"]["note"]) == ("operator.feedback", said.event_id, "é")
    assert connection.execute("select from coilflow.coils where coil_id = '7'").rowcount == 0


def test_a_replay_brings_it_back_once_its_coil_is_known(connection: Connection, command: Command) -> None:
    received(connection, word("NOK"))
    age_orphans(connection, minutes(20 * DAY), SETTINGS)
    ran = command("deadletters", "replay", "--step", "feedback")
    assert ran.code == 1
    assert "nothing else has come of coil 7 yet" in ran.out
    connection.execute("insert into coilflow.coils (plant, coil_id, state) values ('linz', '7', 'open')")
    ran = command("deadletters", "replay", "--step", "feedback")
    assert ran.code == 0
    assert "the feedback on coil 7 counts again" in ran.out
    label = label_of(connection, key_of("7"))
    assert label is not None
    assert (label.label, label.voices) == ("NOK", 1)
    assert connection.execute("select from coilflow.feedback").rowcount == 1
    assert command("deadletters", "replay", "--step", "feedback").code == 1


def test_the_verdict_on_its_coil_brings_it_back_too(connection: Connection) -> None:
    received(connection, word("NOK"))
    age_orphans(connection, minutes(20 * DAY), SETTINGS)
    record_verdicts(connection, [decided("7")], decided_at=NOON, destinations=())
    assert label_of(connection, key_of("7")) is not None
    assert [letter["state"] for letter in letters(connection)] == ["resolved"]


def test_a_verdict_committed_meanwhile_is_found_the_next_time(connection: Connection) -> None:
    received(connection, word("NOK"))
    age_orphans(connection, minutes(20 * DAY), SETTINGS)
    record_verdicts(connection, [decided("7")], decided_at=NOON, destinations=())
    connection.execute("update coilflow.dead_letters set state = 'new'")  # as if the verdict had not seen it
    assert label_of(connection, key_of("7")) is None
    age_orphans(connection, minutes(21 * DAY), SETTINGS)
    assert label_of(connection, key_of("7")) is not None


def test_a_letter_that_a_person_puts_aside_stays_aside(connection: Connection) -> None:
    received(connection, word("NOK"))
    age_orphans(connection, minutes(20 * DAY), SETTINGS)
    connection.execute("update coilflow.dead_letters set state = 'discarded'")
    record_verdicts(connection, [decided("7")], decided_at=NOON, destinations=())
    assert label_of(connection, key_of("7")) is None


def test_second_looks_are_drawn_once_and_asked_until_another_has_looked(connection: Connection) -> None:
    asked = decided("7")
    asked = replace(asked, verdict=replace(asked.verdict, review=("alarm: p_nok 0.91",), review_probability=0.02))
    record_verdicts(connection, [asked, decided("unlabelled"), decided("agreed")], decided_at=NOON, destinations=())
    received(connection, word("NOK"), word("OK", coil="early"), word("OK", coil="agreed"))
    received(connection, word("OK", coil="agreed", by="berta"))
    assert draw_second_reviews(connection, minutes(60), SETTINGS) == 1
    assert draw_second_reviews(connection, minutes(90), SETTINGS) == 0
    [one] = [one for one in review_queue(connection) if one.why == "second"]
    assert one.key == key_of("7")
    assert one.reasons == ("second: drawn at random for a second look", "alarm")
    assert review_queue(connection, operator="anna") == ()
    assert [one.why for one in review_queue(connection, operator="berta")] == ["second"]
    received(connection, word("NOK", at=1))
    assert [one.why for one in review_queue(connection)] == ["second"]
    received(connection, word("NOK", by="berta", at=2))
    assert review_queue(connection) == ()


def test_no_share_draws_none(connection: Connection) -> None:
    record_verdicts(connection, [decided("7")], decided_at=NOON, destinations=())
    received(connection, word("NOK"))
    none = Settings(review=ReviewSettings(second_share=0.0))
    assert draw_second_reviews(connection, minutes(60), none) == 0
