"""Build coils from their chunk events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, datetime
from itertools import chain
from typing import Any

import numpy as np

from processors.assemble import Assembled, assemble, gather
from processors.decode import ChunkEvent, parse_event
from processors.headers import unfit_text
from schemas.coils import NO_ORDER, ChunkRows, CoilBatch, CoilHeader, CoilKey, FloatArray, Order, Origin
from schemas.events import CoilChunk, CoilEnded, CoilStarted
from schemas.layout import FACES, SENSORS_PER_FACE
from schemas.verdicts import Reason

_FACE = {face: i for i, face in enumerate(FACES)}
_ORDER_FIELDS = set(Order.model_fields)
_BROKEN = (KeyError, TypeError, ValueError, OverflowError)
_NUMBERS = {int, float}
_ODD_CHUNK = ("a coil.chunk event holds readings that are no numbers", "send nine numbers in g/m²")


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilEvents:
    """The events of one coil in any order, and what was wrong with those that could not be decoded."""

    key: CoilKey
    origin: Origin
    events: tuple[ChunkEvent, ...]
    fault: tuple[str, str] | None = None
    silent_s: float | None = None  # it never ended: decided after so long without an event


def coils_from_events(coils: Sequence[CoilEvents]) -> Assembled:
    """Assemble coils from all of their events.

    Order and repeats change nothing. A coil without `coil.started`, with two that disagree, or with an event that
    breaks its contract is rejected; one without `coil.ended` is judged on what there is, and says so.
    """
    headers: list[CoilHeader] = []
    faults: dict[int, tuple[str, str]] = {}
    chunks: list[tuple[int, ChunkEvent]] = []
    for i, coil in enumerate(coils):
        header = coil.fault or _header(coil)
        if isinstance(header, CoilHeader):
            headers.append(header)
        else:
            faults[i] = header
            headers.append(CoilHeader(key=coil.key, order=NO_ORDER, origin=coil.origin))
        chunks += [(i, event) for event in coil.events if event.type == "coil.chunk"]
    try:
        rows = _rows(chunks)
    except _BROKEN:
        rows = _rows(_sound_chunks(chunks, faults))
    return assemble(rows, headers, faults)


def fragment(coil: CoilEvents) -> tuple[CoilBatch, Order | None] | None:
    """A silent coil that lacks its start or a face: what there is of it, and its order where that came.

    None where it is no fragment but wrong: an event breaks its contract, or two disagree.
    """
    started = any(event.type == "coil.started" for event in coil.events)
    header = coil.fault or (_header(coil) if started else _headless(coil))
    if not isinstance(header, CoilHeader):
        return None
    try:
        rows = _rows([(0, event) for event in coil.events if event.type == "coil.chunk"])
    except _BROKEN:
        return None
    batch = gather(rows, header)
    return None if batch is None else (batch, header.order if started else None)


def _headless(coil: CoilEvents) -> CoilHeader:
    reasons = (_not_ended(coil.silent_s), Reason.LITTLE_OBSERVED.of("no coil.started came, so no band is known"))
    return CoilHeader(key=coil.key, order=NO_ORDER, reasons=reasons, origin=coil.origin)


def _rows(events: Sequence[tuple[int, ChunkEvent]]) -> ChunkRows:
    """Columns of the chunks; raises one of _BROKEN where one breaks its contract."""
    chunks: list[tuple[int, dict[str, Any]]] = [(i, event.data) for i, event in events]
    size = len(chunks)
    means, places = [data["mean_g_m2"] for _, data in chunks], [data["position"] for _, data in chunks]
    spreads = [data.get("std_g_m2") for _, data in chunks]
    _refuse_other_than_numbers(means, [nine for nine in spreads if nine is not None], places)
    mean = np.array(means, dtype=np.float64).reshape(size, SENSORS_PER_FACE)
    std = _spreads(spreads, size)
    position = np.array(places, dtype=np.float64)
    if not np.isfinite(position).all():
        raise ValueError("a position is no number")
    return ChunkRows(
        coil=np.array([i for i, _ in chunks], dtype=np.int64),
        face=np.array([_FACE[data["face"]] for _, data in chunks], dtype=np.int64),
        position=position,
        mean_g_m2=mean,
        std_g_m2=std,
    )


def _spreads(spreads: Sequence[list[float] | None], size: int) -> FloatArray:
    """[size, 9]; zero where the line sends none, as most do."""
    std = np.zeros((size, SENSORS_PER_FACE))
    given = [i for i, nine in enumerate(spreads) if nine is not None]
    if given:
        std[given] = np.array([spreads[i] for i in given], dtype=np.float64).reshape(len(given), SENSORS_PER_FACE)
    return std


def _refuse_other_than_numbers(means: list[Any], spreads: list[Any], places: list[Any]) -> None:
    """NumPy would take true for 1 and "70" for 70; an absent reading is NaN, which its coil is told with its place."""
    types = set(map(type, chain.from_iterable(chain(means, spreads)))) - {type(None)} | set(map(type, places))
    if not types <= _NUMBERS:
        raise TypeError("a reading or a position is no number")


def _sound_chunks(
    chunks: Sequence[tuple[int, ChunkEvent]], faults: dict[int, tuple[str, str]]
) -> list[tuple[int, ChunkEvent]]:
    """The chunks that keep their contract; the others become faults of their coil."""
    sound = []
    for i, event in chunks:
        try:
            _rows([(i, event)])
        except _BROKEN:
            fault = parse_event(event, CoilChunk)
            faults.setdefault(i, fault if isinstance(fault, tuple) else _ODD_CHUNK)
        else:
            sound.append((i, event))
    return sound


def _header(coil: CoilEvents) -> CoilHeader | tuple[str, str]:
    started = [event for event in coil.events if event.type == "coil.started"]
    ended = [event for event in coil.events if event.type == "coil.ended"]
    if not started:
        return "there is no coil.started event, so no band", "send it, with zn_min_g_m2 and zn_max_g_m2"
    if any(event.data != started[0].data for event in started):
        return "two coil.started events disagree", "find out which order is right and send that one alone"
    absent = [name for name in ("zn_min_g_m2", "zn_max_g_m2") if started[0].data.get(name) is None]
    if absent:
        return f"the coil has no band: coil.started has no {' and no '.join(absent)}", "give both in g/m²"
    start = parse_event(started[0], CoilStarted)
    if isinstance(start, tuple):
        return start
    rows_per_face = 0
    for event in ended:
        end = parse_event(event, CoilEnded)
        if isinstance(end, tuple):
            return end
        rows_per_face = max(rows_per_face, end.rows_per_face or 0)
    order = Order.model_validate(start.model_dump(include=_ORDER_FIELDS))
    return unfit_text(coil.key, order) or CoilHeader(
        key=coil.key,
        order=order,
        started_at=_storable(start.started_at),
        rows_per_face=rows_per_face or None,
        reasons=() if ended else (_not_ended(coil.silent_s),),
        origin=coil.origin,
    )


def _storable(time: datetime | None) -> datetime | None:
    """None for what software writes where it knows no time (0001-01-01, 9999-12-31).

    A database gives it back in another zone, where its year may be 0 or 10000, which nothing here can read.
    """
    return time if time is not None and 1 < time.year < MAXYEAR else None


def _not_ended(silent_s: float | None) -> str:
    if silent_s is None:
        return Reason.NOT_ENDED.of("no coil.ended event came")
    return Reason.DEADLINE.of(f"no event for {silent_s:g} s and no coil.ended")
