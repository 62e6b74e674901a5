"""The coil matrix batch in Arrow: what `normalize` writes and `score` reads."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from schemas.coils import CoilKey, Float32Array, FloatArray
from schemas.errors import SourceError
from schemas.layout import MATRIX_SHAPE

Scale = Literal["limits", "self"]

TENSOR = pa.fixed_shape_tensor(pa.float32(), MATRIX_SHAPE)

MATRIX_BATCH = pa.schema(
    [
        pa.field("plant", pa.string(), nullable=False),
        pa.field("coil_id", pa.string(), nullable=False),
        pa.field("revision", pa.string(), nullable=False),
        pa.field("matrix", TENSOR, nullable=False),
        pa.field("spread", TENSOR, nullable=False),
        pa.field("observed", pa.float64(), nullable=False),
        pa.field("zn_min", pa.float64()),  # g/m²; null on scale `self`
        pa.field("zn_max", pa.float64()),
        pa.field("length_m", pa.float64()),
        pa.field("scale", pa.string(), nullable=False),
        pa.field("limits_version", pa.string()),
        pa.field("label", pa.string()),  # OK, NOK or null
        pa.field("customer", pa.string()),
        pa.field("tolerance_profile", pa.string()),
        pa.field("reasons", pa.list_(pa.string())),  # doubts found before scoring
    ]
)
REQUIRED = ("coil_id", "matrix", "scale")


def tensor_column(values: Float32Array) -> pa.Array:
    """Wrap float32 [B, 264, 18] as an Arrow fixed-shape tensor column without copying."""
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    return pa.ExtensionArray.from_storage(
        TENSOR, pa.FixedSizeListArray.from_arrays(flat, values.shape[1] * values.shape[2])
    )


def tensor_values(batch: pa.RecordBatch, name: str = "matrix") -> Float32Array:
    """Read a tensor column as float32 [B, 264, 18] without copying."""
    values: Float32Array = batch.column(name).to_numpy_ndarray()
    return values


def keys_of(batch: pa.RecordBatch) -> list[CoilKey]:
    """Identity of each coil of a batch, in order."""
    plants, ids = batch.column("plant").to_pylist(), batch.column("coil_id").to_pylist()
    return [CoilKey(plant=p, coil_id=c) for p, c in zip(plants, ids, strict=True)]


def matrix_batch(
    *,
    keys: Sequence[CoilKey],
    revisions: Sequence[str],
    matrix: Float32Array,
    spread: Float32Array,
    observed: FloatArray,
    scale: Scale,
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> pa.RecordBatch:
    """Build a batch of MATRIX_BATCH from arrays of B coils; `columns` names the nullable ones, the rest are null."""
    size = len(keys)
    given: dict[str, Any] = {
        "plant": [k.plant for k in keys],
        "coil_id": [k.coil_id for k in keys],
        "revision": list(revisions),
        "observed": observed,
        "scale": [scale] * size,
        **(columns or {}),
    }
    arrays = [
        tensor_column(matrix if field.name == "matrix" else spread)
        if field.type == TENSOR
        else pa.array(given.get(field.name, [None] * size), type=field.type)
        for field in MATRIX_BATCH
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=MATRIX_BATCH)


def empty_batch() -> pa.RecordBatch:
    """A batch of no coils."""
    return pa.RecordBatch.from_pylist([], schema=MATRIX_BATCH)


def conform(batch: pa.RecordBatch, *, place: str) -> pa.RecordBatch:
    """Bring a batch that somebody else wrote, and that has plant and revision, to MATRIX_BATCH.

    An absent `observed` is 1, another absent column is null, an absent spread is zero.

    Raises SourceError where a required column or the tensor shape is wrong, or the buffers are damaged.
    """
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise SourceError(f"{place}: the Arrow buffers are damaged ({error})", remedy="write the file again") from error
    missing = [name for name in REQUIRED if name not in batch.schema.names]
    if missing:
        raise SourceError(
            f"{place}: column {', '.join(missing)} is missing",
            remedy=f"give the columns {', '.join(MATRIX_BATCH.names)} as `coilflow normalize` writes them",
        )
    if batch.schema.field("matrix").type != TENSOR:
        raise SourceError(
            f"{place}: column matrix is {batch.schema.field('matrix').type}, expected {TENSOR}",
            remedy="write float32 fixed-shape tensors of 264 × 18, as `coilflow normalize` does",
        )
    scales = set(batch.column("scale").to_pylist())
    if len(scales) > 1 or not scales <= {"limits", "self"}:
        raise SourceError(
            f"{place}: scale is {', '.join(sorted(map(str, scales)))}, expected limits or self, one a batch",
            remedy="write coils of each scale in batches of their own",
        )
    size = batch.num_rows
    arrays = []
    for field in MATRIX_BATCH:
        if field.name in batch.schema.names:
            column = batch.column(field.name)
            arrays.append(column if field.type == TENSOR else column.cast(field.type))
        elif field.type == TENSOR:
            arrays.append(tensor_column(np.zeros((size, *MATRIX_SHAPE), dtype=np.float32)))
        else:
            arrays.append(pa.array([1.0 if field.name == "observed" else None] * size, type=field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=MATRIX_BATCH)
