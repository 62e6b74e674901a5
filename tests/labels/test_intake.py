"""Every way in reads the same event alike, and refuses what nobody can have said yet."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from flows.feedback import event_of
from flows.intake import Message, Refused, read_event, read_feedback
from flows.mqtt.requests import plant_time, read_opfeedback
from processors.decode import decode_message
from store.feedback import Feedback
from tests.labels.given import minutes, word
from tests.store.given import NOON


def line(**data: object) -> bytes:
    event: dict[str, Any] = orjson.loads(event_of(word("NOK", settles=True, corrects="w0")))
    event["data"] |= data
    return orjson.dumps(event)


def test_a_settling_word_is_read_by_every_way_in() -> None:
    event = line()
    by_http = read_event(Message(value=event), decode=decode_message, place="here", now=NOON)
    by_mqtt, by_kafka = read_opfeedback(event, now=NOON), read_feedback(event, now=NOON)
    assert isinstance(by_kafka, Feedback)
    assert by_http == by_mqtt == by_kafka
    assert (by_kafka.settles, by_kafka.corrects) == (True, "w0")


def test_a_word_reads_back_from_its_event() -> None:
    said = word("OK", by=None, kind="scratch", revision="r2", at=-1)
    assert read_feedback(event_of(said), now=NOON) == said


@pytest.mark.parametrize(("ahead_s", "taken"), [(-1e9, True), (0, True), (300, True), (301, False), (1e9, False)])
def test_a_date_in_the_future_is_refused_with_the_reason(ahead_s: float, taken: bool) -> None:  # noqa: FBT001
    zone = timezone(timedelta(hours=9))  # which says nothing of when it is
    given_at = (NOON + timedelta(seconds=ahead_s)).astimezone(zone).isoformat()
    found = read_event(Message(value=line(given_at=given_at)), decode=decode_message, place="here", now=NOON)
    assert isinstance(found, Feedback) is taken
    if isinstance(found, Refused):
        assert "yet to come" in found.reject.error
        assert "clock" in found.reject.remedy
        assert not isinstance(read_opfeedback(line(given_at=given_at), now=NOON), Feedback)


@pytest.mark.parametrize("label", ["ok", "SCRAP", "UNDECIDED", "", 1, None])
def test_a_label_outside_the_set_is_refused(label: object) -> None:
    found = read_feedback(line(label=label), now=NOON)
    assert isinstance(found, tuple)
    assert "label" in found[0]


def test_what_a_plants_table_says_is_never_of_the_future() -> None:
    local = datetime(2026, 11, 20, 14)  # as a table without zones has it, two hours ahead of UTC
    assert plant_time(local, now=NOON) == NOON
    assert plant_time(minutes(-5).replace(tzinfo=None), now=NOON) == minutes(-5)
    assert plant_time(None, now=NOON.astimezone(UTC)) == NOON
