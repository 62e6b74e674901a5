"""Which coils of a population are learnt from, which stop and calibrate, which judge; without torch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.population import BOTH_LABELS, Population
from schemas.coils import FloatArray, IntArray
from schemas.errors import SpecError

_DIGEST_BYTES = 8  # of a coil's id, that its place is taken from


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Indices into a population: what is learnt from, what stops and calibrates, what judges."""

    training: IntArray
    validation: IntArray
    holdout: IntArray


def split(
    population: Population, *, validation_share: float, holdout_share: float, needed: Sequence[str] = BOTH_LABELS
) -> Split:
    """Split by the coils' own ids; models that name the same shares never learn from what another is judged on.

    A coil's part depends on its id and the shares alone: not on other coils, so that what a model learnt from does not
    judge its successor; not on its label, readings or plant, which may be corrected, re-read and renamed. Parts
    therefore have their shares but for chance, as drawn coil by coil. A larger share takes training coils only.

    Args:
        population: labelled coils.
        validation_share: of all coils, in (0, 1).
        holdout_share: of all coils, in (0, 1); both shares leave some to learn from.
        needed: labels that each part must hold.

    Returns:
        Indices in an order of the coils' ids and revisions, whatever their order in the population.

    Raises:
        SpecError: a part has no coil of a label of `needed`.
    """
    place = _places(population)
    ids, revisions, plants = (population.batch.column(name).to_pylist() for name in ("coil_id", "revision", "plant"))
    order = np.array(
        sorted(range(len(place)), key=lambda i: (place[i], ids[i], revisions[i], plants[i])), dtype=np.int64
    )
    place = place[order]
    judges, validates = place < holdout_share, place >= 1 - validation_share
    parts = Split(training=order[~judges & ~validates], validation=order[validates & ~judges], holdout=order[judges])
    for label in needed:
        for part in ("training", "validation", "holdout"):
            _refuse_without(label, part, getattr(parts, part), population)
    return parts


def place_of(coil_id: str) -> float:
    """A number in [0, 1) as if drawn, the same wherever the coil occurs: below `holdout_share` it is of the holdout."""
    digest = hashlib.sha256(coil_id.encode()).digest()
    place: float = int.from_bytes(digest[:_DIGEST_BYTES], "big") / 256**_DIGEST_BYTES
    return place


def _places(population: Population) -> FloatArray:
    return np.array([place_of(coil) for coil in population.batch.column("coil_id").to_pylist()], dtype=np.float64)


def _refuse_without(label: str, part: str, index: IntArray, population: Population) -> None:
    if not np.any(population.is_nok[index] == (label == "NOK")):
        raise SpecError(
            f"{population.source}: of {len(population.is_nok)} coils the {part} part has {len(index)}, none of them "
            f"{label}",
            remedy=f"give more coils labelled {label}, or change validation_share or holdout_share in the "
            "specification",
        )
