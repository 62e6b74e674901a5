"""Labelled coils of the database as one file: what a successor learns from, and what it is judged on.

The file is a SOURCE of normalised matrices, as `coilflow evaluate` and `train` read them; one column more says for how
many coils of the line each stands. It follows from the database alone, so it may be removed once nobody trains.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from flows.population import Population, labelled
from flows.split import place_of
from processors.chunks import coils_from_events
from processors.normalize import normalize
from processors.open_coils import revision_of
from schemas.coils import CoilKey, FloatArray, Limits, StoredCoil
from schemas.errors import SourceError
from schemas.matrices import MATRIX_BATCH, conform, keys_of
from schemas.stream_settings import StreamSettings
from store.connection import Connection
from store.training import LabelledCoil, Scope, SnapshotCoil, StoredSnapshot, readings_of_coils

FOLDER = "snapshots"
WEIGHT = "weight"  # coils that each stands for; null where nobody was asked to look at it
_SCHEMA = MATRIX_BATCH.append(pa.field(WEIGHT, pa.float64()))
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A snapshot as it was read."""

    population: Population
    weight: FloatArray  # [N]; NaN where nobody was asked to look at the coil


def write_snapshot(
    connection: Connection,
    coils: Sequence[LabelledCoil],
    data_dir: Path,
    *,
    scope: Scope,
    limits: Limits,
    holdout_share: float,
    until: datetime,
) -> StoredSnapshot:
    """Write labelled coils, normalised, to `snapshots/DIGEST.arrow` below the data folder.

    A coil's matrix is made from the readings that its label is about. Left out are coils whose matrices cannot be had
    with these limits: grey levels, and matrices that came normalised with others.

    Args:
        connection: on a database of this version.
        coils: of `store.training.labelled_coils`.
        data_dir: data folder of this machine.
        scope: whose they are.
        limits: of the champion.
        holdout_share: of the coils, by a draw on each coil's id, that judge and are never learnt from.
        until: words that came until then count; also when it is made.

    Raises:
        SourceError: none of the coils can be read again, or the file cannot be written.
        StoreError: the database refused.
    """
    folder = data_dir / FOLDER
    held: list[SnapshotCoil] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".tmp") as file:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.ipc.new_file(file, _SCHEMA, options=options) as writer:
                for batch in _batches(connection, sorted(coils, key=lambda coil: coil.key), limits):
                    writer.write_batch(batch)
                    told = (batch.column(name).to_pylist() for name in ("revision", "label"))
                    for key, revision, label in zip(keys_of(batch), *told, strict=True):
                        judges = place_of(key.coil_id) < holdout_share
                        held.append(SnapshotCoil(key=key, revision=revision, label=label, holdout=judges))
            if not held:
                raise SourceError(
                    f"of {len(coils)} labelled coils none can be read again with limits {limits.version}",
                    remedy="give readings of the gauge: grey levels and foreign matrices cannot be learnt from here",
                )
            file.flush()
            lines = sorted(f"{coil.revision} {coil.label}" for coil in held)
            digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
            place = folder / f"{digest}.arrow"
            place.unlink(missing_ok=True)
            os.link(file.name, place)
    except OSError as error:
        raise SourceError(
            f"{folder} cannot be written ({error.strerror})", remedy="make room there; nothing was trained"
        ) from error
    return StoredSnapshot(
        digest=digest,
        plant=scope.plant,
        limits_version=limits.version,
        coils=len(held),
        nok=sum(coil.label == "NOK" for coil in held),
        holdout_coils=sum(coil.holdout for coil in held),
        holdout_nok=sum(coil.holdout and coil.label == "NOK" for coil in held),
        holdout_share=holdout_share,
        location=f"{FOLDER}/{digest}.arrow",
        made_at=until,
        labels_until=until,
        held=tuple(held),
    )


def read_snapshot(path: Path, limits: Limits) -> Snapshot:
    """Read what `write_snapshot` wrote; raises SourceError where it is too small to learn from."""
    with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
        table = reader.read_all().combine_chunks()
    weight = table.column(WEIGHT).to_numpy().astype(np.float64)
    batches = table.select(MATRIX_BATCH.names).to_batches()
    return Snapshot(population=labelled(batches, limits=limits, source=f"snapshot {path.stem[:12]}"), weight=weight)


def _batches(connection: Connection, coils: Sequence[LabelledCoil], limits: Limits) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(coils), _AT_ONCE):
        part = {coil.key: coil for coil in coils[start : start + _AT_ONCE]}
        stored = list(readings_of_coils(connection, list(part.values())).values())
        matrices = [*_matrices(stored, limits), *_from_rows(stored, limits)]
        found = [_labelled(batch, part) for batch in matrices if batch.num_rows]
        if found:
            table = pa.Table.from_batches(found).sort_by([("plant", "ascending"), ("coil_id", "ascending")])
            yield from table.combine_chunks().to_batches()


def _from_rows(stored: Sequence[StoredCoil], limits: Limits) -> list[pa.RecordBatch]:
    rules = StreamSettings()
    reopened = [coil for coil in map(revision_of, stored) if coil is not None]
    events = [coil.events_so_far(place="readings", rules=rules, silent=False) for coil in reopened]
    return [normalize(coils_from_events(events).coils, limits).batch]


def _matrices(stored: Sequence[StoredCoil], limits: Limits) -> Iterator[pa.RecordBatch]:
    """Coils that were judged from matrices, whose rows nobody knows."""
    for coil in stored:
        with pa.ipc.open_stream(coil.readings) as reader:
            if "matrix" not in reader.schema.names:
                continue
            batch = conform(reader.read_next_batch(), place=f"readings of coil {coil.key.coil_id}")
        if batch.column("limits_version").to_pylist() == [limits.version]:
            yield batch


def _labelled(batch: pa.RecordBatch, coils: Mapping[CoilKey, LabelledCoil]) -> pa.RecordBatch:
    known = [coils[key] for key in keys_of(batch)]
    at = batch.schema.get_field_index("label")
    labels = pa.array([coil.label for coil in known], pa.string())
    weights = pa.array([coil.weight for coil in known], pa.float64())
    return pa.RecordBatch.from_arrays([*batch.set_column(at, "label", labels).columns, weights], schema=_SCHEMA)
