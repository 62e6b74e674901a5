"""What the peers' pipelines share with ours: the steps between a coil's events and its verdict, and the tables."""

import argparse
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from processors.chunks import CoilEvents, coils_from_events
from processors.decide import decide
from processors.decode import ChunkEvent, EventFault, decode_message
from processors.normalize import normalize
from processors.score import score
from schemas.bundles import EnsembleManifest
from schemas.coils import CoilKey, Limits, Origin
from schemas.readings import readings_of
from schemas.rejects import Headers
from schemas.settings import Settings
from schemas.verdicts import Scores
from store.connection import Connection, connect
from store.verdicts import Decided, record_verdicts

MANIFEST = Path(__file__).parents[2] / "models" / "bundles" / "ensemble.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class NullModel:
    """Says 0 of every coil: what is measured is everything else."""

    limits: Limits

    def score(self, batch: pa.RecordBatch) -> Scores:
        """Scores of a batch, by no member."""
        coils = batch.num_rows
        return Scores(
            ensemble_version="null",
            threshold=0.5,
            members=(),
            skipped=(),
            member_p_nok=np.empty((coils, 0)),
            p_nok=np.zeros(coils),
        )


def null_model() -> NullModel:
    """The null model on the shipped ensemble's limits."""
    return NullModel(limits=EnsembleManifest.model_validate_json(MANIFEST.read_bytes()).limits)


@dataclass(slots=True)
class FirstEvent:
    """Prints the time of the first event as JSON, from which the side's rate counts."""

    _seen: bool = field(default=False, init=False)

    def note(self) -> None:
        """An event is in hand."""
        if not self._seen:
            self._seen = True
            print(orjson.dumps({"first_s": time.time()}).decode(), flush=True)


def decoded(value: bytes | None, headers: Headers) -> ChunkEvent:
    """The event of a message; the benches send no others, so anything else is a fault of the bench."""
    events = decode_message(value, headers)
    if isinstance(events, EventFault):
        raise TypeError(f"{events.error}; {events.remedy}")
    return events[0]


def whole(events: Sequence[ChunkEvent]) -> CoilEvents:
    """A coil whose end came."""
    return CoilEvents(key=events[0].key, origin=Origin(place="a peer", original=bytes), events=tuple(events))


@dataclass(slots=True)
class Assembly:
    """Open coils in memory: a restart loses what they had so far, since their messages are acknowledged already."""

    _open: dict[CoilKey, list[ChunkEvent]] = field(default_factory=dict)

    def add(self, event: ChunkEvent) -> CoilEvents | None:
        """Take an event; its coil once it ended: one partition has all of a coil, in order."""
        self._open.setdefault(event.key, []).append(event)
        return whole(self._open.pop(event.key)) if event.type == "coil.ended" else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """Judges whole coils and stores their verdicts."""

    connection: Connection
    settings: Settings
    model: NullModel

    def store(self, coils: Sequence[CoilEvents]) -> None:
        """Verdicts of a batch into the database, committed when it returns; a repeat changes nothing."""
        if not coils:
            return
        assembled = coils_from_events(coils)
        normalized = normalize(assembled.coils, self.model.limits)
        scored = score(normalized.batch, self.model, place="a peer")
        decided = decide(
            scored.batch,
            scored.scores,
            profiles=self.settings.tolerance_profiles,
            customer_profiles=self.settings.customer_profiles,
            place="a peer",
        )
        rejects = assembled.rejects + normalized.rejects + scored.rejects + decided.rejects
        if rejects:
            raise ValueError(f"a coil of the bench was refused: {rejects[0].error}")
        row_of = {header.key: row for row, header in enumerate(assembled.coils.headers)}
        record_verdicts(
            self.connection,
            [
                Decided(
                    verdict=verdict,
                    readings=readings_of(assembled.coils, row_of[verdict.key]),
                    order=assembled.coils.headers[row_of[verdict.key]].order,
                    started_at=assembled.coils.headers[row_of[verdict.key]].started_at,
                    truth=None,
                )
                for verdict in decided.verdicts
            ],
            decided_at=datetime.now(UTC),
            destinations=self.settings.destinations,
        )


def database(settings: Settings) -> AbstractContextManager[Connection]:
    """The connection that the settings name."""
    if settings.database_dsn is None:
        raise ValueError("COILFLOW_DATABASE_DSN is not set")
    return connect(settings.database_dsn, application_name="a peer")


def brokers(settings: Settings) -> str:
    """The brokers that the settings name."""
    if settings.kafka.bootstrap_servers is None:
        raise ValueError("COILFLOW_KAFKA__BOOTSTRAP_SERVERS is not set")
    return settings.kafka.bootstrap_servers


def variant(choices: Sequence[str]) -> str:
    """The one argument of a peer: how it does it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=choices)
    return str(parser.parse_args().variant)
