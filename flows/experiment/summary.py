"""All figures of an experiment in one record: what the report shows and what `--json` prints."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from flows.experiment.coils import code_digest
from flows.experiment.compare import Figures, PairedTest, figures_of, finished_places, paired_tests
from flows.experiment.errors import Errors, errors_of
from flows.experiment.judged import Subject, gathered
from flows.experiment.results import Done
from flows.experiment.run import Prepared
from flows.experiment.spec import FOLDS, ExperimentSpec

_DIGITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a model takes: medians over its runs."""

    training_seconds: float
    epochs: float
    inference_ms: float  # a coil, ONNX Runtime, batches of 16; of an ensemble the sum of the members it took
    model_mb: float  # of an ensemble that too; training is that of all members it could choose from
    training_coils: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """An experiment as far as it is done."""

    name: str
    description: str
    planned: int
    done: int
    missing: tuple[str, ...]  # titles of runs without a result
    other_code: int  # runs that were trained by other code than this
    about: Mapping[str, str]  # machine, versions, digests, seeds
    figures: Mapping[str, Mapping[str, Figures]]  # judging set -> subject -> figures
    errors: Errors  # judging set -> subject -> where it goes wrong
    unfinished: tuple[str, ...]  # subjects with some runs missing
    impossible: Mapping[str, str]  # ensembles that cannot be fitted, and why
    tests: tuple[PairedTest, ...]
    costs: Mapping[str, Cost]
    runs: tuple[Mapping[str, Any], ...]  # one a finished run: title, id, seed, seconds, epochs, threshold

    def as_json(self) -> dict[str, Any]:
        """The object that `coilflow experiment --json` prints."""
        return asdict(self)


def summarise(prepared: Prepared, done: Sequence[Done], *, command: str) -> tuple[Summary, dict[str, Subject]]:
    """Reckon everything from the predictions of the finished runs; returns the subjects too, for plots."""
    spec = prepared.spec
    together = gathered(spec, done)
    found = dict(together.subjects)
    sets = (FOLDS, *(name for name, _ in prepared.material.gold))
    figures: dict[str, dict[str, Figures]] = {name: {} for name in sets}
    for judging in sets:
        for name, subject in found.items():
            judged = subject.on(judging, finished_places(spec, subject, judging))
            if judged is not None:
                figures[judging][name] = figures_of(
                    judged, prevalence=spec.prevalence, coils_a_day=spec.coils_a_day, seed=spec.seed
                )
    sizes = {
        run.amount.of(run.model): (len(run.training) + len(run.validation), len(run.judged)) for run in prepared.runs
    }
    for name, ensemble in spec.ensembles.items():
        sizes |= {amount.of(name): sizes[amount.of(ensemble.members[0])] for amount in spec.amounts()}
    have = {one.run.id for one in done}
    whole = (spec.train_folds or spec.folds) * spec.repeats
    summary = Summary(
        name=spec.name,
        description=" ".join(spec.description.split()),
        planned=len(prepared.runs),
        done=len(done),
        missing=tuple(run.title for run in prepared.runs if run.id not in have),
        other_code=sum(one.result["id"] != one.run.id for one in done),
        about=_about(prepared, done, command),
        figures=figures,
        errors=errors_of(prepared, found),
        unfinished=tuple(name for name, subject in found.items() if len(subject.scores) < whole),
        impossible=together.impossible,
        tests=tuple(paired_tests(spec, found, sizes)),
        costs=_costs(prepared, done, found),
        runs=tuple(_line(one) for one in done),
    )
    return summary, found


def _costs(prepared: Prepared, done: Sequence[Done], found: Mapping[str, Subject]) -> dict[str, Cost]:
    by_name: dict[str, list[Done]] = {}
    for one in done:
        by_name.setdefault(one.run.amount.of(one.run.model), []).append(one)

    def median(name: str, key: str) -> float:
        return float(np.median([one.result[key] for one in by_name[name]]))

    costs = {
        name: Cost(
            training_seconds=median(name, "training_seconds"),
            epochs=float(np.median([len(one.result["epochs"]) for one in runs])),
            inference_ms=median(name, "inference_ms_a_coil"),
            model_mb=median(name, "model_mb"),
            training_coils=int(np.median([len(one.run.training) for one in runs])),
        )
        for name, runs in by_name.items()
    }
    for name, ensemble in prepared.spec.ensembles.items():
        for amount in prepared.spec.amounts():
            if amount.of(name) in found:
                members = [costs[amount.of(member)] for member in ensemble.members]
                taken = [scores.members for scores in found[amount.of(name)].scores.values()]
                costs[amount.of(name)] = Cost(
                    training_seconds=sum(member.training_seconds for member in members),
                    epochs=sum(member.epochs for member in members),
                    inference_ms=float(np.median([sum(members[i].inference_ms for i in run) for run in taken])),
                    model_mb=float(np.median([sum(members[i].model_mb for i in run) for run in taken])),
                    training_coils=members[0].training_coils,
                )
    return {name: costs[name] for name in found}


def _about(prepared: Prepared, done: Sequence[Done], command: str) -> dict[str, str]:
    spec, population = prepared.spec, prepared.material.population
    limits = population.limits
    seeds = sorted({run.spec.seed for run in prepared.runs})
    trained_on = sorted({f"{one.result['machine']}, {one.result['device']}" for one in done})
    about = {
        "command": command,
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "trained on": "; ".join(trained_on) or "nothing yet",
        "runs at once": f"{spec.parallel.jobs} on {spec.parallel.where}, {spec.parallel.threads} threads each",
        "commit": _git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or _installed(),
        "code of models": code_digest("models")[:_DIGITS],
        "simulator": f"plant {code_digest('plant')[:_DIGITS]}{_since()}",
        "libraries": ", ".join(f"{k} {v}" for k, v in done[0].result["libraries"].items()) if done else "nothing yet",
        "coils": f"{_described(population.source, len(population.is_nok), int(population.is_nok.sum()))}, "
        f"digest {population.digest()[:_DIGITS]}",
        "limits": f"{limits.low:g} to {limits.high:g} g/m² ({limits.version})" if limits else "none: grey levels",
        "folds": f"{_trained_of(spec)}{spec.folds} stratified × {spec.repeats} repeats, seed {spec.seed}",
        "seeds of training": f"{seeds[0]} to {seeds[-1]}, one a repeat and fold, the same for all models",
    }
    for name, coils in prepared.material.gold:
        about[f"gold {name}"] = (
            f"{_described(coils.source, len(coils.is_nok), int(coils.is_nok.sum()))}, digest {coils.digest()[:_DIGITS]}"
        )
    return about


def _described(source: str, coils: int, nok: int) -> str:
    return f"{source}: {coils} coils, {nok} NOK ({nok / coils:.1%})"


def _line(one: Done) -> dict[str, Any]:
    result = one.result
    return {
        "title": one.run.title,
        "id": result["id"],
        "seed": one.run.spec.seed,
        "training_seconds": result["training_seconds"],
        "epochs": len(result["epochs"]),
        "threshold": result["threshold"],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _trained_of(spec: ExperimentSpec) -> str:
    return "" if spec.train_folds is None else f"the first {spec.train_folds} of "


def _since() -> str:
    """When the simulator was last changed: figures on it are honest only where no model was there to tune it by."""
    commit = _git("log", "-1", "--format=%h of %cI", "--", "../../plant")
    return f", as of commit {commit}" if commit else ""


def _git(*arguments: str) -> str:
    """What git says of this code; nothing where it stands in no repository."""
    try:
        ran = subprocess.run(  # noqa: S603 - our own words only
            ["git", *arguments],  # noqa: S607 - git of the path
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _installed() -> str:
    try:
        return f"coilflow {version('coilflow')}"
    except PackageNotFoundError:
        return "unknown"
