"""Build coils from their chunk events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from processors.assemble import Assembled, assemble
from processors.decode import ChunkEvent, check_event
from schemas.coils import ChunkRows, CoilHeader, CoilKey, Order, Origin
from schemas.layout import FACES, SENSORS_PER_FACE
from schemas.verdicts import Reason

_NO_ORDER = Order(zn_min_g_m2=0, zn_max_g_m2=1)  # of a coil that is rejected before its band matters
_FACE = {face: i for i, face in enumerate(FACES)}
_ORDER_FIELDS = tuple(Order.model_fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilEvents:
    """The events of one coil in any order, and what was wrong with those that could not be decoded."""

    key: CoilKey
    origin: Origin
    events: tuple[ChunkEvent, ...]
    fault: tuple[str, str] | None = None


def coils_from_events(coils: Sequence[CoilEvents]) -> Assembled:
    """Assemble coils from all of their events.

    Order and repeats change nothing. A coil without `coil.started`, with two that disagree, or with an event that
    breaks its contract is rejected; one without `coil.ended` is judged on what there is, and says so.
    """
    headers: list[CoilHeader] = []
    faults: dict[int, tuple[str, str]] = {}
    chunks: list[tuple[int, dict[str, Any]]] = []
    for i, coil in enumerate(coils):
        header = coil.fault or _header(coil)
        if isinstance(header, CoilHeader):
            headers.append(header)
        else:
            faults[i] = header
            headers.append(CoilHeader(key=coil.key, order=_NO_ORDER, origin=coil.origin))
        chunks += [(i, event.data) for event in coil.events if event.type == "coil.chunk"]
    try:
        rows = _rows(chunks)
    except (KeyError, TypeError, ValueError):
        chunks = _sound_chunks(coils, faults)
        rows = _rows(chunks)
    return assemble(rows, headers, faults)


def _rows(chunks: Sequence[tuple[int, dict[str, Any]]]) -> ChunkRows:
    """Columns of the chunks; raises KeyError, TypeError or ValueError where one breaks its contract."""
    size = len(chunks)
    mean = np.array([data["mean_g_m2"] for _, data in chunks], dtype=np.float64).reshape(size, SENSORS_PER_FACE)
    zeros = [0.0] * SENSORS_PER_FACE
    std = np.array([data.get("std_g_m2") or zeros for _, data in chunks], dtype=np.float64)
    return ChunkRows(
        coil=np.array([i for i, _ in chunks], dtype=np.int64),
        face=np.array([_FACE[data["face"]] for _, data in chunks], dtype=np.int64),
        position=np.array([data["position"] for _, data in chunks], dtype=np.float64),
        mean_g_m2=mean,
        std_g_m2=std.reshape(size, SENSORS_PER_FACE),
    )


def _sound_chunks(coils: Sequence[CoilEvents], faults: dict[int, tuple[str, str]]) -> list[tuple[int, dict[str, Any]]]:
    """The chunks that keep their contract; the others become faults of their coil."""
    sound = []
    for i, coil in enumerate(coils):
        for event in coil.events:
            fault = check_event(event) if event.type == "coil.chunk" else None
            if fault:
                faults.setdefault(i, fault)
            elif event.type == "coil.chunk":
                sound.append((i, event.data))
    return sound


def _header(coil: CoilEvents) -> CoilHeader | tuple[str, str]:
    started = [event for event in coil.events if event.type == "coil.started"]
    ended = [event for event in coil.events if event.type == "coil.ended"]
    if not started:
        return "there is no coil.started event, so no band", "send it, with zn_min_g_m2 and zn_max_g_m2"
    if any(event.data != started[0].data for event in started):
        return "two coil.started events disagree", "find out which order is right and send that one alone"
    for event in (started[0], *ended):
        fault = check_event(event)
        if fault:
            return fault
    data = started[0].data
    rows = [event.data.get("rows_per_face") or 0 for event in ended]
    return CoilHeader(
        key=coil.key,
        order=Order.model_validate({name: data.get(name) for name in _ORDER_FIELDS}),
        started_at=datetime.fromisoformat(data["started_at"]) if data.get("started_at") else None,
        rows_per_face=max(rows, default=0) or None,
        reasons=() if ended else (Reason.NOT_ENDED.of("no coil.ended event came"),),
        origin=coil.origin,
    )
