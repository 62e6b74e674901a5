"""What retraining costs the coils that stream meanwhile: their time to the verdict, alone and beside one that trains.

Run as `python -m bench.scoring_while_training [--rate 20] [--seconds 30] [--rounds 5] [--coils 4500] [--threads 2]
[--json] [--out FILE.md]`. One `coilflow worker assess` with the three shipped members on scale `limits` under a steady
stream, as for `bench.swap`. In turn, for so many seconds each, it is alone and beside the real process of
`flows.retrain_process`, with its niceness, bounds and threads, which trains heads of all three members on features that
nobody has cached, again and again. A coil counts for the stretch in which its last event was sent; the first second of
a stretch counts for neither.
"""

import argparse
import itertools
import json
import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from bench.stream_arrivals import LASTS_S, Arrivals, Coil, prepared
from bench.stream_latency import LIMIT_S, PARTITIONS, WARM_S
from bench.stream_setup import (
    THREE,
    Servers,
    Service,
    cpu_s,
    fresh_database,
    fresh_topics,
    servers,
    three_members,
    wait_for,
    worker_command,
)
from bench.stream_verdicts import commits, owners, verdicts
from flows.population import simulated
from flows.retrain_order import Order
from flows.retrain_process import TrainingStoppedError, train_apart
from flows.snapshot import WEIGHT
from models.data_spec import SimulatedData
from models.ensemble import load_ensemble
from schemas.loop_settings import RetrainSettings
from schemas.settings import Settings, ToleranceProfile
from store.connection import connect

MOST_RATIO = 1.5  # of the medians of p99
SETTLES_S = 1.0  # of a stretch
MEMORY_MIB = 1024 * 1024


@dataclass(kw_only=True, slots=True)
class Child:
    """What was seen of the processes that trained."""

    cpu_s: float = 0.0
    beside_s: float = 0.0  # wall time with one
    successors: int = 0
    niceness: set[int] = field(default_factory=set)
    threads: int = 0
    largest_mib: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Coils of some seconds; milliseconds."""

    training: bool
    coils: int
    p50: float
    p99: float
    highest: float


def write_coils(place: Path, coils: int, champion: Path) -> None:
    """Simulated coils as a snapshot of the database has them."""
    limits = load_ensemble(champion, threads=1).limits
    batch = simulated(SimulatedData(coils=coils, seed=3), limits).batch
    whole = pa.Table.from_batches([batch]).append_column(WEIGHT, pa.array(np.ones(batch.num_rows)))
    with pa.ipc.new_file(place, whole.schema) as writer:
        writer.write_table(whole)


class Trainer(threading.Thread):
    """Trains successors, one after the other, each in a process of its own, until told to stop."""

    def __init__(self, folder: Path, champion: Path, snapshot: Path, numbers: "itertools.count[int]") -> None:
        super().__init__(name="trainer", daemon=True)
        self._folder, self._champion, self._snapshot, self._numbers = folder, champion, snapshot, numbers
        self._halt = threading.Event()
        self.successors = 0
        self.failed: BaseException | None = None

    def stop(self) -> None:
        """Kill the process, as a run that is given up does; raises what failed."""
        self._halt.set()
        self.join()
        if self.failed is not None:
            raise self.failed

    def run(self) -> None:
        """Train until told to stop."""
        try:
            with suppress(TrainingStoppedError):
                while not self._halt.is_set():
                    train_apart(self._order(next(self._numbers)), RetrainSettings(), self._halt, most_s=600)
                    self.successors += 1
        except BaseException as error:  # noqa: BLE001 - raised by `stop`
            self.failed = error

    def _order(self, number: int) -> Order:
        return Order(
            champion=self._champion,
            snapshot=self._snapshot,
            members=THREE,
            must=False,
            how="head",
            holdout_share=RetrainSettings().holdout_share,
            regardless=True,
            combine=None,
            seed=number,
            out=self._folder / f"retraining-{number}",
            cache=self._folder / f"features-{number}",
            profiles={"default": ToleranceProfile()},
        )


def children() -> list[psutil.Process]:
    """The processes that train, by their command."""
    own = psutil.Process().children()
    with suppress(psutil.NoSuchProcess):
        return [one for one in own if "flows.retrain_child" in one.cmdline()]
    return []


def watch(child: Child, seconds: float) -> None:
    """Note for so long what the processes that train take."""
    began_s, spent = time.monotonic(), dict[int, tuple[float, float]]()
    while (left_s := began_s + seconds - time.monotonic()) > 0:
        for one in children():
            with suppress(psutil.NoSuchProcess):
                used_s = cpu_s(one.pid)
                spent[one.pid] = spent.get(one.pid, (used_s, 0.0))[0], used_s
                child.threads = max(child.threads, one.num_threads())
                child.largest_mib = max(child.largest_mib, one.memory_info().rss / MEMORY_MIB)
                if used_s > 1.0:  # past its start, where it makes itself nice
                    child.niceness.add(one.nice())
        time.sleep(min(0.2, left_s))
    child.cpu_s += sum(last - first for first, last in spent.values())
    child.beside_s += seconds


def alternate(
    folder: Path, champion: Path, snapshot: Path, *, rounds: int, seconds: float
) -> tuple[list[float], Child]:
    """Stretches alone and beside training, in turn; their beginnings by the wall clock, and the end of the last."""
    begins, child, numbers = list[float](), Child(), itertools.count(1)
    for _ in range(rounds):
        begins.append(time.time())
        time.sleep(seconds)
        begins.append(time.time())
        trainer = Trainer(folder, champion, snapshot, numbers)
        trainer.start()
        watch(child, seconds)
        trainer.stop()
        child.successors += trainer.successors
    return [*begins, time.time()], child


def stretches(begins: Sequence[float], waits_ms: Sequence[tuple[float, float]]) -> list[Stretch]:
    """Coils, as (sent, milliseconds), by the stretch in which they were sent."""
    found = []
    for number, (begin, end) in enumerate(itertools.pairwise(begins)):
        here = [wait for sent, wait in waits_ms if begin + SETTLES_S <= sent < end]
        p50, p99 = (float(value) for value in np.percentile(here, (50, 99)))
        found.append(Stretch(training=number % 2 == 1, coils=len(here), p50=p50, p99=p99, highest=max(here)))
    return found


def measure(
    here: Servers, coils: list[Coil], snapshot: Path, *, rate: float, seconds: float, rounds: int, threads: int
) -> tuple[list[Stretch], Child]:
    """One steady stream through one worker, beside which now and then somebody trains."""
    kafka, champion = fresh_topics(here, partitions=PARTITIONS), here.folder / "three"
    with fresh_database(here) as dsn, connect(dsn) as connection:
        settings = Settings(
            data_dir=here.folder / "data",
            database_dsn=dsn,
            kafka=kafka,
            ensemble=champion,
            threads=threads,
            destinations=(f"kafka:{kafka.verdicts_topic}",),
        )
        service = Service(worker_command(), settings, here.folder / "worker.log")
        service.start()
        try:
            wait_for(
                lambda: sum(owners(connection, kafka.chunks_topic).values()) == PARTITIONS,
                services=[service],
                limit_s=LIMIT_S,
            )
            arrivals = Arrivals(kafka, coils, rate=rate)
            arrivals.start()
            time.sleep(LASTS_S + WARM_S)
            begins, child = alternate(here.folder, champion, snapshot, rounds=rounds, seconds=seconds)
            arrivals.join()
            arrivals.check()
            wait_for(lambda: verdicts(connection) == len(coils), services=[service], limit_s=LIMIT_S)
            committed = {commit.coil_id: commit.committed_s for commit in commits(connection)}
        finally:
            service.stop()
    waits_ms = [(sent, 1000 * (committed[coil] - sent)) for coil, sent in arrivals.sent_s.items()]
    return stretches(begins, waits_ms), child


def show(found: Sequence[Stretch], child: Child) -> int:
    """Print a line a stretch, the medians, and whether the bar is met."""
    titles = ("stretch", "coils", "p50 ms", "p99 ms", "max ms")
    sides = {"alone": [one for one in found if not one.training], "training": [one for one in found if one.training]}
    medians = {
        side: [statistics.median(getattr(one, name) for one in those) for name in ("p50", "p99", "highest")]
        for side, those in sides.items()
    }
    rows = [
        ("training" if one.training else "alone", one.coils, *(f"{ms:.1f}" for ms in (one.p50, one.p99, one.highest)))
        for one in found
    ]
    rows += [
        (f"**{side}, median**", sum(one.coils for one in sides[side]), *(f"{ms:.1f}" for ms in medians[side]))
        for side in sides
    ]
    print_table(titles, rows)
    cores = child.cpu_s / child.beside_s
    niceness = ", ".join(map(str, sorted(child.niceness))) or "not seen"
    print(
        f"\nThe child: {cores:.2f} cores, niceness {niceness}, {child.threads} threads at most, "
        f"{child.largest_mib:.0f} MiB, {child.successors} successors finished"
    )
    ratio = medians["training"][1] / medians["alone"][1]
    return print_bars(
        [
            (f"scoring keeps its p99: at most {MOST_RATIO:g} times", f"{ratio:.2f} times", ratio <= MOST_RATIO),
            ("the child ran at its niceness", niceness, child.niceness == {RetrainSettings().niceness}),
        ]
    )


def main() -> int:
    """Print the machine, a line a stretch, and the medians."""
    parser = argparse.ArgumentParser(prog="python -m bench.scoring_while_training")
    parser.add_argument("--rate", type=float, default=20.0, help="coils a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a stretch")
    parser.add_argument("--rounds", type=int, default=5, help="each a stretch alone and one beside training")
    parser.add_argument("--coils", type=int, default=4500, help="to train on")
    parser.add_argument("--threads", type=int, default=2, help="of a model that scores")
    parser.add_argument("--json", action="store_true")
    add_out(parser)
    given = parser.parse_args()
    lasts_s = WARM_S + LASTS_S + given.rounds * 2 * given.seconds + 2 * given.rounds  # a child is killed meanwhile
    coils = prepared(round(given.rate * lasts_s))
    with servers() as here:
        write_coils(here.folder / "snapshot.arrow", given.coils, three_members(here.folder / "three"))
        says = machine()
        found, child = measure(
            here,
            coils,
            here.folder / "snapshot.arrow",
            rate=given.rate,
            seconds=given.seconds,
            rounds=given.rounds,
            threads=given.threads,
        )
        server = here.server
    about = (
        f"{given.rate:g} coils/s, {given.rounds} times {given.seconds:g} s alone and as long beside a child "
        f"that trains three heads on {given.coils} coils; {PARTITIONS} partitions, {given.threads} threads; {server}"
    )
    if given.json:
        seen = asdict(child) | {"niceness": sorted(child.niceness)}
        print(json.dumps({"machine": says, "about": about, "stretches": [asdict(one) for one in found], "child": seen}))
        return 0
    with report("bench.scoring_while_training", "Scoring while a successor is trained", given.out, on=says):
        print(f"{about}\n")
        return show(found, child)


if __name__ == "__main__":
    raise SystemExit(main())
