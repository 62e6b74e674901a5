"""The line's events: CloudEvents 1.0 in structured JSON, one a line, as gauge and line control would send them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from plant.line import SimulatedBlock
from schemas.coils import CoilHeader
from schemas.layout import FACES, SENSORS_PER_FACE


def write_events(blocks: Iterable[SimulatedBlock], file: Path) -> int:
    """Write a simulated line's events as JSON Lines, block by block in flat memory; returns the number of coils."""
    coils = 0
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        for block in blocks:
            out.writelines(line for _, line in event_lines(block))
            coils += len(block)
    return coils


def event_lines(block: SimulatedBlock) -> Iterator[tuple[str, bytes]]:
    """Coil id and JSON line of each event of a block: a coil's start, its chunks as they were recorded, its end.

    `position` is the TILEID of the row's first tile and the readings are those of `tiles.csv`, so that tables and
    events make the same coil. A reading that was never written is null.
    """
    rows = block.rows
    ends = np.searchsorted(rows.coil, np.arange(len(block)), side="right").tolist()
    starts = np.array([_millis(header.started_at) for header in block.headers], dtype=np.int64)
    times = np.datetime_as_string(
        (starts[rows.coil] + (1000.0 * block.measured_s).astype(np.int64)).astype("datetime64[ms]"), timezone="UTC"
    ).tolist()
    faces, positions = rows.face.tolist(), rows.position.astype(np.int64).tolist()
    means, lows, highs = rows.mean_g_m2.tolist(), block.low_g_m2.tolist(), block.high_g_m2.tolist()
    counts = block.count.tolist()
    row = 0
    for header, ended_at, end in zip(block.headers, block.ended_at, ends, strict=True):
        coil_id = header.key.coil_id
        identity = {"plant": header.key.plant, "coil_id": coil_id}
        yield coil_id, _line(block, header, "coil.started", 0, _text(header.started_at), identity | _order(header))
        for sequence, at in enumerate(range(row, end), start=1):
            data = identity | {
                "face": FACES[faces[at]],
                "position": positions[at],
                "mean_g_m2": means[at],
                "min_g_m2": lows[at],
                "max_g_m2": highs[at],
                "count": counts[at],
            }
            yield coil_id, _line(block, header, "coil.chunk", sequence, times[at], data)
        ended = identity | {"rows_per_face": header.rows_per_face, "ended_at": _text(ended_at)}
        yield coil_id, _line(block, header, "coil.ended", end - row + 1, _text(ended_at), ended)
        row = end


def _line(
    block: SimulatedBlock, header: CoilHeader, kind: str, sequence: int, time: str | None, data: dict[str, Any]
) -> bytes:
    envelope = {
        "specversion": "1.0",
        "id": f"{header.key.coil_id}-{sequence}",
        "source": block.source,
        "type": kind,
        "subject": header.key.coil_id,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    }
    return orjson.dumps(envelope, option=orjson.OPT_APPEND_NEWLINE)


def _order(header: CoilHeader) -> dict[str, Any]:
    order = header.order
    return {
        "zn_min_g_m2": order.zn_min_g_m2,
        "zn_max_g_m2": order.zn_max_g_m2,
        "length_m": order.length_m,
        "width_mm": order.width_mm,
        "thickness_mm": order.thickness_mm,
        "weight_t": order.weight_t,
        "material": order.material,
        "customer": order.customer,
        "started_at": _text(header.started_at),
        "sensors_per_face": SENSORS_PER_FACE,
    }


def _millis(moment: datetime | None) -> int:
    return round(moment.timestamp() * 1000) if moment else 0


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
