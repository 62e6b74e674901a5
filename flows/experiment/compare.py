"""How good each model is, and whether one is better than another: figures, intervals and paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from flows.experiment.judged import Judged, Subject, cells, shared_places, whole
from flows.experiment.spec import FOLDS, ExperimentSpec
from models.evaluation import interval, share, weighted_roc_auc
from models.statistics import (
    CLASS_METRICS,
    Tested,
    alarms_a_day,
    calibration_error,
    corrected_t_test,
    figures,
    roc_auc,
)
from schemas.coils import BoolArray, FloatArray, IntArray

METRICS = (*CLASS_METRICS, "roc_auc")
LINE = ("alarms_a_day", "precision_on_line")  # at the line's prevalence
TESTED_BY_FOLD = ("f1_nok", "macro_f1", "accuracy", "roc_auc")
TESTED_BY_COIL = ("f1_nok", "macro_f1", "accuracy")
SWAPS = 10_000
_RANK_SWAPS = 2000  # each ranks all coils anew
_RESAMPLES = 1000
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A figure of a model on a judging set: the mean over its runs; None where it is undefined in any."""

    value: float | None
    ci95: tuple[float, float] | None  # percentiles of a bootstrap over coils, the runs kept as they are
    spread: float | None  # standard deviation over runs, where there are several


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """A model on a judging set."""

    coils: int
    nok: int
    runs: int  # K: repeats where the set is the folds, else runs
    of: Mapping[str, Figure]  # by METRICS and LINE, and calibration_error
    confusion: Mapping[str, float]  # tp, fp, fn, tn, mean over runs; positive NOK


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """One paired test of a pair on a judging set; the difference is a minus b."""

    a: str
    b: str
    judging: str
    metric: str
    test: str  # corrected t-test over folds, or permutation over coils
    difference: float
    p_value: float | None  # None: undefined, as where a few folds all differ by the same
    p_holm: float | None  # corrected for all pairs of the experiment on this set, metric and test (Holm 1979)


def figures_of(judged: Judged, *, prevalence: float, coils_a_day: float, seed: int) -> Figures:
    """All figures with bootstrap intervals (Efron and Tibshirani 1993).

    ROC-AUC is that of each model on the coils it judged, in the mean: on folds too no two models' scores are ranked
    together.

    Args:
        judged: K runs on N coils.
        prevalence: share of NOK on the line.
        coils_a_day: of the line.
        seed: of the bootstrap; models judged on the same coils with the same seed share resamples.
    """
    whole_sample = np.ones((1, len(judged.is_nok)))
    points = _weighted(judged, whole_sample, prevalence, coils_a_day)
    draws = _resampled(judged, prevalence, coils_a_day, np.random.default_rng(seed))
    found = {}
    for name, values in points.items():
        runs = values[:, 0]
        undefined = bool(np.isnan(runs).any())
        found[name] = Figure(
            value=None if undefined else float(runs.mean()),
            ci95=None if undefined else interval(draws[name]),
            spread=float(runs.std(ddof=1)) if len(runs) > 1 and not undefined else None,
        )
    found["calibration_error"] = _calibration(judged, seed)
    counts = cells(judged.called, judged.is_nok).mean(axis=0)
    return Figures(
        coils=len(judged.is_nok),
        nok=int(judged.is_nok.sum()),
        runs=len(judged.called),
        of=found,
        confusion=dict(zip(("tp", "fp", "fn", "tn"), map(float, counts), strict=True)),
    )


def paired_tests(
    spec: ExperimentSpec, found: Mapping[str, Subject], sizes: Mapping[str, tuple[int, int]]
) -> list[PairedTest]:
    """Every test of every pair whose runs are there.

    Args:
        spec: names the pairs.
        found: models and ensembles by name.
        sizes: coils that a run learns from, and that its fold judges, by name.
    """
    tests: list[PairedTest] = []
    pairs = [(found[a], found[b]) for a, b in spec.compare if a in found and b in found]
    for a, b in pairs:
        places = sorted(a.scores.keys() & b.scores.keys())
        if len(places) > 1:
            train_n = min(sizes[a.name][0], sizes[b.name][0])
            for metric in TESTED_BY_FOLD:
                difference = a.by_fold(metric, places) - b.by_fold(metric, places)
                tested = corrected_t_test(difference, train_n=train_n, test_n=sizes[a.name][1])
                mean = float(difference.mean())
                tests.append(_test(a, b, FOLDS, metric, "corrected t-test over folds", tested, mean))
        for judging in (FOLDS, *(one.name for one in spec.gold)):
            shared = shared_places(spec, a, b, judging)
            if not shared:
                continue
            first, second = a.on(judging, shared), b.on(judging, shared)
            if first is None or second is None:
                continue
            for metric in TESTED_BY_COIL:
                tested = permutation_test(metric, first.called, second.called, first.is_nok, seed=spec.seed)
                tests.append(_test(a, b, judging, metric, "permutation over coils", tested, tested.difference))
            tested = rank_permutation_test(first, second, seed=spec.seed)
            tests.append(_test(a, b, judging, "roc_auc", "permutation over coils", tested, tested.difference))
    return _holm(tests)


def permutation_test(
    metric: str, a: BoolArray, b: BoolArray, is_nok: BoolArray, *, swaps: int = SWAPS, seed: int = 0
) -> Tested:
    """Whether two methods differ on the same coils: a coil's calls by all runs are swapped together (Good 2005).

    As `models.statistics.paired_permutation_test`, with the mean over K runs as the statistic: coils are what is
    drawn, and K models of one method do not make K times as many of them.

    Args:
        metric: one of `CLASS_METRICS`.
        a: bool [K, N], called NOK by the runs of the first method.
        b: bool [K, N], by those of the second.
        is_nok: bool [N].
        swaps: to draw.
        seed: of the swaps; the same seed gives the same p-value, whichever method comes first.
    """

    def mean_figure(counts: FloatArray) -> FloatArray:
        mean: FloatArray = (
            np.nan_to_num(figures(counts.reshape(-1, 4))[metric]).reshape(counts.shape[:-1]).mean(axis=-1)
        )
        return mean

    nok, ok = int(is_nok.sum()), int((~is_nok).sum())
    observed = float(mean_figure(cells(a, is_nok)) - mean_figure(cells(b, is_nok)))
    change = b.astype(np.float32) - a.astype(np.float32)  # [K, N]
    by_label = np.stack([change * is_nok, change * ~is_nok]).reshape(-1, len(is_nok)).T  # [N, 2K]
    hits, alarms = ([called[:, part].sum(axis=1) for called in (a, b)] for part in (is_nok, ~is_nok))
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS_AT_ONCE // len(is_nok))
    as_far = 0
    for start in range(0, swaps, step):
        swap = rng.integers(0, 2, size=(min(step, swaps - start), len(is_nok)), dtype=np.uint8).astype(np.float32)
        moved = (swap @ by_label).reshape(len(swap), 2, -1).astype(np.float64)  # exact below 2^24
        parts = []
        for sign, which in ((1, 0), (-1, 1)):
            tp, fp = hits[which] + sign * moved[:, 0], alarms[which] + sign * moved[:, 1]
            parts.append(mean_figure(np.stack([tp, fp, nok - tp, ok - fp], axis=-1)))
        as_far += int(np.count_nonzero(np.abs(parts[0] - parts[1]) >= abs(observed) - 1e-12))
    return Tested(difference=observed, p_value=(1 + as_far) / (1 + swaps))


def rank_permutation_test(a: Judged, b: Judged, *, swaps: int = _RANK_SWAPS, seed: int = 0) -> Tested:
    """As `permutation_test`, of ROC-AUC: scores are ranked within each model before coils swap them.

    Two models' probabilities may have different scales, their ranks have one (Venkatraman and Begg 1996).

    Args:
        a: K runs of the first method on N coils, both labels present.
        b: K runs of the second on the same coils, by models of the same folds.
        swaps: to draw.
        seed: of the swaps.
    """
    parts, is_nok = _parts(a), a.is_nok
    first, second = np.zeros_like(a.p_nok), np.zeros_like(b.p_nok)
    for part in parts:
        for ranks, judged in ((first, a), (second, b)):
            ranks[np.ix_(*part)] = rankdata(judged.p_nok[np.ix_(*part)], axis=1)
    observed = _mean_auc(parts, first, is_nok) - _mean_auc(parts, second, is_nok)
    rng = np.random.default_rng(seed)
    as_far = 0
    for _ in range(swaps):
        swap = rng.integers(0, 2, size=len(is_nok), dtype=np.uint8).astype(np.bool_)
        one, other = np.where(swap, second, first), np.where(swap, first, second)
        drawn = _mean_auc(parts, one, is_nok) - _mean_auc(parts, other, is_nok)
        as_far += abs(drawn) >= abs(observed) - 1e-12
    return Tested(difference=observed, p_value=(1 + as_far) / (1 + swaps))


def finished_places(spec: ExperimentSpec, subject: Subject, judging: str) -> list[tuple[int, int]]:
    """Runs of a subject that a judging set can be reckoned from."""
    places = sorted(subject.scores)
    return whole(spec, places) if judging == FOLDS else places


def _weighted(judged: Judged, weights: FloatArray, prevalence: float, coils_a_day: float) -> dict[str, FloatArray]:
    """Figures float64 [K, B] of K runs under B weightings [B, N] of the coils; NaN where undefined."""
    is_nok = judged.is_nok
    called = judged.called.astype(np.float64)
    tp, fp = (called * is_nok) @ weights.T, (called * ~is_nok) @ weights.T
    nok, ok = weights @ is_nok, weights @ ~is_nok
    counts = np.stack([tp, fp, nok - tp, ok - fp], axis=-1)
    found = {name: value.reshape(tp.shape) for name, value in figures(counts.reshape(-1, 4)).items()}
    found["roc_auc"] = np.stack(
        [_weighted_auc(weights, p, is_nok, model) for p, model in zip(judged.p_nok, judged.model, strict=True)]
    )
    recall, false_alarms = share(tp, np.broadcast_to(nok, tp.shape)), share(fp, np.broadcast_to(ok, fp.shape))
    alarms = np.asarray(alarms_a_day(recall, false_alarms, prevalence, coils_a_day))  # type: ignore[arg-type]
    found["alarms_a_day"] = alarms
    found["precision_on_line"] = share(coils_a_day * prevalence * recall, alarms)
    return found


def _calibration(judged: Judged, seed: int) -> Figure:
    """The expected calibration error of what models say, moved from equal labels to the coils' own share of NOK.

    Models are calibrated to labels that count the same, whatever their shares; Bayes' rule gives the probability at
    another share (Elkan 2001). The interval is that of a single run.
    """
    nok = judged.is_nok.mean()
    moved = judged.p_nok * nok / (judged.p_nok * nok + (1 - judged.p_nok) * (1 - nok))
    runs = [calibration_error(row, judged.is_nok, seed=seed) for row in moved]
    errors = np.array([one.error for one in runs])
    return Figure(
        value=float(errors.mean()),
        ci95=runs[0].ci95 if len(runs) == 1 else None,
        spread=float(errors.std(ddof=1)) if len(runs) > 1 else None,
    )


def _weighted_auc(weights: FloatArray, p_nok: FloatArray, is_nok: BoolArray, model: IntArray) -> FloatArray:
    """Mean over models of the ROC-AUC on the coils of each, under B weightings [B, N]: float64 [B].

    Models whose resampled coils are all of one label are left out; NaN where all are.
    """
    parts = [model == one for one in np.unique(model)]
    areas = np.stack([weighted_roc_auc(weights[:, part], p_nok[part], is_nok[part]) for part in parts])
    defined = ~np.isnan(areas)
    return share(np.where(defined, areas, 0).sum(axis=0), defined.sum(axis=0).astype(np.float64))


def _parts(judged: Judged) -> list[tuple[IntArray, IntArray]]:
    """Rows and coils that one model judged each, or runs that judged all; coils of one label alone are left out."""
    patterns, row_pattern = np.unique(judged.model, axis=0, return_inverse=True)
    rows = [np.flatnonzero(row_pattern.reshape(-1) == place) for place in range(len(patterns))]
    parts = [
        (own, np.flatnonzero(pattern == one))
        for own, pattern in zip(rows, patterns, strict=True)
        for one in np.unique(pattern)
    ]
    return [part for part in parts if len(set(judged.is_nok[part[1]].tolist())) > 1]


def _mean_auc(parts: Sequence[tuple[IntArray, IntArray]], scores: FloatArray, is_nok: BoolArray) -> float:
    """Mean over models of the ROC-AUC on the coils of each, of scores [K, N]."""
    return float(np.concatenate([roc_auc(scores[np.ix_(*part)], is_nok[part[1]]) for part in parts]).mean())


def _resampled(
    judged: Judged, prevalence: float, coils_a_day: float, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Mean over runs of each figure in each resample, float64 [B]."""
    size = len(judged.is_nok)
    step = max(1, _CELLS_AT_ONCE // size)
    parts: list[dict[str, FloatArray]] = []
    for start in range(0, _RESAMPLES, step):
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=min(step, _RESAMPLES - start)).astype(np.float64)
        parts.append(_weighted(judged, drawn, prevalence, coils_a_day))
    return {name: np.concatenate([part[name] for part in parts], axis=1).mean(axis=0) for name in parts[0]}


def _test(
    a: Subject, b: Subject, judging: str, metric: str, test: str, tested: Tested | None, difference: float
) -> PairedTest:
    p_value = tested.p_value if tested else None
    return PairedTest(
        a=a.name,
        b=b.name,
        judging=judging,
        metric=metric,
        test=test,
        difference=difference,
        p_value=p_value,
        p_holm=p_value,
    )


def _holm(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """Correct the p-values of one set, metric and test for the number of pairs."""
    families: dict[tuple[str, str, str], list[tuple[float, int]]] = {}
    for place, one in enumerate(tests):
        if one.p_value is not None:
            families.setdefault((one.judging, one.metric, one.test), []).append((one.p_value, place))
    corrected: dict[int, float] = {}
    for family in families.values():
        highest = 0.0
        for rank, (p_value, place) in enumerate(sorted(family)):
            highest = max(highest, min(1.0, p_value * (len(family) - rank)))
            corrected[place] = highest
    return [replace(one, p_holm=corrected.get(place)) for place, one in enumerate(tests)]
