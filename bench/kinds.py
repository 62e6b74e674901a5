"""Kinds of defects: how well an explained place is named, what it costs, and what is taken for what.

Run as `python -m bench.kinds [--coils 2000] [--out FILE.md]`. Coils of the simulated line that expert and ensemble call
NOK, by the shipped ensemble and the shipped kind model.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.explain import LINES, SEED, THREADS
from bench.known_places import KnownCoil, known_coils
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
from plant.settings import LineSettings
from schemas.kinds import NO_KIND
from schemas.matrices import Scale, keys_of

ALLOWED_MS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A place of one coil, what it shows, and what is said of it."""

    by: str
    true: str
    said: str
    ms: float


def told(ensemble: Ensemble, kinds: KindModel, line: LineSettings, *, coils: int, scale: Scale) -> Iterator[Told]:
    """What is said of coils with a known defect, at the place of the explanation and at that of the defect."""
    known = {keys_of(one.batch)[0]: one for one in known_coils(ensemble, line, coils=coils, seed=SEED, scale=scale)}
    for coil in compared_coils(line, ensemble.limits, coils=coils, seed=SEED, scales=[scale]):
        if coil.key not in known:
            continue
        found = _explained(known[coil.key], ensemble)
        if found is not None and (true := shown_kind(coil, found)) is not None:
            yield _said(kinds, coil, found, true, by="found by the explanation")
        if len(coil.defects) == 1 and known[coil.key].by_defect:
            place = marked_place(coil, coil.defects[0])
            yield _said(kinds, coil, place, coil.defects[0].kind, by="the defect's own")


def _explained(coil: KnownCoil, ensemble: Ensemble) -> Place | None:
    """The region that speaks for NOK most."""
    return next(iter(places_for_nok(explain(coil.batch, ensemble)).values()), None)


def _said(kinds: KindModel, coil: ComparedCoil, place: Place, true: str, *, by: str) -> Told:
    start = time.perf_counter()
    [said] = kinds.say(coil.distance, coil.length_m, [place])
    return Told(by=by, true=true, said=said[0].kind, ms=1e3 * (time.perf_counter() - start))


def main() -> int:
    """Print macro F1 by line and place, F1 of each kind, the confusion matrix and the time."""
    parser = argparse.ArgumentParser(prog="python -m bench.kinds")
    parser.add_argument("--coils", type=int, default=2000, help="simulated of each line")
    add_out(parser)
    given = parser.parse_args()
    ensemble, kinds = load_ensemble(None, threads=THREADS), shipped_kinds()
    with report("bench.kinds", "Kinds of defects", given.out, on=machine()):
        print(f"kinds {kinds.manifest.version}, ensemble {ensemble.version}, {given.coils} coils of each line\n")
        scores: dict[tuple[str, str], KindScores] = {}
        spent: list[float] = []
        for name, restlessness, scale in LINES:
            line = LineSettings(defect_share=0.9, restlessness=restlessness)
            found = list(told(ensemble, kinds, line, coils=given.coils, scale=scale))
            spent += [one.ms for one in found]
            for by in ("found by the explanation", "the defect's own"):
                some = [one for one in found if one.by == by]
                true, said = (np.array([getattr(one, what) for one in some]) for what in ("true", "said"))
                scores[name, by] = kind_scores(true, said)
        _print_lines(scores)
        first = (LINES[0][0], "found by the explanation")
        print("\n## Each kind: F1 [95%] (places)\n")
        _print_kinds(scores)
        print(f"\n## What is taken for what: line {first[0]}, place {first[1]}\n")
        print_confusion(scores[first])
        median = float(np.median(spent))
        return print_bars([(f"kinds of one place: {ALLOWED_MS:g} ms", f"{median:.2f} ms", median < ALLOWED_MS)])


def _print_lines(scores: dict[tuple[str, str], KindScores]) -> None:
    print_table(
        ("line", "place", "places", "macro F1 [95%]", "right"),
        [
            (
                line,
                by,
                one.n,
                f"**{one.macro_f1:.3f}** [{one.macro_f1_ci95[0]:.3f}, {one.macro_f1_ci95[1]:.3f}]",
                f"{one.accuracy:.1%}",
            )
            for (line, by), one in scores.items()
        ],
    )


def _print_kinds(scores: dict[tuple[str, str], KindScores]) -> None:
    def cell(one: KindScores, kind: str) -> str:
        if kind not in one.f1:
            return "–"
        low, high = one.f1_ci95[kind]
        return f"{one.f1[kind]:.2f} [{low:.2f}, {high:.2f}] ({one.counts[kind]})"

    columns = [f"{line}: {by}" for line, by in scores]
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
