"""Coils built by hand, and each kind of source that can hold them."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.conninfo import conninfo_to_dict

from schemas.layout import FACES, MATRIX_SHAPE

STEP = (0, 28, 57, 86, 114, 142, 171, 200, 228)  # TILEID of a row's sensors from its first
PITCH = 1000
MIDS = {"top": "1234", "bottom": "1243"}
COIL_COLUMNS = ("SID", "PLANT", "ZnMin", "ZnMax", "LENGTH", "CLASSLABEL")
TILE_COLUMNS = ("COILID", "TILEID", "MID", "PLANT", "MEAN")
Row = tuple[float, list[Any]]  # position, nine readings in g/m²
Cells = dict[str, Any]


@dataclass
class Given:
    """A coil to write: change what it says before it is written."""

    coil_id: str
    zn_min: float | None = 100.0
    zn_max: float | None = 120.0
    plant: str = "linz"
    label: str | None = None
    listed: bool = True  # in the table of coils, or by coil.started
    faces: dict[str, list[Row]] = field(default_factory=dict)


def coil(coil_id: str, *, rows: int = 12, level: float = 110.0, label: str | None = None) -> Given:
    """A coil whose readings are all different, so that nothing looks stuck or repeated."""
    faces: dict[str, list[Row]] = {
        face: [
            (100.0 + PITCH * row, [round(level + 0.01 * row + 0.1 * sensor + side, 2) for sensor in range(9)])
            for row in range(rows)
        ]
        for side, face in enumerate(FACES)
    }
    return Given(coil_id, label=label, faces=faces)


def three() -> list[Given]:
    """Coils 1, 2 and 3; tests damage the second."""
    return [coil("1"), coil("2"), coil("3")]


def coil_cells(given: Given) -> Cells:
    """The coil's row of `"V_Coils"`."""
    return {
        "SID": given.coil_id,
        "PLANT": given.plant,
        "ZnMin": given.zn_min,
        "ZnMax": given.zn_max,
        "LENGTH": 500.5,
        "CLASSLABEL": given.label,
    }


def tile_cells(given: Given) -> list[Cells]:
    """The coil's rows of `"GR_QPValues"`, in the order of the gauge."""
    return [
        {"COILID": given.coil_id, "TILEID": position + STEP[i], "MID": MIDS[face], "PLANT": given.plant, "MEAN": value}
        for face, rows in given.faces.items()
        for position, values in rows
        for i, value in enumerate(values)
    ]


def csv_bytes(
    rows: Iterable[Cells],
    columns: Sequence[str],
    *,
    sep: str = ",",
    end: str = "\n",
    bom: bool = False,
    quote: str = "",
) -> bytes:
    """A CSV table; None is an empty cell."""
    lines = [sep.join(f"{quote}{column}{quote}" for column in columns)]
    lines += [sep.join("" if row[c] is None else f"{quote}{row[c]}{quote}" for c in columns) for row in rows]
    return (b"\xef\xbb\xbf" if bom else b"") + "".join(line + end for line in lines).encode()


def write_tables(coils: Sequence[Given], folder: Path, **style: Any) -> Path:
    """`coils.csv` and `tiles.csv`."""
    folder.mkdir(exist_ok=True)
    listed = [coil_cells(c) for c in coils if c.listed]
    (folder / "coils.csv").write_bytes(csv_bytes(listed, COIL_COLUMNS, **style))
    tiles = [tile for c in coils for tile in tile_cells(c)]
    (folder / "tiles.csv").write_bytes(csv_bytes(tiles, TILE_COLUMNS, **style))
    return folder


def events_of(given: Given) -> list[Cells]:
    """The coil's CloudEvents in the order of the line."""
    identity: Cells = {"plant": given.plant, "coil_id": given.coil_id}
    started = identity | {"zn_min_g_m2": given.zn_min, "zn_max_g_m2": given.zn_max, "length_m": 500.5}
    rows = max(map(len, given.faces.values()), default=0)
    events: list[tuple[str, Cells]] = []
    if given.listed:
        events += [("coil.started", started | {"started_at": "2026-11-20T12:00:00Z"})]
    events += [
        ("coil.chunk", identity | {"face": face, "position": position, "mean_g_m2": values})
        for face, face_rows in given.faces.items()
        for position, values in face_rows
    ]
    events += [("coil.ended", identity | {"rows_per_face": rows, "ended_at": "2026-11-20T12:09:00Z"})]
    return [
        {"specversion": "1.0", "id": f"{given.coil_id}-{i}", "source": "/plants/linz", "type": kind, "data": data}
        for i, (kind, data) in enumerate(events)
    ]


def lines_of(events: Iterable[Cells]) -> bytes:
    """JSON Lines; a NaN or infinity is written as Python's own `json` does."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def write_events(coils: Sequence[Given], file: Path) -> Path:
    """An events `.jsonl`."""
    file.write_bytes(lines_of(event for c in coils for event in events_of(c)))
    return file


def fill_plant_database(coils: Sequence[Given], dsn: str) -> str:
    """The plant's two tables, in the plant's own mixed case, in an empty PostgreSQL."""
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            'create table "V_Coils" (id serial, "SID" varchar(20), "PLANT" varchar(20), "STARTTIME" date, "ZnMin" real,'
            ' "ZnMax" real, "LENGTH" real, "CLASSLABEL" varchar(3))'
        )
        cursor.execute(
            'create table "GR_QPValues" (id serial, "COILID" varchar(20), "TILEID" integer, "MID" integer,'
            ' "PLANT" varchar(20), "MEAN" double precision)'
        )
        cursor.executemany(
            'insert into "V_Coils" ("SID", "PLANT", "STARTTIME", "ZnMin", "ZnMax", "LENGTH", "CLASSLABEL")'
            " values (%(SID)s, %(PLANT)s, '2026-11-20', %(ZnMin)s, %(ZnMax)s, %(LENGTH)s, %(CLASSLABEL)s)",
            [coil_cells(c) for c in coils if c.listed],
        )
        cursor.executemany(
            'insert into "GR_QPValues" ("COILID", "TILEID", "MID", "PLANT", "MEAN")'
            " values (%(COILID)s, %(TILEID)s, %(MID)s, %(PLANT)s, %(MEAN)s)",
            [tile for c in coils for tile in tile_cells(c)],
        )
    return url_of(dsn)


def url_of(dsn: str) -> str:
    """A DSN as `postgresql://`, the form that names a source."""
    known = conninfo_to_dict(dsn)
    return f"postgresql:///?{urlencode({name: str(value) for name, value in known.items()})}"


def write_grey(file: Path, rows: Sequence[Cells]) -> Path:
    """A grey-level `.parquet`; each row has `coil_id`, `grey` and perhaps `label`."""
    pq.write_table(pa.Table.from_pylist(list(rows)), file)
    return file


def grey_row(coil_id: str, *, label: str | None = "OK") -> Cells:
    """A grey coil that touches both ends of the scale."""
    cells = MATRIX_SHAPE[0] * MATRIX_SHAPE[1]
    return {"coil_id": coil_id, "grey": [(7 * i + int(coil_id)) % 256 for i in range(cells)], "label": label}


Write = Callable[[Sequence[Given]], str]  # writes coils to a source, returns what the user names it by
