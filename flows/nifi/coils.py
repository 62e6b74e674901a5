"""Assembled coils as rows of `schemas.nifi_batches.COILS`, and back, bit for bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from pydantic import ValidationError

from flows.nifi.original import original_of
from processors.assemble import NO_COILS
from schemas.coils import NO_ORDER, CoilBatch, CoilHeader, CoilKey, FloatArray, IntArray, Order, Origin
from schemas.errors import SourceError
from schemas.layout import SENSORS_PER_FACE
from schemas.nifi_batches import COILS
from schemas.readings import readings_of, rows_of

_TOP = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """What goes with an assembled coil to the database."""

    order: Order | None  # None: no band is known, as of a fragment without its start
    fragment: bool = False  # silent, without start or a face: UNDECIDED, no matrix
    rows_per_face: int | None = None  # as coil.ended promised, 0 where it promised none; None: no such event
    inbox_id: int | None = None  # last event of the inbox that it was made of; None: it came whole


def coil_rows(coils: CoilBatch, carried: Sequence[Carried]) -> pa.RecordBatch:
    """Rows of COILS; several such batches may be joined by `pyarrow.concat_batches`.

    Args:
        coils: B assembled coils.
        carried: what goes with each, in the same order.

    Raises:
        ValueError: a text is no Unicode that Arrow or JSON can hold.
    """
    headers = coils.headers
    columns: dict[str, Any] = {
        "plant": [header.key.plant for header in headers],
        "coil_id": [header.key.coil_id for header in headers],
        "revision": coils.revisions,
        "reasons": coils.reasons,
        "expected_rows": coils.expected_rows.reshape(-1, 2).tolist(),
        "header": [_header_json(header) for header in headers],
        "fragment": [one.fragment for one in carried],
        "readings": [readings_of(coils, i) for i in range(len(coils))],
        "order": [None if one.order is None else one.order.model_dump_json().encode() for one in carried],
        "started_at": [header.started_at for header in headers],
        "rows_per_face": [one.rows_per_face for one in carried],
        "inbox_id": [one.inbox_id for one in carried],
    }
    arrays = [pa.array(columns[field.name], type=field.type) for field in COILS]
    return pa.RecordBatch.from_arrays(arrays, schema=COILS)


def coils_from_rows(rows: pa.RecordBatch) -> tuple[CoilBatch, tuple[Carried, ...]]:
    """What `coil_rows` was given: the same batch, but for its origins, whose messages stayed behind.

    A fragment without a band has `schemas.coils.NO_ORDER` in its header.

    Raises:
        SourceError: the rows are damaged.
    """
    try:
        return _coils(rows.to_pylist())
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise SourceError(
            f"the coils' rows are damaged: {' '.join(str(error).split())}", remedy="send them again from the source"
        ) from error


def _coils(given: list[dict[str, Any]]) -> tuple[CoilBatch, tuple[Carried, ...]]:
    if not given:
        return NO_COILS, ()
    parts = [_readings(one["readings"]) for one in given]
    carried = tuple(
        Carried(
            order=None if one["order"] is None else Order.model_validate_json(one["order"]),
            fragment=one["fragment"],
            rows_per_face=one["rows_per_face"],
            inbox_id=one["inbox_id"],
        )
        for one in given
    )
    batch = CoilBatch(
        headers=tuple(_header(one, beside) for one, beside in zip(given, carried, strict=True)),
        revisions=tuple(one["revision"] for one in given),
        reasons=tuple(tuple(one["reasons"]) for one in given),
        face_start=np.concatenate(([0], np.cumsum([count for part in parts for count in _counts(part)]))),
        position=np.concatenate([part.column("position").to_numpy() for part in parts]),
        expected_rows=np.array(list(chain.from_iterable(one["expected_rows"] for one in given)), dtype=np.int64),
        mean_g_m2=np.concatenate([_nine(part.column("mean_g_m2")) for part in parts]),
        std_g_m2=np.concatenate([_nine(part.column("std_g_m2")) for part in parts]),
    )
    return batch, carried


def _header_json(header: CoilHeader) -> bytes:
    told = {
        "label": header.label,
        "rows_per_face": header.rows_per_face,
        "reasons": header.reasons,
        "place": header.origin.place,
    }
    return orjson.dumps(told)


def _header(one: dict[str, Any], carried: Carried) -> CoilHeader:
    told = orjson.loads(one["header"])
    key = CoilKey(plant=one["plant"], coil_id=one["coil_id"])
    original = partial(
        original_of,
        key,
        one["revision"],
        one["readings"],
        order=carried.order,
        started_at=one["started_at"],
        rows_per_face=carried.rows_per_face,
    )
    return CoilHeader(
        key=key,
        order=carried.order or NO_ORDER,
        started_at=one["started_at"],
        label=told["label"],
        rows_per_face=told["rows_per_face"],
        reasons=tuple(told["reasons"]),
        origin=Origin(place=told["place"], original=original),
    )


def _readings(readings: bytes) -> pa.RecordBatch:
    rows = rows_of(readings)
    if rows is None:
        raise ValueError("a coil's readings are no rows of the gauge")
    rows.validate(full=True)
    return rows


def _counts(rows: pa.RecordBatch) -> tuple[int, int]:
    face: IntArray = rows.column("face").to_numpy()
    top = int((face == _TOP).sum())
    if (np.diff(face) < 0).any():
        raise ValueError("a coil's faces are mixed")
    return top, len(face) - top


def _nine(column: pa.Array) -> FloatArray:
    values: FloatArray = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, SENSORS_PER_FACE)
    return values
