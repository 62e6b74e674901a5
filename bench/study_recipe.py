"""The study's recipe in Ultralytics' own trainer against models of an experiment, on one fold of the same coils.

Run as `python -m bench.study_recipe --experiments DIR [--spec SPEC.yaml] [--fold 1] [--ours NAME ...]`, after
`coilflow experiment SPEC.yaml --out DIR` has trained that fold. The recipe learns from the training coils of the fold,
stops by its validation coils, and is judged on the gold sets, as ours were; what it is exactly, stands in
`bench.study_recipe_trainer`. Its predictions are kept in `--out`; `--predictions FILE` repeats the comparison without
training.

The study calls NOK what has the larger probability. Our models have the threshold that they chose on validation
coils, so the recipe is shown with such a threshold too, and ROC-AUC needs none. One fold is one model a side: the tests
ask whether these models differ on more coils like the judged, not whether the methods would on other training coils.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from bench.machine import machine
from bench.study_recipe_trainer import Outcome, Recipe, run_recipe
from flows.experiment.coils import Plant, identities
from flows.experiment.judged import subjects
from flows.experiment.plan import Run
from flows.experiment.results import VALIDATION, Done, Split, finished
from flows.experiment.run import RUNS, Prepared, prepare
from flows.experiment.spec import read_experiment
from flows.mapping import mapping_of
from flows.serving import serving_ensemble
from models.evaluation import evaluate
from models.statistics import Tested, class_statistic, paired_permutation_test, roc_auc
from models.thresholds import chosen_threshold
from schemas.coils import BoolArray, Float32Array, FloatArray
from schemas.errors import CoilflowError, SourceError, UsageError
from schemas.matrices import tensor_values
from schemas.settings import load_settings

SPEC = Path("flows/experiment/specs/families.yaml")
RECIPE = "the study's recipe"
ARGMAX = 0.5  # the larger of two probabilities
SHOWN = ("accuracy", "precision", "recall", "f1", "roc_auc")


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One model, or one way to call NOK of it."""

    name: str
    p_nok: Mapping[str, FloatArray]  # by judging set
    threshold: float
    seconds: float | None  # of training
    ms_a_coil: float | None

    def called(self, judging: str) -> BoolArray:
        """Which coils it calls NOK."""
        found: BoolArray = self.p_nok[judging] >= self.threshold
        return found


def coils_of(prepared: Prepared, run: Run) -> tuple[tuple[Float32Array, BoolArray], dict[str, Split], dict[str, Any]]:
    """Training coils with their labels, what judges without a verdict yet, and the coils of that, by judging set."""
    population = prepared.material.population
    matrix, ids = tensor_values(population.batch), np.array(identities(population))
    splits = {VALIDATION: _unjudged(ids[run.validation], population.is_nok[run.validation])}
    coils = {VALIDATION: matrix[run.validation]}
    for name, gold in prepared.material.gold:
        splits[name], coils[name] = _unjudged(np.array(identities(gold)), gold.is_nok), tensor_values(gold.batch)
    return (matrix[run.training], population.is_nok[run.training]), splits, coils


def keep(path: Path, outcome: Outcome, splits: Mapping[str, Split]) -> None:
    """Write predictions, and how they came about, as a NumPy archive without pickles."""
    arrays: dict[str, Any] = {"about": np.array(json.dumps(outcome.about))}
    for name, p_nok in outcome.p_nok.items():
        arrays[f"{name}/p_nok"], arrays[f"{name}/coils"] = p_nok, np.array(splits[name].coils)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def kept(path: Path, splits: Mapping[str, Split]) -> Outcome:
    """Read what `keep` wrote.

    Raises:
        SourceError: it cannot be read.
        UsageError: its coils are not those of this fold.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            p_nok = {name: archive[f"{name}/p_nok"] for name in splits}
            coils = {name: tuple(archive[f"{name}/coils"].tolist()) for name in splits}
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{path} cannot be read ({error})", remedy="train anew, without --predictions") from error
    for name, split in splits.items():
        if coils[name] != split.coils:
            raise UsageError(
                f"{path}: its coils of {name} are not those of this fold", remedy="name the --spec and --fold it is of"
            )
    return Outcome(p_nok=p_nok, about=about)


def sides_of(
    prepared: Prepared, run: Run, done: Sequence[Done], names: Sequence[str], splits: Mapping[str, Split]
) -> list[Side]:
    """Models and ensembles of the experiment on this fold; all that are finished where none is named.

    Raises:
        UsageError: a name is unknown, or not finished on this fold.
    """
    found = subjects(prepared.spec, done)
    place = (run.repeat, run.fold)
    cost = {one.run.amount.of(one.run.model): one.result for one in done}
    sides = []
    for name in names or found:
        if name not in found:
            raise UsageError(
                f"--ours {name}: it is not finished on fold {run.fold + 1}; finished are {', '.join(found) or 'none'}",
                remedy="name one of them, or run coilflow experiment first",
            )
        scores = found[name].scores[place]
        for judging, split in splits.items():
            assert scores.splits[judging].coils == split.coils, judging
        ensemble = prepared.spec.ensembles.get(name)
        results = [cost[member] for member in (ensemble.members if ensemble else (name,)) if member in cost]
        sides.append(
            Side(
                name=name,
                p_nok={judging: scores.splits[judging].p_nok for judging in splits},
                threshold=scores.threshold,
                seconds=sum(one["training_seconds"] for one in results) if results else None,
                ms_a_coil=sum(one["inference_ms_a_coil"] for one in results) if results else None,
            )
        )
    return sides


def ranks(p_nok: FloatArray) -> FloatArray:
    """Ranks in (0, 1], so that scores of different scales can be swapped on a coil (Venkatraman and Begg 1996)."""
    found: FloatArray = rankdata(p_nok) / len(p_nok)
    return found


def tests_of(one: Side, other: Side, judging: str, is_nok: BoolArray, *, seed: int) -> dict[str, Tested]:
    """Paired permutation tests over coils, by metric."""
    calls = one.called(judging), other.called(judging)
    found = {
        metric: paired_permutation_test(class_statistic(metric), *calls, is_nok, seed=seed)
        for metric in ("f1_nok", "accuracy")
    }
    by_rank = ranks(one.p_nok[judging]), ranks(other.p_nok[judging])
    return {**found, "roc_auc": paired_permutation_test(roc_auc, *by_rank, is_nok, seed=seed)}


def print_figures(sides: Sequence[Side], judging: str, is_nok: BoolArray) -> None:
    """A line a side, 95% bootstrap intervals in brackets."""
    print(f"\n{judging}: {int((~is_nok).sum())} OK, {int(is_nok.sum())} NOK\n")
    print("| model | threshold | accuracy | precision | recall | F1 of NOK | ROC-AUC |\n|---|---|---|---|---|---|---|")
    for side in sides:
        found = evaluate(p_nok=side.p_nok[judging], is_nok=is_nok, predicted_nok=side.called(judging))
        cells = []
        for name in SHOWN:
            value, bounds = found.metrics[name], found.ci95[name]
            interval = f" ({bounds[0]:.3f}–{bounds[1]:.3f})" if bounds else ""
            cells.append("undefined" if value is None else f"{value:.3f}{interval}")
        print(f"| {side.name} | {side.threshold:.3f} | {' | '.join(cells)} |")


def print_tests(ours: Sequence[Side], recipes: Sequence[Side], splits: Mapping[str, Split], *, seed: int) -> None:
    """A line for each of ours against each way to call of the recipe, on each gold set."""
    print("\nOurs minus the recipe, and p of the paired permutation test over coils, 10,000 swaps:\n")
    print("| ours | against | judged on | F1 of NOK | p | accuracy | p | ROC-AUC | p |\n|" + "---|" * 9)
    for side in ours:
        for recipe in recipes:
            for judging in (name for name in splits if name != VALIDATION):
                found = tests_of(side, recipe, judging, splits[judging].is_nok, seed=seed)
                cells = [f"{one.difference:+.3f} | {one.p_value:.4f}" for one in found.values()]
                print(f"| {side.name} | {recipe.name} | {judging} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Train or read the recipe, then print what it was, its figures beside ours, and the tests."""
    parser = argparse.ArgumentParser(prog="python -m bench.study_recipe")
    parser.add_argument("--experiments", type=Path, required=True, metavar="DIR", help="--out of coilflow experiment")
    parser.add_argument("--spec", type=Path, default=SPEC)
    parser.add_argument("--fold", type=int, default=1, help="from 1")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME", help="model or ensemble; repeated")
    parser.add_argument("--model", choices=[f"yolov8{size}-cls" for size in "nsmlx"], default="yolov8n-cls")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--patience", type=int, default=5, help="epochs")
    parser.add_argument("--imgsz", type=int, default=264)
    parser.add_argument("--weights", type=Path, metavar="FILE.safetensors", help="of ours, to begin with")
    parser.add_argument("--freeze", type=int, help="blocks; 7 with --weights, else 0")
    parser.add_argument("--ok-per-nok", type=float, default=5.0, help="of training images")
    parser.add_argument("--mirrored-copies", action="store_true", help="copies neither turned nor noisy")
    parser.add_argument("--copy-validation", action="store_true", help="copies of NOK among validation images too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/study_recipe"), metavar="DIR", help="of predictions")
    parser.add_argument("--predictions", type=Path, metavar="FILE", help="compare these, train nothing")
    given = parser.parse_args()
    try:
        _compare(given)
    except CoilflowError as error:
        parser.exit(2, f"{error}\n{error.remedy}\n")


def _compare(given: argparse.Namespace) -> None:
    says, settings = machine(), load_settings()
    spec = read_experiment(given.spec)
    limits = serving_ensemble(settings).limits
    prepared = prepare(spec, given.experiments, Plant(limits=limits, name=settings.plant, mapping=mapping_of(settings)))
    runs = [one for one in prepared.runs if (one.repeat, one.fold) == (0, given.fold - 1)]
    if not runs:
        raise UsageError(f"--fold {given.fold}: {spec.name} has no such fold", remedy="count from 1")
    run = next(one for one in runs if one.amount == spec.amounts()[0])
    done = finished(prepared.folder / RUNS, runs, by_any_code=True)
    training, splits, coils = coils_of(prepared, run)
    ours = sides_of(prepared, run, done, given.ours, splits)
    if given.predictions is not None:
        outcome = kept(given.predictions, splits)
    else:
        recipe = Recipe(
            model=given.model,
            epochs=given.epochs,
            patience=given.patience,
            imgsz=given.imgsz,
            freeze=given.freeze if given.freeze is not None else 7 if given.weights else 0,
            weights=given.weights,
            ok_per_nok=given.ok_per_nok,
            mirrored_copies=given.mirrored_copies,
            copy_validation=given.copy_validation,
            seed=run.spec.seed,
            threads=given.threads,
        )
        found = run_recipe(recipe, training, {name: (coils[name], split.is_nok) for name, split in splits.items()})
        outcome = Outcome(p_nok=found.p_nok, about={"machine": says, **found.about})
        path = given.out / _file(recipe, given.fold)
        keep(path, outcome, splits)
        print(f"predictions: {path.name}\n")
    _report(run, outcome, splits, ours, others=sum(one.result["id"] != one.run.id for one in done))


def _report(run: Run, outcome: Outcome, splits: Mapping[str, Split], ours: Sequence[Side], *, others: int) -> None:
    about = outcome.about
    validation = splits[VALIDATION].is_nok
    chosen = chosen_threshold(run.spec.threshold, outcome.p_nok[VALIDATION], validation, profiles={})
    cost = (about["training_seconds"], about["ms_a_coil"])
    recipes = [
        Side(name=name, p_nok=outcome.p_nok, threshold=threshold, seconds=cost[0], ms_a_coil=cost[1])
        for name, threshold in ((RECIPE, ARGMAX), (f"{RECIPE}, threshold from validation", chosen))
    ]
    libraries = ", ".join(f"{name} {number}" for name, number in about["libraries"].items())
    print(f"{about['machine']}; {libraries}; {about['device']}, {about['settings']['threads']} threads\n")
    print(f"recipe: {', '.join(f'{key} {value}' for key, value in about['settings'].items())}")
    counts = ", ".join(f"{count} {name}" for name, count in about["images"].items())
    print(
        f"fold {run.fold + 1}; images: {counts}; trained at {about['trained_at']} pixels; "
        f"{len(about['epochs'])} epochs, the best of them {about['best_epoch']}"
    )
    if others:
        print(f"{others} of our results are of other code than now stands")
    for judging, split in splits.items():
        print_figures([*recipes, *ours], judging, split.is_nok)
    print("\n| model | training, s | predicting, ms a coil |\n|---|---|---|")
    for side in (recipes[0], *ours):
        seconds, ms = (("" if value is None else f"{value:.4g}") for value in (side.seconds, side.ms_a_coil))
        print(f"| {side.name} | {seconds} | {ms} |")
    print_tests(ours, recipes, splits, seed=run.spec.seed)


def _unjudged(coils: Any, is_nok: BoolArray) -> Split:  # noqa: ANN401 - an array of str
    return Split(coils=tuple(coils.tolist()), is_nok=is_nok, p_nok=np.full(len(is_nok), np.nan))


def _file(recipe: Recipe, fold: int) -> str:
    parts = [
        recipe.model,
        "transfer" if recipe.weights else "scratch",
        f"freeze{recipe.freeze}",
        f"imgsz{recipe.imgsz}",
        f"epochs{recipe.epochs}",
        f"patience{recipe.patience}",
        f"ok{recipe.ok_per_nok:g}",
        *(["mirrored-copies"] if recipe.mirrored_copies else []),
        *(["copied-validation"] if recipe.copy_validation else []),
        f"fold{fold}",
    ]
    return "-".join(parts) + ".npz"


if __name__ == "__main__":
    main()
