"""Simulated coils whose defect's place is known, and whether an explanation points at it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from models.ensemble import Ensemble
from models.explain import GROUP_SENSORS, WINDOW_ROWS, Explanation
from models.scales import to_self_scale
from plant.defects import Defect
from plant.line import CoilTruth, SimulatedBlock, simulate
from plant.settings import LineSettings
from processors.assemble import assemble
from processors.normalize import normalize
from schemas.coils import BoolArray, FloatArray
from schemas.layout import FACES, MATRIX_ROWS
from schemas.matrices import Scale, keys_of, matrix_batch, tensor_values

TOLERANCE_ROWS = WINDOW_ROWS / 2  # of 264: half a window, 2% of the length
_OF_THE_GAP = ("off_centre", "wedge", "cross_bow")  # what one face gains the other loses: both are struck


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownCoil:
    """A coil that the expert and the ensemble call NOK, with at least one defect."""

    batch: pa.RecordBatch  # one row
    defects: tuple[Defect, ...]
    pointed: BoolArray  # [2, 24, 3] cells of an explanation that lie on a defect
    by_defect: bool  # without its defects the expert would have called it OK
    by_defect_alone: bool  # nor would the ensemble have called it NOK


def known_coils(
    ensemble: Ensemble, line: LineSettings, *, coils: int, seed: int, scale: Scale = "limits"
) -> Iterator[KnownCoil]:
    """Coils of a line that are NOK for expert and ensemble and have a defect.

    Args:
        ensemble: whose verdicts count.
        line: as it runs.
        coils: to simulate, of which some are such.
        seed: of the line.
        scale: `self` takes away what only the readings tell.
    """
    without = simulate(coils, seed=seed, line=replace(line, defect_share=0.0))
    for block, faultless in zip(simulate(coils, seed=seed, line=line), without, strict=True):
        batch, plain = (_batch(some, ensemble, scale) for some in (block, faultless))
        scores = ensemble.score(batch)
        plain_row = {key: row for row, key in enumerate(keys_of(plain))}
        expert_of = {header.key: header.label for header in faultless.headers}
        truth_of = {header.key: truth for header, truth in zip(block.headers, block.truth, strict=True)}
        length_of = {header.key: header.order.length_m for header in block.headers}
        for row, key in enumerate(keys_of(batch)):
            truth = truth_of[key]
            length_m = length_of[key]
            if not truth.defects or truth.judgement.label != "NOK" or scores.p_nok[row] < scores.threshold:
                continue
            assert length_m is not None, "the simulated line names lengths"
            by_defect = expert_of[key] == "OK"
            yield KnownCoil(
                batch=batch.slice(row, 1),
                defects=truth.defects,
                pointed=_pointed(truth, length_m),
                by_defect=by_defect,
                by_defect_alone=by_defect and _called_ok(plain.slice(plain_row[key], 1), ensemble),
            )


def hits(coil: KnownCoil, contributions: FloatArray) -> bool:
    """The pointing game (Zhang et al. 2018, IJCV): whether the largest contribution lies on a defect.

    Args:
        coil: with what is true.
        contributions: float64 [2, 24, 3].
    """
    return bool(coil.pointed.ravel()[int(contributions.argmax())])


def chance(coil: KnownCoil) -> float:
    """Share of cells that would be a hit."""
    return float(coil.pointed.mean())


def deviations(batch: pa.RecordBatch, like: Explanation) -> FloatArray:
    """What no model is needed for: how far each cell lies out of the band in the mean, float64 [2, 24, 3]."""
    distance = np.abs(tensor_values(batch)[0], dtype=np.float64)
    faces, windows, groups = like.p_nok.shape
    cells: FloatArray = distance.reshape(windows, WINDOW_ROWS, faces, groups, GROUP_SENSORS).mean(axis=(1, 4))
    return cells.transpose(1, 0, 2)


def _pointed(truth: CoilTruth, length_m: float) -> BoolArray:
    """Cells whose middle lies within half a window of a defect, on its face, with one of its sensors at least."""
    middle = (np.arange(MATRIX_ROWS // WINDOW_ROWS) + 0.5) * WINDOW_ROWS
    pointed = np.zeros((len(FACES), len(middle), 9 // GROUP_SENSORS), dtype=np.bool_)
    for defect in truth.defects:
        start, end = (metre / length_m * MATRIX_ROWS for metre in (defect.start_m, defect.end_m))
        along = (middle > start - TOLERANCE_ROWS) & (middle < end + TOLERANCE_ROWS)
        groups = slice(defect.first_sensor // GROUP_SENSORS, defect.last_sensor // GROUP_SENSORS + 1)
        for number, face in enumerate(FACES):
            if defect.face in (face, "both") or defect.kind in _OF_THE_GAP:
                pointed[number, along, groups] = True
    return pointed


def _called_ok(coil: pa.RecordBatch, ensemble: Ensemble) -> bool:
    score = ensemble.score(coil)
    return bool(score.p_nok[0] < score.threshold)


def _batch(block: SimulatedBlock, ensemble: Ensemble, scale: Scale) -> pa.RecordBatch:
    batch = normalize(assemble(block.rows, block.headers).coils, ensemble.limits).batch
    return as_grey(batch) if scale == "self" else batch


def as_grey(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same coils without what only readings tell."""
    matrix = to_self_scale(tensor_values(batch))
    return matrix_batch(
        keys=keys_of(batch),
        revisions=batch.column("revision").to_pylist(),
        matrix=matrix,
        spread=np.zeros_like(matrix),
        observed=batch.column("observed").to_numpy(),
        scale="self",
    )
