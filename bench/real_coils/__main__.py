"""Train what the protocol names on simulated coils, judge all of it on real ones, and file figures and predictions.

`python -m bench.real_coils ../shared/data/real_coils.parquet --work runs/real_coils --out docs/results/real_coils`
simulates with the plant that is there, and trains what that plant has not taught yet; with `--at-hand`
nothing.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.machine import machine
from bench.real_coils import measure
from bench.real_coils.coils import RealCoils, SimulatedCoils, read_real, simulate_coils
from bench.real_coils.judged import (
    THRESHOLDS,
    Calibrated,
    Scored,
    calibrated,
    figures,
    file_predictions,
    fold_threshold,
    in_mean_probability,
    judged_on_folds,
    judged_zero_shot,
    read_folds,
    shipped,
    together,
)
from bench.real_coils.networks import validation_of
from bench.real_coils.on_folds import (
    Fitted,
    Folds,
    OutOfFold,
    best_of,
    features_over_views,
    head_on,
    joint_head_on,
    out_of_fold,
    regression_on,
    stacked,
    tuned,
)
from bench.real_coils.picture import draw
from bench.real_coils.statistics import HAND, by_hand, in_steps
from bench.real_coils.views import SETS, mean_over
from bench.real_coils.zero_shot import FEW, MANY, ON_WINDOWS, RECIPES, RULE, Said, kept_network, said_by
from bench.report import print_table
from flows.experiment.coils import code_digest
from models.training.scoring import features
from schemas.coils import FloatArray, IntArray

SEED = 11  # of the simulated coils
SHIPPED = "shipped"
_BACKBONES = ("short-soft",)  # whose features and weights real coils teach further
_SEEDS_TUNED = 2  # of each, where layers are trained again for each fold
_SLOW_REPEATS = 3  # of the folds, for these


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.real_coils", description=__doc__)
    parser.add_argument("coils", type=Path, help="grey-level Parquet with labels")
    parser.add_argument("--work", type=Path, required=True, help="folder of what was simulated and trained")
    parser.add_argument("--out", type=Path, required=True, help="folder of folds.csv, and of what is filed")
    parser.add_argument("--only", nargs="*", default=[RULE, *ON_WINDOWS, *RECIPES], help="zero-shot approaches")
    parser.add_argument("--at-hand", action="store_true", help="judge what was trained before, and train nothing")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    real = read_real(asked.coils)
    folds = read_folds(asked.out / "folds.csv", real.ids)
    work: Path = asked.work / code_digest("plant")[:12]
    work.mkdir(parents=True, exist_ok=True)
    coils = _simulated(work)
    names = [name for name in asked.only if not asked.at_hand or (work / f"{name}.npz").exists()]
    said = {name: said_by(name, work, real, coils, log=partial(_log, time.monotonic())) for name in names}
    scored, all_zero_shot = _judged(said, work, real, coils, folds)
    kept = io.StringIO()
    with redirect_stdout(kept):
        print(f"plant {work.name}, {machine()}\n")
        _print_figures(scored, real)
        _print_zero_shot(said, coils, real)
        _print_statistics(real)
    print(kept.getvalue())
    (asked.out / "figures.md").write_text(f"# Figures\n\n{kept.getvalue().strip()}\n", encoding="utf-8")
    file_predictions(asked.out / "predictions.csv", scored, real)
    draw(real, all_zero_shot.real, asked.out / "coils.png")


def _log(started: float, line: str) -> None:
    print(f"{time.monotonic() - started:5.0f} s {line}", flush=True)


def _simulated(work: Path) -> SimulatedCoils:
    place = work / "simulated.npz"
    if not place.exists():
        coils = simulate_coils(MANY, seed=SEED)
        np.savez(place, **{field.name: getattr(coils, field.name) for field in fields(coils)})
    with np.load(place) as kept:
        return SimulatedCoils(**kept)


def _judged(
    said: dict[str, Said], work: Path, real: RealCoils, coils: SimulatedCoils, folds: Folds
) -> tuple[dict[str, Scored], Calibrated]:
    """Every approach that is at hand, and the mean of all that never saw a real coil."""
    _, validation = validation_of(len(coils))
    labels = coils.is_nok[validation]
    now = calibrated(shipped(real, coils), labels, views="none")
    zero_shot = {name: calibrated(words, labels) for name, words in said.items()}
    groups = {
        "zero-shot-all": list(zero_shot),
        "zero-shot-nets": [name for name in zero_shot if name in RECIPES],
        "zero-shot-shares": [name for name in zero_shot if not _in_steps(name)],
        "zero-shot-g": [name for name in zero_shot if _in_steps(name)],
    }
    together_of = {
        name: together([zero_shot[member] for member in members]) for name, members in groups.items() if members
    }
    if RULE in zero_shot:
        together_of["shipped-and-rule"] = in_mean_probability([now, now, zero_shot[RULE]])
        if "short-soft" in zero_shot:
            together_of["short-and-rule"] = in_mean_probability([zero_shot["short-soft"]] * 2 + [zero_shot[RULE]])
    judge = partial(judged_zero_shot, is_nok=labels, real=real, folds=folds)
    scored = {name: judge(one) for name, one in {SHIPPED: now, **zero_shot, **together_of}.items()}
    bar = fold_threshold(real)
    for name, fitted in _quick(real, together_of["zero-shot-all"]):
        scored[name] = judged_on_folds(out_of_fold(folds, fitted, bar))
    for name, fitted in _slow(said, work, real, coils):
        scored[name] = judged_on_folds(_kept(work / f"{name}.npz", folds, fitted, bar))
    if "hand-g-lr" in scored:
        scored["all-and-hand"] = _beside(together_of["zero-shot-all"], scored["hand-g-lr"], folds, real)
    return scored, together_of["zero-shot-all"]


def _in_steps(name: str) -> bool:
    return name == RULE or "-g" in name or name.startswith("both")


def _kept(place: Path, folds: Folds, fitted: Fitted, bar: Callable[[FloatArray, IntArray], float]) -> OutOfFold:
    """Out of fold over the first repeats, kept on disk."""
    if not place.exists():
        found = out_of_fold(Folds(fold=folds.fold[:_SLOW_REPEATS]), fitted, bar)
        np.savez(place, scores=found.scores, thresholds=found.thresholds)
    with np.load(place) as known:
        return OutOfFold(scores=known["scores"], thresholds=known["thresholds"])


def _quick(real: RealCoils, zero_shot: Calibrated) -> Iterator[tuple[str, Fitted]]:
    """What learns from numbers of real coils, by name."""
    shares, steps = by_hand(real.matrix), by_hand(in_steps(real.matrix))
    yield "hand-lr", regression_on(shares, real.is_nok)
    yield "hand-g-lr", regression_on(steps, real.is_nok)
    yield "hand-both-lr", regression_on(np.concatenate([shares, steps], axis=1), real.is_nok)
    yield "best-statistic", best_of(shares, real.is_nok)
    yield "best-statistic-g", best_of(steps, real.is_nok)
    yield "stack", stacked(zero_shot.real, regression_on(steps, real.is_nok), real.is_nok)


def _slow(said: dict[str, Said], work: Path, real: RealCoils, coils: SimulatedCoils) -> Iterator[tuple[str, Fitted]]:
    """What real coils teach networks further, by name."""
    training, _ = validation_of(FEW)
    for backbone in (name for name in _BACKBONES if name in said):
        networks = [kept_network(backbone, seed, work) for seed in RECIPES[backbone].seeds]
        of_real = [features_over_views(network, real.matrix) for network in networks]
        known = [features(network, coils.matrix[training][:, None]).numpy().astype(np.float64) for network in networks]
        yield f"head-lr on {backbone}", head_on(of_real, known, real.is_nok)
        yield (
            f"head-joint on {backbone}",
            joint_head_on(of_real[:_SEEDS_TUNED], known[:_SEEDS_TUNED], coils.soft[training], real.is_nok),
        )
        makers = [partial(kept_network, backbone, seed, work) for seed in RECIPES[backbone].seeds[:_SEEDS_TUNED]]
        for name, only_last, rate in (("finetune-all", False, 1e-4), ("finetune-last", True, 5e-4)):
            yield (
                f"{name} of {backbone}",
                tuned(makers, real.matrix, real.is_nok, only_last=only_last, learning_rate=rate),
            )


def _beside(zero_shot: Calibrated, hand: Scored, folds: Folds, real: RealCoils) -> Scored:
    """Mean of zero-shot and hand scores, each over its spread on the training coils of a fold."""
    scores, thresholds = np.empty(folds.fold.shape), np.empty(folds.fold.shape)
    bar = fold_threshold(real)
    for repeat in range(len(folds.fold)):
        for training, test in folds.parts(repeat):
            mixed = sum(
                (one - one[training].mean()) / one[training].std() for one in (zero_shot.real, hand.scores[repeat])
            )
            scores[repeat, test] = mixed[test]
            thresholds[repeat, test] = bar(mixed[training], training)
    return Scored(scores=scores, thresholds={"folds-f1": thresholds})


def _print_figures(scored: dict[str, Scored], real: RealCoils) -> None:
    found = {name: figures(one, real.is_nok) for name, one in scored.items()}
    base, _ = found[SHIPPED]
    rows = []
    for name, (area, by_rule) in found.items():
        shown = [by_rule[rule].said() if rule in by_rule else "" for rule in THRESHOLDS]
        rows.append([name, area.said(), measure.difference(area, base), *shown])
    print_table(["approach", "ROC-AUC", f"less {SHIPPED}", *(f"F1, {rule}" for rule in THRESHOLDS)], rows)


def _print_zero_shot(said: dict[str, Said], coils: SimulatedCoils, real: RealCoils) -> None:
    """Seed by seed, and by what is averaged over views."""
    _, validation = validation_of(len(coils))
    print("\n## Seeds and views, ROC-AUC on the real coils\n")
    rows = []
    for name, words in said.items():
        seeds = [_area(mean_over(one, "none"), real.is_nok) for one in words.real]
        views = [_area(mean_over(words.real.mean(axis=0), kind), real.is_nok) for kind in SETS]
        simulated = _area(mean_over(words.validation.mean(axis=0), "mirrors and swap"), coils.is_nok[validation])
        rows.append([name, " ".join(f"{s:.3f}" for s in seeds), *(f"{v:.3f}" for v in views), f"{simulated:.3f}"])
    print_table(["approach", "each seed, plain", *SETS, "simulated coils"], rows)


def _print_statistics(real: RealCoils) -> None:
    print("\n## Single statistics, all thirty coils (in sample), ROC-AUC\n")
    of = [by_hand(real.matrix), by_hand(in_steps(real.matrix))]
    rows = [
        [name, *(f"{_area(numbers[:, place], real.is_nok):.3f}" for numbers in of)] for place, name in enumerate(HAND)
    ]
    print_table(["statistic", "in shares of the coil's range", "in steps"], rows)


def _area(scores: "np.ndarray", is_nok: "np.ndarray") -> float:
    return measure.roc_auc(scores[None], is_nok).value


if __name__ == "__main__":
    main()
