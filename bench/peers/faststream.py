"""The pipeline in FastStream, over confluent-kafka or aiokafka, in batches or message by message.

Run by `bench.stream_rate` in an environment of its own, as
`python -m bench.peers.faststream confluent|aiokafka|single|stored`. FastStream keeps no state: open coils are in
memory, so what a coil had is lost on a restart; with `stored` (confluent-kafka, in batches) they are in tables too. A
batch is acknowledged once its verdicts are stored; FastStream's own default acknowledges it before.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import ConsumerRecord
from confluent_kafka import Message
from faststream import AckPolicy, FastStream
from faststream.message import StreamMessage

from bench.peers.pipeline import Assembly, FirstEvent, Judge, brokers, database, decoded, null_model, variant
from bench.peers.stored_assembly import Placed, StoredAssembly
from schemas.settings import load_settings

LOG = logging.getLogger("bench.peers.faststream")  # warnings only; by default it tells of every message
EVENTS_PER_BATCH = 2_000  # as many as a turn of ours


def _of_confluent(record: Message) -> Placed:
    return Placed(record.partition(), record.offset(), decoded(record.value(), record.headers() or ()))


def _of_aiokafka(record: ConsumerRecord) -> Placed:
    return Placed(record.partition, record.offset, decoded(record.value, record.headers))


def application(how: str) -> FastStream:
    """The service; types are not applied to arguments, which FastStream's documentation advises for speed."""
    settings = load_settings()
    broker: Any
    given: dict[str, Any] = {
        "group_id": settings.kafka.group_id,
        "auto_offset_reset": "earliest",
        "ack_policy": AckPolicy.NACK_ON_ERROR,
    }
    if how == "aiokafka":
        from faststream.kafka import KafkaBroker as AioBroker  # noqa: PLC0415 - one client a process

        broker, event_of = AioBroker(brokers(settings), apply_types=False, logger=LOG), _of_aiokafka
        given |= {"batch": True, "max_records": EVENTS_PER_BATCH, "batch_timeout_ms": 100}
    else:
        from faststream.confluent import KafkaBroker  # noqa: PLC0415 - as above

        broker, event_of = KafkaBroker(brokers(settings), apply_types=False, logger=LOG), _of_confluent
        if how != "single":
            given |= {"batch": True, "max_records": EVENTS_PER_BATCH}
    first, assembly = FirstEvent(), Assembly()
    judges: list[Judge] = []
    stored: list[StoredAssembly] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        with database(settings) as connection:
            judges.append(Judge(connection=connection, settings=settings, model=null_model()))
            if how == "stored":
                stored.append(StoredAssembly(judges[0]))
                stored[0].load()
            yield

    async def decoder(message: StreamMessage[Any]) -> Sequence[Placed]:
        first.note()
        raw = message.raw_message
        return [event_of(record) for record in (raw if isinstance(raw, tuple) else (raw,))]

    @broker.subscriber(settings.kafka.chunks_topic, decoder=decoder, **given)  # type: ignore[untyped-decorator]
    async def judge_coils(events: Sequence[Placed]) -> None:
        if stored:
            await asyncio.to_thread(stored[0].store, events)
            return
        coils = [coil for one in events if (coil := assembly.add(one.event)) is not None]
        if coils:
            await asyncio.to_thread(judges[0].store, coils)

    return FastStream(broker, logger=LOG, lifespan=lifespan)


def main() -> None:
    """Run until SIGTERM."""
    asyncio.run(application(variant(["confluent", "aiokafka", "single", "stored"])).run())


if __name__ == "__main__":
    main()
