"""Events of small coils, built by hand: what a line sends, in its order or out of it."""

from typing import Any

import orjson

PLANT = "linz"
BAND = (100.0, 120.0)


def event(kind: str, coil_id: str, number: int, plant: str = PLANT, **data: Any) -> bytes:
    """One event in structured JSON."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"{coil_id}-{number}",
            "source": f"/plants/{plant}",
            "type": kind,
            "subject": coil_id,
            "datacontenttype": "application/json",
            "data": {"plant": plant, "coil_id": coil_id, **data},
        }
    )


def started(coil_id: str, *, band: tuple[float, float] = BAND, **data: Any) -> bytes:
    """`coil.started` with the band, g/m²."""
    return event("coil.started", coil_id, 0, zn_min_g_m2=band[0], zn_max_g_m2=band[1], length_m=500.0, **data)


def chunk(coil_id: str, face: str, row: int, *, mean_g_m2: float | None = None, **data: Any) -> bytes:
    """`coil.chunk`: nine readings that differ by coil, face and row."""
    base = 105.0 + sum(coil_id.encode()) % 7 + row if mean_g_m2 is None else mean_g_m2
    readings = [base + 0.25 * sensor + (0.1 if face == "top" else 0.0) for sensor in range(9)]
    number = 1 + 2 * row + (face == "bottom")
    return event("coil.chunk", coil_id, number, **{"face": face, "position": 28.0 * row, "mean_g_m2": readings, **data})


def ended(coil_id: str, *, rows: int | None = 4) -> bytes:
    """`coil.ended` with the rows a face that it promises."""
    promise: dict[str, Any] = {} if rows is None else {"rows_per_face": rows}
    return event("coil.ended", coil_id, 999, **promise)


def chunks(coil_id: str, rows: int = 4, **data: Any) -> list[bytes]:
    """The chunks of both faces, row by row."""
    return [chunk(coil_id, face, row, **data) for row in range(rows) for face in ("top", "bottom")]


def coil(coil_id: str, rows: int = 4) -> list[bytes]:
    """A whole coil."""
    return [started(coil_id), *chunks(coil_id, rows), ended(coil_id, rows=rows)]


def coils(names: list[str], rows: int = 4) -> list[bytes]:
    """Whole coils whose events alternate, as those of several lines do."""
    return [line for row in zip(*(coil(name, rows) for name in names), strict=True) for line in row]
