"""Defects injected into a coil, each with a kind, a place and a severity, by what causes them on the line."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from plant.orders import PlannedCoil
from plant.strip import ACROSS, LineState
from schemas.coils import FloatArray
from schemas.layout import FACES, SENSORS_PER_FACE

Where = Literal["top", "bottom", "both"]
DefectKind = Literal[
    "off_centre",  # strip towards one knife: this face thin, the other thick
    "wedge",  # strip tilted in the gap: one edge thin, crosswise on the faces
    "cross_bow",  # strip curved across: middle thin on this face, edges on the other
    "overpressure",  # knife blows too hard for the speed: its face thin, mostly both
    "underpressure",  # knife blows too softly: its face thick, mostly both
    "thin_stripe",  # a damaged lip leaves a thin stripe
    "thick_stripe",  # a clogged nozzle leaves a thick stripe
    "thin_edge",  # edge baffle out of place: one edge thin
    "bare_patch",  # strip not wetted: a short patch with little zinc
]
KINDS: tuple[DefectKind, ...] = get_args(DefectKind)
_ODDS: FloatArray = np.array([0.26, 0.06, 0.08, 0.28, 0.03, 0.08, 0.03, 0.08, 0.10])
_SETTLES_M = 10.0  # strip that passes while a knife or a roll moves: some four seconds
_BOW: FloatArray = 1.0 - 2.0 * ACROSS**2


@dataclass(frozen=True, kw_only=True, slots=True)
class Defect:
    """Ground truth of one injected defect: nothing outside its place is changed by it."""

    kind: DefectKind
    face: Where
    start_m: float
    end_m: float
    first_sensor: int  # 0..8 inclusive
    last_sensor: int
    severity: float  # largest relative change of coating mass, 0..1


def draw_defects(rng: np.random.Generator, plan: PlannedCoil) -> tuple[Defect, ...]:
    """One defect, now and then two, for a coil that is to have any."""
    return tuple(_draw(rng, plan) for _ in range(1 + int(rng.random() < 0.2)))


def _draw(rng: np.random.Generator, plan: PlannedCoil) -> Defect:
    kind = KINDS[int(rng.choice(len(KINDS), p=_ODDS))]
    longest_m = 0.9 * plan.length_m
    if kind == "bare_patch":
        span_m = float(rng.uniform(15.0, 80.0))
        severity = float(rng.uniform(0.25, 0.9))
    else:
        span_m = min(longest_m, 150.0 * float(rng.lognormal(0.0, 0.7)))
        severity = float(np.clip(0.20 * rng.lognormal(0.0, 0.4), 0.04, 0.7))
    span_m = max(span_m, 3.0 * plan.pitch_tiles / 100)  # seen by three rows at least
    # The commonest causes are at work from the start and end when somebody corrects them.
    start_m = 0.0 if rng.random() < 0.45 else float(rng.uniform(0.0, plan.length_m - span_m))
    face: Where = FACES[int(rng.integers(2))]
    first, last = 0, SENSORS_PER_FACE - 1
    if kind == "wedge" or (kind in ("overpressure", "underpressure") and rng.random() < 0.55):
        face = "both"
    elif kind in ("thin_stripe", "thick_stripe", "bare_patch"):
        first = int(rng.integers(SENSORS_PER_FACE))
        last = min(SENSORS_PER_FACE - 1, first + int(rng.integers(1, 4)))
    elif kind == "thin_edge":
        first, last = ((0, 2), (SENSORS_PER_FACE - 3, SENSORS_PER_FACE - 1))[int(rng.integers(2))]
    return Defect(
        kind=kind,
        face=face,
        start_m=round(start_m, 2),
        end_m=round(start_m + span_m, 2),
        first_sensor=first,
        last_sensor=last,
        severity=round(severity, 4),
    )


def _presence(defect: Defect, along_m: FloatArray) -> FloatArray:
    """How far a defect is developed at each row, [n], 0 outside its place and 1 inside its ramps."""
    ramp_m = min(0.12 * (defect.end_m - defect.start_m), _SETTLES_M)
    rise = 1.0 if defect.start_m == 0.0 else (along_m - defect.start_m) / ramp_m
    return np.asarray(np.clip(np.minimum(rise, (defect.end_m - along_m) / ramp_m), 0.0, 1.0))


def inject(state: LineState, defect: Defect) -> LineState:
    """The same passage with one defect in it."""
    presence = defect.severity * _presence(defect, state.along_m)
    if defect.kind in ("off_centre", "wedge", "cross_bow"):
        across = {"off_centre": np.ones_like(ACROSS), "wedge": ACROSS, "cross_bow": _BOW}[defect.kind]
        towards_top = -1.0 if defect.face == "top" else 1.0
        moved_mm = towards_top * (0.5 * state.gap_mm * presence)[:, None] * across
        return replace(state, off_centre_mm=state.off_centre_mm + moved_mm)
    if defect.kind in ("overpressure", "underpressure"):
        coating = 1.0 - presence if defect.kind == "overpressure" else 1.0 + presence
        pressure_kpa = state.pressure_kpa.copy()
        pressure_kpa[[defect.face in (face, "both") for face in FACES]] /= (coating**2)[:, None]
        return replace(state, pressure_kpa=pressure_kpa)
    sign = 1.0 if defect.kind == "thick_stripe" else -1.0
    lip = state.lip.copy()
    struck = lip[FACES.index(_one_face(defect)), :, defect.first_sensor : defect.last_sensor + 1]
    struck *= 1.0 + sign * presence[:, None]
    return replace(state, lip=lip)


def _one_face(defect: Defect) -> Literal["top", "bottom"]:
    if defect.face == "both":
        raise ValueError(f"a {defect.kind} is on one face, got both")
    return defect.face
