"""The plant's two tables as a source: `"V_Coils"` and `"GR_QPValues"`, from files or from PostgreSQL."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.sources.coil_index import CoilIndex, CoilRow
from flows.sources.columns import csv_text, grouped, numbers
from flows.sources.csvs import CsvStream
from flows.sources.spill import gathered, is_contiguous, parts_for, whole_groups
from processors.assemble import Assembled, assemble
from processors.headers import header_from_row
from processors.tiles import Tiles, face_of_mid, fold_tiles
from schemas.coils import NO_ORDER, CoilHeader, CoilKey, IntArray, Origin
from schemas.layout import GAUGE, GaugeLayout
from schemas.rejects import Reject

REQUIRED_COILS = ("SID", "ZnMin", "ZnMax")
REQUIRED_TILES = ("COILID", "TILEID", "MID", "MEAN")
_MAX_TILES = 200_000  # a coil with more is rejected, so that one coil cannot fill the memory
_KEY = "_key"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantTables:
    """Where the two tables come from; each call of `coils` or `tiles` starts a new pass."""

    coils: Callable[[], CsvStream]
    tiles: Callable[[tuple[str, ...] | None], CsvStream]  # only these columns; None: all
    tiles_bytes: int
    sorted_by_coil: bool  # the source already promises whole coils in a row
    default_plant: str
    gauge: GaugeLayout = GAUGE


def read_tables(tables: PlantTables) -> Iterator[Assembled]:
    """Assemble the coils of the two tables, block by block, in memory that does not grow with their number.

    Coils whose tiles stand together are read in one pass after a scan of the key; else tiles are sorted on disk.
    Every coil listed or measured comes out once, as a coil or as a reject.
    """
    with closing(tables.coils()) as coils, closing(tables.tiles(None)) as tiles:
        plants = "PLANT" in coils.columns and "PLANT" in tiles.columns
        with closing(CoilIndex(coils, key_columns=("PLANT", "SID") if plants else ("SID",))) as index:
            yield from _read(tables, coils, tiles, index, key_columns=("PLANT", "COILID") if plants else ("COILID",))


def _read(
    tables: PlantTables, coils: CsvStream, tiles: CsvStream, index: CoilIndex, *, key_columns: tuple[str, ...]
) -> Iterator[Assembled]:
    yield _rejects_only(_bad_rows(coils))
    batches: Iterable[pa.RecordBatch] = (_keyed(batch, key_columns) for batch in tiles.batches)
    if not tables.sorted_by_coil and not _stand_together(tables, key_columns):
        batches = gathered(batches, key=_KEY, parts=parts_for(tables.tiles_bytes))
    for block in whole_groups(batches, key=_KEY, at_most=_MAX_TILES + 1):
        yield _assembled(block, index, tiles, coils.name, tables)
        yield _rejects_only(_bad_rows(tiles))
    yield _rejects_only(_bad_rows(tiles))
    for key, row in index.unseen():
        fault = _row_fault(row) or ("the coil has no tiles", f"send its readings, or take it out of {coils.name}")
        yield _rejects_only([_reject(key, row, fault, coils.name, tables.default_plant)])


def _stand_together(tables: PlantTables, key_columns: tuple[str, ...]) -> bool:
    with closing(tables.tiles(key_columns)) as keys:
        return is_contiguous(_keyed(batch, key_columns).column(_KEY) for batch in keys.batches)


def _keyed(batch: pa.RecordBatch, key_columns: tuple[str, ...]) -> pa.RecordBatch:
    # char(n) columns are padded; the trim works on bytes that need not be UTF-8.
    columns = [pc.ascii_trim_whitespace(batch.column(name).view(pa.string())).view(pa.binary()) for name in key_columns]
    key = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, b"\x1f")
    return batch.append_column(_KEY, key)


def _assembled(
    block: pa.RecordBatch, index: CoilIndex, stream: CsvStream, coils_name: str, tables: PlantTables
) -> Assembled:
    keys, coil = grouped(block.column(_KEY))
    found = index.find(keys)
    headers: list[CoilHeader] = []
    faults: dict[int, tuple[str, str]] = {}
    for i, key in enumerate(keys):
        row = found.get(key)
        original = _original(block, coil, i, row, stream.delimiter)
        identity = _identity(key, row, tables.default_plant)
        header = _header(row, identity, Origin(place=stream.name, original=original), coils_name)
        if isinstance(header, CoilHeader):
            headers.append(header)
            continue
        faults[i] = header
        place = f"{coils_name}, line {row.line}" if row else stream.name
        headers.append(CoilHeader(key=identity, order=NO_ORDER, origin=Origin(place=place, original=original)))
    tiles, wrong = _tiles(block, coil, tables.gauge)
    folded = fold_tiles(tiles, tables.gauge)
    return assemble(folded.rows, headers, folded.faults | wrong | _too_many(coil) | faults)


def _header(row: CoilRow | None, key: CoilKey, origin: Origin, coils_name: str) -> CoilHeader | tuple[str, str]:
    if row is None:
        return "the coil is not in the table of coils", f"add it to {coils_name} with its band"
    return _row_fault(row) or header_from_row(row.cells, key, origin)


def _tiles(block: pa.RecordBatch, coil: IntArray, gauge: GaugeLayout) -> tuple[Tiles, dict[int, tuple[str, str]]]:
    mids, mid = grouped(block.column("MID"))
    tile_id, wrong_id = numbers(block.column("TILEID"))
    mean, wrong_mean = numbers(block.column("MEAN"))
    wrong: dict[int, tuple[str, str]] = {}
    for name, cells in (("TILEID", wrong_id), ("MEAN", wrong_mean)):
        for i, text in cells.items():
            where = f" of tile {tile_id[i]:g}" if name == "MEAN" else ""
            wrong.setdefault(int(coil[i]), (f"{name}{where} is {text[:40]!r}, which is no number", f"correct {name}"))
    face = np.array([face_of_mid(m, gauge) for m in mids], dtype=np.int64)[mid]
    return Tiles(coil=coil, face=face, tile_id=tile_id, mean_g_m2=mean), wrong


def _too_many(coil: IntArray) -> dict[int, tuple[str, str]]:
    return {
        int(i): (f"the coil has more than {_MAX_TILES} tiles", "check its COILID: many coils seem to share it")
        for i in np.flatnonzero(np.bincount(coil) > _MAX_TILES)
    }


def _original(
    block: pa.RecordBatch, coil: IntArray, i: int, row: CoilRow | None, delimiter: str
) -> Callable[[], bytes]:
    def original() -> bytes:
        """The coil's row and its tiles as CSV, cells as they came."""
        mine = block.filter(pa.array(coil == i)).drop_columns([_KEY])
        cells = zip(*(column.to_pylist() for column in mine.columns), strict=True)
        return (row.original() if row else b"") + csv_text([n.encode() for n in mine.schema.names], cells, delimiter)

    return original


def _identity(key: bytes, row: CoilRow | None, default_plant: str) -> CoilKey:
    *plant, coil_id = (part.decode(errors="backslashreplace") for part in key.split(b"\x1f"))
    named = plant[0] if plant else (row.cells.get("PLANT", "") if row else "")
    return CoilKey(plant=named or default_plant, coil_id=coil_id)


def _row_fault(row: CoilRow) -> tuple[str, str] | None:
    if row.conflicting:
        return "the table of coils lists the coil twice, with different values", "keep the right row"
    if not row.readable:
        return f"line {row.line} of the table of coils is no UTF-8 text", "export the table as UTF-8"
    return None


def _reject(key: bytes, row: CoilRow, fault: tuple[str, str], name: str, default_plant: str) -> Reject:
    return Reject(
        step="decode",
        place=f"{name}, line {row.line}",
        key=_identity(key, row, default_plant),
        error=fault[0],
        remedy=fault[1],
        original=row.original(),
    )


def _bad_rows(stream: CsvStream) -> list[Reject]:
    return [
        Reject(
            step="decode",
            place=f"{stream.name}, line {bad.line}" if bad.line is not None else stream.name,
            key=None,
            error=bad.fault,
            remedy="export the row again; the file may be truncated",
            original=bad.text,
        )
        for bad in stream.take_bad_rows()
    ]


def _rejects_only(rejects: list[Reject]) -> Assembled:
    return Assembled(rejects=tuple(rejects))
