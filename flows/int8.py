"""The int8 form of an ensemble for the edge, calibrated on some coils and held against the original on others."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.model_selection import train_test_split

from flows.population import Population
from models.bundle import MODEL
from models.data_spec import SimulatedData
from models.ensemble import Ensemble, load_ensemble
from models.quantize import MOST_CALIBRATED, label_agreement, quantize_ensemble
from schemas.errors import UsageError

TYPICAL = SimulatedData(coils=1256, seed=41)  # where nobody gives coils
_THREADS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberSize:
    """How large the graph of a member is in either form; the same where there was nothing to quantise."""

    model: str
    version: str  # of the int8 form
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Form:
    """What was written, and what it is worth."""

    name: str
    version: str
    calibrated: int  # coils
    judged: int  # other coils
    label_agreement: float  # share of the judging coils that both forms give the same label
    members: tuple[MemberSize, ...]


def int8_form(
    source: Path | None, out: Path, population: Population, *, on_member: Callable[[str], None] = lambda _: None
) -> Int8Form:
    """Write the int8 form of an ensemble and compare the two.

    Args:
        source: folder of the ensemble; None for the shipped one.
        out: folder of the int8 form, which must not exist.
        population: labelled coils on the ensemble's scale. Up to 256 calibrate, and never more than half; the others
            judge. Which is drawn, so that both have their share of NOK coils; the same coils are drawn alike.
        on_member: called with the name of each member that is done.

    Raises:
        UsageError: `out` exists.
        BundleError: the ensemble cannot be read, or `out` cannot be written.
        SourceError: the coils are on another scale than a member.
    """
    if out.exists():
        raise UsageError(f"{out} exists already", remedy="name another folder, or remove this one first")
    size = len(population.is_nok)
    seen, judging = train_test_split(
        np.arange(size),
        train_size=min(MOST_CALIBRATED, size // 2),
        stratify=population.is_nok,
        random_state=int(population.digest()[:8], 16),
    )
    judged = population.batch.take(pa.array(judging))
    before = load_ensemble(source, threads=_THREADS)
    quantize_ensemble(
        source, out, calibration=population.batch.take(pa.array(seen)), judged=judged, on_member=on_member
    )
    after = load_ensemble(out, threads=_THREADS)
    return Int8Form(
        name=after.manifest.name,
        version=after.version,
        calibrated=len(seen),
        judged=len(judging),
        label_agreement=label_agreement(before, after, judged),
        members=_sizes(before, after),
    )


def _sizes(before: Ensemble, after: Ensemble) -> tuple[MemberSize, ...]:
    return tuple(
        MemberSize(
            model=new.manifest.name,
            version=new.manifest.version,
            bytes_before=(old.folder / MODEL).stat().st_size,
            bytes_after=(new.folder / MODEL).stat().st_size,
        )
        for old, new in zip(before.members, after.members, strict=True)
    )
