"""The plant's tables as CSV: `coils.csv` as "V_Coils", `tiles.csv` as "GR_QPValues", and `truth.csv` beside them."""

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from plant.line import SimulatedBlock
from schemas.coils import IntArray
from schemas.layout import FACES, GAUGE, SENSORS_PER_FACE

# TILEID of a row's sensors from its first: 28-29 apart, as in the plant's table.
SENSOR_TILES: IntArray = np.rint(28.5 * np.arange(SENSORS_PER_FACE)).astype(np.int64)
COILS = pa.schema(
    [
        ("id", pa.int64()),
        ("SID", pa.string()),
        ("PLANT", pa.string()),
        ("NAME", pa.string()),
        ("STARTTIME", pa.string()),
        ("MATERIAL", pa.string()),
        ("LENGTH", pa.float64()),  # m
        ("WIDTH", pa.float64()),  # mm
        ("THICK", pa.float64()),  # mm
        ("WEIGHT", pa.float64()),  # t
        ("BASEPID", pa.string()),
        ("CLASSLABEL", pa.string()),
        ("Label", pa.int64()),  # 0 unknown, 1 OK, 2 NOK
        ("ZnMin", pa.float64()),  # g/m²
        ("ZnMax", pa.float64()),
        ("tstamp", pa.string()),
        ("CUSTOMER", pa.string()),
    ]
)
TILES = pa.schema(
    [
        ("COILID", pa.string()),
        ("TILEID", pa.int64()),
        ("MID", pa.string()),
        ("PLANT", pa.string()),
        ("SIDE", pa.string()),
        ("MEAN", pa.float64()),  # g/m²
        ("MAX", pa.float64()),
        ("MIN", pa.float64()),
        ("COUNT", pa.int64()),
        ("tstamp", pa.string()),
    ]
)
TRUTH = pa.schema(
    [
        ("COILID", pa.string()),
        ("ORIGIN", pa.string()),  # line: a defect of the coating; gauge: a fault of measuring or recording
        ("KIND", pa.string()),
        ("FACE", pa.string()),
        ("START_M", pa.float64()),
        ("END_M", pa.float64()),
        ("SENSOR_FIRST", pa.int64()),
        ("SENSOR_LAST", pa.int64()),
        ("SEVERITY", pa.float64()),
    ]
)
_LABELS = {None: 0, "OK": 1, "NOK": 2}


def write_tables(blocks: Iterable[SimulatedBlock], folder: Path) -> int:
    """Write a simulated line's tables to a folder, block by block in flat memory; returns the number of coils.

    A tile that was never written has no row. `truth.csv` has one row per injected defect and per gauge fault.
    """
    folder.mkdir(parents=True, exist_ok=True)
    coils = 0
    with ExitStack() as stack:
        # No field holds a comma or a quote, so none needs quoting.
        options = csv.WriteOptions(quoting_style="none")
        coils_csv, tiles_csv, truth_csv = (
            stack.enter_context(csv.CSVWriter(folder / name, schema, write_options=options))
            for name, schema in (("coils.csv", COILS), ("tiles.csv", TILES), ("truth.csv", TRUTH))
        )
        for block in blocks:
            coils_csv.write(coil_table(block))
            tiles_csv.write(tile_table(block))
            truth_csv.write(truth_table(block))
            coils += len(block)
    return coils


def coil_table(block: SimulatedBlock) -> pa.Table:
    """The block's coils in the columns of COILS."""
    rows = [
        {
            "id": int(header.key.coil_id),
            "SID": header.key.coil_id,
            "PLANT": header.key.plant,
            "NAME": f"ZN-{header.key.coil_id}",
            "STARTTIME": _text(header.started_at),
            "MATERIAL": header.order.material,
            "LENGTH": header.order.length_m,
            "WIDTH": header.order.width_mm,
            "THICK": header.order.thickness_mm,
            "WEIGHT": header.order.weight_t,
            "BASEPID": f"B{header.key.coil_id}",
            "CLASSLABEL": header.label,
            "Label": _LABELS[header.label],
            "ZnMin": header.order.zn_min_g_m2,
            "ZnMax": header.order.zn_max_g_m2,
            "tstamp": _text(ended_at),
            "CUSTOMER": header.order.customer,
        }
        for header, ended_at in zip(block.headers, block.ended_at, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=COILS)


def tile_table(block: SimulatedBlock) -> pa.Table:
    """The block's tiles in the columns of TILES, in the order of recording."""
    rows = block.rows
    written = ~np.isnan(rows.mean_g_m2).reshape(-1)
    everywhere = bool(written.all())

    def by_row(values: IntArray) -> IntArray:
        tiles = np.repeat(values, SENSORS_PER_FACE)
        return tiles if everywhere else tiles[written]

    def by_tile(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> pa.Array:
        tiles = values.reshape(-1)
        return pa.array(tiles if everywhere else tiles[written])

    coil, face = pa.array(by_row(rows.coil)), pa.array(by_row(rows.face))
    tile_id = rows.position.astype(np.int64)[:, None] + SENSOR_TILES
    # The clock of the table shows whole seconds, of which a coil has few: its texts are made once each.
    seconds, at = np.unique(_starts_s(block)[rows.coil] + rows_s(block), return_inverse=True)
    clock = pa.array(np.datetime_as_string(seconds.astype("datetime64[s]"), timezone="UTC"))
    columns = {
        "COILID": pa.array([header.key.coil_id for header in block.headers]).take(coil),
        "TILEID": by_tile(tile_id),
        "MID": pa.array([GAUGE.top_mid, GAUGE.bottom_mid]).take(face),
        "PLANT": pa.array([header.key.plant for header in block.headers]).take(coil),
        "SIDE": pa.array([name.upper() for name in FACES]).take(face),
        "MEAN": by_tile(rows.mean_g_m2),
        "MAX": by_tile(block.high_g_m2),
        "MIN": by_tile(block.low_g_m2),
        "COUNT": pa.array(by_row(block.count)),
        "tstamp": clock.take(pa.array(by_row(at))),
    }
    return pa.table(columns, schema=TILES)


def truth_table(block: SimulatedBlock) -> pa.Table:
    """Injected defects and faults of gauge and recording in the columns of TRUTH."""
    lines: list[tuple[str | float, ...]] = []
    for header, truth in zip(block.headers, block.truth, strict=True):
        coil_id = header.key.coil_id
        for defect in truth.defects:
            sensors = (defect.first_sensor, defect.last_sensor)
            stretch = (defect.start_m, defect.end_m)
            lines.append((coil_id, "line", defect.kind, defect.face, *stretch, *sensors, defect.severity))
        for fault in truth.faults:
            sensors = (fault.first_sensor, fault.last_sensor)
            stretch = (truth.row_m(fault.first_row), truth.row_m(fault.last_row))
            lines.append((coil_id, "gauge", fault.kind, FACES[fault.face], *stretch, *sensors, fault.amount))
    return pa.Table.from_pylist([dict(zip(TRUTH.names, line, strict=True)) for line in lines], schema=TRUTH)


def rows_s(block: SimulatedBlock) -> IntArray:
    """Whole seconds from the coil's start to each row, [R]."""
    return block.measured_s.astype(np.int64)


def _starts_s(block: SimulatedBlock) -> IntArray:
    return np.array([int(header.started_at.timestamp()) if header.started_at else 0 for header in block.headers])


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
