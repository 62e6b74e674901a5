"""What is done about each message of the plant: judged, stored or refused, all of it before it is acknowledged."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import psycopg

from flows.assess import assess
from flows.inbox import InboxJudge
from flows.intake import Item, Message, read_event
from flows.mapping import mapping_of
from flows.mqtt.requests import (
    AssessRequest,
    FeedbackRequest,
    derived_id,
    ended_event,
    plant_time,
    read_assess,
    read_opfeedback,
)
from flows.record import record
from flows.served import Current
from flows.sources.plant_database import plant_database, plant_feedback
from flows.sources.source import ReadingsSource
from flows.sources.tables import read_tables
from processors.assemble import Assembled
from processors.decode import Decoder
from processors.normalize import take_coils
from schemas.coils import CoilKey, Truth
from schemas.errors import SourceError
from schemas.rejects import Reject, Step
from schemas.settings import Settings
from store.connection import Connection, store_errors
from store.deadletters import record_dead_letters
from store.feedback import Feedback, latest_feedback, record_feedback
from store.inbox import InboxEvent, coil_state, has_inbox_coil, store_events

Fate = Literal["applied", "duplicate", "dead"]

_TRUTHS: dict[str | None, Truth] = {"1": "OK", "2": "NOK", "OK": "OK", "NOK": "NOK"}


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
        found = self._plant_coils(asked) if self.settings.plant_dsn else ()
        keys = {key for part in found for key in _keys(part)}
        if len(keys) > 1:
            plants = ", ".join(sorted(key.plant for key in keys))
            error, remedy = f"coil {asked.coil_id} is in several plants: {plants}", "name its PLANT in the message"
            return _refuse(connection, topic, payload, error, remedy)
        if keys:
            source = ReadingsSource(name="the plant's tables", read=lambda: iter(found))
            new = 0
            for judged in assess(source, self.current(), self.settings, records=True):
                new += record(connection, judged, self.settings).new
            dead = any(part.rejects for part in found)
            return "applied" if new else ("dead" if dead else "duplicate")
        key = CoilKey(plant=asked.plant or self.settings.plant, coil_id=asked.coil_id)
        return self._end(connection, key, payload, is_event=asked.is_event)

    def _plant_coils(self, asked: AssessRequest) -> tuple[Assembled, ...]:
        """The coil as the plant's tables have it; nothing where they do not know it."""
        settings = self.settings
        dsn = settings.plant_dsn.get_secret_value() if settings.plant_dsn else ""
        try:
            with plant_database(
                dsn, default_plant=settings.plant, mapping=mapping_of(settings), coil_id=asked.coil_id
            ) as tables:
                parts = tuple(read_tables(tables))
        except SourceError as error:
            if isinstance(error.__cause__, psycopg.DataError):  # ids are numbers there, and this is none
                return ()
            raise
        plants = {key.plant for part in parts for key in _keys(part)}
        wanted = asked.plant or (settings.plant if settings.plant in plants else None)
        return tuple(_of_plant(part, wanted) for part in parts)

    def _end(self, connection: Connection, key: CoilKey, payload: bytes, *, is_event: bool) -> Fate:
        """The coil came event by event: the message says that it ended."""
        topic = self.settings.mqtt.assess_topic
        with store_errors(f"end coil {key.coil_id!r}"), connection.transaction():
            if not has_inbox_coil(connection, key):
                known = coil_state(connection, key)
                if known is not None and known.state == "decided":
                    return "duplicate"
                where = "the plant's tables or among the events" if self.settings.plant_dsn else "among the events"
                error = f"coil {key.coil_id} of plant {key.plant} is not to be found in {where} received"
                remedy = "write its readings first and set COILFLOW_PLANT_DSN, or send its events, then send this again"
                return _refuse(connection, topic, payload, error, remedy, key=key, step="assemble")
            event = self._event(payload) if is_event else None
            if not isinstance(event, InboxEvent):
                source, event_id, line = ended_event(key, topic)
                event = InboxEvent(key=key, source=source, event_id=event_id, is_start=False, is_end=True, event=line)
            [new] = store_events(connection, [event], self.settings.stream)
        self.judge.wake()
        return "applied" if new else "duplicate"

    def _event(self, payload: bytes) -> Item:
        place = f"mqtt {self.settings.mqtt.assess_topic}"
        return read_event(Message(value=payload), decode=self.decode, place=place, now=datetime.now(UTC))

    def _feedback(self, connection: Connection, payload: bytes) -> Fate:
        topic = self.settings.mqtt.feedback_topic
        now = datetime.now(UTC)
        said = read_opfeedback(payload, now=now)
        if isinstance(said, FeedbackRequest):
            found = self._written(said, now) if said.label is None else None
            if isinstance(found, tuple) and found and isinstance(found[0], str):
                return _refuse(connection, topic, payload, *found)
            with store_errors("record feedback"), connection.transaction():
                rows = found if found is not None else tuple(self._said_now(connection, said, now))
                new = record_feedback(connection, [row for row in rows if isinstance(row, Feedback)])
            return "applied" if any(new) else "duplicate"
        if not isinstance(said, Feedback):
            return _refuse(connection, topic, payload, *said)
        return "applied" if any(record_feedback(connection, [said])) else "duplicate"

    def _said_now(self, connection: Connection, said: FeedbackRequest, now: datetime) -> Iterator[Feedback]:
        """A payload has neither id nor time: one that repeats what stands says nothing new, else it follows it.

        So a message that comes twice is one row, and an operator may say OK, NOK and OK again.
        """
        key = CoilKey(plant=said.plant or self.settings.plant, coil_id=said.coil_id)
        source = f"/mqtt/{self.settings.mqtt.feedback_topic}"
        latest = latest_feedback(connection, key, source=source)
        if said.label is None or (latest and (latest.label, latest.note) == (said.label, said.note)):
            return
        before = str(latest.feedback_id) if latest else ""
        yield Feedback(
            key=key,
            source=source,
            event_id=derived_id(key, said.label, said.note or "", before),
            label=said.label,
            note=said.note,
            given_at=now,
        )

    def _written(self, said: FeedbackRequest, now: datetime) -> tuple[Feedback, ...] | tuple[str, str]:
        """What the plant's table `feedback` has of the coil; (error, remedy) where it has nothing."""
        if self.settings.plant_dsn is None:
            return (
                f"the feedback on coil {said.coil_id} has no LABEL, and no plant database is set to read it from",
                "send LABEL 1 or 2, or set COILFLOW_PLANT_DSN",
            )
        try:
            rows = plant_feedback(self.settings.plant_dsn.get_secret_value(), said.coil_id)
        except SourceError as error:
            if not isinstance(error.__cause__, psycopg.DataError):
                raise
            rows = ()
        key = CoilKey(plant=said.plant or self.settings.plant, coil_id=said.coil_id)
        labelled = [(row, _TRUTHS[label]) for row in rows if (label := (row.label or "").strip()) in _TRUTHS]
        if not labelled:
            return (
                f"the plant's table feedback has no label 1 or 2 for coil {said.coil_id}",
                "write it there, or send LABEL 1 or 2, then send this again",
            )
        return tuple(
            Feedback(
                key=key,
                source="/plant/feedback",
                event_id=derived_id(key, label, row.note or "", row.ts.isoformat() if row.ts else ""),
                label=label,
                note=row.note,
                given_at=plant_time(row.ts, now=now),
            )
            for row, label in labelled
        )


def _keys(part: Assembled) -> set[CoilKey]:
    return {header.key for header in part.coils.headers} | {r.key for r in part.rejects if r.key is not None}


def _of_plant(part: Assembled, plant: str | None) -> Assembled:
    if plant is None:
        return part
    which = np.array([header.key.plant == plant for header in part.coils.headers], dtype=bool)
    return replace(
        part,
        coils=part.coils if which.all() else take_coils(part.coils, which),
        rejects=tuple(r for r in part.rejects if r.key is None or r.key.plant == plant),
    )


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
