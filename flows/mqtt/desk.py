"""What is done about each message of the plant: judged, stored or refused, all of it before it is acknowledged."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from flows.assess import assess
from flows.inbox import InboxJudge
from flows.mqtt.asked import end_coil, key_asked, plant_coils, several_plants
from flows.mqtt.requests import AssessRequest, FeedbackRequest, read_assess, read_opfeedback
from flows.opfeedback import said_now, written
from flows.record import record
from flows.served import Current
from flows.sources.source import ReadingsSource
from processors.decode import Decoder
from schemas.coils import CoilKey
from schemas.rejects import Reject, Step
from schemas.settings import Settings
from store.connection import Connection, store_errors
from store.deadletters import record_dead_letters
from store.feedback import Feedback, record_feedback

Fate = Literal["applied", "duplicate", "dead"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Does what messages ask; several threads may use one, each with a connection of its own."""

    settings: Settings
    current: Current
    decode: Decoder
    judge: InboxJudge

    def take(self, connection: Connection, topic: str, payload: bytes) -> Fate:
        """Do what a message asks, as often as it comes: a repeat changes nothing.

        Raises:
            StoreError: our database, or the plant's, refused or is away; the message is to be given again.
            SourceError: the plant's tables cannot be read.
        """
        if topic == self.settings.mqtt.assess_topic:
            return self._assess(connection, payload)
        return self._feedback(connection, payload)

    def refuse(self, connection: Connection, topic: str, payload: bytes, error: str, remedy: str) -> Fate:
        """Keep a message as a dead letter."""
        return _refuse(connection, topic, payload, error, remedy)

    def _assess(self, connection: Connection, payload: bytes) -> Fate:
        topic = self.settings.mqtt.assess_topic
        asked = read_assess(payload, self.decode)
        if not isinstance(asked, AssessRequest):
            return _refuse(connection, topic, payload, *asked)
        found = plant_coils(asked, self.settings)
        several = several_plants(found, asked)
        if several is not None:
            return _refuse(connection, topic, payload, *several)
        if found:
            source = ReadingsSource(name="the plant's tables", read=lambda: iter(found))
            new = 0
            for judged in assess(source, self.current(), self.settings, records=True):
                new += record(connection, judged, self.settings).new
            dead = any(part.rejects for part in found)
            return "applied" if new else ("dead" if dead else "duplicate")
        return self._end(connection, asked, payload)

    def _end(self, connection: Connection, asked: AssessRequest, payload: bytes) -> Fate:
        """The coil came event by event: the message says that it ended."""
        topic, key = self.settings.mqtt.assess_topic, key_asked(asked, self.settings)
        with store_errors(f"end coil {key.coil_id!r}"), connection.transaction():
            fate = end_coil(connection, asked, payload, self.settings, decode=self.decode)
            if isinstance(fate, tuple):
                return _refuse(connection, topic, payload, *fate, key=key, step="assemble")
        self.judge.wake()
        return fate

    def _feedback(self, connection: Connection, payload: bytes) -> Fate:
        topic = self.settings.mqtt.feedback_topic
        now = datetime.now(UTC)
        said = read_opfeedback(payload, now=now)
        if isinstance(said, FeedbackRequest):
            found = written(said, self.settings, now) if said.label is None else None
            if isinstance(found, tuple) and found and isinstance(found[0], str):
                return _refuse(connection, topic, payload, *found)
            with store_errors("record feedback"), connection.transaction():
                rows = found if found is not None else tuple(said_now(connection, said, self.settings, now))
                new = record_feedback(connection, [row for row in rows if isinstance(row, Feedback)])
            return "applied" if any(new) else "duplicate"
        if not isinstance(said, Feedback):
            return _refuse(connection, topic, payload, *said)
        return "applied" if any(record_feedback(connection, [said])) else "duplicate"


def _refuse(
    connection: Connection,
    topic: str,
    payload: bytes,
    error: str,
    remedy: str,
    *,
    key: CoilKey | None = None,
    step: Step = "decode",
) -> Fate:
    reject = Reject(
        step=step,
        place=f"mqtt {topic}",
        key=key,
        error=error,
        remedy=remedy,
        original=payload,
        whole_coil=key is not None,
    )
    record_dead_letters(connection, [reject])
    return "dead"
