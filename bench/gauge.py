"""Faulty sensors: how many are named, how many falsely, and what that does to verdicts.

Run as `python -m bench.gauge [--coils 3000] [--out FILE.md]`. Coils of the simulated line, from a seed that no member
learnt from, with many more faults of the gauge than a line has; only those with a fault, or with a sensor named, are
scored by the shipped ensemble, and held against the same coils as a gauge in good order measures them. Then sensors
that read ever less, for the line's own faults are small.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from bench.machine import machine
from bench.report import add_out, print_table, report
from models.ensemble import Ensemble, load_ensemble
from models.share_intervals import wilson_interval
from plant.gauge import GaugeFault
from plant.line import SimulatedBlock, simulate
from plant.settings import GaugeSettings, LineSettings
from processors.assemble import assemble
from processors.decide import decide
from processors.gauge_faults import sensor_faults
from processors.normalize import normalize
from processors.score import score
from schemas.coils import Truth
from schemas.layout import FACES
from schemas.settings import ToleranceProfile
from schemas.verdicts import Label, Reason, Scores, names_sensors

SEED = 983  # of no member's training
DEFECT_SHARE = 0.3
FAULT_SHARE = 0.06  # of coils, of each kind
LINES = (("as in production", 1.0), ("thrice as restless", 3.0))
LESS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # of the coating
KINDS = (Reason.GAUGE_DEAD, Reason.GAUGE_STUCK, Reason.GAUGE_NOISY, Reason.GAUGE_OFFSET)
WHERE = ("inner five", "outermost two of each edge")
_PROFILES = {"default": ToleranceProfile()}

Named = tuple[str, str]  # kind, sensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Coil:
    """What was true of a coil, and what was said of it; labels are None where it was not scored."""

    truth: Truth | None
    faults: dict[Named, GaugeFault]
    named: frozenset[Named]
    before: Label | None  # the verdict, had nobody named sensors
    after: Label | None
    p_nok: tuple[float, float, float]  # as measured, without faulty sensors, and of a gauge in good order


def coils_of(ensemble: Ensemble, line: LineSettings, coils: int) -> Iterator[Coil]:
    """Coils of a line in the order in which they ran."""
    good = replace(line.gauge, dead_share=0.0, stuck_share=0.0, noisy_share=0.0, offset_share=0.0)
    blocks = simulate(coils, seed=SEED, line=line), simulate(coils, seed=SEED, line=replace(line, gauge=good))
    for block, well in zip(*blocks, strict=True):
        yield from _coils(block, well, ensemble)


def _coils(block: SimulatedBlock, well: SimulatedBlock, ensemble: Ensemble) -> Iterator[Coil]:
    assembled = assemble(block.rows, block.headers).coils
    faults = [_faults(truth.faults) for truth in block.truth]
    named = [_named(reasons) for reasons in assembled.reasons]
    which = [row for row in range(len(block)) if faults[row] or named[row]]
    taken = pa.array(which, type=pa.int64())
    batch = normalize(assembled, ensemble.limits).batch.take(taken)
    said = score(batch, ensemble, place="bench").scores
    true = ensemble.score(normalize(assemble(well.rows, well.headers).coils, ensemble.limits).batch.take(taken))
    asked = said.p_nok_without_faults
    without = np.full(len(which), np.nan) if asked is None else asked
    before, after = _labels(batch, replace(said, p_nok_without_faults=None)), _labels(batch, said)
    at = {row: place for place, row in enumerate(which)}
    for row, header in enumerate(block.headers):
        place = at.get(row)
        yield Coil(
            truth=header.label,
            faults=faults[row],
            named=named[row],
            before=None if place is None else before[place],
            after=None if place is None else after[place],
            p_nok=(np.nan,) * 3 if place is None else (said.p_nok[place], without[place], true.p_nok[place]),
        )


def _labels(batch: pa.RecordBatch, scores: Scores) -> list[Label]:
    decided = decide(batch, scores, profiles=_PROFILES, customer_profiles={}, place="bench")
    return [verdict.label for verdict in decided.verdicts]


def _faults(faults: Sequence[GaugeFault]) -> dict[Named, GaugeFault]:
    return {(f.kind, f"{FACES[f.face]} sensor {f.first_sensor + 1}"): f for f in faults if f.kind in KINDS}


def _named(reasons: Sequence[str]) -> frozenset[Named]:
    parts = (reason.partition(": ") for reason in reasons if names_sensors(reason))
    return frozenset((kind, sensor) for kind, _, sensors in parts for sensor in sensors.split(", "))


def _share(marked: Sequence[bool]) -> str:
    if not marked:
        return "–"
    low, high = wilson_interval(sum(marked), len(marked))
    return f"{sum(marked)} of {len(marked)}: {sum(marked) / len(marked):.1%} [{low:.1%}, {high:.1%}]"


def _print_named(coils: Sequence[Coil]) -> None:
    rows = []
    for kind in KINDS:
        true = [(key, fault, coil) for coil in coils for key, fault in coil.faults.items() if key[0] == kind]
        by_place = [[key in coil.named for key, fault, coil in true if _place(fault) == where] for where in WHERE]
        falsely = [any(key[0] == kind and key not in coil.faults for key in coil.named) for coil in coils]
        rows.append((kind.replace("_", " "), *map(_share, by_place), _share(falsely)))
    print_table(("fault", *(f"found, {where} [95%]" for where in WHERE), "coils in which one is named falsely"), rows)


def _place(fault: GaugeFault) -> str:
    return WHERE[0] if 2 <= fault.first_sensor <= 6 else WHERE[1]


def _print_verdicts(coils: Sequence[Coil]) -> None:
    rows = []
    for name in ("any", *KINDS):
        some = [coil for coil in coils if any(name in ("any", kind) for kind, _ in coil.faults)]
        ok, nok = ([coil for coil in some if coil.truth == truth] for truth in ("OK", "NOK"))
        alarms = [_share([getattr(c, when) is Label.NOK for c in ok]) for when in ("before", "after")]
        caught = [coil for coil in nok if coil.before is Label.NOK]
        rows.append(
            (name.replace("_", " "), *alarms, len(nok), _share([coil.after is Label.UNDECIDED for coil in caught]))
        )
    titles = ("fault", "OK, called NOK before [95%]", "and now", "NOK", "of those called NOK, now UNDECIDED")
    print_table(titles, rows)
    changed = Counter(coil.truth for coil in coils if not coil.faults and coil.before is not coil.after)
    print(f"\nOf coils without a fault {changed['OK']} OK and {changed['NOK']} NOK ones are now UNDECIDED.")


def _print_nearer(coils: Sequence[Coil], threshold: float) -> None:
    rows = []
    for kind in KINDS:
        some = np.array([c.p_nok for c in coils if any(key[0] == kind and key in c.named for key in c.faults)])
        some = some.reshape(-1, 3)[~np.isnan(some).any(axis=-1)] if len(some) else np.zeros((0, 3))
        if not len(some):
            continue
        off = [np.quantile(np.abs(some[:, column] - some[:, 2]), 0.95) for column in (0, 1)]
        called = some >= threshold
        made, hidden = (int((called[:, 0] & ~called[:, 2]).sum()), int((~called[:, 0] & called[:, 2]).sum()))
        rows.append((kind.replace("_", " "), len(some), *(f"{each:.3f}" for each in off), made, hidden))
    titles = ("fault, found", "coils", "p_nok off by, 95%", "without the sensor", "NOK by the fault alone", "OK by it")
    print_table(titles, rows)


def _print_severe(ensemble: Ensemble, coils: int) -> None:
    gauge = GaugeSettings(stuck_share=0.0, offset_share=0.0)
    blocks = list(simulate(coils, seed=SEED + 1, line=LineSettings(defect_share=0.0, gauge=gauge)))
    rows = []
    for less in LESS:
        before: list[bool] = []
        after: list[bool] = []
        named: list[bool] = []
        for block in blocks:
            mean = block.rows.mean_g_m2.copy()
            struck = (block.rows.coil // 2 + 2 * (block.rows.coil % 2)) % 5 + 2  # one of the inner five, coil by coil
            which = np.flatnonzero(block.rows.face == block.rows.coil % 2)
            mean[which, struck[which]] *= 1 - less
            assembled = assemble(replace(block.rows, mean_g_m2=mean), block.headers).coils
            batch = normalize(assembled, ensemble.limits).batch
            said = score(batch, ensemble, place="bench").scores
            ok = [header.label == "OK" for header in block.headers]
            for labels, told in ((before, replace(said, p_nok_without_faults=None)), (after, said)):
                labels += [one is Label.NOK for one, good in zip(_labels(batch, told), ok, strict=True) if good]
            named += [bool(_named(reasons)) for reasons, good in zip(assembled.reasons, ok, strict=True) if good]
        rows.append((f"{less:.0%}", *map(_share, (named, before, after))))
    print_table(("reads less by", "named [95%]", "OK, called NOK before [95%]", "and now"), rows)


def _print_cost(coils: int) -> None:
    """Time of the search for faulty sensors beside that of assembling, one thread's."""
    blocks = list(simulate(coils, seed=SEED))
    spent = []
    for _ in range(5):
        start = time.thread_time()
        built = [assemble(block.rows, block.headers).coils for block in blocks]
        middle = time.thread_time()
        for one in built:
            zn_min = np.repeat([header.order.zn_min_g_m2 for header in one.headers], 2)
            sensor_faults(one.mean_g_m2, zn_min, one.face_start)
        spent.append((middle - start, time.thread_time() - middle))
    whole, part = (1e6 * min(each) / coils for each in zip(*spent, strict=True))
    print(f"\nAssembling costs {whole:.0f} µs a coil in batches of 64, {part:.0f} µs of them the search for faults.")


def main() -> int:
    """Print what is named, what becomes of verdicts, and what it costs."""
    parser = argparse.ArgumentParser(prog="python -m bench.gauge")
    parser.add_argument("--coils", type=int, default=3000, help="simulated of each line")
    add_out(parser)
    given = parser.parse_args()
    ensemble = load_ensemble(None, threads=1)
    with report("bench.gauge", "Faulty sensors", given.out, on=machine()):
        shares = ", ".join(f"{FAULT_SHARE:.0%} {kind.replace('_', ' ')}" for kind in KINDS)
        print(f"ensemble {ensemble.version}, {given.coils} coils of each line, seed {SEED}: {shares}, drawn apart;")
        print(f"{DEFECT_SHARE:.0%} with a defect of the coating.")
        gauge = GaugeSettings(
            dead_share=FAULT_SHARE, stuck_share=FAULT_SHARE, noisy_share=FAULT_SHARE, offset_share=FAULT_SHARE
        )
        for name, restlessness in LINES:
            line = LineSettings(defect_share=DEFECT_SHARE, restlessness=restlessness, gauge=gauge)
            coils = list(coils_of(ensemble, line, given.coils))
            print(f"\n## A line {name}: what is named\n")
            _print_named(coils)
            print(f"\n## A line {name}: verdicts on coils with a faulty sensor\n")
            _print_verdicts(coils)
            print(f"\n## A line {name}: nearer to what a gauge in good order tells\n")
            _print_nearer(coils, ensemble.threshold("limits"))
        print("\n## As in production without a defect: one of the inner five reads ever less\n")
        _print_severe(ensemble, given.coils // 3)
        _print_cost(512)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
