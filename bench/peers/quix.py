"""The pipeline in Quix Streams: open coils in its state store, or in memory; a sink that writes batches.

Run by `bench.stream_rate` in an environment of its own, as `python -m bench.peers.quix durable|disk|memory`:

- `durable`: Quix's default: RocksDB and a changelog topic, from which another host rebuilds the state.
- `disk`: RocksDB alone: survives a restart on the same host.
- `memory`: a dict: lost on restart.

A checkpoint flushes the sink first and commits offsets after it: at least once.
"""

from contextlib import ExitStack
from typing import Any

from quixstreams import Application, State
from quixstreams.models import Deserializer, SerializationContext
from quixstreams.sinks import BatchingSink, SinkBatch

from bench.peers.pipeline import Assembly, FirstEvent, Judge, brokers, database, decoded, null_model, variant, whole
from processors.chunks import CoilEvents
from processors.decode import ChunkEvent
from schemas.coils import CoilKey
from schemas.settings import Settings, load_settings

EVENTS_PER_CHECKPOINT = 10_000  # a larger one was no faster


class EventDeserializer(Deserializer):  # type: ignore[misc]
    """A chunk event from a message's value and headers."""

    def __init__(self) -> None:
        super().__init__()
        self._first = FirstEvent()

    def __call__(self, value: bytes, ctx: SerializationContext) -> ChunkEvent:
        """Read it; the context has the headers."""
        self._first.note()
        return decoded(value, ctx.headers or ())


class VerdictSink(BatchingSink):  # type: ignore[misc]
    """Judges and stores whole coils at each checkpoint."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._open = ExitStack()
        self._judge: Judge | None = None

    def setup(self) -> None:
        """Connect to the database."""
        connection = self._open.enter_context(database(self._settings))
        self._judge = Judge(connection=connection, settings=self._settings, model=null_model())

    def write(self, batch: SinkBatch) -> None:
        """Store the coils of a partition."""
        assert self._judge is not None, "Quix calls setup first"
        for coils in batch.iter_chunks(n=self._settings.batch_coils):
            self._judge.store([item.value for item in coils])


def assemble(event: ChunkEvent, state: State) -> CoilEvents | None:
    """Keep an event in the state of its coil, each under a key of its own; the coil once it ended."""
    count = state.get("count", 0)
    if event.type != "coil.ended":
        state.set(count, [event.type, event.data])
        state.set("count", count + 1)
        return None
    key = CoilKey(plant=event.key.plant, coil_id=event.key.coil_id)
    kept = [state.get(number) for number in range(count)]
    for name in ("count", *range(count)):
        state.delete(name)
    return whole([*(ChunkEvent(kind, key, data) for kind, data in kept), event])


def main() -> None:
    """Run until SIGTERM."""
    how = variant(["durable", "disk", "memory"])
    settings = load_settings()
    app = Application(
        broker_address=brokers(settings),
        consumer_group=settings.kafka.group_id,
        auto_offset_reset="earliest",
        commit_every=EVENTS_PER_CHECKPOINT,
        commit_interval=0.5,
        state_dir=settings.data_dir / "quix",
        use_changelog_topics=how == "durable",
        loglevel="WARNING",
    )
    topic = app.topic(settings.kafka.chunks_topic, key_deserializer="bytes", value_deserializer=EventDeserializer())
    events = app.dataframe(topic)
    coils: Any = events.apply(Assembly().add) if how == "memory" else events.apply(assemble, stateful=True)
    coils.filter(lambda coil: coil is not None).sink(VerdictSink(settings))
    app.run()


if __name__ == "__main__":
    main()
