"""What a new head should learn from where people label alarms and a few drawn coils, on lines whose truth is known.

Run as `python -m bench.alarm_labels [--coils N] [--draws N] [--out FILE.md]`. A head of the shipped cnn10 is fitted on
coils that it judged, in four ways; coils that nobody labelled judge it. Once the experts are those that cnn10 learnt
from, and once they have come to mind too much zinc as they mind too little.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bench.machine import machine
from bench.report import add_out, print_table, report
from models.bundle import MODEL, Bundle, load_bundle, open_session, read_file
from models.ensemble import COILS_AT_ONCE, SHIPPED, load_ensemble
from models.head_graph import with_features
from models.thresholds import f1_threshold
from plant.line import simulate
from plant.settings import PRODUCTION, TRAINING, LineSettings
from processors.assemble import assemble
from processors.normalize import normalize
from schemas.coils import BoolArray, Float32Array, FloatArray, Limits
from schemas.matrices import tensor_values

DOUBT = 0.05  # below the threshold: UNDECIDED, which is looked at as an alarm is
SHARES = (0.02, 0.1)  # drawn of the other coils
VALIDATION = 0.15
LEAST_COILS = 1500
STRENGTHS = np.logspace(-5, 0, 6)  # as models.heads tries them
LINES = {
    "as ever": replace(PRODUCTION, defect_share=0.04, restlessness=2.0),
    "minds thick coils too": replace(
        PRODUCTION,
        defect_share=0.04,
        restlessness=2.0,
        expert=replace(PRODUCTION.expert, excess_weight=3.0),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """N coils of a line: features of cnn10 [N, D], what it says of them, and what the expert says."""

    features: Float32Array
    p_nok: FloatArray
    is_nok: BoolArray


@dataclass(frozen=True, kw_only=True)
class Given:
    """Coils with a label to learn from: features [N, D], labels, and weights for how many each stands."""

    features: Float32Array
    is_nok: BoolArray
    weight: FloatArray


def run_line(bundle: Bundle, limits: Limits, line: LineSettings, *, coils: int, seed: int) -> Line:
    """Simulate coils and look at them as the bundle does."""
    parts = [
        normalize(assemble(one.rows, one.headers).coils, limits).batch for one in simulate(coils, seed=seed, line=line)
    ]
    batch = pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
    matrix, spread = tensor_values(batch), tensor_values(batch, "spread")
    places = [slice(start, start + COILS_AT_ONCE) for start in range(0, len(matrix), COILS_AT_ONCE)]
    return Line(
        features=np.concatenate([bundle.features(matrix[p], spread[p]) for p in places]),
        p_nok=np.concatenate([bundle.p_nok(matrix[p], spread[p]) for p in places]),
        is_nok=np.array(batch.column("label").to_pylist()) == "NOK",
    )


def fit(given: Given, validation: Given) -> Callable[[Float32Array], FloatArray]:
    """A calibrated head's log-odds: both labels weigh alike, the strength of least loss on the validation coils."""
    mean, deviation = given.features.mean(axis=0), given.features.std(axis=0)
    deviation[deviation == 0] = 1

    def balanced(one: Given) -> FloatArray:
        total = {nok: float(one.weight[one.is_nok == nok].sum()) for nok in (True, False)}
        weights: FloatArray = one.weight * np.where(one.is_nok, 1 / total[True], 1 / total[False]) * len(one.weight) / 2
        return weights

    best: tuple[float, LogisticRegression] | None = None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=300)
        model.fit((given.features - mean) / deviation, given.is_nok, sample_weight=balanced(given))
        odds = model.decision_function((validation.features - mean) / deviation)
        loss = np.logaddexp(0, np.where(validation.is_nok, -odds, odds))
        average = float(np.average(loss, weights=balanced(validation)))
        if best is None or average < best[0]:
            best = average, model
    chosen = best[1] if best else None
    if chosen is None:
        raise RuntimeError("no strength was tried")
    return lambda features: np.asarray(chosen.decision_function((features - mean) / deviation))


def ways(
    line: Line, canon: Line, labelled: np.ndarray, weight: FloatArray, threshold: float
) -> dict[str, tuple[FloatArray, float]]:
    """Scores [N] of all coils and the threshold, by what the head learnt from; and the champion's."""
    rng = np.random.default_rng(len(labelled))
    validates = rng.random(len(labelled)) < VALIDATION
    inside, beside = labelled[~validates], labelled[validates]
    alike = np.ones(len(line.is_nok))

    def taken(places: np.ndarray, weights: FloatArray) -> Given:
        return Given(features=line.features[places], is_nok=line.is_nok[places], weight=weights[places])

    plain, judging = taken(inside, alike), taken(beside, alike)
    both = Given(
        features=np.concatenate([plain.features, canon.features]),
        is_nok=np.concatenate([plain.is_nok, canon.is_nok]),
        weight=np.ones(len(inside) + len(canon.is_nok)),
    )
    heads = {
        "labelled coils, alike": fit(plain, judging),
        "weighted by 1 / probability": fit(taken(inside, weight), taken(beside, weight)),
        "alike, and 500 of cnn10's own": fit(both, judging),
    }
    found = {"the champion": (line.p_nok, threshold)}
    for name, head in heads.items():
        p_nok = 1 / (1 + np.exp(-head(line.features)))
        found[name] = p_nok, f1_threshold(p_nok[beside], line.is_nok[beside])
    return found


def figures(p_nok: FloatArray, threshold: float, is_nok: BoolArray) -> tuple[float, float, float, float]:
    """ROC-AUC, F1, recall, false alarms."""
    called = p_nok >= threshold
    caught = int((called & is_nok).sum())
    return (
        float(roc_auc_score(is_nok, p_nok)),
        2 * caught / (int(called.sum()) + int(is_nok.sum())),
        caught / int(is_nok.sum()),
        float(called[~is_nok].mean()),
    )


def main() -> None:
    """Print a table a line and draw."""
    parser = argparse.ArgumentParser(prog="python -m bench.alarm_labels")
    parser.add_argument("--coils", type=int, default=4000)
    parser.add_argument("--draws", type=int, default=8)
    add_out(parser)
    asked = parser.parse_args()
    if asked.coils < LEAST_COILS:
        parser.error(f"--coils: at least {LEAST_COILS}, else too few with a label are NOK")
    title = "What a head learns from alarms and a few drawn coils"
    with report("bench.alarm_labels", title, asked.out, on=machine()):
        _tables(asked.coils, asked.draws)


def _tables(coils: int, draws: int) -> None:
    bundle = load_bundle(SHIPPED / "cnn10", threads=1)
    place = Path(bundle.folder / MODEL)
    graph = with_features(read_file(place), place=place)
    bundle = replace(bundle, session=open_session(graph, place=place, threads=1))
    limits, threshold = load_ensemble(None, threads=1).limits, bundle.manifest.threshold
    canon = run_line(bundle, limits, TRAINING, coils=min(500, coils), seed=11)
    for name, settings in LINES.items():
        line = run_line(bundle, limits, settings, coils=coils, seed=71)
        certain = line.p_nok >= threshold - DOUBT
        for share in SHARES:
            rows: dict[str, list[tuple[float, float, float, float]]] = {}
            sizes = []
            for seed in range(draws):
                rng = np.random.default_rng(seed)
                judged, rest = np.split(rng.permutation(len(line.is_nok)), [int(0.55 * len(line.is_nok))])
                labelled = judged[certain[judged] | (rng.random(len(judged)) < share)]
                sizes.append((len(labelled), int(line.is_nok[labelled].sum())))
                weight = np.where(certain, 1.0, 1 / share)
                for way, (p_nok, at) in ways(line, canon, labelled, weight, threshold).items():
                    rows.setdefault(way, []).append(figures(p_nok[rest], at, line.is_nok[rest]))
            given, nok = np.mean(sizes, axis=0)
            print(f"\n{name}, {line.is_nok.mean():.1%} NOK, draw {share:.0%}: {given:.0f} labelled, {nok:.0f} NOK\n")
            means = {way: np.mean(seen, axis=0) for way, seen in rows.items()}
            print_table(
                ("learnt from", "ROC-AUC", "F1", "recall", "false alarms"),
                ((way, *(f"{figure:.3f}" for figure in mean)) for way, mean in means.items()),
            )


if __name__ == "__main__":
    main()
