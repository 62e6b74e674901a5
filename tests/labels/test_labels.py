"""What all that was said of a coil comes to, in whatever order it arrived."""

from itertools import permutations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.coils import Truth
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.labels import CoilLabel, label_of, list_labels, words_of
from tests.labels.given import minutes, word
from tests.store.given import key_of

Words = list[Feedback]


def said(connection: Connection, *words: Feedback, coil: str = "7") -> CoilLabel:
    record_feedback(connection, words, received_at=minutes(600))
    label = label_of(connection, key_of(coil))
    assert label is not None
    return label


def test_a_coil_of_which_nobody_spoke_has_no_label(connection: Connection) -> None:
    assert label_of(connection, key_of("7")) is None


def test_voices_that_agree_make_a_label(connection: Connection) -> None:
    label = said(connection, word("NOK", kind="thin_edge", revision="r2"), word("NOK", by="berta", at=1))
    assert (label.label, label.disputed, label.voices) == ("NOK", False, 2)
    assert (label.defect_kind, label.revision) == ("thin_edge", "r2")
    assert label.received_at == minutes(600)


def test_two_voices_that_differ_make_the_coil_disputed(connection: Connection) -> None:
    label = said(connection, word("NOK"), word("OK", by="berta", at=1))
    assert (label.label, label.disputed, label.voices) == (None, True, 2)


def test_a_later_word_replaces_the_voices_own_earlier_one(connection: Connection) -> None:
    late_first = (word("OK", at=5), word("NOK", at=1))
    label = said(connection, *late_first)
    assert (label.label, label.voices) == ("OK", 1)


def test_without_an_operator_the_source_is_the_voice(connection: Connection) -> None:
    label = said(connection, word("OK", by=None), word("NOK", by=None, source="/terminal/2", at=1))
    assert (label.disputed, label.voices) == (True, 2)
    assert [one.voice for one in words_of(connection, [key_of("7")])] == ["/mes", "/terminal/2"]


CORRECTED = [
    word("OK", at=0, event_id="one"),
    word("NOK", by="berta", at=1, event_id="two"),
    word("OK", by="chief", at=2, source="/office", event_id="three", corrects="two"),
]


def test_a_correction_takes_a_word_back_in_whatever_order_both_arrive(connection: Connection) -> None:
    for order in permutations(CORRECTED):
        with connection.transaction(force_rollback=True):
            for one in order:
                record_feedback(connection, [one])
            label = label_of(connection, key_of("7"))
            assert label is not None
            assert (label.label, label.disputed, label.voices) == ("OK", False, 2)
            assert {one.voice for one in words_of(connection, [key_of("7")])} == {"anna", "chief"}


def test_a_correction_means_the_event_of_its_own_source_first(connection: Connection) -> None:
    own, foreign = word("NOK", event_id="1"), word("NOK", by="berta", source="/web", event_id="1")
    said(connection, own, foreign, word("OK", at=1, corrects="1"))
    assert [(one.voice, one.label) for one in words_of(connection, [key_of("7")])] == [("berta", "NOK"), ("anna", "OK")]


def test_a_word_on_the_wrong_coil_is_taken_back_by_a_correction_on_the_right_one(connection: Connection) -> None:
    said(connection, word("NOK", event_id="1"), word("NOK", coil="8", corrects="1", at=1), coil="8")
    assert label_of(connection, key_of("7")) is None


def test_of_two_words_that_correct_each_other_the_one_given_later_stands(connection: Connection) -> None:
    words = (
        word("OK", at=0, event_id="one", corrects="two"),
        word("NOK", by="berta", at=1, source="/office", event_id="two", corrects="one"),
    )
    for order in permutations(words):
        with connection.transaction(force_rollback=True):
            label = said(connection, *order)
            assert (label.label, label.voices) == ("NOK", 1)


def test_in_a_circle_only_a_correction_given_later_counts_and_one_from_outside_does_as_ever(
    connection: Connection,
) -> None:
    circle = [word("OK", by=f"v{n}", at=n, event_id=f"e{n}", corrects=f"e{(n + 1) % 4}") for n in range(4)]
    outside = word("NOK", by="chief", at=-1, source="/office", event_id="last", corrects="e2")
    for order in permutations([*circle, outside]):
        with connection.transaction(force_rollback=True):
            said(connection, *order)
            assert {one.voice for one in words_of(connection, [key_of("7")])} == {"v1", "v3", "chief"}


def test_of_two_words_of_a_voice_given_at_the_same_time_the_one_that_came_last_stands(connection: Connection) -> None:
    words = (word("OK", at=1), word("NOK", at=1))
    for order in (words, words[::-1]):
        with connection.transaction(force_rollback=True):
            assert said(connection, *order).label == order[-1].label


def test_a_correction_of_itself_is_none(connection: Connection) -> None:
    assert said(connection, word("NOK", event_id="1", corrects="1")).label == "NOK"


def test_what_the_voice_said_before_stands_again_once_its_last_word_is_taken_back(connection: Connection) -> None:
    label = said(
        connection, word("OK", at=0), word("NOK", at=1, event_id="slip"), word("OK", by="chief", at=2, corrects="slip")
    )
    assert (label.label, label.voices) == ("OK", 2)


DISPUTE = (word("OK", at=0), word("NOK", by="berta", at=1))
SETTLED = word("NOK", by="chief", at=2, settles=True)


def test_a_settling_word_ends_a_dispute(connection: Connection) -> None:
    label = said(connection, *DISPUTE, SETTLED)
    assert (label.label, label.disputed, label.settled, label.voices) == ("NOK", False, True, 3)


def test_the_same_word_after_it_leaves_it_settled_and_another_reopens_it(connection: Connection) -> None:
    assert said(connection, *DISPUTE, SETTLED, word("NOK", by="dora", at=3)).label == "NOK"
    assert said(connection, word("OK", by="emil", at=4)).disputed
    assert said(connection, word("OK", by="chief", at=5, settles=True)).label == "OK"


def test_a_word_said_before_it_but_arriving_after_it_does_not_reopen_it(connection: Connection) -> None:
    said(connection, *DISPUTE, SETTLED)
    assert said(connection, word("OK", by="late", at=1.5)).label == "NOK"


def test_who_settled_may_repeat_it_plainly_and_may_change_their_mind(connection: Connection) -> None:
    assert said(connection, *DISPUTE, SETTLED, word("NOK", by="chief", at=3)).label == "NOK"
    label = said(connection, word("OK", by="chief", at=4))
    assert (label.settled, label.disputed) == (False, True)


def test_a_settling_word_that_was_corrected_settles_nothing(connection: Connection) -> None:
    settling = word("NOK", by="chief", at=2, settles=True, event_id="wrong")
    assert said(connection, *DISPUTE, settling, word("OK", by="anna", at=3, corrects="wrong")).disputed


def test_labels_are_listed_by_what_is_asked(connection: Connection) -> None:
    said(connection, *DISPUTE, word("OK", coil="8"))
    assert [one.key.coil_id for one in list_labels(connection, disputed=True)] == ["7"]
    assert [one.key.coil_id for one in list_labels(connection, disputed=False)] == ["8"]
    assert list_labels(connection, plant="elsewhere") == ()
    assert list_labels(connection, since=minutes(601)) == ()
    assert len(list_labels(connection, most=1)) == 1


def model(words: Words) -> tuple[Truth | None, bool, int]:
    """The rules once more, word by word."""
    by_id = {one.event_id: one for one in words}

    def takes_back(one: Feedback, other: Feedback) -> bool:
        seen = []
        while one.corrects is not None and one.event_id not in seen:
            seen.append(one.event_id)
            one = by_id[one.corrects]
        return other.event_id in [*seen, one.event_id]

    corrected = {
        one.event_id
        for one in words
        for other in words
        if other.corrects == one.event_id and (other.given_at > one.given_at or not takes_back(one, other))
    }
    valid = sorted((one for one in words if one.event_id not in corrected), key=lambda one: one.given_at)
    newest = {one.operator: one for one in valid}
    settling = [one for one in valid if one.settles and newest[one.operator].label == one.label]
    since = settling[-1].given_at if settling else minutes(-1)
    labels = {one.label for one in newest.values() if one.given_at >= since}
    return (labels.pop() if len(labels) == 1 else None), len(labels) > 1, len(newest)


@st.composite
def stories(draw: st.DrawFn) -> Words:
    number = draw(st.integers(1, 6))
    return [
        word(
            draw(st.sampled_from(("OK", "NOK"))),
            by=draw(st.sampled_from(("anna", "berta", "chief"))),
            at=at,
            event_id=f"e{at}",
            settles=draw(st.booleans()),
            corrects=draw(st.sampled_from([None, *(f"e{i}" for i in range(number) if i != at)])),
        )
        for at in range(number)
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories(), data=st.data())
def test_any_story_in_any_order_comes_to_what_the_rules_say(
    connection: Connection, story: Words, data: st.DataObject
) -> None:
    arriving = data.draw(st.permutations(story))
    with connection.transaction(force_rollback=True):
        for one in arriving:
            record_feedback(connection, [one])
        label = label_of(connection, key_of("7"))
        stands, disputed, voices = model(story)
        found = (None, False, 0) if label is None else (label.label, label.disputed, label.voices)
        assert found == (stands, disputed, voices)
        assert len(words_of(connection, [key_of("7")])) == voices
