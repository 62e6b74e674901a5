"""How long until verdicts come as before after one of two workers was killed, and how long the other pauses.

Run as `python -m bench.stream_recovery [--rate 20] [--kills 5] [--json]`. Coils arrive steadily over four partitions;
`kill -9` takes one worker and then the other in turn, and a supervisor starts it again at once: first as static members
(`--instance-id`), then as dynamic ones, whose place is given up only after `session_timeout_s`. Times count from the
kill to commits as PostgreSQL keeps them; starting Python and loading the three models are in them. At the end every
coil must have exactly one verdict.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np

from bench.machine import machine
from bench.stream_arrivals import LASTS_S, Arrivals, Coil, prepared
from bench.stream_setup import (
    Servers,
    Service,
    fresh_database,
    fresh_topics,
    servers,
    three_members,
    wait_for,
    worker_command,
)
from bench.stream_verdicts import Commit, commits, owned, owners, rows, verdicts
from schemas.coils import FloatArray
from schemas.settings import Settings
from store.connection import Connection, connect

PARTITIONS = 4
BEFORE_S = 8.0  # in which the rate before a kill is taken
START_S = LASTS_S + 2.0  # until the first coils are through
WINDOW_S = 1.0
SHARE = 0.98
LIMIT_S = 120.0
_FIGURES = ("first_s", "rate_s", "caught_up_s", "pause_s", "pause_before_s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """One kill; seconds from it on."""

    members: str
    rate_before: float  # verdicts a second
    first_s: float  # until each of the dead worker's partitions had a verdict again
    rate_s: float  # end of the first second with 98% of the verdicts of before
    caught_up_s: float  # from then on all verdicts since the kill are 98% of what the rate of before would have given
    pause_s: float  # longest time without a verdict on the other worker's partitions
    pause_before_s: float  # the same before the kill


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When a worker was killed, and what it had."""

    at_s: float
    partitions: frozenset[int]


def measure(
    here: Servers, members: str, coils: Sequence[Coil], *, rate: float, kills: int, after_s: float
) -> list[Kill]:
    """Kills under one steady stream."""
    kafka = fresh_topics(here, partitions=PARTITIONS)
    with fresh_database(here) as dsn, connect(dsn) as connection:
        settings = Settings(
            data_dir=here.folder / "workers",
            database_dsn=dsn,
            kafka=kafka,
            ensemble=here.folder / "three",
            threads=1,
            destinations=(f"kafka:{kafka.verdicts_topic}",),
        )
        names = ["a", "b"] if members == "static" else [None, None]
        services = [
            Service(worker_command(instance_id=name), settings, here.folder / f"{members}-{number}.log")
            for number, name in enumerate(names)
        ]
        for service in services:
            service.start()
        arrivals = Arrivals(kafka, coils, rate=rate)
        try:
            wait_for(lambda: _shared(connection, kafka.chunks_topic), services=services, limit_s=LIMIT_S)
            arrivals.start()
            time.sleep(START_S)
            moments = []
            for number in range(kills):
                time.sleep(BEFORE_S)
                moments.append(_kill(connection, kafka.chunks_topic, services[number % 2], names[number % 2]))
                services[number % 2].start()
                time.sleep(after_s)
            arrivals.stop()
            sent = len(arrivals.sent_s)
            wait_for(lambda: verdicts(connection) >= sent, services=services, limit_s=LIMIT_S)
            found = commits(connection)
            stored = rows(connection)
        finally:
            for service in services:
                service.stop()
    # Coils that were under way when the stream ended have no verdict yet.
    whole = {commit.coil_id for commit in found} >= set(arrivals.sent_s)
    assert whole, "a coil was lost"
    assert len({commit.coil_id for commit in found}) == stored["verdicts"], f"a coil was judged twice: {stored}"
    assert not stored["dead_letters"], f"coils were refused: {stored}"
    return [_figures(members, found, moment, after_s) for moment in moments]


def _shared(connection: Connection, topic: str) -> bool:
    return sorted(owners(connection, topic).values()) == [PARTITIONS // 2] * 2


def _kill(connection: Connection, topic: str, service: Service, name: str | None) -> Moment:
    mine = f"-{service.process.pid}-"
    partitions = {n for n, owner in owned(connection, topic).items() if owner == name or (not name and mine in owner)}
    assert partitions, "a worker without partitions was about to be killed: give --after more time"
    at_s = time.time()
    service.kill()
    return Moment(at_s=at_s, partitions=frozenset(partitions))


def _figures(members: str, found: Sequence[Commit], moment: Moment, after_s: float) -> Kill:
    times = _since(found, moment, range(PARTITIONS))
    rate = float(((times > -BEFORE_S) & (times <= 0)).sum() / BEFORE_S)
    later = times[(times > 0) & (times <= after_s)]
    first = [_since(found, moment, [number]) for number in moment.partitions]
    others = _since(found, moment, [n for n in range(PARTITIONS) if n not in moment.partitions])
    # Seconds that lie wholly after the kill, each ending with a verdict.
    full = [end for end in later[later >= WINDOW_S] if _within(later, end - WINDOW_S, end) >= SHARE * rate * WINDOW_S]
    assert full, "the rate did not come back in time: give --after more"
    # Just before each verdict the deficit is largest: so many had come, and one more was due by then.
    behind = [end for number, end in enumerate(later) if number + 1 < SHARE * rate * end]
    return Kill(
        members=members,
        rate_before=rate,
        first_s=max(float(one[one > 0][0]) for one in first),
        rate_s=float(full[0]),
        caught_up_s=float(behind[-1]) if behind else 0.0,
        pause_s=_longest_gap(others, 0, after_s),
        pause_before_s=_longest_gap(others, -BEFORE_S, 0),
    )


def _since(found: Sequence[Commit], moment: Moment, partitions: Sequence[int] | range) -> FloatArray:
    return np.array([one.committed_s - moment.at_s for one in found if one.partition in partitions])


def _within(times: FloatArray, start: float, end: float) -> int:
    return int(((times > start) & (times <= end)).sum())


def _longest_gap(times: FloatArray, start: float, end: float) -> float:
    inside = times[(times > start) & (times < end)]
    return float(np.diff(inside, prepend=start).max())


def main() -> None:
    """Print the machine, then medians of the kills of each kind, with their range."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream_recovery")
    parser.add_argument("--rate", type=float, default=20.0, help="coils a second")
    parser.add_argument("--kills", type=int, default=5, help="of each kind")
    parser.add_argument("--after", type=float, default=22.0, help="seconds that a kill is watched")
    parser.add_argument("--members", nargs="+", choices=["static", "dynamic"], default=["static", "dynamic"])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    coils = prepared(round(given.rate * (START_S + given.kills * (BEFORE_S + given.after) + 10)))
    kills: list[Kill] = []
    with servers() as here:
        says = machine()
        three_members(here.folder / "three")
        for members in given.members:
            kills += measure(here, members, coils, rate=given.rate, kills=given.kills, after_s=given.after)
            print(f"  {members}: {[round(kill.rate_s, 2) for kill in kills]}", file=sys.stderr)
        about = (
            f"{given.rate:g} coils/s, {PARTITIONS} partitions, two workers, {given.kills} kills a kind; {here.server}"
        )
    if given.json:
        print(json.dumps({"machine": says, "about": about, "kills": [asdict(kill) for kill in kills]}))
        return
    print(f"{says}\n{about}\n\nseconds after the kill, median (lowest–highest)\n")
    print("| members | first verdict on all its partitions | rate back to 98% (1 s window) | nothing left to catch up |"
          " the other's longest pause | its longest pause before |\n|---|---|---|---|---|---|")  # fmt: skip
    for members in given.members:
        own = [kill for kill in kills if kill.members == members]
        print(f"| {members} | {' | '.join(_spread([getattr(kill, name) for kill in own]) for name in _FIGURES)} |")


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


if __name__ == "__main__":
    main()
