"""What coils look like to an ensemble: the reference that drift is measured against.

`python -m flows.references` writes that of the ensemble that ships with coilflow. Its members learnt from a line with
a third of its coils NOK and thrice the disturbances, so that they see enough of each; a line that runs as it should is
as far from that as one that drifted. The reference is therefore taken from the same simulated line as it runs in
production.
"""

import numpy as np
import pyarrow as pa
from rich.console import Console

from flows.population import unlabelled
from models.data_spec import SimulatedData
from models.drift import coil_quantities, reference_of
from models.ensemble import SHIPPED, Ensemble, load_ensemble
from models.reference import write_reference
from plant.settings import PRODUCTION
from processors.decide import decide
from processors.score import score
from schemas.coils import FloatArray
from schemas.matrices import tensor_values
from schemas.reference import Reference
from schemas.settings import ToleranceProfile
from schemas.verdicts import Label, Scores, Verdict

TYPICAL = SimulatedData(coils=4500, seed=11, defect_share=PRODUCTION.defect_share, restlessness=PRODUCTION.restlessness)
_PROFILES = {"default": ToleranceProfile()}


def member_quantity(model: str) -> str:
    """Name of a member's probability among the quantities."""
    return f"p_nok {model}"


def quantities_of(batch: pa.RecordBatch) -> dict[str, FloatArray]:
    """What of coils' readings is watched, by name; see `models.drift.coil_quantities`.

    Args:
        batch: of MATRIX_BATCH on scale `limits`.
    """
    length_m = np.array(batch.column("length_m").to_pylist(), dtype=np.float64)  # None: NaN
    observed = np.array(batch.column("observed").to_pylist(), dtype=np.float64)
    return {**coil_quantities(tensor_values(batch), length_m), "observed": observed}


def take_reference(batch: pa.RecordBatch, ensemble: Ensemble, *, source: str) -> Reference:
    """How coils and an ensemble's scores of them are distributed.

    Args:
        batch: coils of MATRIX_BATCH, normalised with the ensemble's limits, in the order in which they ran, of a time
            when line and models were good.
        ensemble: that is asked.
        source: where the coils are from, for people.
    """
    scored = score(batch, ensemble, place=source)
    verdicts = decide(scored.batch, scored.scores, profiles=_PROFILES, customer_profiles={}, place=source).verdicts
    values = {**quantities_of(scored.batch), **_of_scores(scored.scores, verdicts)}
    found = {name: reference_of(each) for name, each in values.items()}
    return Reference(
        ensemble_version=ensemble.manifest.version,
        limits_version=ensemble.limits.version,
        source=source,
        quantities={name: one for name, one in found.items() if one is not None},
    )


def _of_scores(scores: Scores, verdicts: tuple[Verdict, ...]) -> dict[str, FloatArray]:
    undecided = np.array([verdict.label is Label.UNDECIDED for verdict in verdicts], dtype=np.float64)
    columns = enumerate(scores.members)
    return {"undecided": undecided, **{member_quantity(m.model): scores.member_p_nok[:, i] for i, m in columns}}


def typical_reference(ensemble: Ensemble) -> Reference:
    """The reference of an ensemble on the simulated line as it runs in production."""
    batch, _ = unlabelled(TYPICAL, ensemble.limits)
    source = f"{TYPICAL.coils} coils of the simulated line as it should run, seed {TYPICAL.seed}"
    return take_reference(batch, ensemble, source=source)


def main() -> None:
    """Write `models/bundles/reference.json` and say what it holds."""
    console = Console()
    reference = write_reference(SHIPPED, typical_reference(load_ensemble(SHIPPED, threads=2)))
    for name, one in reference.quantities.items():
        console.print(f"{name}: mean {one.mean:.4g}, {len(one.shares)} bins, inflation {one.inflation:.2f}")


if __name__ == "__main__":
    main()
