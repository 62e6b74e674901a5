"""How far the simulated line is from real coils, by distributions of what can be said of one coil.

Run as `python -m bench.line_likeness REAL.parquet [--seed 77] [--coils 1000] [--out FILE.md]`, where the file holds
labelled grey-level coils. `--save FILE.json` keeps the distances, `--before FILE.json` shows them beside the new ones.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import wasserstein_distance
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.line_coils import Coils, Simulated, real_coils, simulated_coils
from bench.line_statistics import complaints, statistics
from bench.machine import machine
from bench.report import add_out, print_table, report
from plant.settings import PRODUCTION, TRAINING
from schemas.coils import BoolArray, FloatArray

_DRAWS = 200
_FOLDS, _REPEATS = 5, 3
_PRODUCTION_TIMES = 4  # as many coils: few of them are NOK


@dataclass(frozen=True, kw_only=True, slots=True)
class Distances:
    """Of one statistic: Wasserstein distances between real and simulated coils, in standard deviations of the real."""

    all: float
    ok: float
    nok: float
    first_half: float  # of the real coils, every other of each label
    second_half: float
    real: tuple[float, float]  # mean and standard deviation
    simulated: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What is kept of a comparison, to be held against a later one."""

    statistics: dict[str, Distances]
    told_apart: dict[str, float]  # ROC-AUC of classifiers that tell real from simulated coils
    experts: dict[str, float]  # ROC-AUC of single statistics for the simulated expert's NOK
    production: float  # mean distance of a line as it runs
    nok_share: dict[str, float] = field(default_factory=dict)


def compared(real: Coils, simulated: Coils) -> dict[str, Distances]:
    """Distances of every statistic."""
    known, made = statistics(real.matrix), statistics(simulated.matrix)
    half = halves(real.is_nok)
    found = {}
    for name, of_real in known.items():
        of_made, scale = made[name], float(of_real.std()) or 1.0

        def apart(
            mine: BoolArray,
            theirs: BoolArray | slice = slice(None),
            *,
            a: FloatArray = of_real,
            b: FloatArray = of_made,
            scale: float = scale,
        ) -> float:
            return float(wasserstein_distance(a[mine], b[theirs])) / scale

        found[name] = Distances(
            all=apart(np.ones_like(half)),
            ok=apart(~real.is_nok, ~simulated.is_nok),
            nok=apart(real.is_nok, simulated.is_nok),
            first_half=apart(half),
            second_half=apart(~half),
            real=(float(of_real.mean()), float(of_real.std())),
            simulated=(float(of_made.mean()), float(of_made.std())),
        )
    return found


def halves(is_nok: BoolArray) -> BoolArray:
    """Every other coil of each label, bool [B]."""
    first = np.zeros_like(is_nok)
    for label in (False, True):
        first[np.flatnonzero(is_nok == label)[::2]] = True
    return first


def chance(real: Coils, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """What distance chance alone makes: two random halves of the real coils, and all of them drawn again."""
    expected = {}
    for name, values in statistics(real.matrix).items():
        scale, size = float(values.std()) or 1.0, len(values)
        apart, again = [], []
        for _ in range(_DRAWS):
            one, other = np.split(rng.permutation(values)[: size // 2 * 2], 2)
            apart.append(wasserstein_distance(one, other) / scale)
            again.append(wasserstein_distance(values, rng.choice(values, size)) / scale)
        expected[name] = (float(np.mean(apart)), float(np.mean(again)))
    return expected


def told_apart(real: Coils, simulated: Coils) -> dict[str, float]:
    """ROC-AUC, cross-validated, of classifiers that tell real from simulated coils by the statistics."""
    columns = [statistics(coils.matrix) for coils in (real, simulated)]
    table = np.concatenate([np.stack(list(part.values()), axis=1) for part in columns])
    is_real = np.arange(len(table)) < len(real.is_nok)
    models = {
        "forest": RandomForestClassifier(
            200, min_samples_leaf=3, class_weight="balanced_subsample", random_state=0, n_jobs=1
        ),
        "logistic regression": make_pipeline(
            StandardScaler(), LogisticRegression(C=0.05, class_weight="balanced", max_iter=2000)
        ),
    }
    found = {}
    for name, model in models.items():
        areas = []
        for repeat in range(_REPEATS):
            folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=repeat)
            p_real = cross_val_predict(model, table, is_real, cv=folds, method="predict_proba")[:, 1]
            areas.append(roc_auc_score(is_real, p_real))
        found[name] = float(np.mean(areas))
    return found


def experts(coils: Coils) -> dict[str, float]:
    """ROC-AUC of each single statistic for NOK."""
    return {name: float(roc_auc_score(coils.is_nok, values)) for name, values in complaints(coils.matrix).items()}


def _interval(coils: Coils, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """95% bootstrap intervals of `experts`, resampled within the labels."""
    table = complaints(coils.matrix)
    labels = [np.flatnonzero(coils.is_nok == label) for label in (False, True)]
    drawn: dict[str, list[float]] = {name: [] for name in table}
    for _ in range(_DRAWS * 5):
        taken = np.concatenate([rng.choice(label, label.size) for label in labels])
        for name, values in table.items():
            drawn[name].append(roc_auc_score(coils.is_nok[taken], values[taken]))
    ends = {name: np.quantile(values, (0.025, 0.975)) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def mean_of(found: Mapping[str, Distances], which: str) -> float:
    """Mean over the statistics of one distance."""
    return float(np.mean([getattr(one, which) for one in found.values()]))


def _measured(real: Coils, training: Simulated, production: Simulated) -> Result:
    apart = told_apart(real, training.published)
    plain = told_apart(real, training.plain)
    return Result(
        statistics=compared(real, training.published),
        told_apart={
            **{f"{name}, shown as the real ones": area for name, area in apart.items()},
            **{f"{name}, as a member sees them": area for name, area in plain.items()},
        },
        experts=experts(training.published),
        production=mean_of(compared(real, production.published), "all"),
        nok_share={"TRAINING": training.nok_share, "PRODUCTION": production.nok_share},
    )


def _read(file: Path) -> Result:
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["statistics"] = {name: Distances(**values) for name, values in kept["statistics"].items()}
    return Result(**kept)


def _print_statistics(found: Result, before: Result | None, by_chance: Mapping[str, tuple[float, float]]) -> None:
    titles = ["of one coil", "real", "simulated", "two halves", "30 again"]
    titles += ["before", "OK", "NOK"] if before else []
    print_table(
        [*titles, "now", "OK", "NOK", "first half", "second half"],
        [
            _row(name, one, before.statistics[name] if before else None, by_chance[name])
            for name, one in sorted(found.statistics.items(), key=lambda item: -item[1].all)
        ],
    )
    names = ("all", "ok", "nok", "first_half", "second_half")
    print("\nMeans over the statistics:\n")
    rows = [("now", *(f"**{mean_of(found.statistics, name):.3f}**" for name in names))]
    if before:
        rows.insert(0, ("before", *(f"{mean_of(before.statistics, name):.3f}" for name in names)))
    halves_apart, again = (float(np.mean([pair[at] for pair in by_chance.values()])) for at in (0, 1))
    print_table(("", "all", "OK", "NOK", "first half", "second half"), rows)
    print(f"\nBy chance: two random halves of the real coils {halves_apart:.3f}, all drawn again {again:.3f}.\n")


def _row(name: str, one: Distances, before: Distances | None, by_chance: tuple[float, float]) -> tuple[str, ...]:
    old = (f"{before.all:.2f}", f"{before.ok:.2f}", f"{before.nok:.2f}") if before else ()
    new = (f"**{one.all:.2f}**", f"{one.ok:.2f}", f"{one.nok:.2f}", f"{one.first_half:.2f}", f"{one.second_half:.2f}")
    pairs = (f"{mean:.3g} ± {spread:.2g}" for mean, spread in (one.real, one.simulated))
    return (name, *pairs, *(f"{value:.2f}" for value in by_chance), *old, *new)


def main() -> None:
    """Print distances by statistic, how well real and simulated coils are told apart, and what experts look at."""
    parser = argparse.ArgumentParser(prog="python -m bench.line_likeness")
    parser.add_argument("real", type=Path, metavar="REAL.parquet", help="labelled grey-level coils")
    parser.add_argument("--seed", type=int, default=77, help="of the line")
    parser.add_argument("--coils", type=int, default=1000, help="to simulate; of OK and NOK as many are compared")
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="keep the distances")
    parser.add_argument("--before", type=Path, metavar="FILE.json", help="distances kept earlier, to stand beside")
    add_out(parser)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    with report("bench.line_likeness", "The simulated line against real coils", given.out, on=machine()):
        real = real_coils(given.real)
        training = simulated_coils(TRAINING, coils=given.coils, seed=given.seed)
        production = simulated_coils(PRODUCTION, coils=_PRODUCTION_TIMES * given.coils, seed=given.seed)
        found = _measured(real, training, production)
        before = _read(given.before) if given.before else None
        if given.save:
            given.save.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
        limits = training.limits
        print(
            f"{len(real.is_nok)} real coils ({int(real.is_nok.sum())} NOK) against {len(training)} simulated "
            f"by TRAINING, half of them NOK, seed {given.seed}, limits {limits.low:g} to {limits.high:g} g/m².\n"
        )
        _print_statistics(found, before, chance(real, rng))
        print("Told apart (ROC-AUC, 0.5: not at all; 5 folds, three times):\n")
        print_table(
            ("classifier", *(["before"] if before else []), "now"),
            [
                (name, *([f"{before.told_apart[name]:.3f}"] if before else []), f"**{area:.3f}**")
                for name, area in found.told_apart.items()
            ],
        )
        print("\nWhat separates NOK (ROC-AUC of a single statistic):\n")
        of_real, ends = experts(real), _interval(real, rng)
        print_table(
            ("of one coil", "real [95%]", *(["simulated before"] if before else []), "simulated"),
            [
                (
                    name,
                    f"{of_real[name]:.2f} [{ends[name][0]:.2f}, {ends[name][1]:.2f}]",
                    *([f"{before.experts[name]:.2f}"] if before else []),
                    f"**{area:.2f}**",
                )
                for name, area in found.experts.items()
            ],
        )
        print("\nThe line as it runs, half of the compared coils NOK:\n")
        print_table(
            ("", "mean distance, TRAINING", "mean distance, PRODUCTION", "NOK, TRAINING", "NOK, PRODUCTION"),
            [
                (
                    when,
                    f"{mean_of(one.statistics, 'all'):.3f}",
                    f"{one.production:.3f}",
                    *(f"{one.nok_share[name]:.1%}" for name in ("TRAINING", "PRODUCTION")),
                )
                for when, one in (("before", before), ("now", found))
                if one is not None
            ],
        )


if __name__ == "__main__":
    main()
