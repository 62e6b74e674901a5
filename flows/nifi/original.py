"""A coil back as its events: what a dead letter keeps of a coil whose messages stayed behind."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from schemas.coils import CoilKey, Order
from schemas.layout import FACES
from schemas.readings import rows_of

_SOURCE = "/nifi"


def original_of(
    key: CoilKey,
    revision: str,
    readings: bytes,
    *,
    order: Order | None,
    started_at: datetime | None,
    rows_per_face: int | None,
) -> bytes:
    """Chunk events in structured JSON, one a line, that make the same coil when they are replayed.

    The messages that a coil came as don't travel through NiFi: they would be ten times the readings.

    Args:
        key: of the coil.
        revision: of its readings; the events' ids follow from it.
        readings: of `schemas.readings`; where they are a matrix, they are given back as they are.
        order: None: no coil.started.
        started_at: with a time zone.
        rows_per_face: as coil.ended promised, 0 where it promised none; None: no such event.
    """
    rows = rows_of(readings)
    if rows is None:
        return readings
    identity = {"plant": key.plant, "coil_id": key.coil_id}
    lines = []
    for number, (kind, data) in enumerate(_events(rows.to_pylist(), order, started_at, rows_per_face)):
        event = {
            "specversion": "1.0",
            "type": kind,
            "source": _SOURCE,
            "id": f"{revision[:32]}-{number}",
            "data": identity | data,
        }
        lines.append(orjson.dumps(event) + b"\n")
    return b"".join(lines)


def _events(
    rows: list[dict[str, Any]], order: Order | None, started_at: datetime | None, rows_per_face: int | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    if order is not None:
        yield "coil.started", order.model_dump(exclude_none=True) | ({"started_at": started_at} if started_at else {})
    for row in rows:
        yield "coil.chunk", row | {"face": FACES[row["face"]]}
    if rows_per_face is not None:
        yield "coil.ended", {"rows_per_face": rows_per_face} if rows_per_face else {}
