"""Labelled coils as matrices, from the readings that the database keeps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from processors.chunks import coils_from_events
from processors.normalize import normalize
from processors.open_coils import revision_of
from schemas.coils import BoolArray, CoilKey, Float32Array, Limits, StoredCoil
from schemas.matrices import keys_of, tensor_values
from schemas.stream_settings import StreamSettings
from store.connection import Connection
from store.labels import CoilLabel
from store.log import decided_coils

_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledCoils:
    """N labelled coils that could be read again."""

    keys: tuple[CoilKey, ...]
    is_nok: BoolArray  # [N]
    matrix: Float32Array  # [N, 264, 18]


def labelled_matrices(connection: Connection, labels: Sequence[CoilLabel], limits: Limits) -> LabelledCoils:
    """Read and normalise the standing readings of labelled coils.

    Coils that are disputed, not judged, or stored as grey levels (another scale) are left out.

    Args:
        connection: on a database of this version.
        labels: of the coils.
        limits: to normalise by.

    Raises:
        StoreError: the database refused.
    """
    label_of = {one.key: one.label for one in labels if one.label is not None}
    keys: list[CoilKey] = []
    parts: list[Float32Array] = []
    for batch in _batches(connection, list(label_of), limits):
        keys += keys_of(batch)
        parts.append(tensor_values(batch))
    return LabelledCoils(
        keys=tuple(keys),
        is_nok=np.array([label_of[key] == "NOK" for key in keys], dtype=bool),
        matrix=np.concatenate(parts) if parts else np.empty((0, 264, 18), dtype=np.float32),
    )


def _batches(connection: Connection, keys: Sequence[CoilKey], limits: Limits) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(keys), _AT_ONCE):
        stored = decided_coils(connection, keys[start : start + _AT_ONCE])
        yield from _normalized(list(stored.values()), limits)


def _normalized(stored: Sequence[StoredCoil], limits: Limits) -> Iterator[pa.RecordBatch]:
    rules = StreamSettings()
    reopened = [coil for coil in map(revision_of, stored) if coil is not None]
    assembled = coils_from_events(
        [coil.events_so_far(place="readings", rules=rules, silent=False) for coil in reopened]
    )
    batch = normalize(assembled.coils, limits).batch
    if batch.num_rows:
        yield batch
