"""Where the shipped ensemble goes wrong: by band, length, looks, doubts, and by what was truly done to simulated coils.

Run as `python -m bench.errors [--coils 3000] [--real FILE.parquet] [--out FILE.md]`. Coils of the simulated line from a
seed that no member learnt from; the real ones, where given, as grey levels.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.machine import machine
from bench.report import add_out, print_table, report
from flows.assess import assess
from flows.error_groups import truth_beside
from flows.evaluate import Evaluated, evaluate_source
from flows.experiment.errors import error_cells
from flows.served import only
from flows.sources.open import open_source
from models.ensemble import Ensemble, load_ensemble
from models.kinds import shipped_kinds
from plant.line import simulate
from plant.settings import LineSettings
from plant.tables import write_tables
from schemas.mapping import OUR_NAMES
from schemas.settings import Settings

SEED = 977  # of no member's training
DEFECT_SHARE = 0.3


def evaluated(source: str, ensemble: Ensemble) -> Evaluated:
    """As `coilflow evaluate` does it."""
    settings = Settings()
    opened = open_source(source, plant=settings.plant, mapping=OUR_NAMES)
    return evaluate_source(
        assess(opened, only(ensemble), settings, records=False),
        name=opened.name,
        prevalence=None,
        limits=ensemble.limits,
        kinds=shipped_kinds(),
        truth=truth_beside(source),
    )


def main() -> int:
    """Print a table of each set of coils."""
    parser = argparse.ArgumentParser(prog="python -m bench.errors")
    parser.add_argument("--coils", type=int, default=3000, help="simulated")
    parser.add_argument("--real", help="grey levels of real coils with labels")
    add_out(parser)
    given = parser.parse_args()
    ensemble = load_ensemble(None, threads=2)
    with report("bench.errors", "Where verdicts go wrong", given.out, on=machine()), TemporaryDirectory() as folder:
        print(f"ensemble {ensemble.version}, kinds {shipped_kinds().manifest.version}")
        line = LineSettings(defect_share=DEFECT_SHARE)
        write_tables(simulate(given.coils, seed=SEED, line=line), Path(folder))
        print(f"\n## {given.coils} coils of the simulated line, seed {SEED}, {DEFECT_SHARE:.0%} with a defect\n")
        _print(evaluated(folder, ensemble))
        if given.real:
            print("\n## Real coils, whose order and length nobody knows\n")
            _print(evaluated(given.real, ensemble))
    return 0


def _print(found: Evaluated) -> None:
    metrics = found.evaluation.metrics
    print(", ".join(f"{name} {value:.3f}" for name, value in metrics.items() if value is not None) + ".\n")
    print_table(("by", "", "NOK", "missed [95%]", "OK", "false alarms [95%]"), error_cells(found.errors))


if __name__ == "__main__":
    raise SystemExit(main())
