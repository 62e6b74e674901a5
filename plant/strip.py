"""How strip, bath and knives move while one coil passes: everything that is no injected defect."""

from dataclasses import dataclass

import numpy as np

from plant.knife import BATH_C, pressure_for_kpa
from plant.orders import TILES_PER_M, PlannedCoil
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
    """A slow aperiodic path of about unit variance: three waves of 150 m to 2 km; shape [n]."""
    waves = 2 * np.pi / (150.0 * np.exp(rng.uniform(0.0, 2.6, 3)))
    return np.asarray(np.sin(along_m[:, None] * waves + rng.uniform(0.0, 2 * np.pi, 3)) @ rng.normal(0.0, 0.8, 3))


def _off_centre_mm(rng: np.random.Generator, plan: PlannedCoil, along_m: FloatArray, restless: float) -> FloatArray:
    """Path of the strip in the gap, [n, 9]: plateaus between corrections, wander, vibration, cross-bow, wedge."""
    slack = np.sqrt(25.0 / plan.tension_mpa)  # a slack strip bows and flutters more
    thin = (3.0 / plan.thickness_mm) ** 0.5
    scale = restless * slack
    middle = 0.25 * rng.standard_normal() + 0.45 * steps(
        rng, along_m, count=int(rng.poisson(1.8)), ramp_m=float(rng.uniform(3.0, 60.0))
    )
    middle = middle + 0.22 * rng.lognormal(0.0, 0.5) * wander(rng, along_m)
    flutter = 0.04 * rng.lognormal(0.0, 0.8) * np.sin(2 * np.pi * along_m / rng.uniform(7.0, 60.0) + rng.uniform(0, 6))
    bow = 0.35 * thin * rng.standard_normal() * (1.0 + 0.4 * wander(rng, along_m))
    wedge = 0.25 * rng.standard_normal() * (1.0 + 0.4 * wander(rng, along_m))
    return np.asarray(scale * ((middle + flutter)[:, None] + bow[:, None] * _BOW + wedge[:, None] * ACROSS))


def _lip(rng: np.random.Generator, rows: int, along_m: FloatArray, restless: float) -> FloatArray:
    """Profile that the nozzle lips leave on each face, [2, n, 9]: bends, stripes, edges, and slow fouling."""
    stripes = 0.005 * rng.lognormal(0.0, 0.6, (2, 1)) * rng.standard_normal((2, SENSORS_PER_FACE))
    stripes += 0.018 * rng.standard_normal((2, 3)) @ _BENDS
    # Zinc gathers at an edge of the strip on both faces, more or less as the baffle stands.
    edges = 0.018 * rng.standard_normal((2, 2)) + np.maximum(0.02 * rng.standard_normal(2), 0.0)
    profile = stripes + _EDGE * np.where(ACROSS < 0, edges[:, :1], edges[:, 1:])
    fouling = 0.008 * rng.standard_normal((2, SENSORS_PER_FACE))
    path = wander(rng, along_m)
    return np.asarray(1.0 + restless * (profile[:, None, :] + fouling[:, None, :] * path[:, None])).reshape(2, rows, -1)


def _trim(rng: np.random.Generator, along_m: FloatArray) -> FloatArray:
    """How far operators and control trim each knife off its set-point, relative, [2, n]: a level and corrections."""
    level = 0.025 * rng.standard_normal((2, 1))
    path = [steps(rng, along_m, count=int(rng.poisson(1.2)), ramp_m=float(rng.uniform(3.0, 80.0))) for _ in range(2)]
    return np.clip(level + 0.05 * np.stack(path), -0.4, 1.0)


def _head(rng: np.random.Generator, plan: PlannedCoil, along_m: FloatArray) -> FloatArray:
    """Share of the previous coil's set-up still in force, [n, 9], 1 at the weld to 0; the beam may turn in askew."""
    end_m = min(30.0 * rng.lognormal(0.0, 0.75), 0.35 * plan.length_m)
    askew_m = 0.10 * end_m * rng.standard_normal() * ACROSS
    ramp_m = rng.uniform(0.05, 0.6) * end_m
    return np.asarray(np.clip((end_m + askew_m - along_m[:, None]) / ramp_m, 0.0, 1.0))


def run_strip(rng: np.random.Generator, plan: PlannedCoil, previous: PlannedCoil, *, restlessness: float) -> LineState:
    """Draw one coil's passage through the line.

    The first metres carry the previous order's set-points while the knives move; pressure follows the mean of both
    faces with the transport delay of the gauge behind it, so a change of speed shows on both faces until it is met.
    """
    along_m = (plan.first_tile + plan.pitch_tiles * np.arange(plan.rows)) / TILES_PER_M
    # Heavy coatings are wiped by a soft jet, which pushes the strip about less.
    softness = (100.0 / plan.target_g_m2) ** 0.55
    restless = 0.45 * restlessness * softness * float(rng.lognormal(0.0, 0.4))
    distance_mm = float(rng.uniform(10.0, 12.0))

    changes = int(rng.poisson(0.7))
    at_m = rng.uniform(0.0, 1.0, changes) * along_m[-1]
    jumps = restless * 0.10 * rng.standard_normal(changes)
    delay_m, lag_m = rng.uniform(20.0, 120.0), rng.uniform(5.0, 80.0)
    since_m = along_m[:, None] - at_m
    speed = np.clip(1.0 + np.clip(since_m / 15.0, 0.0, 1.0) @ jumps, 0.4, 2.5)
    met = np.clip(1.0 + (1.0 - np.exp(-np.maximum(since_m - delay_m, 0.0) / lag_m)) @ jumps, 0.4, 2.5)

    bath_c = BATH_C + restless * (1.5 * rng.standard_normal() + 1.2 * wander(rng, along_m))
    mismatch = restless * 0.035 * rng.standard_normal()  # of gauge and set-point: a level error of the whole coil
    head = _head(rng, plan, along_m)
    reopened = restless * 0.12 * rng.standard_normal()  # knives step back from the weld, or close late
    aim_g_m2 = plan.target_g_m2 * (1.0 + mismatch) * (1.0 - head) + previous.target_g_m2 * (1.0 + reopened) * head
    aims_g_m2 = aim_g_m2 * (1.0 + restless * _trim(rng, along_m))[:, :, None]
    pressure_kpa = pressure_for_kpa(aims_g_m2, distance_mm, plan.speed_m_s) * met[:, None]

    off_centre_mm = _off_centre_mm(rng, plan, along_m, restless)
    # The stabiliser lets go of the strip while the weld passes, and takes hold again at the tail of its head.
    off_centre_mm += restless * head * (1.1 * rng.standard_normal() + 0.5 * rng.standard_normal() * ACROSS)
    tail = np.clip((along_m - plan.length_m + rng.uniform(5.0, 60.0)) / 40.0, 0.0, 1.0)
    off_centre_mm += (restless * 0.5 * rng.standard_normal() * tail)[:, None]

    return LineState(
        along_m=along_m,
        bath_c=bath_c,
        speed_m_s=plan.speed_m_s * speed,
        pressure_kpa=pressure_kpa,
        off_centre_mm=off_centre_mm,
        gap_mm=2.0 * distance_mm * (1.0 + restless * 0.01 * wander(rng, along_m)),
        lip=_lip(rng, plan.rows, along_m, restless),
    )
