"""Kinds of defects: how well an explained place is named, what it costs, and what is taken for what.

Run as `python -m bench.kinds [--coils 2000] [--out FILE.md]`. Coils of the simulated line, explained by the shipped
ensemble: those that it and the expert call NOK, as they come, and as many of every kind, whatever their verdict.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bench.explain import LINES, SEED, THREADS
from bench.known_places import as_grey, known_coils
from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from flows.explain import places_for_nok
from flows.known_kinds import ComparedCoil, compared_coils, marked_place, shown_kind
from models.ensemble import Ensemble, load_ensemble
from models.explain import explain
from models.kind_scores import KindScores, kind_scores
from models.kinds import KindModel, shipped_kinds
from models.place_features import Place
from plant.defects import KINDS
from plant.line import simulate
from plant.settings import LineSettings
from processors.assemble import assemble
from processors.normalize import normalize
from schemas.coils import CoilKey
from schemas.kinds import NO_KIND
from schemas.matrices import Scale, keys_of

ALLOWED_MS = 5.0


NOK_COILS, EVERY_KIND = "NOK coils as they come", "as many of every kind"
BY_EXPLANATION, ITS_OWN = "found by the explanation", "the defect's own"
Part = tuple[str, str, str]  # line, coils, place


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A place of one coil, what it shows, and what is said of it."""

    coils: str
    by: str
    true: str
    said: str
    ms: float


def told(
    ensemble: Ensemble, kinds: KindModel, line: LineSettings, *, coils: int, of_a_kind: int, scale: Scale
) -> Iterator[Told]:
    """What is said of simulated coils, at the place of the explanation and at that of the defect.

    Args:
        ensemble: is explained.
        kinds: says kinds.
        line: as it runs.
        coils: to simulate.
        of_a_kind: coils whose only defect is of one kind, or that have none, at most, whatever their verdict.
        scale: of the coils.
    """
    nok = {keys_of(one.batch)[0] for one in known_coils(ensemble, line, coils=coils, seed=SEED, scale=scale)}
    batches = _batches(ensemble, line, coils=coils, scale=scale)
    kept: Counter[str] = Counter()
    for coil in compared_coils(line, ensemble.limits, coils=coils, seed=SEED, scales=[scale]):
        parts = [NOK_COILS] if coil.key in nok else []
        only = coil.defects[0].kind if len(coil.defects) == 1 else NO_KIND
        if len(coil.defects) <= 1 and kept[only] < of_a_kind:
            kept[only] += 1
            parts.append(EVERY_KIND)
        if not parts:
            continue
        found = next(iter(places_for_nok(explain(batches[coil.key], ensemble)).values()), None)
        true = None if found is None else shown_kind(coil, found)
        own = marked_place(coil, coil.defects[0]) if only != NO_KIND else None
        for part in parts:
            if found is not None and true is not None:
                yield _said(kinds, coil, found, true, coils=part, by=BY_EXPLANATION)
            if own is not None and shown_kind(coil, own) == only:
                yield _said(kinds, coil, own, only, coils=part, by=ITS_OWN)


def _batches(ensemble: Ensemble, line: LineSettings, *, coils: int, scale: Scale) -> dict[CoilKey, pa.RecordBatch]:
    found: dict[CoilKey, pa.RecordBatch] = {}
    for block in simulate(coils, seed=SEED, line=line):
        batch = normalize(assemble(block.rows, block.headers).coils, ensemble.limits).batch
        batch = as_grey(batch) if scale == "self" else batch
        found |= {key: batch.slice(row, 1) for row, key in enumerate(keys_of(batch))}
    return found


def _said(kinds: KindModel, coil: ComparedCoil, place: Place, true: str, *, coils: str, by: str) -> Told:
    start = time.perf_counter()
    [said] = kinds.say(coil.distance, coil.length_m, [place])
    return Told(coils=coils, by=by, true=true, said=said[0].kind, ms=1e3 * (time.perf_counter() - start))


def main() -> int:
    """Print macro F1 by line, coils and place, F1 of each kind, the confusion matrix and the time."""
    parser = argparse.ArgumentParser(prog="python -m bench.kinds")
    parser.add_argument("--coils", type=int, default=2000, help="simulated of each line")
    parser.add_argument("--of-a-kind", type=int, default=40, help="coils of every kind that are explained")
    add_out(parser)
    given = parser.parse_args()
    ensemble, kinds = load_ensemble(None, threads=THREADS), shipped_kinds()
    with report("bench.kinds", "Kinds of defects", given.out, on=machine()):
        print(f"kinds {kinds.manifest.version}, ensemble {ensemble.version}, {given.coils} coils of each line\n")
        scores: dict[Part, KindScores] = {}
        spent: list[float] = []
        for name, restlessness, scale in LINES:
            line = LineSettings(defect_share=0.9, restlessness=restlessness)
            found = list(told(ensemble, kinds, line, coils=given.coils, of_a_kind=given.of_a_kind, scale=scale))
            spent += [one.ms for one in found]
            for part in ((coils, by) for coils in (NOK_COILS, EVERY_KIND) for by in (BY_EXPLANATION, ITS_OWN)):
                some = [one for one in found if (one.coils, one.by) == part]
                true, said = (np.array([getattr(one, what) for one in some]) for what in ("true", "said"))
                scores[name, *part] = kind_scores(true, said)
        _print_lines(scores)
        print(f"\n## Each kind: F1 [95%] (places), {EVERY_KIND}\n")
        _print_kinds({part: one for part, one in scores.items() if part[1] == EVERY_KIND})
        for name, _, _ in LINES[:2]:
            print(f"\n## What is taken for what: {name}, {EVERY_KIND}, place {BY_EXPLANATION}\n")
            print_confusion(scores[name, EVERY_KIND, BY_EXPLANATION])
        median = float(np.median(spent))
        return print_bars([(f"kinds of one place: {ALLOWED_MS:g} ms", f"{median:.2f} ms", median < ALLOWED_MS)])


def _print_lines(scores: dict[Part, KindScores]) -> None:
    print_table(
        ("line", "coils", "place", "places", "macro F1 [95%]", "right"),
        [
            (
                *part,
                one.n,
                f"**{one.macro_f1:.3f}** [{one.macro_f1_ci95[0]:.3f}, {one.macro_f1_ci95[1]:.3f}]",
                f"{one.accuracy:.1%}",
            )
            for part, one in scores.items()
        ],
    )


def _print_kinds(scores: dict[Part, KindScores]) -> None:
    def cell(one: KindScores, kind: str) -> str:
        if kind not in one.f1:
            return "–"
        low, high = one.f1_ci95[kind]
        return f"{one.f1[kind]:.2f} [{low:.2f}, {high:.2f}] ({one.counts[kind]})"

    columns = [f"{line}: {by}" for line, _, by in scores]
    rows = [(kind, *(cell(one, kind) for one in scores.values())) for kind in (*KINDS, NO_KIND)]
    print_table(("kind", *columns), rows)


def print_confusion(scores: KindScores) -> None:
    """Print what kinds are taken for, a row a true kind."""
    kinds = [kind for kind in (*KINDS, NO_KIND) if kind in scores.kinds]
    at = {kind: scores.kinds.index(kind) for kind in kinds}
    print_table(
        ("true \\ said", *kinds),
        [(kind, *(int(scores.confusion[at[kind], at[other]]) or "·" for other in kinds)) for kind in kinds],
    )


if __name__ == "__main__":
    raise SystemExit(main())
