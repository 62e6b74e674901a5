"""The simulated line: orders in, coils with readings and ground truth out, alike for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from plant.defects import Defect, draw_defects, inject
from plant.expert import Judgement, judge
from plant.gauge import GaugeFault, measure
from plant.knife import coating_mass_g_m2, wiping_constant
from plant.orders import TILES_PER_M, PlannedCoil, plan
from plant.recording import Records, record
from plant.settings import PRODUCTION, LineSettings
from plant.streams import Purpose, stream
from plant.strip import LineState, run_strip
from schemas.coils import ChunkRows, CoilHeader, CoilKey, FloatArray, IntArray

BLOCK_COILS = 64
_COILS_PER_SEED = 1_000_000
_PAUSE_S = 40.0  # between the last row of a coil and the first of the next


@dataclass(frozen=True, kw_only=True, slots=True)
class CoilTruth:
    """What really happened to a coil; nothing of it reaches the readings but by the gauge."""

    defects: tuple[Defect, ...]
    faults: tuple[GaugeFault, ...]  # of gauge and recording
    judgement: Judgement  # the expert's, as in the header's label
    pitch_tiles: int  # TILEID from one row to the next
    first_tile: int

    def row_m(self, row: int) -> float:
        """Metres from the coil's head to a row."""
        return (self.first_tile + self.pitch_tiles * row) / TILES_PER_M


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedBlock:
    """Up to 64 coils in the order they ran, as the plant recorded them.

    `rows` are in the order of recording, `position` is TILEID of the row's first tile (centimetres), a reading that
    was never written is NaN (only where `GaugeSettings.damaged_share` is set); `low_g_m2`, `high_g_m2` [R, 9] are the
    tiles' MIN and MAX, `count` [R] the samples of a tile, `measured_s` [R] seconds since the coil's start.
    """

    source: str  # of its events: "/plants/<plant>/lines/<line>"
    headers: tuple[CoilHeader, ...]
    ended_at: tuple[datetime, ...]
    rows: ChunkRows
    low_g_m2: FloatArray
    high_g_m2: FloatArray
    count: IntArray
    measured_s: FloatArray
    truth: tuple[CoilTruth, ...]

    def __len__(self) -> int:
        return len(self.headers)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Coil:
    plan: PlannedCoil
    records: Records
    truth: CoilTruth
    row_s: FloatArray  # [n] seconds from the coil's start to each row


def coating_g_m2(state: LineState) -> FloatArray:
    """True coating of both faces, float64 [2, n, 9] in g/m²: what one face gains in distance the other loses."""
    half_mm = 0.5 * state.gap_mm[:, None]
    reach_mm = 0.92 * half_mm  # the strip cannot pass through a knife
    off_mm = np.clip(state.off_centre_mm, -reach_mm, reach_mm)
    distance_mm = np.stack([half_mm + off_mm, half_mm - off_mm])
    constant = wiping_constant(state.bath_c)[:, None]
    return coating_mass_g_m2(constant, distance_mm, state.speed_m_s[:, None], state.pressure_kpa) * state.lip


def _run_coil(seed: int, number: int, planned: PlannedCoil, previous: PlannedCoil, line: LineSettings) -> _Coil:
    state = run_strip(
        stream(seed, number, Purpose.STRIP),
        planned,
        previous,
        restlessness=line.restlessness,
        disturbances=line.disturbances,
    )
    rng = stream(seed, number, Purpose.DEFECT)
    defects = draw_defects(rng, planned) if rng.random() < line.defect_share else ()
    for defect in defects:
        state = inject(state, defect)
    coating = coating_g_m2(state) * (1.0 + line.drift_per_1000_coils * number / 1000.0)
    readings = measure(
        stream(seed, number, Purpose.GAUGE), coating, line.gauge, sensor=stream(seed, number, Purpose.SENSOR)
    )
    records = record(stream(seed, number, Purpose.RECORD), readings, line.gauge)
    judgement = judge(stream(seed, number, Purpose.EXPERT), coating, state.along_m, planned, line.expert)
    truth = CoilTruth(
        defects=defects,
        faults=records.faults,
        judgement=judgement,
        pitch_tiles=planned.pitch_tiles,
        first_tile=planned.first_tile,
    )
    step_s = planned.pitch_tiles / TILES_PER_M / state.speed_m_s
    return _Coil(plan=planned, records=records, truth=truth, row_s=np.cumsum(step_s))


def simulate(coils: int, *, seed: int, line: LineSettings = PRODUCTION) -> Iterator[SimulatedBlock]:
    """Run a line for `coils` coils and yield them in blocks of up to 64, in memory that does not grow.

    Coil `i` depends on the seed, on `i` and on the order before it (start times, on all before): a longer run begins
    with a shorter one. Seeds below 700 give coil ids that never collide; plant and settings come from `line`.

    Args:
        coils: How many, up to a million.
        seed: Not negative.
        line: How the line, its gauge and its expert behave.
    """
    if not 0 <= coils <= _COILS_PER_SEED or seed < 0:
        raise ValueError(f"expected 0..{_COILS_PER_SEED} coils and a seed from 0, got {coils} coils, seed {seed}")
    # Coil 0 follows an order of its own band: what ran before the simulation is not known.
    orders = (plan(seed, max(number, 0)) for number in range(-1, coils))
    started_at = line.started_at
    block: list[_Coil] = []
    starts: list[datetime] = []
    for number, (previous, planned) in enumerate(pairwise(orders)):
        coil = _run_coil(seed, number, planned, previous, line)
        block.append(coil)
        starts.append(started_at)
        # Whole seconds, as the plant's clock has them.
        started_at += timedelta(seconds=int(coil.row_s[-1] + _PAUSE_S))
        if len(block) == BLOCK_COILS or number == coils - 1:
            yield _pack(block, starts, first_id=_first_id(seed) + number + 1 - len(block), line=line)
            block, starts = [], []


def _first_id(seed: int) -> int:
    return 226_000_000 + (seed % 700) * _COILS_PER_SEED


def _pack(block: list[_Coil], starts: list[datetime], *, first_id: int, line: LineSettings) -> SimulatedBlock:
    headers = tuple(
        CoilHeader(
            key=CoilKey(plant=line.plant, coil_id=str(first_id + index)),
            order=coil.plan.order,
            started_at=started_at,
            label=coil.truth.judgement.label,
            rows_per_face=coil.plan.rows,
        )
        for index, (coil, started_at) in enumerate(zip(block, starts, strict=True))
    )
    records = [coil.records for coil in block]
    mean = np.concatenate([each.mean for each in records])
    position = np.concatenate([coil.plan.first_tile + coil.plan.pitch_tiles * coil.records.row for coil in block])
    rows = ChunkRows(
        coil=np.repeat(np.arange(len(block)), [each.row.size for each in records]),
        face=np.concatenate([each.face for each in records]),
        position=position.astype(np.float64),
        mean_g_m2=mean,
        std_g_m2=np.zeros_like(mean),
    )
    return SimulatedBlock(
        source=f"/plants/{line.plant}/lines/{line.line}",
        headers=headers,
        ended_at=tuple(
            start + timedelta(seconds=int(coil.row_s[-1]) + 1) for coil, start in zip(block, starts, strict=True)
        ),
        rows=rows,
        low_g_m2=np.concatenate([each.low for each in records]),
        high_g_m2=np.concatenate([each.high for each in records]),
        count=np.concatenate([each.count for each in records]),
        measured_s=np.concatenate([coil.row_s[coil.records.row] for coil in block]),
        truth=tuple(coil.truth for coil in block),
    )
