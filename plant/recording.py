"""From readings to records: which rows the plant's tables hold, which twice, and which are damaged."""

from dataclasses import dataclass

import numpy as np

from plant.gauge import FaultKind, GaugeFault, Readings
from plant.settings import GaugeSettings
from schemas.coils import FloatArray, IntArray
from schemas.layout import SENSORS_PER_FACE


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """R recorded rows of one coil in the order they were written: `row`, `face` [R], readings [R, 9], `count` [R].

    A reading that was never written is NaN.
    """

    row: IntArray
    face: IntArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    count: IntArray
    faults: tuple[GaugeFault, ...]


def record(rng: np.random.Generator, readings: Readings, gauge: GaugeSettings) -> Records:
    """Write a coil's readings down, row by row and top before bottom, with what is lost or doubled on the way."""
    rows = readings.mean.shape[1]
    missing, repeated, damaged = rng.random(3) < (gauge.missing_share, gauge.repeated_share, gauge.damaged_share)
    index = np.arange(2 * rows)  # row * 2 + face
    faults = list(readings.faults)
    if missing:
        fault = _run(rng, rows, kind="rows_missing")
        faces = (0, 1) if rng.random() < 0.5 else (fault.face,)
        faults += [_on_face(fault, face) for face in faces]
        lost = np.concatenate([np.arange(fault.first_row, fault.last_row + 1) * 2 + face for face in faces])
        index = np.setdiff1d(index, lost)
    conflict = damaged and rng.random() < 0.5
    again: IntArray = np.empty(0, dtype=np.int64)
    if repeated:
        fault = _run(rng, rows, kind="rows_repeated")
        faults.append(fault)
        again = np.arange(fault.first_row, fault.last_row + 1) * 2 + fault.face
    if conflict:
        at = int(rng.choice(index))
        again = np.append(again, at)
        faults.append(GaugeFault(kind="conflict", face=at % 2, first_row=at // 2, last_row=at // 2))
    again = again[np.isin(again, index)]
    late = int(rng.integers(0, 8))  # rows between a record and its repeat
    written = np.argsort(np.concatenate([index, again + 2 * late + 0.5]), kind="stable")
    index = np.concatenate([index, again])[written]
    row, face = index // 2, index % 2
    mean, low, high = readings.mean[face, row], readings.low[face, row], readings.high[face, row]
    if conflict:
        differing = int(np.flatnonzero(written == written.size - 1)[0])
        mean[differing] = np.round(mean[differing] * 1.1 + 1.0, 2)
        high[differing] = np.maximum(high[differing], mean[differing])
    elif damaged:
        at, first = int(rng.integers(row.size)), int(rng.integers(1, SENSORS_PER_FACE - 1))
        mean[at, first:] = low[at, first:] = high[at, first:] = np.nan
        place = {"first_row": int(row[at]), "last_row": int(row[at]), "first_sensor": first}
        faults.append(GaugeFault(kind="row_partial", face=int(face[at]), **place))
    return Records(
        row=row, face=face, mean=mean, low=low, high=high, count=readings.count[face, row], faults=tuple(faults)
    )


def _run(rng: np.random.Generator, rows: int, *, kind: FaultKind) -> GaugeFault:
    """A run of one to four rows; its ends are never the coil's, whose loss no gap would show."""
    length = int(rng.integers(1, 5))
    start = int(rng.integers(1, rows - length - 1))
    face = int(rng.integers(2))
    return GaugeFault(kind=kind, face=face, first_row=start, last_row=start + length - 1)


def _on_face(fault: GaugeFault, face: int) -> GaugeFault:
    return GaugeFault(kind=fault.kind, face=face, first_row=fault.first_row, last_row=fault.last_row)
