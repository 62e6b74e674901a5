"""Stored coils back as they were assembled."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from processors.assemble import NO_COILS, assemble
from schemas.coils import ChunkRows, CoilBatch, CoilHeader, StoredCoil
from schemas.layout import SENSORS_PER_FACE
from schemas.readings import rows_of


def coils_from_stored(stored: Sequence[StoredCoil]) -> CoilBatch:
    """Assemble coils from the readings that their verdicts were given on.

    Left out are those that nobody can normalise: without a band, judged from grey levels, or only a fragment.

    Args:
        stored: as the database keeps them.
    """
    headers, parts = [], []
    for coil in stored:
        rows = None if coil.order is None else rows_of(coil.readings)
        if coil.order is not None and rows is not None:
            promised = coil.rows_per_face or None
            headers.append(
                CoilHeader(key=coil.key, order=coil.order, started_at=coil.started_at, rows_per_face=promised)
            )
            parts.append(rows)
    if not parts:
        return NO_COILS
    table = pa.Table.from_batches(parts).combine_chunks()
    return assemble(
        ChunkRows(
            coil=np.repeat(np.arange(len(parts)), [part.num_rows for part in parts]),
            face=table.column("face").to_numpy().astype(np.int64),
            position=table.column("position").to_numpy(),
            mean_g_m2=_nine(table.column("mean_g_m2")),
            std_g_m2=_nine(table.column("std_g_m2")),
        ),
        headers,
    ).coils


def _nine(column: pa.ChunkedArray) -> np.ndarray:
    values: np.ndarray = column.combine_chunks().flatten().to_numpy().reshape(-1, SENSORS_PER_FACE)
    return values
