"""Tile records with their coil's columns beside each: one FlowFile is one table, so the plant's two come joined."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from flows.nifi.bounds import (
    MOST_COILS,
    MOST_RECORDS,
    MOST_ROWS,
    refuse_too_many,
    refuse_too_many_lines,
    refuse_too_many_values,
)
from flows.sources.csvs import BadRow, CsvStream, open_csv, renamed_columns
from flows.sources.tables import REQUIRED_TILES, PlantTables, read_tables
from processors.assemble import Assembled
from processors.envelope import NoJson, read_json
from schemas.errors import SourceError
from schemas.mapping import PlantMapping

REQUIRED = (*REQUIRED_TILES, "ZnMin", "ZnMax")
_NAMES = ("COILID", "MID", "PLANT")  # no numbers, whatever they are written as
_COIL, _SID = "COILID", "SID"
_OF_A_TILE = ("TILEID", "MID", "MEAN", _SID)
_COLUMNS_REMEDY = f"give a tile a record with the columns {', '.join(REQUIRED)}, and the coil's others where known"


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """A table whose cells are bytes, as CSV has them, and the records that did not fit it."""

    table: pa.Table
    bad: tuple[BadRow, ...] = ()


def csv_records(content: bytes, *, name: str, theirs: Mapping[str, str]) -> Records:
    """Records of a CSV table with a header row; raises SourceError where there is none, or a column is missing."""
    refuse_too_many_lines(content, most=MOST_ROWS)
    stream = open_csv(io.BytesIO(content), name=name, required=REQUIRED, theirs=theirs)
    batches = list(stream.batches)
    schema = pa.schema([pa.field(column, pa.binary()) for column in stream.columns])
    return Records(table=pa.Table.from_batches(batches, schema=schema), bad=tuple(stream.take_bad_rows()))


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonObjects:
    """The objects of a JSON array or of JSON lines, and what stood there beside them."""

    objects: tuple[dict[str, object], ...]
    bad: tuple[BadRow, ...]


def json_objects(content: bytes, *, name: str) -> JsonObjects:
    """Read a JSON array, or one object a line; raises SourceError where it is neither, or too many."""
    objects: list[dict[str, object]] = []
    bad: list[BadRow] = []
    for number, item, text in _items(content, name):
        if isinstance(item, dict):
            objects.append(item)
        else:
            what = item.what if isinstance(item, NoJson) else "no JSON object"
            bad.append(BadRow(line=number, text=text, fault=f"the record is {what}"))
    return JsonObjects(objects=tuple(objects), bad=tuple(bad))


def json_records(found: JsonObjects, *, name: str, theirs: Mapping[str, str]) -> Records:
    """Records of JSON objects; raises SourceError where a column is missing.

    Numbers may stand as text; null is an empty cell.
    """
    columns = list(dict.fromkeys(column for one in found.objects for column in one))
    ours = _checked(columns, theirs, name)
    cells = [
        pa.array([_cell(one.get(column), our) for one in found.objects], type=pa.binary())
        for column, our in zip(columns, ours, strict=True)
    ]
    return Records(table=pa.Table.from_arrays(cells, names=ours), bad=found.bad)


def arrow_records(table: pa.Table, *, name: str, theirs: Mapping[str, str]) -> Records:
    """Records of an Arrow table; raises SourceError where a column is missing, or is nothing that has a text."""
    refuse_too_many(table.num_rows, most=MOST_ROWS)
    ours = _checked(table.column_names, theirs, name)
    cells = []
    for column, our in zip(table.columns, ours, strict=True):
        try:
            cells.append(_texts(column.combine_chunks(), our))
        except pa.ArrowException as error:
            said = f"{name}: column {our} is {column.type}, which is no cell of a table ({error})"
            raise SourceError(said, remedy="give texts and numbers") from error
    return Records(table=pa.Table.from_arrays(cells, names=ours))


def read_records(records: Records, mapping: PlantMapping, *, name: str, plant: str) -> Iterator[Assembled]:
    """Assemble the coils of tile records; rows in any order, as of the plant's two tables.

    Args:
        records: with our names of columns.
        mapping: how the plant's gauge numbers its tiles.
        name: what to call the records to people.
        plant: of coils whose records name none.
    """
    tiles = records.table
    of_coil = [column for column in tiles.column_names if column not in _OF_A_TILE]
    coils = tiles.select(of_coil).group_by(of_coil).aggregate([])  # each coil's columns once
    refuse_too_many(coils.num_rows, most=MOST_COILS, what="coils")
    coils = coils.rename_columns([_SID if column == _COIL else column for column in coils.column_names])

    def stream(table: pa.Table, bad: Sequence[BadRow] = ()) -> CsvStream:
        return CsvStream(
            name=name,
            handle=io.BytesIO(),
            delimiter=",",
            width=table.num_columns,
            columns=table.column_names,
            batches=iter(table.combine_chunks().to_batches()),
            bad_rows=list(bad),
        )

    def tile_stream(only: tuple[str, ...] | None) -> CsvStream:
        return stream(tiles, records.bad) if only is None else stream(tiles.select(list(only)))

    return read_tables(
        PlantTables(
            coils=lambda: stream(coils),
            tiles=tile_stream,
            tiles_bytes=tiles.nbytes,
            sorted_by_coil=False,
            default_plant=plant,
            gauge=mapping.layout(),
        )
    )


def names_of(mapping: PlantMapping) -> dict[str, str]:
    """Our name of a column -> the plant's, of both tables; the coil is named as in the table of tiles."""
    coils = {our: theirs for our, theirs in mapping.columns.coils.items() if our != _SID}
    return coils | mapping.columns.tiles


def _items(content: bytes, name: str) -> Iterator[tuple[int, object, bytes]]:
    if not content.lstrip().startswith(b"["):
        refuse_too_many_lines(content, most=MOST_RECORDS)
        lines = content.splitlines()
        refuse_too_many_values(lines)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, read_json(line), line
        return
    refuse_too_many_values([content])
    found = read_json(content)
    if not isinstance(found, list):
        what = found.what if isinstance(found, NoJson) else "no array"
        raise SourceError(f"{name} is {what}", remedy="send a JSON array of records, or one record a line")
    refuse_too_many(len(found), most=MOST_RECORDS)
    for number, item in enumerate(found, start=1):
        yield number, item, b"" if isinstance(item, dict) else repr(item).encode()


def _checked(columns: Sequence[str], theirs: Mapping[str, str], name: str) -> list[str]:
    """Columns under our names."""
    ours = renamed_columns(columns, theirs)
    missing = [theirs.get(column, column) for column in REQUIRED if column not in ours]
    if missing:
        found = ", ".join(columns[:20]) or "nothing"
        said = f"{name}: column {', '.join(missing)} is missing, found {found}"
        raise SourceError(said, remedy=_COLUMNS_REMEDY)
    if len(set(ours)) < len(ours):
        raise SourceError(f"{name} has a column twice", remedy="give each column once")
    return ours


def _cell(value: object, column: str) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, float):
        return str(int(value)).encode() if column in _NAMES and value.is_integer() else repr(value).encode()
    return orjson.dumps(value, default=repr)


def _texts(column: pa.Array, our: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        whole = our in _NAMES and pc.all(pc.equal(pc.floor(column), column)).as_py()
        column = column.cast(pa.int64()) if whole else column
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        column = column.cast(pa.string())
    return pc.fill_null(column.cast(pa.binary()), b"")
