"""Embed decided coils in the background, and find those that look like one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from flows.coil_matrix import coil_matrix
from flows.recent_shapes import RecentShapes
from models.scales import from_band, in_g_m2, to_self_scale
from models.similar import MADE_BY, cosine, embed
from processors.normalize import normalize
from processors.stored_coils import coils_from_stored
from schemas.coils import CoilKey, Float32Array, Limits
from schemas.explanations import SimilarCoil, SimilarCoils
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import Scale, keys_of, tensor_values
from store.connection import Connection
from store.embeddings import (
    EmbeddedCoil,
    UnembeddedCoil,
    coils_of_verdicts,
    coils_to_embed,
)

_BESIDE = 20  # more than were asked for: a coil itself and superseded revisions are left out
_WIDE = Limits(low=-1e4, high=1e4)  # g/m², which no reading reaches: the distance in g/m² comes through unclipped


def new_embeddings(connection: Connection, *, coils: int) -> tuple[EmbeddedCoil, ...]:
    """Embed the oldest coils that are not embedded yet, for `store.embeddings.store_embeddings`.

    Args:
        connection: on a database of this version.
        coils: at most.

    Raises:
        StoreError: the database refused.
    """
    waiting = coils_to_embed(connection, MADE_BY, coils=coils)
    whole = [one for one in waiting if _is_arrow(one.coil.readings)]
    shapes = {**_from_rows(whole), **_from_matrices(whole)}
    known = list(shapes)
    distances = np.array([shapes[verdict_id][1] for verdict_id in known], dtype=np.float32)
    embedded = embed(distances.reshape(-1, *MATRIX_SHAPE))
    bytes_of = {verdict_id: row.tobytes() for verdict_id, row in zip(known, embedded, strict=True)}
    return tuple(
        EmbeddedCoil(
            verdict_id=one.verdict_id,
            plant=one.coil.key.plant,
            scale=shapes[one.verdict_id][0] if one.verdict_id in shapes else None,
            embedding=bytes_of.get(one.verdict_id),
        )
        for one in waiting
    )


def similar_coils(
    connection: Connection, key: CoilKey, recent: RecentShapes, *, limit: int, otherwise: Limits
) -> SimilarCoils | str | None:
    """The decided coils of the same plant and scale that look most like one, among the newest.

    Args:
        connection: on a database of this version.
        key: of a decided coil; it is embedded on the way, so that one of this minute is answered for.
        recent: of this process.
        limit: coils to find.
        otherwise: limits where the ensemble that judged was never registered.

    Returns:
        The coils, why there are none to be compared, or None where the coil has no verdict.

    Raises:
        StoreError: the database refused.
    """
    coil = coil_matrix(connection, key, otherwise=otherwise)
    if coil is None or isinstance(coil, str):
        return coil
    scale: Scale = "self" if coil.limits is None else "limits"
    asked = embed(from_band(coil.matrix, coil.limits)[None])
    latest = recent.of(connection, key.plant, scale)
    alike = cosine(asked, latest.embeddings)
    most = min(limit + _BESIDE, len(alike))
    nearest = np.argpartition(-alike, most - 1)[:most] if most else np.zeros(0, dtype=np.int64)
    nearest = nearest[np.lexsort((-latest.verdict_ids[nearest], -alike[nearest]))]
    found = coils_of_verdicts(connection, latest.verdict_ids[nearest].tolist())
    items = [
        SimilarCoil(
            plant=one.key.plant,
            coil_id=one.key.coil_id,
            similarity=round(float(alike[place]), 4),
            decided_at=one.decided_at,
            verdict=one.verdict,
            p_nok=one.p_nok,
            label=one.label,
        )
        for place in nearest.tolist()
        if (one := found.get(int(latest.verdict_ids[place]))) is not None and one.key != key
    ]
    return SimilarCoils(
        plant=key.plant,
        coil_id=key.coil_id,
        scale=scale,
        made_by=MADE_BY,
        compared=len(alike),
        items=items[:limit],
        state="ready" if items else "empty",
    )


def _from_rows(waiting: Sequence[UnembeddedCoil]) -> dict[int, tuple[Scale, Float32Array]]:
    """Of coils in several revisions the newest counts: the others are superseded."""
    newest = {one.coil.key: one for one in waiting}
    coils = coils_from_stored([replace(one.coil, rows_per_face=None) for one in newest.values()])
    batch = normalize(coils, _WIDE).batch
    distances = in_g_m2(tensor_values(batch), _WIDE) if batch.num_rows else ()
    ids = [newest[key].verdict_id for key in keys_of(batch)]
    return {verdict_id: ("limits", distance) for verdict_id, distance in zip(ids, distances, strict=True)}


def _from_matrices(waiting: Sequence[UnembeddedCoil]) -> dict[int, tuple[Scale, Float32Array]]:
    """Of coils that came as matrices; those of limits that nobody knows are left out."""
    found: dict[int, tuple[Scale, Float32Array]] = {}
    for one in waiting:
        with pa.ipc.open_stream(one.coil.readings) as reader:
            if "matrix" not in reader.schema.names:
                continue
            batch = reader.read_next_batch()
        matrix = tensor_values(batch)
        if batch.column("scale")[0].as_py() == "self":
            found[one.verdict_id] = "self", to_self_scale(matrix)[0]
        elif one.limits is not None and batch.column("limits_version")[0].as_py() == one.limits.version:
            found[one.verdict_id] = "limits", in_g_m2(matrix, one.limits)[0]
    return found


def _is_arrow(readings: bytes) -> bool:
    """Whether readings can be read: damaged ones are told of where the coil is looked at, and stop no others here."""
    try:
        pa.ipc.open_stream(readings).close()
    except pa.ArrowInvalid:
        return False
    return True
