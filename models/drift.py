"""Whether coils and scores still look like those that a reference was taken from: statistics, and no decision.

The population stability index (Siddiqi 2006) compares the shares of coils in bins of the reference. Of few coils it is
large by chance alone: without drift it is about (1/n + 1/m) times a chi-square variable of one degree of freedom less
than bins (Yurdakul and Naranjo 2020). A quantity has drifted where its index is above both the plant's bound and what
chance does in one check of a thousand; neighbouring coils are alike, so chance is inflated by what blocks of the
reference itself show (a design effect, Kish 1965).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.chi_square import chi_square_quantile
from schemas.coils import Float32Array, FloatArray
from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS, SENSORS_PER_FACE
from schemas.reference import QuantityReference, Reference

CLIPPED = "clipped"
FALSE_ALARMS = 0.001  # of checks of coils that did not drift, by all quantities together
BLOCK_COILS = 250  # consecutive coils, by which the inflation is measured
_DECILES = np.arange(1, 10) / 10


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantityDrift:
    """One quantity of the latest coils against the reference."""

    psi: float
    at_least: float  # it has drifted above that
    mean: float
    reference_mean: float
    coils: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """What a check found; `sentence` is for people."""

    drifted: bool
    coils: int
    sentence: str
    quantities: Mapping[str, QuantityDrift]


def coil_quantities(matrix: Float32Array, length_m: FloatArray) -> dict[str, FloatArray]:
    """What of a coil's readings is watched, float64 [B] by name; NaN where a coil has no such figure.

    Args:
        matrix: float32 [B, 264, 18], saliency by global limits.
        length_m: float64 [B], NaN where unknown.
    """
    cells = matrix.reshape(-1, MATRIX_ROWS * MATRIX_COLUMNS).astype(np.float64)
    top, bottom = (
        matrix[:, :, face].reshape(-1, MATRIX_ROWS * SENSORS_PER_FACE).astype(np.float64)
        for face in (slice(SENSORS_PER_FACE), slice(SENSORS_PER_FACE, None))
    )
    return {
        "mean_top": top.mean(axis=1),
        "mean_bottom": bottom.mean(axis=1),
        "in_band": (cells == 0).mean(axis=1),
        "below": (cells < 0).mean(axis=1),
        "above": (cells > 0).mean(axis=1),
        CLIPPED: (np.abs(cells) >= 1).mean(axis=1),
        "std": cells.std(axis=1),
        "face_correlation": _correlation(top, bottom),
        "length_m": length_m,
    }


def reference_of(values: FloatArray) -> QuantityReference | None:
    """How a quantity is distributed over coils in the order in which they ran; None where no coil has it.

    Args:
        values: float64 [N], NaN where a coil has no such figure.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    deciles = np.unique(np.quantile(known, _DECILES))
    cuts = deciles[deciles < known.max()]
    shares = _shares(known, cuts)
    return QuantityReference(
        cuts=tuple(cuts.tolist()),
        shares=tuple(shares.tolist()),
        mean=float(known.mean()),
        coils=len(known),
        inflation=_inflation(known, cuts, shares),
    )


def population_stability_index(reference: QuantityReference, values: FloatArray) -> float:
    """PSI of values, float64 [N] without NaN, in the bins of a reference; half a coil is added to each bin."""
    return _psi(np.array(reference.shares), _shares(values, np.array(reference.cuts)))


def shares_in_bins(reference: QuantityReference, values: FloatArray) -> FloatArray:
    """Share of values, float64 [N] without NaN, in each bin of a reference."""
    return _shares(values, np.array(reference.cuts))


def compare(
    reference: Reference,
    current: Mapping[str, FloatArray],
    *,
    plant: str,
    least_coils: int,
    most_psi: float,
    most_clipped: float,
) -> Drift:
    """Compare the latest coils of a plant with a reference.

    Args:
        reference: of the ensemble that serves.
        current: float64 [N] by quantity, NaN where a coil has none; those that the reference does not know are passed
            over, as are those of fewer than `least_coils` coils.
        plant: whose coils, for the sentence.
        least_coils: fewer tell nothing.
        most_psi: a quantity has drifted above it, and above what chance does.
        most_clipped: share of cells beyond the limits above which coils have drifted, in [0, 1].
    """
    known = {name: values[~np.isnan(values)] for name, values in current.items() if name in reference.quantities}
    coils = max((len(values) for values in current.values()), default=0)
    enough = {name: values for name, values in known.items() if len(values) >= least_coils}
    found = {name: _drift(reference.quantities[name], values, len(enough), most_psi) for name, values in enough.items()}
    if not found:
        told = f"{coils} coils of {plant} are too few to tell whether they drifted, {least_coils} are needed"
        return Drift(drifted=False, coils=coils, sentence=told, quantities={})
    faults = [
        f"{name} (PSI {one.psi:.2f} where {one.at_least:.2f} is allowed; mean {one.mean:.3g}, was "
        f"{one.reference_mean:.3g})"
        for name, one in sorted(found.items(), key=lambda item: item[1].at_least - item[1].psi)
        if one.psi > one.at_least
    ]
    if CLIPPED in found and found[CLIPPED].mean > most_clipped:
        faults.append(f"cells beyond the limits ({found[CLIPPED].mean:.1%} where {most_clipped:.1%} are allowed)")
    latest = f"the latest {coils} coils of {plant}"
    told = f"{latest} differ from {reference.source} in {', '.join(faults)}" if faults else f"{latest} have not drifted"
    return Drift(drifted=bool(faults), coils=coils, sentence=told, quantities=found)


def _drift(reference: QuantityReference, values: FloatArray, quantities: int, most_psi: float) -> QuantityDrift:
    bins = len(reference.shares)
    chance = 0.0
    if bins > 1:
        spread = reference.inflation * (1 / len(values) + 1 / reference.coils)
        chance = spread * chi_square_quantile(bins - 1, 1 - FALSE_ALARMS / quantities)
    return QuantityDrift(
        psi=population_stability_index(reference, values),
        at_least=max(most_psi, chance),
        mean=float(values.mean()),
        reference_mean=reference.mean,
        coils=len(values),
    )


def _inflation(values: FloatArray, cuts: FloatArray, shares: FloatArray) -> float:
    """How much farther blocks of neighbouring coils lie from the whole than coils drawn singly would; at least 1."""
    blocks = len(values) // BLOCK_COILS
    if blocks < 2 or not len(cuts):
        return 1.0
    parts = values[: blocks * BLOCK_COILS].reshape(blocks, BLOCK_COILS)
    mean = float(np.mean([_psi(shares, _shares(part, cuts)) for part in parts]))
    expected = (1 / BLOCK_COILS - 1 / len(values)) * len(cuts)  # a part of the whole lies nearer to it
    return max(1.0, mean / expected)


def _shares(values: FloatArray, cuts: FloatArray) -> FloatArray:
    counts = np.bincount(np.searchsorted(cuts, values, side="left"), minlength=len(cuts) + 1) + 0.5
    shares: FloatArray = counts / counts.sum()
    return shares


def _psi(expected: FloatArray, got: FloatArray) -> float:
    return float(((got - expected) * np.log(got / expected)).sum())


def _correlation(one: FloatArray, other: FloatArray) -> FloatArray:
    """Pearson's of each row, NaN where one is constant."""
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (one, other))
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    result: FloatArray = np.divide((a * b).sum(axis=1), scale, out=np.full(len(one), np.nan), where=scale > 0)
    return result
