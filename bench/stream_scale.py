"""Three workers against one on a topic with six partitions, with a null model and with the three `limits` members.

Run as `python -m bench.stream_scale [--coils N] [--workers 1 3] [--rounds 3] [--json]`. All coils lie in the topic
before the workers start. The rate counts from the moment at which every worker has its partitions until nine tenths of
the coils are committed: by then none has run dry. Processor shares are of that time too, in cores, so that one sees
what the machine has left; one thread a model, else one worker alone would use both cores.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from bench.machine import machine
from bench.stream_setup import (
    Servers,
    Service,
    cpu_s,
    fresh_database,
    fresh_topics,
    interleaved,
    servers,
    simulated_coils,
    three_members,
    wait_for,
    worker_command,
)
from bench.stream_verdicts import commits, owners, verdicts
from flows.kafka.client import producer
from flows.kafka.produce import produce_events
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from store.connection import connect

PARTITIONS = 6
NULL, THREE = "null model", "three members"
LIMIT_S = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """So many workers over the topic."""

    model: str
    workers: int
    coils_per_s: float
    events_per_s: float
    worker_share: float  # cores, all workers together
    broker_share: float
    database_share: float
    before_s: float  # from the start until every worker had its partitions


def measure(here: Servers, kafka: KafkaSettings, model: str, workers: int, *, coils: int, events: int) -> Run:
    """One run from an empty database."""
    kafka = kafka.model_copy(update={"group_id": f"{kafka.group_id}-{time.monotonic_ns()}"})
    command = worker_command() if model == THREE else (sys.executable, "-m", "bench.stream_worker", "null")
    with fresh_database(here) as dsn, connect(dsn) as connection:
        settings = Settings(
            data_dir=here.folder / "workers",
            database_dsn=dsn,
            kafka=kafka,
            ensemble=here.folder / "three",
            threads=1,
            destinations=(f"kafka:{kafka.verdicts_topic}",),
        )
        services = [Service(command, settings, here.folder / f"worker-{number}.log") for number in range(workers)]
        begun = time.monotonic()
        for service in services:
            service.start()
        try:
            share = PARTITIONS // workers
            wait_for(
                lambda: sorted(owners(connection, kafka.chunks_topic).values()) == [share] * workers,
                services=services,
                limit_s=LIMIT_S,
                every_s=0.05,
            )
            shared_s, before_s = time.time(), time.monotonic() - begun
            before, own = here.cpu_s(), _cpu_s(services)
            wait_for(lambda: verdicts(connection) >= 0.9 * coils, services=services, limit_s=LIMIT_S)
            seconds = time.time() - shared_s
            after, own = here.cpu_s(), _cpu_s(services) - own
            wait_for(lambda: verdicts(connection) == coils, services=services, limit_s=LIMIT_S)
            times = [commit.committed_s for commit in commits(connection)]
        finally:
            for service in services:
                service.stop()
    counted = [at for at in times[: round(0.9 * coils)] if at >= shared_s]
    assert len(counted) >= coils / 4, "too few coils: most were through before every worker had its partitions"
    rate = len(counted) / (counted[-1] - shared_s)
    return Run(
        model=model,
        workers=workers,
        coils_per_s=rate,
        events_per_s=rate * events / coils,
        worker_share=own / seconds,
        broker_share=(after["broker"] - before["broker"]) / seconds,
        database_share=(after["database"] - before["database"]) / seconds,
        before_s=before_s,
    )


def _cpu_s(services: Sequence[Service]) -> float:
    return sum(cpu_s(service.process.pid) for service in services)


def medians(runs: Sequence[Run]) -> Run:
    """Of each figure."""
    names = [name for name in asdict(runs[0]) if name not in ("model", "workers")]
    middle = {name: median(getattr(run, name) for run in runs) for name in names}
    return Run(model=runs[0].model, workers=runs[0].workers, **middle)


def print_table(found: Sequence[Run], runs: Sequence[Run]) -> None:
    """As Markdown, with what the machine had left."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    print("| model | workers | coils/s, median | lowest–highest | events/s | workers, cores | broker, cores", end=" ")
    print("| database, cores | left of the machine | to one worker |\n|---|---|---|---|---|---|---|---|---|---|")
    for one in found:
        rates = [run.coils_per_s for run in runs if (run.model, run.workers) == (one.model, one.workers)]
        first = next(other for other in found if other.model == one.model)
        left = cores - one.worker_share - one.broker_share - one.database_share
        print(
            f"| {one.model} | {one.workers} | {one.coils_per_s:.0f} | {min(rates):.0f}–{max(rates):.0f} "
            f"| {one.events_per_s:,.0f} | {one.worker_share:.2f} | {one.broker_share:.2f} | {one.database_share:.2f} "
            f"| {left:.2f} of {cores} | {one.coils_per_s / first.coils_per_s:.2f} |"
        )


def main() -> None:
    """Fill the topic, take turns, print machine and table."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream_scale")
    parser.add_argument("--coils", type=int, default=4000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3], choices=[1, 2, 3, 6])
    parser.add_argument("--models", nargs="+", default=[NULL, THREE], choices=[NULL, THREE])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runs: list[Run] = []
    with servers() as here:
        says = machine()
        three_members(here.folder / "three")
        kafka = fresh_topics(here, partitions=PARTITIONS)
        sender = producer(kafka)
        events = produce_events(sender, kafka.chunks_topic, interleaved(simulated_coils(given.coils), at_once=24))
        sender.close()
        for _ in range(given.rounds):
            for model in given.models:
                for workers in given.workers:
                    run = measure(here, kafka, model, workers, coils=given.coils, events=events)
                    print(f"  {model}, {workers} workers: {run.coils_per_s:.0f} coils/s", file=sys.stderr)
                    runs.append(run)
        about = (
            f"{given.coils:,} coils, {events:,} events, {PARTITIONS} partitions, {given.rounds} rounds; {here.server}"
        )
    found = [
        medians([run for run in runs if (run.model, run.workers) == (model, workers)])
        for model in given.models
        for workers in given.workers
    ]
    if given.json:
        print(json.dumps({"machine": says, "about": about, "runs": [asdict(run) for run in runs]}))
        return
    print(f"{says}\n{about}\n")
    print_table(found, runs)


if __name__ == "__main__":
    main()
