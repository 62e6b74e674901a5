"""Our worker with a null model, and the bare loop, as processes that `bench.stream_rate` starts.

Run as `python -m bench.stream_worker null|bare`. `null` is `coilflow worker assess` but for the model. `bare` is
kafka-python alone, with the settings of our consumer: each message's headers to a dict and its value by orjson, no
more; it ends at the end of the topic and prints what it read.
"""

import signal
import threading
import time

import orjson
from kafka import KafkaConsumer, TopicPartition

from bench.peers.pipeline import FirstEvent, null_model, variant
from flows.kafka.client import reader
from flows.kafka.worker import run_worker
from flows.observe import configure_logging
from flows.served import always
from processors.decode import Decoded, decode_message
from schemas.rejects import Headers
from schemas.settings import Settings, load_settings

_RECORDS_PER_POLL = 2000  # as the worker


def work(settings: Settings) -> None:
    """Judge until SIGTERM, and say when the first event was in hand."""
    first = FirstEvent()

    def decode(value: bytes | None, headers: Headers = ()) -> Decoded:
        first.note()
        return decode_message(value, headers)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    assert settings.database_dsn is not None, "COILFLOW_DATABASE_DSN is not set"
    run_worker(settings, always(null_model()), decode, dsn=settings.database_dsn, instance_id=None, stop=stop)


def read_bare(settings: Settings) -> None:
    """Read the topic from its beginning to where it ends now."""
    consumer = reader(settings.kafka)
    topic = settings.kafka.chunks_topic
    places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    events = sum(consumer.end_offsets(places).values())
    begun_s = time.process_time()
    first_s = _read(consumer, events)
    spent_s = time.process_time() - begun_s
    print(orjson.dumps({"first_s": first_s, "last_s": time.time(), "cpu_s": spent_s}).decode(), flush=True)
    consumer.close()


def _read(consumer: KafkaConsumer, events: int) -> float:
    first_s, read = 0.0, 0
    while read < events:
        for records in consumer.poll(timeout_ms=200, max_records=_RECORDS_PER_POLL).values():
            first_s = first_s or time.time()
            for record in records:
                dict(record.headers)
                orjson.loads(record.value)
            read += len(records)
    return first_s


def main() -> None:
    """Run one of both by the environment's settings."""
    configure_logging()
    {"null": work, "bare": read_bare}[variant(["null", "bare"])](load_settings())


if __name__ == "__main__":
    main()
