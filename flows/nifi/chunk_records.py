"""Chunk records with their coil's columns beside each, as the events that say the same."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv

from flows.nifi.bounds import MOST_RECORDS, refuse_too_many_lines
from schemas.coils import Order
from schemas.errors import SourceError
from schemas.layout import SENSORS_PER_FACE

_MARKS = {"face", "position", "mean_g_m2"}  # columns that tell chunk records from tiles
_NINE = {name: [f"{name}_{i}" for i in range(1, SENSORS_PER_FACE + 1)] for name in ("mean_g_m2", "std_g_m2")}  # in CSV
_CSV_MARK = b"mean_g_m2_1"
_NAMES = ("plant", "coil_id", "face", "material", "customer", "tolerance_profile")  # texts, also of digits alone
_OF_A_COIL = ("started_at", *Order.model_fields)
_END = "rows_per_face"
_SOURCE = "/nifi/records"


def is_chunks(columns: Sequence[str]) -> bool:
    """Whether records with these columns are chunks: one row of nine readings each."""
    return set(columns) >= _MARKS


def is_chunk_csv(content: bytes) -> bool:
    """Whether the header row names the nine readings `mean_g_m2_1` to `mean_g_m2_9`."""
    return _CSV_MARK in content.split(b"\n", 1)[0]


def csv_chunks(content: bytes, *, name: str) -> list[dict[str, Any]]:
    """Records of a CSV table, nine columns `mean_g_m2_1` to `mean_g_m2_9` for nine readings; raises SourceError."""
    refuse_too_many_lines(content, most=MOST_RECORDS)
    header = content.split(b"\n", 1)[0]
    delimiter = ";" if header.count(b";") > header.count(b",") else ","
    try:
        table = pa_csv.read_csv(
            io.BytesIO(content),
            read_options=pa_csv.ReadOptions(use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(_NAMES, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowException as error:
        said = f"{name} cannot be read as CSV ({' '.join(str(error).split())})"
        raise SourceError(said, remedy="export it again as CSV in UTF-8, each row as long as its header") from error
    records: list[dict[str, Any]] = table.to_pylist()
    for record in records:
        for whole, parts in _NINE.items():
            if parts[0] in record:
                record[whole] = [record.pop(part, None) for part in parts]
        if record.get("std_g_m2") == [None] * SENSORS_PER_FACE:
            del record["std_g_m2"]
    return records


def event_lines(records: Sequence[dict[str, Any]], *, plant: str) -> bytes:
    """Chunk events in structured JSON, one a line; a record of no coil becomes an event that is refused with its place.

    The names are those of the events' own data: `plant`, `coil_id`, `face`, `position`, `mean_g_m2` (nine), perhaps
    `std_g_m2`; beside them, alike in all records of a coil, what `coil.started` holds (`zn_min_g_m2` and `zn_max_g_m2`
    at least, `started_at`, `length_m`, ...) and perhaps `rows_per_face`. Coils are whole, so each has its end.

    Args:
        records: in any order.
        plant: of records that name none.
    """
    return b"".join(
        orjson.dumps(event | {"id": str(number)}, default=str) + b"\n"
        for number, event in enumerate(_events(records, plant))
    )


def _events(records: Sequence[dict[str, Any]], plant: str) -> Iterator[dict[str, Any]]:
    orders: dict[bytes, dict[str, Any]] = {}
    ends: dict[bytes, dict[str, Any]] = {}
    for record in records:
        given = {name: value for name, value in record.items() if value is not None}
        identity = {"plant": given.pop("plant", None) or plant, "coil_id": _text(given.pop("coil_id", None))}
        order = identity | {name: given.pop(name) for name in _OF_A_COIL if name in given}
        end = identity | {name: given.pop(name) for name in (_END,) if name in given}
        orders.setdefault(orjson.dumps(order, default=str), order)
        ends.setdefault(orjson.dumps(end, default=str), end)
        yield _event("coil.chunk", identity | given)
    for started in orders.values():
        yield _event("coil.started", started)
    for ended in ends.values():
        yield _event("coil.ended", ended)


def _event(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"specversion": "1.0", "type": kind, "source": _SOURCE, "data": data}


def _text(coil_id: object) -> object:
    """An id may come as a number."""
    return str(coil_id) if isinstance(coil_id, int) and not isinstance(coil_id, bool) else coil_id
