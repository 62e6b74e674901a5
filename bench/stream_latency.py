"""From a coil's last chunk to the commit of its verdict, at a steady rate, with the shipped models.

Run as `python -m bench.stream_latency [--rate 20] [--seconds 60] [--threads 2] [--json]`. Coils arrive over four
partitions, their chunks between each other's; one `coilflow worker assess`, broker, database and the sender share the
machine. A coil's time runs from when the sender's producer is given its coil.ended to the commit of its verdict as
PostgreSQL keeps it (`track_commit_timestamp`), so sending, lingering and the broker are in it. First with the three
members on scale `limits`, then with all shipped ones.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.machine import machine
from bench.stream_arrivals import LASTS_S, Arrivals, Coil, prepared
from bench.stream_setup import (
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
from schemas.settings import Settings
from store.connection import connect

PARTITIONS = 4
WARM_S = 5.0  # the first coils meet a cold model
LIMIT_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """One run; milliseconds."""

    members: str
    coils: int
    p50: float
    p90: float
    p99: float
    highest: float
    sent_late_ms: float  # the sender's own worst delay
    worker_share: float  # of one core
    broker_share: float
    database_share: float


def measure(
    here: Servers, members: str, ensemble: Path | None, coils: list[Coil], *, rate: float, threads: int
) -> Latency:
    """Latencies of one steady stream through a fresh worker."""
    kafka = fresh_topics(here, partitions=PARTITIONS)
    with fresh_database(here) as dsn, connect(dsn) as connection:
        settings = Settings(
            data_dir=here.folder / members,
            database_dsn=dsn,
            kafka=kafka,
            ensemble=ensemble,
            threads=threads,
            destinations=(f"kafka:{kafka.verdicts_topic}",),
        )
        service = Service(worker_command(), settings, here.folder / f"{members}.log")
        service.start()
        try:
            wait_for(
                lambda: sum(owners(connection, kafka.chunks_topic).values()) == PARTITIONS,
                services=[service],
                limit_s=LIMIT_S,
            )
            arrivals = Arrivals(kafka, coils, rate=rate)
            before, own_s = here.cpu_s(), cpu_s(service.process.pid)
            arrivals.start()
            arrivals.join()
            arrivals.check()
            after, own_s = here.cpu_s(), cpu_s(service.process.pid) - own_s
            wait_for(lambda: verdicts(connection) == len(coils), services=[service], limit_s=LIMIT_S)
            committed = {commit.coil_id: commit.committed_s for commit in commits(connection)}
        finally:
            service.stop()
    warm_s = min(arrivals.sent_s.values()) + WARM_S
    waits = [1000 * (committed[coil] - sent) for coil, sent in arrivals.sent_s.items() if sent >= warm_s]
    p50, p90, p99 = (float(value) for value in np.percentile(waits, (50, 90, 99)))
    seconds = len(coils) / rate + LASTS_S
    return Latency(
        members=members,
        coils=len(waits),
        p50=p50,
        p90=p90,
        p99=p99,
        highest=max(waits),
        sent_late_ms=1000 * arrivals.latest_s,
        worker_share=own_s / seconds,
        broker_share=(after["broker"] - before["broker"]) / seconds,
        database_share=(after["database"] - before["database"]) / seconds,
    )


def main() -> None:
    """Print the machine, then a line for three members and one for all."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream_latency")
    parser.add_argument("--rate", type=float, default=20.0, help="coils a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=2, help="of a model")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    coils = prepared(round(given.rate * (given.seconds + WARM_S)))
    with servers() as here:
        says = machine()
        three = three_members(here.folder / "three")
        found = [
            measure(here, name, ensemble, coils, rate=given.rate, threads=given.threads)
            for name, ensemble in (("three members", three), ("all members", None))
        ]
    load = f"{given.rate:g} coils/s for {given.seconds:g} s, {PARTITIONS} partitions, {given.threads} threads"
    about = f"{load}; {here.server}"
    if given.json:
        print(json.dumps({"machine": says, "about": about, "runs": [asdict(one) for one in found]}))
        return
    print(f"{says}\n{about}\n")
    print("| models | coils | p50 ms | p90 ms | p99 ms | max ms | worker, cores | broker, cores | database, cores "
          "| sender late by at most, ms |\n|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for one in found:
        print(
            f"| {one.members} | {one.coils} | {one.p50:.1f} | {one.p90:.1f} | {one.p99:.1f} | {one.highest:.1f} "
            f"| {one.worker_share:.2f} | {one.broker_share:.2f} | {one.database_share:.2f} | {one.sent_late_ms:.1f} |"
        )
    three_run = found[0]
    met = {True: "met", False: "NOT MET"}
    print(f"\nasked for, three members: p50 25 ms: {met[three_run.p50 <= 25]}; p99 100 ms: {met[three_run.p99 <= 100]}")


if __name__ == "__main__":
    main()
