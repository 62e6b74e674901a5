"""How strip, bath and knives move while one coil passes: everything that is no injected defect."""

from dataclasses import dataclass

import numpy as np

from plant.knife import BATH_C, pressure_for_kpa
from plant.orders import TILES_PER_M, PlannedCoil
from plant.settings import DISTURBANCES, DisturbanceSettings
from schemas.coils import FloatArray
from schemas.layout import SENSORS_PER_FACE

ACROSS: FloatArray = np.linspace(-1.0, 1.0, SENSORS_PER_FACE)  # sensor places across the strip, edge to edge
_BOW: FloatArray = ACROSS**2 - float((ACROSS**2).mean())
_BENDS: FloatArray = np.stack([ACROSS, 1.5 * _BOW, np.sin(np.pi * ACROSS)])  # smooth profiles of a lip
_EDGE: FloatArray = np.exp(-(1.0 - np.abs(ACROSS)) / 0.13)


@dataclass(frozen=True, kw_only=True, slots=True)
class LineState:
    """State of the line at each of n rows of a coil; faces 0 top, 1 bottom.

    `along_m`, `bath_c`, `speed_m_s` [n]; `pressure_kpa` [2, n, 9] of the knife at each face; `off_centre_mm` [n, 9]
    of the strip towards the bottom knife; `gap_mm` [n] knife to knife; `lip` [2, n, 9] what a face's nozzle lip
    leaves, 1 is nominal.
    """

    along_m: FloatArray
    bath_c: FloatArray
    speed_m_s: FloatArray
    pressure_kpa: FloatArray
    off_centre_mm: FloatArray
    gap_mm: FloatArray
    lip: FloatArray


def steps(rng: np.random.Generator, along_m: FloatArray, *, count: int, ramp_m: float) -> FloatArray:
    """A path of `count` standard normal corrections at random places, each reached within `ramp_m`; shape [n]."""
    if not count:
        return np.zeros_like(along_m)
    places = rng.uniform(0.05, 0.95, count) * along_m[-1]
    heights = rng.standard_normal(count)
    return np.asarray(np.clip((along_m[:, None] - places) / ramp_m, 0.0, 1.0) @ heights)


def wander(rng: np.random.Generator, along_m: FloatArray) -> FloatArray:
    """A slow aperiodic path of about unit variance: three waves of 220 m to 2.4 km; shape [n]."""
    waves = 2 * np.pi / (220.0 * np.exp(rng.uniform(0.0, 2.4, 3)))
    return np.asarray(np.sin(along_m[:, None] * waves + rng.uniform(0.0, 2 * np.pi, 3)) @ rng.normal(0.0, 0.8, 3))


def _buckles_mm(rng: np.random.Generator, along_m: FloatArray, strays: DisturbanceSettings) -> FloatArray:
    """Places where the strip is not flat, [n, 9]: each some sensors wide, towards one knife and from the other."""
    field_mm = np.zeros((along_m.size, SENSORS_PER_FACE))
    for _ in range(int(rng.poisson(strays.buckles))):
        place_m, middle = rng.uniform(0.0, along_m[-1]), rng.uniform(-1.0, 1.0)
        half_m, half_width = rng.uniform(8.0, 80.0), rng.uniform(0.2, 0.9)
        along = np.clip(1.5 - np.abs(along_m - place_m) / half_m, 0.0, 1.0)
        across = np.exp(-0.5 * ((ACROSS - middle) / half_width) ** 2)
        field_mm += strays.buckle_mm * rng.standard_normal() * along[:, None] * across
    return field_mm


def _off_centre_mm(
    rng: np.random.Generator, plan: PlannedCoil, along_m: FloatArray, restless: float, strays: DisturbanceSettings
) -> FloatArray:
    """Path of the strip in the gap, [n, 9]: plateaus between corrections, wander, vibration and its shape across."""
    slack = np.sqrt(25.0 / plan.tension_mpa)  # a slack strip bows and flutters more
    thin = (3.0 / plan.thickness_mm) ** 0.5
    middle_mm = strays.off_centre_mm * rng.standard_normal() + strays.off_centre_step_mm * steps(
        rng, along_m, count=int(rng.poisson(strays.off_centre_steps)), ramp_m=float(rng.uniform(3.0, 60.0))
    )
    middle_mm = middle_mm + strays.off_centre_wander_mm * rng.lognormal(0.0, 0.5) * wander(rng, along_m)
    waves = np.sin(2 * np.pi * along_m / rng.uniform(7.0, 60.0) + rng.uniform(0, 6))
    flutter_mm = strays.flutter_mm * rng.lognormal(0.0, 0.8) * waves
    bow_mm = strays.bow_mm * thin * rng.standard_normal() * (1.0 + 0.4 * wander(rng, along_m))
    wedge_mm = strays.wedge_mm * rng.standard_normal() * (1.0 + 0.4 * wander(rng, along_m))
    across_mm = bow_mm[:, None] * _BOW + wedge_mm[:, None] * ACROSS + thin * _buckles_mm(rng, along_m, strays)
    return np.asarray(restless * slack * ((middle_mm + flutter_mm)[:, None] + across_mm))


def _lip(
    rng: np.random.Generator, rows: int, along_m: FloatArray, restless: float, strays: DisturbanceSettings
) -> FloatArray:
    """Profile that the nozzle lips leave on each face, [2, n, 9]: bends, stripes, edges, and slow fouling."""
    stripes = strays.stripe_share * rng.lognormal(0.0, 0.6, (2, 1)) * rng.standard_normal((2, SENSORS_PER_FACE))
    stripes += strays.lip_bend_share * rng.standard_normal((2, 3)) @ _BENDS
    # Zinc gathers at an edge of the strip on both faces, more or less as the baffle stands.
    edges = strays.edge_share * (rng.standard_normal((2, 2)) + np.maximum(1.1 * rng.standard_normal(2), 0.0))
    profile = stripes + _EDGE * np.where(ACROSS < 0, edges[:, :1], edges[:, 1:])
    fouling = strays.fouling_share * rng.standard_normal((2, SENSORS_PER_FACE))
    path = wander(rng, along_m)
    left = 1.0 + restless * (profile[:, None, :] + fouling[:, None, :] * path[:, None])
    return np.asarray(np.maximum(left, 0.2)).reshape(2, rows, -1)


def _trim(rng: np.random.Generator, along_m: FloatArray, restless: float, strays: DisturbanceSettings) -> FloatArray:
    """How far operators and control trim each knife off its set-point, relative, [2, n]: a level and corrections."""
    level = strays.trim_share * rng.standard_normal((2, 1))
    path = [
        steps(rng, along_m, count=int(rng.poisson(strays.trim_steps)), ramp_m=float(rng.uniform(3.0, 80.0)))
        for _ in range(2)
    ]
    return np.clip(restless * (level + strays.trim_step_share * np.stack(path)), -0.6, 1.5)


def _head(rng: np.random.Generator, plan: PlannedCoil, along_m: FloatArray, strays: DisturbanceSettings) -> FloatArray:
    """Share of the previous coil's set-up still in force, [n, 9], 1 at the weld to 0; the beam may turn in askew."""
    end_m = min(strays.head_m * rng.lognormal(0.0, strays.head_spread), 0.35 * plan.length_m)
    askew_m = 0.10 * end_m * rng.standard_normal() * ACROSS
    ramp_m = rng.uniform(*strays.head_ramp) * end_m
    return np.asarray(np.clip((end_m + askew_m - along_m[:, None]) / ramp_m, 0.0, 1.0))


def run_strip(
    rng: np.random.Generator,
    plan: PlannedCoil,
    previous: PlannedCoil,
    *,
    restlessness: float,
    disturbances: DisturbanceSettings = DISTURBANCES,
) -> LineState:
    """Draw one coil's passage through the line.

    The first metres carry the previous order's set-points while the knives move; pressure follows the mean of both
    faces with the transport delay of the gauge behind it, so a change of speed shows on both faces until it is met.
    """
    strays = disturbances
    along_m = (plan.first_tile + plan.pitch_tiles * np.arange(plan.rows)) / TILES_PER_M
    # Heavy coatings are wiped by a soft jet, which pushes the strip about less.
    softness = (100.0 / plan.target_g_m2) ** 0.55
    restless = restlessness * softness * float(rng.lognormal(0.0, strays.coil_spread))
    distance_mm = float(rng.uniform(10.0, 12.0))

    changes = int(rng.poisson(strays.speed_steps))
    at_m = rng.uniform(0.0, 1.0, changes) * along_m[-1]
    jumps = restless * strays.speed_step_share * rng.standard_normal(changes)
    delay_m, lag_m = rng.uniform(20.0, 120.0), rng.uniform(5.0, 80.0)
    since_m = along_m[:, None] - at_m
    speed = np.clip(1.0 + np.clip(since_m / 15.0, 0.0, 1.0) @ jumps, 0.4, 2.5)
    met = np.clip(1.0 + (1.0 - np.exp(-np.maximum(since_m - delay_m, 0.0) / lag_m)) @ jumps, 0.4, 2.5)

    bath_c = BATH_C + restless * strays.bath_c * (rng.standard_normal() + 0.8 * wander(rng, along_m))
    mismatch = restless * strays.mismatch_share * rng.standard_normal()
    head = _head(rng, plan, along_m, strays)
    reopened = restless * strays.head_reopened_share * rng.standard_normal()
    aim_g_m2 = plan.target_g_m2 * (1.0 + mismatch) * (1.0 - head) + previous.target_g_m2 * (1.0 + reopened) * head
    aims_g_m2 = aim_g_m2 * (1.0 + _trim(rng, along_m, restless, strays))[:, :, None]
    pressure_kpa = pressure_for_kpa(aims_g_m2, distance_mm, plan.speed_m_s) * met[:, None]

    off_centre_mm = _off_centre_mm(rng, plan, along_m, restless, strays)
    # The stabiliser takes hold of the strip again at the tail of its head.
    askew = rng.standard_normal() + 0.45 * rng.standard_normal() * ACROSS
    off_centre_mm += restless * strays.weld_off_centre_mm * head * askew
    tail = np.clip((along_m - plan.length_m + rng.uniform(5.0, 60.0)) / 40.0, 0.0, 1.0)
    off_centre_mm += (restless * strays.tail_off_centre_mm * rng.standard_normal() * tail)[:, None]

    return LineState(
        along_m=along_m,
        bath_c=bath_c,
        speed_m_s=plan.speed_m_s * speed,
        pressure_kpa=pressure_kpa,
        off_centre_mm=off_centre_mm,
        gap_mm=2.0 * distance_mm * (1.0 + restless * 0.0045 * wander(rng, along_m)),
        lip=_lip(rng, plan.rows, along_m, restless, strays),
    )
