"""How often the policy fires, and how soon, beside the plant's plain rule, for models whose truth is known.

Run as `python -m bench.trigger [--runs N] [--out FILE.md]`: seeds are fixed, 2,000 runs take less than a minute. Coils
called NOK are looked at, and a draw of the others; labels come at once. A coil is one that the version decided,
labelled or not.
"""

import argparse
import time
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from bench.machine import machine
from bench.report import add_out, print_bars, report
from models.anytime import advance, begin
from scheduler.evidence import Outcomes, Stream, agreement_stream, false_alarm_stream
from schemas.coils import BoolArray, FloatArray, IntArray
from schemas.loop_settings import PolicySettings, ReviewSettings

POLICY = PolicySettings()
DRAW = ReviewSettings().share
ACCURACIES = (0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
RECALL = 0.7  # the study's best
MIXES = ((0.01, DRAW), (0.03, DRAW), (0.01, 1.0))  # share of NOK coils on the line, of other coils that are labelled
HEALTHY, COLLAPSED = 0.8, 0.1  # recall
FALSE_ALARMS = (1 - 0.97 - 0.01 * (1 - COLLAPSED)) / 0.99  # so that the collapsed model is 97% right at 1% NOK
LINE_COILS = 100_000  # looked at in the collapse
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True)
class Fired:
    """Coils until each run fired, [R]; NEVER where it did not."""

    coils: IntArray

    @property
    def share(self) -> float:
        """Of the runs, those that fired."""
        return float((self.coils != NEVER).mean())

    @property
    def mean(self) -> float:
        """Coils until it, of the runs that fired; none of them: infinity."""
        hit = self.coils[self.coils != NEVER]
        return float(hit.mean()) if len(hit) else float("inf")

    def __str__(self) -> str:
        """Share of runs, mean and median coils of those that fired."""
        hit = self.coils[self.coils != NEVER]
        soon = f"{hit.mean():6.0f} {np.median(hit):6.0f}" if len(hit) else f"{'':6} {'':6}"
        return f"{len(hit) / len(self.coils):7.2%} {soon}"


def first(fired: BoolArray) -> IntArray:
    """Coils until each run [R] first fired, of [R, N]."""
    return np.where(fired.any(axis=1), fired.argmax(axis=1) + 1, NEVER)


def plain_rule(right: BoolArray, counts: BoolArray, *, last: int | None = None) -> Fired:
    """The plant's rule after every coil: more than 10 evaluated, fewer than 75% of them right; [R, N] each."""
    evaluated, agreed = np.cumsum(counts, axis=1), np.cumsum(right & counts, axis=1)
    fires = (evaluated > POLICY.more_than_coils) & (agreed < POLICY.least_agreement * evaluated)
    return Fired(coils=first(fires[:, :last]))


def sequence(stream: Stream, *, bound: float, alpha: float) -> IntArray:
    """Outcomes until the bound is established to be broken, [R]."""
    _, evidence = advance(begin(), stream.right, stream.weight, bound=bound, horizon=POLICY.horizon_coils)
    return first(evidence >= 1 / alpha)


def line(
    runs: int, coils: int, *, nok: float, recall: float, false_alarms: float, draw: float, rng: np.random.Generator
) -> Outcomes:
    """Coils of a line under alarm-driven review, [R, N]."""
    is_nok = rng.random((runs, coils)) < nok
    called = rng.random((runs, coils)) < np.where(is_nok, recall, false_alarms)
    asked = called | (rng.random((runs, coils)) < draw)
    return Outcomes(
        called_nok=called,
        is_nok=is_nok,
        labelled_at=np.where(asked, np.arange(coils, dtype=np.float64), np.nan),
        review_probability=np.where(called, 1.0, np.where(asked, draw, np.nan)),
    )


def recall_sequence(outcomes: Outcomes) -> IntArray:
    """Coils until recall is established to be too low, [R]; NOK labels first, in their order, padded by no weight."""
    nok = outcomes.is_nok & ~np.isnan(outcomes.labelled_at)
    most = max(1, int(nok.sum(axis=1).max()))
    order = np.argsort(~nok, axis=1, kind="stable")[:, :most]
    stands_for = np.where(outcomes.called_nok, 1.0, 1 / outcomes.review_probability)
    weight = np.take_along_axis(np.where(nok, stands_for, 0.0), order, axis=1)
    right = np.take_along_axis(outcomes.called_nok, order, axis=1)
    found = sequence(Stream(right=right, weight=weight), bound=POLICY.least_recall, alpha=POLICY.alpha_rates)
    at = np.take_along_axis(order, np.minimum(found, most)[:, None] - 1, axis=1)[:, 0] + 1
    return np.where(found == NEVER, NEVER, at)


def policy(outcomes: Outcomes) -> tuple[Fired, Fired]:
    """When agreement alone fires, and when any figure does; both wait for the plant's more than 10 labels."""
    labels = np.cumsum(~np.isnan(outcomes.labelled_at), axis=1)
    enough = first(labels > POLICY.more_than_coils)
    agreement = sequence(agreement_stream(outcomes, "alarms"), bound=POLICY.least_agreement, alpha=POLICY.alpha)
    alarms = sequence(
        false_alarm_stream(outcomes, "alarms"), bound=1 - POLICY.most_false_alarms, alpha=POLICY.alpha_rates
    )
    soonest = np.minimum(np.minimum(agreement, alarms), recall_sequence(outcomes))
    return Fired(coils=np.maximum(agreement, enough)), Fired(coils=np.maximum(soonest, enough))


def accuracy_table(nok: float, draw: float, runs: int) -> dict[float, Fired]:
    """Every accuracy at one mix of labels; when any figure fired, by accuracy."""
    by_accuracy = {}
    print(
        f"\n{nok:.0%} NOK on the line, recall {RECALL}, {draw:.0%} of what is called OK drawn for review:"
        f" fired within {POLICY.horizon_coils} coils, mean and median coils"
    )
    titles = ("plain, all labelled", "plain, labels of review", "agreement", "any figure")
    print("right  false  labels  " + "  ".join(f"{title:>23}" for title in titles) + "  labels until")
    for accuracy in ACCURACIES:
        false_alarms = (1 - accuracy - nok * (1 - RECALL)) / (1 - nok)
        rng = np.random.default_rng([round(accuracy * 100), round(nok * 100)])
        outcomes = line(
            runs, POLICY.horizon_coils, nok=nok, recall=RECALL, false_alarms=false_alarms, draw=draw, rng=rng
        )
        right, labelled = outcomes.called_nok == outcomes.is_nok, ~np.isnan(outcomes.labelled_at)
        agreement, soonest = policy(outcomes)
        by_accuracy[accuracy] = soonest
        columns = (plain_rule(right, np.ones_like(right)), plain_rule(right, labelled), agreement, soonest)
        hit = soonest.coils != NEVER
        given = np.cumsum(labelled, axis=1)[hit, soonest.coils[hit] - 1]
        until = f"{given.mean():12.0f}" if hit.any() else ""
        cells = "  ".join(f"{column!s:>23}" for column in columns)
        print(f"{accuracy:5.0%}  {false_alarms:5.1%}  {labelled.mean():6.1%}  {cells}  {until}")
    return by_accuracy


def slip_table(runs: int) -> None:
    """A model that is 90% right and slips to 60% after some coils."""
    print("\n1% NOK, 90% right, then 60% right: fired in the horizon, coils from the slip on (false: fired before it)")
    for slip in (0, 100, 300):
        rng = np.random.default_rng([7, slip])
        parts = [
            line(runs, coils, nok=0.01, recall=RECALL, false_alarms=(1 - accuracy - 0.003) / 0.99, draw=DRAW, rng=rng)
            for coils, accuracy in ((slip, 0.9), (POLICY.horizon_coils - slip, 0.6))
        ]
        joined = Outcomes(
            called_nok=np.concatenate([part.called_nok for part in parts], axis=1),
            is_nok=np.concatenate([part.is_nok for part in parts], axis=1),
            labelled_at=np.concatenate([part.labelled_at for part in parts], axis=1),
            review_probability=np.concatenate([part.review_probability for part in parts], axis=1),
        )
        _, soonest = policy(joined)
        true = (soonest.coils != NEVER) & (soonest.coils > slip)
        false = (soonest.coils <= slip).mean()
        after = Fired(coils=np.where(true, soonest.coils - slip, NEVER))
        print(f"after {slip:3} coils  {after}   false {false:.2%}")


def collapse_table(runs: int) -> float:
    """Recall falls, agreement stays: coils and NOK labels until it is caught; the least share of runs that were."""
    least = 1.0
    before, after = (1 - 0.01 * (1 - recall) - 0.99 * FALSE_ALARMS for recall in (HEALTHY, COLLAPSED))
    print(f"\nRecall {HEALTHY} falls to {COLLAPSED} at 1% NOK, agreement {before:.1%} to {after:.1%} of all coils,")
    print(
        f"false alarms {FALSE_ALARMS:.2%}: fired within {LINE_COILS:,} coils; mean and median coils and NOK labels from"
    )
    print("the fall on; mean of all labels; recall as NOK labels would show it, were those of the draw not weighted")
    for draw in (0.02, 0.05, 0.1):
        for name, good in (("never falls", None), ("from the start", 0), ("after 2,000 coils", 2_000)):
            rng = np.random.default_rng([11, round(draw * 100), 0 if good is None else 1 + good])
            coils, labels, naive = collapse(runs, draw=draw, good=good, rng=rng)
            hit = coils.coils != NEVER
            looked = (1 - FALSE_ALARMS) * draw + FALSE_ALARMS  # of coils, but for the few NOK
            given = f"{coils.coils[hit].mean() * looked:6.0f}" if hit.any() else f"{'':6}"
            print(f"draw {draw:3.0%}  {name:18}  {coils}  {labels}  {given}  {naive:6.1%}")
            least = least if good is None else min(least, coils.share)
    return least


def collapse(runs: int, *, draw: float, good: int | None, rng: np.random.Generator) -> tuple[Fired, Fired, float]:
    """Coils and NOK labels from the collapse to the trigger, and recall as NOK labels show it unweighted.

    Only NOK coils are drawn, and the coils from one to the next. The trigger before the collapse counts as none.
    """
    size = LINE_COILS // 100
    at = np.cumsum(rng.geometric(0.01, (runs, size)), axis=1)
    collapsed = np.zeros(at.shape, dtype=bool) if good is None else at > good
    caught = rng.random(at.shape) < np.where(collapsed, COLLAPSED, HEALTHY)
    seen = caught | (rng.random(at.shape) < draw)
    weight = np.where(seen, np.where(caught, 1.0, 1 / draw), 0.0)
    order = np.argsort(~seen, axis=1, kind="stable")
    stream = Stream(right=np.take_along_axis(caught, order, axis=1), weight=np.take_along_axis(weight, order, axis=1))
    most = int(seen.sum(axis=1).max())
    cut = Stream(right=stream.right[:, :most], weight=stream.weight[:, :most])
    found = sequence(cut, bound=POLICY.least_recall, alpha=POLICY.alpha_rates)
    when = np.take_along_axis(at, np.take_along_axis(order, np.minimum(found, most)[:, None] - 1, axis=1), axis=1)[:, 0]
    start = good or 0
    before: FloatArray = (seen & (at <= start)).sum(axis=1)
    late = (found != NEVER) & (when > start)
    shown = seen & (collapsed if good is not None else True)
    return (
        Fired(coils=np.where(late, when - start, NEVER)),
        Fired(coils=np.where(late, found - before, NEVER)),
        float(caught[shown].mean()),
    )


def main() -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.trigger")
    parser.add_argument("--runs", type=int, default=2_000)
    add_out(parser)
    given = parser.parse_args()
    runs, started = given.runs, time.perf_counter()
    with report("bench.trigger", "Triggers of the policy", given.out, on=machine()):
        print(f"numpy {version('numpy')}; {runs} runs a row; {POLICY}; draw {DRAW}\n\n```text")
        print("The plain rule, all coils labelled, checked after every coil from 11 to 100 (FACTS: 61%, 31%, 11%):")
        for accuracy in (0.80, 0.85, 0.90):
            right = np.random.default_rng([1, round(accuracy * 100)]).random((10 * runs, 100)) < accuracy
            print(f"{accuracy:.0%} right  {plain_rule(right, np.ones_like(right))}")
        fired = {(nok, draw): accuracy_table(nok, draw, runs) for nok, draw in MIXES}
        slip_table(runs)
        caught = collapse_table(runs)
        print(f"```\n\n{time.perf_counter() - started:.0f} s")
        mixes = [(nok, fired[nok, draw]) for nok, draw in MIXES if draw < 1]
        return print_bars(
            [
                *(
                    (
                        f"{nok:.0%} NOK, 85% right: under 2% false within {POLICY.horizon_coils} coils",
                        f"{by_accuracy[0.85].share:.2%}",
                        by_accuracy[0.85].share < 0.02,
                    )
                    for nok, by_accuracy in mixes
                ),
                *(
                    (
                        f"{nok:.0%} NOK, 60% right: caught within 60 coils in the mean",
                        f"{by_accuracy[0.60].mean:.0f}, in {by_accuracy[0.60].share:.1%} of runs",
                        by_accuracy[0.60].mean <= 60 and by_accuracy[0.60].share > 0.99,
                    )
                    for nok, by_accuracy in mixes
                ),
                (
                    "recall that collapses while agreement stays at 97% is caught",
                    f"{caught:.1%} of runs",
                    caught > 0.95,
                ),
            ]
        )


if __name__ == "__main__":
    raise SystemExit(main())
