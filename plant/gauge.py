"""The gauge: readings of the true coating, with noise, calibrations, stuck, offset, dead and noisy sensors."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from plant.settings import GaugeSettings
from schemas.coils import FloatArray, IntArray
from schemas.layout import SENSORS_PER_FACE

FaultKind = Literal[
    "calibration",
    "gauge_stuck",
    "gauge_offset",
    "gauge_dead",
    "gauge_noisy",
    "rows_missing",
    "rows_repeated",
    "row_partial",
    "conflict",
]
_CALIBRATED_SENSORS = (1, 1, 1, 1, 1, 2, 2, 3, 9, 9)  # at once, as often as they stand here


@dataclass(frozen=True, kw_only=True, slots=True)
class GaugeFault:
    """Ground truth of what the gauge or the recording did: rows and sensors are inclusive, the face 0 or 1."""

    kind: FaultKind
    face: int
    first_row: int
    last_row: int
    first_sensor: int = 0
    last_sensor: int = SENSORS_PER_FACE - 1
    amount: float = 0.0  # relative: of an offset, or the standard deviation that a noisy sensor adds


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """What the gauge reports of one coil in g/m²: `mean`, `low`, `high` [2, n, 9], `count` [2, n]."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    count: IntArray
    faults: tuple[GaugeFault, ...]


def measure(
    rng: np.random.Generator, coating_g_m2: FloatArray, gauge: GaugeSettings, *, sensor: np.random.Generator
) -> Readings:
    """Measure a coil whose true coating is [2, n, 9] in g/m².

    Args:
        rng: of the gauge.
        coating_g_m2: true coating.
        gauge: how well it measures.
        sensor: of sensors that die or grow noisy; its own, so that their shares leave other draws as they are.
    """
    shape = coating_g_m2.shape
    noise = gauge.noise_share * float(rng.lognormal(0.0, 0.7))
    bias = 0.4 * noise * rng.standard_normal((2, 1, SENSORS_PER_FACE))
    mean = gauge.reads_share * coating_g_m2 * (1.0 + bias + noise * rng.standard_normal(shape))
    faults = [*_calibrate(rng, mean, gauge), *_misread(rng, mean, gauge), *_fail(sensor, mean, gauge)]
    np.maximum(mean, 0.0, out=mean)
    spread = mean * (0.01 + 3.0 * noise) * (0.3 + rng.random((2, *shape)))
    return Readings(
        mean=_in_steps(mean, gauge),
        low=_in_steps(np.maximum(mean - spread[0], 0.0), gauge),
        high=_in_steps(mean + spread[1], gauge),
        count=rng.integers(24, 49, shape[:2]),
        faults=tuple(faults),
    )


def _in_steps(values: FloatArray, gauge: GaugeSettings) -> FloatArray:
    return np.asarray(np.round(np.round(values / gauge.step_g_m2) * gauge.step_g_m2, 3))


def _calibrate(rng: np.random.Generator, mean: FloatArray, gauge: GaugeSettings) -> list[GaugeFault]:
    """Let sensors calibrate in mid-coil: a short run that reads near zero, its first and last tile only in part."""
    faults: list[GaugeFault] = []
    rows = mean.shape[1]
    for face in range(2):
        if rng.random() >= gauge.calibrations_per_face:
            continue
        sensors = _CALIBRATED_SENSORS[int(rng.integers(len(_CALIBRATED_SENSORS)))]
        first = int(rng.integers(SENSORS_PER_FACE - sensors + 1))
        run = int(rng.integers(1, min(6, rows - 2)))
        start = int(rng.integers(1, rows - run))
        place = mean[face, start : start + run, first : first + sensors]
        zero = rng.uniform(0.0, 4.0, place.shape)
        if run > 2:
            zero[0] = np.maximum(zero[0], place[0] * rng.uniform(0.05, 0.6))
            zero[-1] = np.maximum(zero[-1], place[-1] * rng.uniform(0.05, 0.6))
        place[:] = zero
        faults.append(
            GaugeFault(
                kind="calibration",
                face=face,
                first_row=start,
                last_row=start + run - 1,
                first_sensor=first,
                last_sensor=first + sensors - 1,
            )
        )
    return faults


def _misread(rng: np.random.Generator, mean: FloatArray, gauge: GaugeSettings) -> list[GaugeFault]:
    """Let one sensor stick or read off."""
    rows = mean.shape[1]
    stuck, offset = rng.random(2) < (gauge.stuck_share, gauge.offset_share)
    face, sensor = int(rng.integers(2)), int(rng.integers(SENSORS_PER_FACE))
    faults: list[GaugeFault] = []
    if offset:
        amount = float(rng.uniform(0.06, 0.2) * rng.choice((-1.0, 1.0)))
        mean[face, :, sensor] *= 1.0 + amount
        faults.append(_fault("gauge_offset", face, 0, rows - 1, sensor, amount))
    if stuck:
        row = int(rng.integers(0, rows // 2))
        mean[face, row:, sensor] = mean[face, row, sensor]
        faults.append(_fault("gauge_stuck", face, row, rows - 1, sensor, 0.0))
    return faults


def _fail(rng: np.random.Generator, mean: FloatArray, gauge: GaugeSettings) -> list[GaugeFault]:
    """Let one sensor grow noisy or die, from a row in the first half of the coil on."""
    rows = mean.shape[1]
    dead, noisy = rng.random(2) < (gauge.dead_share, gauge.noisy_share)
    face, sensor, row = int(rng.integers(2)), int(rng.integers(SENSORS_PER_FACE)), int(rng.integers(rows // 2))
    reading = mean[face, row:, sensor]
    faults: list[GaugeFault] = []
    if noisy:
        amount = gauge.noise_share * float(rng.uniform(4.0, 20.0))
        reading *= 1.0 + amount * rng.standard_normal(rows - row)
        faults.append(_fault("gauge_noisy", face, row, rows - 1, sensor, amount))
    if dead:
        flickers = rng.random() < 0.5
        reading[:] = rng.uniform(0.0, 3.0, rows - row) if flickers else rng.uniform(0.0, 3.0)
        faults.append(_fault("gauge_dead", face, row, rows - 1, sensor, 0.0))
    return faults


def _fault(kind: FaultKind, face: int, first_row: int, last_row: int, sensor: int, amount: float) -> GaugeFault:
    return GaugeFault(
        kind=kind,
        face=face,
        first_row=first_row,
        last_row=last_row,
        first_sensor=sensor,
        last_sensor=sensor,
        amount=amount,
    )
