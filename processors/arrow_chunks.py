"""Read the rows of one coil from an Arrow IPC stream that somebody else wrote."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.layout import SENSORS_PER_FACE

MOST_BYTES = 8 * 1024 * 1024
MOST_ROWS = 20_000  # in one message
_NINE = ("mean_g_m2", "min_g_m2", "max_g_m2", "std_g_m2")
_REQUIRED = ("plant", "coil_id", "face", "position", "mean_g_m2")
_KNOWN = (*_REQUIRED, *_NINE[1:], "count")
_REMEDY = "see docs/events.md for the columns"
_SCHEMA, _RECORD_BATCH = 1, 3  # MessageHeader of Arrow's Message.fbs
Fault = tuple[str, str]  # error, remedy


def arrow_chunks(payload: bytes, theirs: Mapping[str, str]) -> list[dict[str, Any]] | Fault:
    """Data of `coil.chunk` events, one a row.

    Args:
        payload: a stream with columns plant, coil_id, face (string), position (float64), mean_g_m2 (list of 9 float64,
            fixed or not) and perhaps min_g_m2, max_g_m2, std_g_m2, count (int64); other columns are passed over. All
            rows are of one coil. Neither compressed nor dictionary-encoded, so that it is no larger than it looks.
        theirs: the plant's name of a column -> ours.

    Returns:
        At least one row, or (error, remedy).
    """
    if len(payload) > MOST_BYTES:
        return f"the Arrow stream has {len(payload) / 2**20:.1f} MiB, at most {MOST_BYTES // 2**20} MiB are read", (
            "send fewer rows a message"
        )
    try:
        fault = _unsafe(payload)
        if fault:
            return fault
        with pa.ipc.open_stream(payload) as reader:
            names = [theirs.get(name, name) for name in reader.schema.names]
            fault = _schema_fault(reader.schema, names)
            return fault or _rows(reader, names)
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError, struct.error) as error:
        return f"the data are no sound Arrow stream ({' '.join(str(error).split())[:200]})", "write it again"


def _unsafe(payload: bytes) -> Fault | None:
    """A stream whose few bytes could stand for very many is refused before it is read."""
    rows = 0
    for message in pa.ipc.MessageReader.open_stream(payload):
        kind, length, compressed = _message_head(message.metadata.to_pybytes())
        if kind not in (_SCHEMA, _RECORD_BATCH):
            return "the Arrow stream has a dictionary-encoded column", "send plain text columns"
        if compressed:
            return "the Arrow stream is compressed", "send it plain, and let Kafka compress its batches"
        rows += length
        if not 0 <= rows <= MOST_ROWS:
            return f"the Arrow stream has more than {MOST_ROWS} rows", "send fewer rows a message"
    return None


def _message_head(metadata: bytes) -> tuple[int, int, bool]:
    """Kind, rows and whether compressed, of one message's flatbuffer (format/Message.fbs of Apache Arrow).

    Arrow has verified the buffer by then. A table begins with the distance to its list of slots; a slot holds the
    field's place in the table, 0 where it is absent. Message: 1 header_type, 2 header. RecordBatch: 0 length,
    3 compression.
    """
    table = struct.unpack_from("<I", metadata)[0]
    kind_at, header_at = _slot(metadata, table, 1), _slot(metadata, table, 2)
    kind = metadata[table + kind_at] if kind_at else 0
    if kind != _RECORD_BATCH or not header_at:
        return kind, 0, False
    batch = table + header_at + struct.unpack_from("<I", metadata, table + header_at)[0]
    length_at = _slot(metadata, batch, 0)
    length = struct.unpack_from("<q", metadata, batch + length_at)[0] if length_at else 0
    return kind, length, _slot(metadata, batch, 3) != 0


def _slot(metadata: bytes, table: int, number: int) -> int:
    slots = table - struct.unpack_from("<i", metadata, table)[0]
    size = struct.unpack_from("<H", metadata, slots)[0]
    at = 4 + 2 * number
    return int(struct.unpack_from("<H", metadata, slots + at)[0]) if at < size else 0


def _schema_fault(schema: pa.Schema, names: list[str]) -> Fault | None:
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        return f"the Arrow stream has no column {', '.join(missing)}", _REMEDY
    for name in _KNOWN:
        if names.count(name) > 1:
            return f"the Arrow stream has column {name} twice", _REMEDY
        if name not in names:
            continue
        found = schema.field(names.index(name)).type
        if not _fits(name, found):
            return f"column {name} is {str(found)[:80]}, expected {_expected(name)}", _REMEDY
    return None


def _fits(name: str, found: pa.DataType) -> bool:
    if name in _NINE:
        fixed = pa.types.is_fixed_size_list(found)
        lists = fixed or pa.types.is_list(found) or pa.types.is_large_list(found)
        return bool(
            lists and pa.types.is_float64(found.value_type) and (not fixed or found.list_size == SENSORS_PER_FACE)
        )
    if name == "position":
        return bool(pa.types.is_float64(found))
    if name == "count":
        return bool(pa.types.is_int64(found))
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found))


def _expected(name: str) -> str:
    if name in _NINE:
        return f"fixed_size_list<double>[{SENSORS_PER_FACE}]"
    return {"position": "double", "count": "int64"}.get(name, "string")


def _rows(reader: pa.RecordBatchReader, names: list[str]) -> list[dict[str, Any]] | Fault:
    rows: list[dict[str, Any]] = []
    coil: tuple[str, str] | None = None
    for batch in reader:
        if not batch.num_rows:
            continue
        columns = {name: batch.column(i) for i, name in enumerate(names) if name in _KNOWN}
        for name, column in columns.items():
            column.validate(full=True)
            fault = _column_fault(name, column)
            if fault:
                return fault
        mine = columns["plant"][0].as_py(), columns["coil_id"][0].as_py()
        constant = all(pc.count_distinct(columns[name]).as_py() == 1 for name in ("plant", "coil_id"))
        if not constant or (coil is not None and mine != coil):
            return "the Arrow stream holds rows of more than one coil", "send one coil a message"
        coil = mine
        values = [_values(name, column) for name, column in columns.items()]
        rows += [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
    return rows or ("the Arrow stream has no rows", "send at least one")


def _column_fault(name: str, column: pa.Array) -> Fault | None:
    if name in _REQUIRED and column.null_count:
        return f"column {name} has {column.null_count} empty cells", "leave such rows out"
    if name in _NINE and not pa.types.is_fixed_size_list(column.type):
        widths = set(pc.list_value_length(column).to_pylist()) - {None, SENSORS_PER_FACE}
        if widths:
            return f"column {name} has rows of {min(widths)} values, expected {SENSORS_PER_FACE}", _REMEDY
    return None


def _values(name: str, column: pa.Array) -> list[Any]:
    if name in _NINE and not column.null_count:
        flat: np.ndarray[Any, Any] = column.flatten().to_numpy(zero_copy_only=False)
        nine: list[Any] = flat.reshape(-1, SENSORS_PER_FACE).tolist()
        return nine
    values: list[Any] = column.to_pylist()
    return values
