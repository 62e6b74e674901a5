"""How often drift is found where there is none, and where there is: `python -m bench.drift [COILS]`.

Windows of consecutive coils of the simulated line are compared with the shipped ensemble's reference: of the line as it
should run with other seeds, of one that drifts, and of one that is restless. Of the readings alone; no model is asked.
"""

import sys
from dataclasses import replace

import numpy as np

from bench.machine import machine
from flows.references import quantities_of
from models.drift import Drift, compare
from models.ensemble import load_ensemble
from models.reference import load_reference
from plant.line import simulate
from plant.settings import PRODUCTION, TRAINING, LineSettings
from processors.assemble import assemble
from processors.normalize import normalize
from schemas.coils import FloatArray, Limits
from schemas.loop_settings import DriftSettings
from schemas.reference import Reference

WINDOWS = (100, 250, 500)
LINES: tuple[tuple[str, LineSettings], ...] = (
    ("as it should run", PRODUCTION),
    ("coating drifts by 2% in 1,000 coils", replace(PRODUCTION, drift_per_1000_coils=0.02)),
    ("coating drifts by 5% in 1,000 coils", replace(PRODUCTION, drift_per_1000_coils=0.05)),
    ("twice the disturbances", replace(PRODUCTION, restlessness=2.0)),
    ("as the members learnt from", TRAINING),
)


def watched(line: LineSettings, *, coils: int, seed: int, limits: Limits) -> dict[str, FloatArray]:
    """What is watched of the readings of consecutive coils."""
    parts = [
        quantities_of(normalize(assemble(block.rows, block.headers).coils, limits).batch)
        for block in simulate(coils, seed=seed, line=line)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def checks(values: dict[str, FloatArray], reference: Reference, *, window: int, most_psi: float) -> list[Drift]:
    """A check of each window that lies beside the one before."""
    size = len(values["mean_top"])
    return [
        compare(
            reference,
            {name: each[start : start + window] for name, each in values.items()},
            plant="line",
            least_coils=window,
            most_psi=most_psi,
            most_clipped=DriftSettings().most_clipped,
        )
        for start in range(0, size - window + 1, window)
    ]


def main() -> None:
    """Print the share of checks that alarm, by line and window, with and without what chance is allowed."""
    coils = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    ensemble = load_ensemble(None, threads=1)
    reference = load_reference(ensemble)
    assert reference is not None, "make reference writes it"
    most_psi = DriftSettings().most_psi
    print(f"{machine()}; {coils} coils of each line; reference: {reference.source}")
    for name, line in LINES:
        values = watched(line, coils=coils, seed=101, limits=ensemble.limits)
        for window in WINDOWS:
            found = checks(values, reference, window=window, most_psi=most_psi)
            alarms = sum(one.drifted for one in found)
            index_alone = sum(any(q.psi > 0.1 for q in one.quantities.values()) for one in found)
            worst = max((q.psi, n) for one in found for n, q in one.quantities.items())
            print(
                f"{name}, {window} coils: {alarms} of {len(found)} checks alarm (PSI > {most_psi:g} and chance); "
                f"PSI > 0.1 alone: {index_alone}; largest {worst[0]:.2f} ({worst[1]})"
            )


if __name__ == "__main__":
    main()
