"""How far voices agree is told by what each said for itself."""

from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.labels import LabelledOnce, shared_words, store_second_reviews
from tests.labels.given import minutes, word
from tests.store.given import key_of


def shared(connection: Connection, *words: Feedback, blind: bool = False) -> dict[str, str]:
    record_feedback(connection, words, received_at=minutes(600))
    return {one.voice: one.label for one in shared_words(connection, blind=blind)}


def drawn(connection: Connection) -> None:
    once = LabelledOnce(key=key_of("7"), revision="r1")
    store_second_reviews(connection, [once], probability=0.1, drawn_at=minutes(0.5))


def test_who_yields_has_not_agreed(connection: Connection) -> None:
    words = word("OK"), word("NOK", by="berta", at=1), word("NOK", at=2)
    assert shared(connection, *words) == {"anna": "OK", "berta": "NOK"}


def test_a_slip_that_was_taken_back_is_no_word(connection: Connection) -> None:
    words = word("OK", event_id="slip"), word("NOK", at=1, corrects="slip"), word("NOK", by="berta", at=2)
    assert shared(connection, *words) == {"anna": "NOK", "berta": "NOK"}


def test_who_settles_first_knew_of_the_others(connection: Connection) -> None:
    words = word("OK"), word("NOK", by="chief", at=1, settles=True), word("NOK", by="chief", at=2)
    assert shared(connection, *words) == {}


def test_blind_are_the_first_look_and_the_first_word_of_the_second(connection: Connection) -> None:
    drawn(connection)
    words = word("OK"), word("NOK", by="berta", at=1), word("OK", by="berta", at=2), word("NOK", at=3)
    assert shared(connection, *words, blind=True) == {"anna": "OK", "berta": "NOK"}


def test_a_third_who_may_know_of_the_dispute_is_not_blind(connection: Connection) -> None:
    drawn(connection)
    words = word("OK"), word("NOK", by="berta", at=1), word("OK", by="chief", at=2)
    assert shared(connection, *words, blind=True) == {"anna": "OK", "berta": "NOK"}


def test_a_word_that_replaces_one_taken_back_after_the_other_spoke_is_not_blind(connection: Connection) -> None:
    drawn(connection)
    words = word("OK", event_id="first"), word("NOK", by="berta", at=1), word("NOK", at=2, corrects="first")
    assert shared(connection, *words, blind=True) == {}


def test_without_a_second_look_nothing_is_blind(connection: Connection) -> None:
    assert shared(connection, word("OK"), word("NOK", by="berta", at=1), blind=True) == {}
