"""`make chaos`: worker processes are killed at random and between every two steps of a commit, and coils go on coming.

`python -m tests.streams.chaos --kills N --seed S` prints where each worker died, how long its partitions stood still,
and as the last line `N kills: L lost, D doubled`, as the oracle found them. It ends with 0 where both are zero.
"""

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from flows.kafka.client import producer
from flows.kafka.local_broker import local_broker
from schemas.settings import Settings
from schemas.stream_settings import StreamSettings
from store.connection import connect
from store.databases import create_database
from store.embedded import embedded_postgres
from store.migrations import migrate
from tests.fix_kafka import fresh_topics
from tests.streams.busy_line import BusyLine
from tests.streams.launch import POINTS
from tests.streams.stand import Answers, Stream, kill_running, running
from tests.waiting import wait_until

STREAM = StreamSettings(deadline_s=6.0, settle_s=1.0, park_after_events=150)
_RARE = frozenset(POINTS[7:])  # passed seldom: a worker dies there the first or second time
_WATCH_S = 0.03


@dataclass(frozen=True, slots=True)
class Kill:
    """One death."""

    at_s: float
    pid: int
    how: str
    partitions: tuple[int, ...]  # that it owned


@dataclass(slots=True)
class Result:
    """What came of it; times in seconds."""

    kills: list[Kill]
    freezes: int
    finding: dict[str, Any]
    unaccounted: dict[str, float]
    died_by_themselves: list[str]
    recoveries_s: list[float]
    pauses_s: list[float]

    @property
    def last_line(self) -> str:
        """As the issue asks for it."""
        return f"{len(self.kills)} kills: {self.finding['lost']} lost, {self.finding['doubled']} doubled"

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled, wrong or unaccounted for, and no worker died that was not killed."""
        faults = self.finding["lost"] + self.finding["doubled"] + self.finding["wrong"]
        return not (faults or any(self.unaccounted.values()) or self.died_by_themselves)


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    epoch: int
    owner: str
    commit: bool  # a commit of its owner, and not the claim


class _Watch(threading.Thread):
    """Notes each change of a position: who owns it, and when it was committed."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(name="watch")
        self._stream = stream
        self._ended = threading.Event()
        self.samples: dict[int, list[_Sample]] = {}

    def run(self) -> None:
        known: dict[int, tuple[int, Any]] = {}
        with connect(self._stream.dsn) as connection:
            while not self._ended.wait(_WATCH_S):
                rows = connection.execute(
                    "select partition, owner_epoch, owner, updated_at from coilflow.positions where topic = %s",
                    (self._stream.settings.kafka.chunks_topic,),
                ).fetchall()
                for row in rows:
                    number, now = row["partition"], (row["owner_epoch"], row["updated_at"])
                    before = known.get(number)
                    if before != now:
                        same = before is not None and before[0] == row["owner_epoch"]
                        sample = _Sample(time.monotonic(), row["owner_epoch"], row["owner"], commit=same)
                        self.samples.setdefault(number, []).append(sample)
                        known[number] = now

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()
        self.join()

    def owned_by(self, pid: int) -> tuple[int, ...]:
        """Partitions of a process."""
        return tuple(sorted(n for n, samples in self.samples.items() if f"-{pid}-" in samples[-1].owner))

    def back_s(self, number: int, kill: Kill) -> float | None:
        """When a partition was first committed again after a kill, by another."""
        name = f"-{kill.pid}-"
        return next(
            (s.at_s for s in self.samples[number] if s.at_s > kill.at_s and s.commit and name not in s.owner), None
        )

    def longest_gap_s(self, number: int, since_s: float, until_s: float) -> float:
        """Longest time between two commits of a partition that overlaps a stretch of time."""
        times = [s.at_s for s in self.samples[number] if s.commit]
        gaps = [b - a for a, b in pairwise(times) if b > since_s and a < until_s]
        return max(gaps, default=0.0)


@dataclass(slots=True)
class _Slot:
    pid: int
    plan: tuple[str, int] | None


@dataclass(slots=True)
class _Torment:
    stream: Stream
    watch: _Watch
    random: random.Random
    slots: list[_Slot] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    frozen: dict[int, float] = field(default_factory=dict)  # pid -> when it is woken
    freezes: int = 0
    plans: list[tuple[str, int]] = field(default_factory=list)
    patience: float = 0.8  # how often the next death waits until the others have recovered from the last

    def start(self) -> _Slot:
        """A worker, every other one with a place to die at; all places have their turn."""
        plan = None
        if self.random.random() < 0.7:
            if not self.plans:
                often = [(p, self.random.randint(1, 2 if p in _RARE else 8)) for p in POINTS]
                self.plans = self.random.sample(often, len(often))
            plan = self.plans.pop()
        return _Slot(self.stream.process(kill_at=plan), plan)

    def until(self, kills: int) -> None:
        """Kill so many."""
        while len(self.kills) < kills:
            slot = self.random.choice(self.slots)
            if self.random.random() < 0.12:
                self._freeze(self.random.choice(self.slots))
            self._wait(lambda slot=slot: not running(slot.pid), 3.0 if slot.plan else self.random.uniform(0.0, 1.2))
            if running(slot.pid):
                self._bury(slot, "at a random moment", killed=True)
            self._reap()
            if self.random.random() < self.patience:
                self._wait(self._recovered, 2 * self.stream.settings.kafka.session_timeout_s + 5.0)

    def _freeze(self, slot: _Slot) -> None:
        if slot.pid not in self.frozen and running(slot.pid):
            os.kill(slot.pid, signal.SIGSTOP)
            self.freezes += 1
            self.frozen[slot.pid] = time.monotonic() + 1.6 * self.stream.settings.kafka.session_timeout_s

    def _wait(self, condition: Any, most_s: float) -> None:
        deadline_s = time.monotonic() + most_s
        pause = threading.Event()
        while time.monotonic() < deadline_s and not condition():
            self._reap()
            for pid, wake_s in list(self.frozen.items()):
                if time.monotonic() > wake_s:
                    del self.frozen[pid]
                    if running(pid):
                        os.kill(pid, signal.SIGCONT)
            pause.wait(0.01)

    def _reap(self) -> None:
        for slot in self.slots:
            if not running(slot.pid):
                self._bury(slot, slot.plan[0] if slot.plan else "by itself", killed=False)

    def _bury(self, slot: _Slot, how: str, *, killed: bool) -> None:
        owned = self.watch.owned_by(slot.pid)
        if killed:
            kill_running([slot.pid])
        kill = Kill(time.monotonic(), slot.pid, how, owned)
        self.kills.append(kill)
        self.frozen.pop(slot.pid, None)
        print(f"kill {len(self.kills)}: {how}, partitions {list(owned)}", flush=True)  # noqa: T201
        fresh = self.start()
        slot.pid, slot.plan = fresh.pid, fresh.plan

    def _recovered(self) -> bool:
        kill = self.kills[-1]
        return all(self.watch.back_s(number, kill) is not None for number in kill.partitions)


def torment(
    stream: Stream, *, kills: int, seed: int, workers: int = 3, coils_per_s: float = 30.0, patience: float = 0.8
) -> Result:
    """Let a line run, kill workers, let the last ones finish, and ask the oracle.

    Args:
        stream: with a topic of at least as many partitions as workers.
        kills: at least so many workers are killed.
        seed: of the line and of the deaths.
        workers: at a time.
        coils_per_s: that the line sends.
        patience: how often the next death waits until the others have recovered from the last, 0 to 1.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    watch = _Watch(stream)
    line = BusyLine(stream.send, coils_per_s=coils_per_s, seed=seed)
    watch.start()
    line.start()
    it = _Torment(stream, watch, draw, patience=patience)
    started: list[int] = []
    try:
        it.slots += [it.start() for _ in range(workers)]
        wait_until(lambda: len(watch.samples) == stream.settings.kafka.partitions)
        it.until(kills)
    finally:
        try:
            line.end()
        finally:
            # Those that have a place to die at would be killed uncounted.
            kill_running([slot.pid for slot in it.slots], signal.SIGTERM)
    tallies = [stream.folder / f"tally-{i}.json" for i in range(workers)]
    try:
        started += [stream.process(tally=tally) for tally in tallies]
        stream.drain(90.0)
    finally:
        kill_running(started, signal.SIGTERM)
        watch.end()
    unaccounted = Counter[str]()
    for tally in tallies:
        unaccounted.update(orjson.loads(tally.read_bytes()))
    printed = stream.printed().splitlines()
    recoveries, pauses = _times(watch, it.kills)
    return Result(
        kills=it.kills,
        freezes=it.freezes,
        finding=stream.findings(),
        unaccounted=dict(unaccounted),
        died_by_themselves=[text for text in printed if text.startswith("died of")]
        + [kill.how for kill in it.kills if kill.how == "by itself"],
        recoveries_s=recoveries,
        pauses_s=pauses,
    )


def _times(watch: _Watch, kills: Sequence[Kill]) -> tuple[list[float], list[float]]:
    """From each kill to a commit on all its partitions; and how long the others stood still meanwhile."""
    recoveries, pauses = [], []
    for kill in kills:
        back = [watch.back_s(number, kill) for number in kill.partitions]
        if not back or None in back:
            continue
        until_s = max(at_s for at_s in back if at_s is not None)
        recoveries.append(until_s - kill.at_s)
        others = watch.samples.keys() - set(kill.partitions)
        pauses.append(max((watch.longest_gap_s(number, kill.at_s, until_s) for number in others), default=0.0))
    return recoveries, pauses


def report(result: Result) -> None:
    """Print what happened; the last line is the issue's."""
    lines = [f"died {how}: {number}" for how, number in sorted(Counter(kill.how for kill in result.kills).items())]
    lines += [f"frozen past its session and woken: {result.freezes}"]
    for what, values in (("all partitions of the killed committed again", result.recoveries_s),
                         ("longest gap between two commits of the others", result.pauses_s)):  # fmt: skip
        if len(values) > 1:
            cuts = statistics.quantiles(values, n=20)
            lines.append(f"{what}: median {cuts[9]:.1f} s, p95 {cuts[18]:.1f} s, longest {max(values):.1f} s")
    lines += [f"died by itself: {what}" for what in result.died_by_themselves]
    lines += [str(what) for what in result.finding["details"]]
    lines += [f"messages and coils unaccounted for: {result.unaccounted}"]
    lines += [f"{result.finding['coils']} coils, {result.finding['wrong']} wrong", result.last_line]
    print("\n".join(lines), flush=True)  # noqa: T201


def main() -> int:
    """Start a broker and a database, torment, report."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kills", type=int, default=1000)
    asked.add_argument("--seed", type=int, default=None)
    asked.add_argument("--workers", type=int, default=3)
    asked.add_argument("--partitions", type=int, default=6)
    asked.add_argument("--coils-per-s", type=float, default=30.0)
    asked.add_argument("--patience", type=float, default=0.8, help="1: each death waits for the last one's recovery")
    asked.add_argument("--session-timeout-s", type=float, default=1.5)
    given = asked.parse_args()
    seed = given.seed if given.seed is not None else int(time.time())
    print(f"seed {seed}", flush=True)  # noqa: T201
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coilflow-chaos-")))
        broker = stack.enter_context(local_broker(folder / "kafka"))
        server = stack.enter_context(embedded_postgres(folder / "postgres"))
        dsn = create_database(server, "chaos")
        migrate(dsn)
        kafka = fresh_topics(
            broker.bootstrap_servers, partitions=given.partitions, session_timeout_s=given.session_timeout_s
        )
        sender = producer(kafka)
        stack.callback(sender.close)
        oracle, launcher = Answers("tests.streams.oracle"), Answers("tests.streams.launch")
        stack.callback(oracle.end)
        stack.callback(launcher.end)
        settings = Settings(
            data_dir=folder, kafka=kafka, stream=STREAM, destinations=(f"kafka:{kafka.verdicts_topic}",), threads=1
        )
        stream = Stream(settings=settings, dsn=dsn, sender=sender, oracle=oracle, launcher=launcher, folder=folder)
        result = torment(
            stream,
            kills=given.kills,
            seed=seed,
            workers=given.workers,
            coils_per_s=given.coils_per_s,
            patience=given.patience,
        )
        report(result)
    return 0 if result.clean else 1


if __name__ == "__main__":
    sys.exit(main())
