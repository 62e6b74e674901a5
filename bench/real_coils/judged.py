"""Every approach of the protocol on the thirty real coils: scores, thresholds, figures."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from bench.real_coils import measure
from bench.real_coils.coils import RealCoils, SimulatedCoils
from bench.real_coils.networks import validation_of
from bench.real_coils.on_folds import Folds, OutOfFold
from bench.real_coils.views import ALL, PLAIN, mean_over
from bench.real_coils.zero_shot import Said
from models.ensemble import load_ensemble
from models.thresholds import f1_threshold
from schemas.coils import BoolArray, FloatArray, IntArray

_VIEWS = "mirrors and swap"
_HALF = 0.5
THRESHOLDS = ("sim-f1", "sim-f1-half", "folds-f1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """Calibrated log-odds of one approach: of real coils [R, N], and each rule's threshold for each of them [R, N]."""

    scores: FloatArray
    thresholds: Mapping[str, FloatArray]

    def called(self, rule: str) -> BoolArray:
        """Verdicts [R, N]."""
        return self.scores >= self.thresholds[rule]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibrated:
    """Log-odds on the scale of simulated labels: of real coils [N] and of simulated validation coils [M]."""

    real: FloatArray
    validation: FloatArray


def calibrated(said: Said, is_nok: BoolArray, *, views: str = _VIEWS) -> Calibrated:
    """The mean over seeds and views, made log-odds by Platt's regression on simulated coils, both labels alike."""
    real, validation = (mean_over(of.mean(axis=0), views) for of in (said.real, said.validation))
    line = LogisticRegression(C=100.0, class_weight="balanced").fit(validation[:, None], is_nok)
    return Calibrated(
        real=line.decision_function(real[:, None]), validation=line.decision_function(validation[:, None])
    )


def together(parts: "list[Calibrated]") -> Calibrated:
    """Mean log-odds."""
    return Calibrated(
        real=np.mean([part.real for part in parts], axis=0),
        validation=np.mean([part.validation for part in parts], axis=0),
    )


def in_mean_probability(parts: "list[Calibrated]") -> Calibrated:
    """The log-odds of the mean probability, as an ensemble serves it."""
    real, validation = (
        np.mean([expit(one) for one in of], axis=0)
        for of in ([part.real for part in parts], [part.validation for part in parts])
    )
    return Calibrated(real=logit(real), validation=logit(validation))


def judged_zero_shot(one: Calibrated, is_nok: BoolArray, real: RealCoils, folds: Folds) -> Scored:
    """With thresholds of simulated coils, and of the other folds' real ones."""
    repeats = len(folds.fold)
    line = {
        "sim-f1": _best_f1(one.validation, is_nok),
        "sim-f1-half": _best_f1(one.validation, is_nok, prevalence=_HALF),
    }
    thresholds = {rule: np.full((repeats, len(real.ids)), value) for rule, value in line.items()}
    thresholds["folds-f1"] = np.empty((repeats, len(real.ids)))
    for repeat in range(repeats):
        for training, test in folds.parts(repeat):
            thresholds["folds-f1"][repeat, test] = _best_f1(one.real[training], real.is_nok[training])
    return Scored(scores=np.tile(one.real, (repeats, 1)), thresholds=thresholds)


def judged_on_folds(one: OutOfFold) -> Scored:
    """What learnt from real coils has a threshold of its training folds alone."""
    return Scored(scores=one.scores, thresholds={"folds-f1": one.thresholds})


def fold_threshold(real: RealCoils) -> "Callable[[FloatArray, IntArray], float]":
    """Best F1 on the training coils."""
    return lambda odds, training: _best_f1(odds, real.is_nok[training])


def shipped(real: RealCoils, coils: SimulatedCoils) -> Said:
    """The members that ship, plain, as they serve: seeds are members."""
    _, validation = validation_of(len(coils))
    members = [m for m in load_ensemble(None, threads=1).members if m.manifest.scale == "self"]
    said = []
    for member in members:
        of_real, of_validation = (np.full((len(ALL), size), np.nan) for size in (len(real.ids), len(validation)))
        zeros = np.zeros_like(real.matrix)
        of_real[ALL.index(PLAIN)] = _odds(member.p_nok(real.matrix, zeros))
        of_validation[ALL.index(PLAIN)] = _odds(
            np.concatenate(
                [
                    member.p_nok(part, np.zeros_like(part))
                    for part in np.array_split(coils.matrix[validation], len(validation) // 16)
                ]
            )
        )
        said.append(Said(real=of_real, validation=of_validation))
    return Said(real=np.stack([s.real for s in said]), validation=np.stack([s.validation for s in said]))


def figures(scored: Scored, is_nok: BoolArray) -> "tuple[measure.Figure, dict[str, measure.Figure]]":
    """ROC-AUC, and F1 by rule of the threshold."""
    return measure.roc_auc(scored.scores, is_nok), {
        rule: measure.f1(scored.called(rule), is_nok) for rule in scored.thresholds
    }


def read_folds(path: Path, ids: "tuple[str, ...]") -> Folds:
    """Folds of the file, in the order of the coils."""
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    repeats = 1 + max(int(row[0]) for row in rows)
    fold = np.full((repeats, len(ids)), -1)
    for repeat, number, coil, _ in rows:
        fold[int(repeat), ids.index(coil)] = int(number)
    return Folds(fold=fold)


def _best_f1(odds: FloatArray, is_nok: BoolArray, *, prevalence: float | None = None) -> float:
    return float(logit(np.clip(f1_threshold(expit(odds), is_nok, prevalence=prevalence), 1e-9, 1 - 1e-9)))


def _odds(p_nok: FloatArray) -> FloatArray:
    odds: FloatArray = logit(np.clip(np.asarray(p_nok, dtype=np.float64), 1e-6, 1 - 1e-6))
    return odds


def file_predictions(place: Path, scored: dict[str, Scored], real: RealCoils) -> None:
    """One row an approach, repeat and coil; what never saw a real coil says the same in each repeat, so once."""
    with place.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["approach", "repeat", "coil_id", "label", "log_odds", *THRESHOLDS])
        for name, one in scored.items():
            repeats = 1 if "sim-f1" in one.thresholds else len(one.scores)
            for repeat in range(repeats):
                for place_, coil in enumerate(real.ids):
                    bars = [
                        f"{one.thresholds[rule][repeat, place_]:.4f}" if rule in one.thresholds else ""
                        for rule in THRESHOLDS
                    ]
                    label = "NOK" if real.is_nok[place_] else "OK"
                    out.writerow([name, repeat, coil, label, f"{one.scores[repeat, place_]:.4f}", *bars])
