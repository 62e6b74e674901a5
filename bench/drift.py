"""How often drift is found where there is none, and where there is.

Run as `python -m bench.drift [--coils 20000] [--out FILE.md]`. Windows of consecutive coils of the simulated line are
compared with the shipped ensemble's reference: of the line as it should run with other seeds, of one that drifts, and
of one that is restless. Of the readings alone; no model is asked.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
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


def main() -> int:
    """Print the share of checks that alarm, by line and window, with and without what chance is allowed."""
    parser = argparse.ArgumentParser(prog="python -m bench.drift")
    parser.add_argument("--coils", type=int, default=20_000, help="of each line")
    add_out(parser)
    given = parser.parse_args()
    ensemble = load_ensemble(None, threads=1)
    reference = load_reference(ensemble)
    assert reference is not None, "make reference writes it"
    settings = DriftSettings()
    with report("bench.drift", "Drift that is found, and that is not there", given.out, on=machine()):
        print(f"{given.coils} coils of each line; reference: {reference.source}\n")
        shares = dict[tuple[str, int], float]()
        titles = (
            "line",
            "coils a check",
            "checks",
            f"alarm: PSI > {settings.most_psi:g}, and chance",
            "PSI > 0.1 alone",
        )
        print_table((*titles, "largest PSI"), _rows(given.coils, ensemble.limits, reference, settings, shares))
        steady, drifting = LINES[0][0], LINES[2][0]
        false, true = (shares[name, settings.window_coils] for name in (steady, drifting))
        return print_bars(
            [
                (
                    f"{steady}: at most 1% of checks of {settings.window_coils} coils alarm",
                    f"{false:.1%}",
                    false <= 0.01,
                ),
                (f"{drifting}: most of them do", f"{true:.1%}", true > 0.5),
            ]
        )


def _rows(
    coils: int,
    limits: Limits,
    reference: Reference,
    settings: DriftSettings,
    shares: dict[tuple[str, int], float],
) -> Iterator[tuple[object, ...]]:
    for name, line in LINES:
        values = watched(line, coils=coils, seed=101, limits=limits)
        for window in WINDOWS:
            found = checks(values, reference, window=window, most_psi=settings.most_psi)
            alarms = sum(one.drifted for one in found)
            index_alone = sum(any(q.psi > 0.1 for q in one.quantities.values()) for one in found)
            worst = max(((q.psi, n) for one in found for n, q in one.quantities.items()), default=(0.0, "none"))
            shares[name, window] = alarms / len(found) if found else 0.0
            yield name, window, len(found), alarms, index_alone, f"{worst[0]:.2f} ({worst[1]})"


if __name__ == "__main__":
    raise SystemExit(main())
