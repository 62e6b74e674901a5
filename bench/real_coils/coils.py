"""Real coils and simulated ones, on scale `self`, and what the simulated expert thought of the latter."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import norm

from flows.population import simulated
from flows.sources.grey import labelled_grey
from models.data_spec import SimulatedData
from models.scales import to_self_scale
from plant.expert import strictness
from plant.line import simulate
from plant.settings import CUSTOMERS, TRAINING
from schemas.coils import BoolArray, Float32Array, FloatArray, Limits
from schemas.matrices import tensor_values

_LIMITS = Limits(low=-400.0, high=400.0)
_LEAST_BADNESS = np.exp(-3.0)  # of the threshold: what is better yet is all the same
_MOST_BADNESS = np.exp(1.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class RealCoils:
    """N real coils: matrices float32 [N, 264, 18] on scale `self`, ids, and which the expert called NOK, bool [N]."""

    matrix: Float32Array
    ids: tuple[str, ...]
    is_nok: BoolArray


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedCoils:
    """N simulated coils on scale `self`, in the order they ran, and three kinds of label, each [N].

    `is_nok` is the expert's word. `soft` is how likely an expert is to say NOK of a coil as bad as this one looked,
    over customers and the expert's noise, without lapses. `badness` is the log of badness over the median customer's
    threshold, from -3 to 1.5. `range_g_m2` is what a coil was stretched by.
    """

    matrix: Float32Array
    is_nok: BoolArray
    soft: FloatArray
    badness: FloatArray
    range_g_m2: FloatArray

    def __len__(self) -> int:
        return len(self.is_nok)

    def take(self, places: "np.ndarray | slice") -> "SimulatedCoils":
        """Those at some places."""
        return SimulatedCoils(
            matrix=self.matrix[places],
            is_nok=self.is_nok[places],
            soft=self.soft[places],
            badness=self.badness[places],
            range_g_m2=self.range_g_m2[places],
        )


def read_real(path: Path) -> RealCoils:
    """Read labelled grey-level coils; raises SourceError where one cannot be read or has no label."""
    batches = labelled_grey(path)
    labels = [label for batch in batches for label in batch.column("label").to_pylist()]
    return RealCoils(
        matrix=np.concatenate([to_self_scale(tensor_values(batch)) for batch in batches]),
        ids=tuple(coil for batch in batches for coil in batch.column("coil_id").to_pylist()),
        is_nok=np.array(labels) == "NOK",
    )


def simulate_coils(count: int, *, seed: int) -> SimulatedCoils:
    """Coils of the line as models are trained on it, grey as the plant's: a g/m² too few as one too many."""
    population = simulated(SimulatedData(coils=count, seed=seed), _LIMITS)
    seen = _badness_seen(count, seed=seed)
    badness = np.array([seen[coil] for coil in population.batch.column("coil_id").to_pylist()])
    matrix = tensor_values(population.batch)
    return SimulatedCoils(
        matrix=to_self_scale(matrix),
        is_nok=population.is_nok,
        soft=likely_nok(badness),
        badness=np.log(np.clip(badness / TRAINING.expert.threshold, _LEAST_BADNESS, _MOST_BADNESS)),
        range_g_m2=np.ptp(matrix, axis=(1, 2)).astype(np.float64) * _LIMITS.high,
    )


def likely_nok(badness: FloatArray) -> FloatArray:
    """Share of experts, over customers and judgement noise, that call NOK a coil of such badness, [N]."""
    expert = TRAINING.expert
    bars = np.array([expert.threshold * strictness(customer, expert) for customer in CUSTOMERS])
    above = np.log(np.maximum(badness, 1e-9))[:, None] - np.log(bars)
    likely: FloatArray = norm.cdf(above / expert.judgement_noise).mean(axis=1)
    return likely


def _badness_seen(count: int, *, seed: int) -> dict[str, float]:
    return {
        header.key.coil_id: truth.judgement.badness
        for block in simulate(count, seed=seed, line=TRAINING)
        for header, truth in zip(block.headers, block.truth, strict=True)
    }
