"""The hosts, each as a function that judges events into a database."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from flows.assess import assess
from flows.inbox import InboxJudge
from flows.kafka.client import producer
from flows.kafka.produce import Message, binary_message
from flows.nifi.assemble_coil import AssembleCoil
from flows.nifi.database import pool_of
from flows.nifi.normalize_coil import NormalizeCoil
from flows.nifi.record_verdict import RecordVerdict
from flows.nifi.score_coil import ScoreCoil
from flows.nifi.step import SUCCESS
from flows.record import record
from flows.served import always, only
from flows.sources.open import open_source
from processors.decode import EventFault, decode_message
from schemas.loop_settings import ReviewSettings
from schemas.mapping import OUR_NAMES
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings, StreamSettings
from store.connection import connect
from store.inbox import InboxEvent, store_events
from tests.flows.judging import MeanScorer
from tests.streams.lines import PLANT
from tests.streams.stand import Stream
from tests.waiting import wait_until

DESTINATION = "kafka:coil.verdicts"
Host = Callable[[str, Sequence[bytes], Settings, Path], None]


def local(dsn: str, lines: Sequence[bytes], settings: Settings, folder: Path) -> None:
    """A file of events, as `coilflow assess --store` reads it."""
    file = folder / "events.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    with connect(dsn) as connection:
        for judged in assess(open_source(str(file), plant=PLANT), only(MeanScorer()), settings, records=True):
            record(connection, judged, settings)


def kafka(dsn: str, lines: Sequence[bytes], settings: Settings, folder: Path) -> None:
    """A worker on a topic."""
    sender = producer(settings.kafka)
    try:
        it = Stream(settings=settings, dsn=dsn, sender=sender, folder=folder)
        it.send_raw([_message(line) for line in lines])
        with it.worker():
            it.drain()
    finally:
        sender.close()


def _message(line: bytes) -> Message:
    """In binary mode; in structured mode where the data are no JSON that a gateway could take apart."""
    if b"NaN" not in line:
        return binary_message(line)
    key, _, _ = binary_message(line.replace(b"NaN", b"0"))
    return key, line, [("content-type", b"application/cloudevents+json")]


def inbox(dsn: str, lines: Sequence[bytes], settings: Settings, folder: Path) -> None:
    """The inbox of the database, as HTTP and MQTT fill it."""
    events = []
    for number, line in enumerate(lines):
        found = decode_message(line)
        assert not isinstance(found, EventFault)
        envelope = orjson.loads(line.replace(b"NaN", b"0"))
        events.append(
            InboxEvent(
                key=found[0].key,
                source=envelope["source"],
                event_id=f"{envelope['id']}-{number}",
                is_start=found[0].type == "coil.started",
                is_end=found[0].type == "coil.ended",
                event=line,
            )
        )
    with connect(dsn) as connection:
        store_events(connection, events, settings.stream)
        judge = InboxJudge(dsn, always(MeanScorer()), settings, decode=decode_message)
        judge.start()
        try:
            wait_until(
                lambda: (
                    not connection.execute("select 1 from coilflow.coils where state = 'open'").fetchall()
                    and not connection.execute("select 1 from coilflow.inbox").fetchall()
                )
            )
        finally:
            judge.stop()


def nifi(dsn: str, lines: Sequence[bytes], settings: Settings, folder: Path) -> None:
    """The processors of NiFi, one after the other; ids are made unique, as some scenarios send one twice."""
    numbered = []
    for number, line in enumerate(lines):
        event = json.loads(line)
        numbered.append(json.dumps(event | {"id": f"{event['id']}-{number}"}).encode())
    there = settings.model_copy(update={"database_dsn": dsn})
    with ExitStack() as stack:
        pool = stack.enter_context(pool_of(there, step="test"))
        assemble = AssembleCoil(
            pool=pool, settings=there, decode=decode_message, content="events", lease_s=300.0, held=ExitStack()
        )
        normalize = NormalizeCoil(limits=MeanScorer.limits, form="coils", mapping=OUR_NAMES, plant=PLANT)
        score = ScoreCoil(current=always(MeanScorer()), settings=there)
        record = RecordVerdict(pool=pool, settings=there, held=ExitStack())
        connection = stack.enter_context(connect(dsn))
        given = assemble.run(b"\n".join(numbered), {})

        def is_done() -> bool:
            nonlocal given
            if given.relationship == SUCCESS:
                matrices = normalize.run(given.contents or b"", {})
                record.run(score.run(matrices.contents or b"", {}).contents or b"", {})
            given = assemble.run(b"", {})
            return given.relationship != SUCCESS and not connection.execute("select 1 from coilflow.inbox").fetchall()

        wait_until(is_done)


HOSTS: dict[str, Host] = {"local": local, "kafka": kafka, "inbox": inbox, "nifi": nifi}


def settings_for(name: str, topics: KafkaSettings | None, folder: Path, *, deadline_s: float) -> Settings:
    """Alike for all, with Kafka where the host reads it."""
    given: dict[str, Any] = {"kafka": topics} if topics is not None and name == "kafka" else {}
    return Settings(
        data_dir=folder,
        destinations=(DESTINATION,),
        threads=1,
        review=ReviewSettings(share=0.5),
        stream=StreamSettings(deadline_s=deadline_s, settle_s=0.3),
        **given,
    )
