"""Runs gathered by what is compared: the calls of every model and ensemble on every judging set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flows.experiment.ensembles import together
from flows.experiment.results import Done, Scores
from flows.experiment.spec import FOLDS, ExperimentSpec, model_trees, train_spec
from models.statistics import figures, roc_auc
from schemas.coils import BoolArray, FloatArray, IntArray
from schemas.errors import CoilflowError

Place = tuple[int, int]  # repeat and fold


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """K times N coils were judged: on a gold set by each run, on the folds by each repeat as a whole."""

    coils: tuple[str, ...]  # N
    is_nok: BoolArray  # [N]
    p_nok: FloatArray  # [K, N], to be compared among coils of one model alone: probabilities of two have two scales
    called: BoolArray  # [K, N]
    model: IntArray  # [K, N], which of its models judged a coil: on the folds one a fold, else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One model or ensemble that learnt from one amount of coils."""

    name: str  # such as cnn10 or cnn10@400
    scores: Mapping[Place, Scores]

    def on(self, judging: str, places: Sequence[Place] | None = None) -> Judged | None:
        """What it says of a judging set; None while it is not finished.

        Args:
            judging: `folds` or a gold set's name.
            places: only these runs, so that two subjects are compared on the same; None for all.
        """
        chosen = {place: self.scores[place] for place in sorted(places if places is not None else self.scores)}
        if judging == FOLDS:
            repeats = sorted({repeat for repeat, _ in chosen})
            return _joined([_in_one([s for (r, _), s in chosen.items() if r == repeat]) for repeat in repeats])
        return _joined([_one(scores, judging) for scores in chosen.values()])

    def by_fold(self, metric: str, places: Sequence[Place]) -> FloatArray:
        """A figure of each of the given runs on its own fold, zero where it is undefined."""
        values = []
        for place in places:
            one = _one(self.scores[place], FOLDS)
            if metric == "roc_auc":
                values.append(roc_auc(one.p_nok, one.is_nok)[0])
            else:
                values.append(figures(cells(one.called, one.is_nok))[metric][0])
        return np.nan_to_num(np.array(values, dtype=np.float64))


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """What can be compared, and why some ensembles cannot be."""

    subjects: Mapping[str, Subject]  # by name, in the order of the specification
    impossible: Mapping[str, str]  # ensemble -> the reason


def subjects(spec: ExperimentSpec, done: Sequence[Done]) -> Mapping[str, Subject]:
    """Every model and ensemble that has a run, by name, in the order of the specification."""
    return gathered(spec, done).subjects


def gathered(spec: ExperimentSpec, done: Sequence[Done]) -> Gathered:
    """As `subjects`, and the ensembles that the validation coils of a run cannot give weights or a threshold."""
    scores: dict[str, dict[Place, Scores]] = {}
    impossible: dict[str, str] = {}
    for one in done:
        name = one.run.amount.of(one.run.model)
        scores.setdefault(name, {})[one.run.repeat, one.run.fold] = one.scores
    for name, ensemble in spec.ensembles.items():
        rule = train_spec(spec, ensemble.members[0], seed=0).threshold
        for amount in spec.amounts():
            members = [scores.get(amount.of(member), {}) for member in ensemble.members]
            shared = set.intersection(*(set(member) for member in members))
            try:
                made = {place: together(ensemble, [m[place] for m in members], rule) for place in sorted(shared)}
            except CoilflowError as error:  # the rest of the report stands without it
                impossible[amount.of(name)] = f"{error}; {error.remedy}"
                continue
            if made:
                scores[amount.of(name)] = made
    names = [amount.of(name) for name in (*model_trees(spec), *spec.ensembles) for amount in spec.amounts()]
    found = {name: Subject(name=name, scores=scores[name]) for name in names if name in scores}
    return Gathered(subjects=found, impossible=impossible)


def shared_places(spec: ExperimentSpec, a: Subject, b: Subject, judging: str) -> list[Place]:
    """Runs that both have; of the folds, only repeats that both have whole."""
    shared = sorted(a.scores.keys() & b.scores.keys())
    return whole(spec, shared) if judging == FOLDS else shared


def whole(spec: ExperimentSpec, places: Sequence[Place]) -> list[Place]:
    """Those of repeats of which every fold is there."""
    counts = {repeat: sum(r == repeat for r, _ in places) for repeat, _ in places}
    return [(repeat, fold) for repeat, fold in places if counts[repeat] == spec.folds]


def cells(called: BoolArray, is_nok: BoolArray) -> FloatArray:
    """Confusion counts tp, fp, fn, tn of called coils [K, N]: float64 [K, 4]."""
    parts = [called & is_nok, called & ~is_nok, ~called & is_nok, ~called & ~is_nok]
    return np.stack([part.sum(axis=1) for part in parts], axis=1).astype(np.float64)


def _one(scores: Scores, judging: str) -> Judged:
    split = scores.splits[judging]
    return Judged(
        coils=split.coils,
        is_nok=split.is_nok,
        p_nok=split.p_nok[None],
        called=(split.p_nok >= scores.threshold)[None],
        model=np.zeros((1, len(split.coils)), dtype=np.int64),
    )


def _in_one(folds: Sequence[Scores]) -> Judged:
    """The folds of one repeat as one row, sorted by coil."""
    parts = [_one(scores, FOLDS) for scores in folds]
    coils = np.array([coil for part in parts for coil in part.coils])
    order = np.argsort(coils, kind="stable")
    return Judged(
        coils=tuple(coils[order]),
        is_nok=np.concatenate([part.is_nok for part in parts])[order],
        p_nok=np.concatenate([part.p_nok for part in parts], axis=1)[:, order],
        called=np.concatenate([part.called for part in parts], axis=1)[:, order],
        model=np.repeat(np.arange(len(parts)), [len(part.coils) for part in parts])[None, order],
    )


def _joined(rows: Sequence[Judged]) -> Judged | None:
    if not rows:
        return None
    first = rows[0]
    for row in rows:
        if row.coils != first.coils:
            raise ValueError("runs were judged on different coils")
    return Judged(
        coils=first.coils,
        is_nok=first.is_nok,
        p_nok=np.concatenate([row.p_nok for row in rows]),
        called=np.concatenate([row.called for row in rows]),
        model=np.concatenate([row.model for row in rows]),
    )
