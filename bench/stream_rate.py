"""Chunk events a second through one worker with a null model, against a bare loop and the same pipeline of two peers.

Run as `python -m bench.stream_rate [--coils N | --events N] [--rounds N] [--sides ...] [--json]`. Every side is a
process of its own that reads the same topic of four partitions into a database of its own on the same server; broker
and database are on this machine too. The sides take turns within each round. A side's time runs from its first event
in hand to the commit of its last verdict as PostgreSQL keeps it (of the bare loop: to its last event). Before, each
side has to give the verdicts of `coilflow assess` on the same events, and after each turn what is stored is compared.

The peers' packages do not go with ours: `make .venv-bench` makes an environment for them.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.machine import machine
from bench.peers.pipeline import null_model
from bench.stream_setup import (
    COILS_AT_ONCE,
    Servers,
    Service,
    cpu_s,
    fresh_database,
    fresh_topics,
    interleaved,
    message_bytes,
    servers,
    simulated_coils,
    wait_for,
)
from bench.stream_verdicts import commits, rows, stored, verdicts
from flows.assess import assess
from flows.kafka.client import producer
from flows.kafka.produce import produce_events
from flows.served import only
from flows.sources.open import open_source
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from store.connection import connect

PARTITIONS = 4
CHECKED_COILS = 20
PEERS_PYTHON = Path(__file__).parents[1] / ".venv-bench" / "bin" / "python"
OURS, BARE = "coilflow", "bare kafka-python loop"
LIMIT_S = 600.0
LOST = "(lost on restart)"
_MODULES = {
    OURS: ("bench.stream_worker", "null"),
    BARE: ("bench.stream_worker", "bare"),
    f"Quix, state in memory {LOST}": ("bench.peers.quix", "memory"),
    "Quix, state on disk": ("bench.peers.quix", "disk"),
    "Quix, state with changelog topic": ("bench.peers.quix", "durable"),
    f"FastStream, batches, confluent {LOST}": ("bench.peers.faststream", "confluent"),
    f"FastStream, batches, aiokafka {LOST}": ("bench.peers.faststream", "aiokafka"),
    "FastStream, batches, confluent, open coils in tables": ("bench.peers.faststream", "stored"),
    f"FastStream, one by one {LOST}": ("bench.peers.faststream", "single"),
}
SIDES = {f"{module.removeprefix('bench.').removeprefix('peers.')}-{how}".replace("stream_worker-", ""): name
         for name, (module, how) in _MODULES.items()}  # fmt: skip
DEFAULT_SIDES = [side for side in SIDES if side != "faststream-single"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One side's pass over the topic."""

    side: str
    events_per_s: float
    seconds: float
    cpu_us_per_event: float  # of its own process
    broker_share: float  # of one core, while it ran
    database_share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A topic that holds these coils."""

    kafka: KafkaSettings
    coils: int
    events: int


def fill(here: Servers, coils: Sequence[Sequence[bytes]]) -> Filled:
    """Put coils into a topic of their own."""
    kafka = fresh_topics(here, partitions=PARTITIONS)
    sender = producer(kafka)
    try:
        events = produce_events(sender, kafka.chunks_topic, interleaved(coils))
    finally:
        sender.close()
    return Filled(kafka=kafka, coils=len(coils), events=events)


def turn(here: Servers, side: str, topic: Filled, number: str) -> tuple[Turn, dict[tuple[str, str], tuple[str, str]]]:
    """One pass of a side over the topic, and the verdicts it stored."""
    name = SIDES[side]
    module, how = _MODULES[name]
    python = PEERS_PYTHON if "peers" in module else Path(sys.executable)
    kafka = topic.kafka.model_copy(update={"group_id": f"{topic.kafka.group_id}-{side}-{number}"})
    with fresh_database(here) as dsn, connect(dsn) as connection:
        settings = Settings(
            data_dir=here.folder / f"{side}-{number}",
            database_dsn=dsn,
            kafka=kafka,
            destinations=(f"kafka:{kafka.verdicts_topic}",),
        )
        service = Service((str(python), "-m", module, how), settings, here.folder / f"{side}-{number}.log")
        service.start()
        try:
            said = service.said()
            before, start_s = here.cpu_s(), cpu_s(service.process.pid)
            if side != "bare":
                wait_for(lambda: verdicts(connection) >= topic.coils, services=[service], limit_s=LIMIT_S)
            after = here.cpu_s()
            own_s = said["cpu_s"] if side == "bare" else cpu_s(service.process.pid) - start_s
            last_s = said["last_s"] if side == "bare" else max(commit.committed_s for commit in commits(connection))
            outcome = stored(connection)
            if side != "bare":
                assert rows(connection) == _expected(topic.coils), f"{name} stored {rows(connection)}"
        finally:
            service.stop()
    seconds = last_s - said["first_s"]
    return (
        Turn(
            side=side,
            events_per_s=topic.events / seconds,
            seconds=seconds,
            cpu_us_per_event=1e6 * own_s / topic.events,
            broker_share=(after["broker"] - before["broker"]) / seconds,
            database_share=(after["database"] - before["database"]) / seconds,
        ),
        outcome,
    )


def _expected(coils: int) -> dict[str, int]:
    return {"coils": coils, "readings": coils, "verdicts": coils, "outbox": coils, "dead_letters": 0}


def judged_from_file(coils: Sequence[Sequence[bytes]]) -> dict[tuple[str, str], tuple[str, str]]:
    """What `coilflow assess` says of the same events with the null model."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "events.jsonl"
        file.write_bytes(b"".join(interleaved(coils)))
        return {
            (one.verdict.key.plant, one.verdict.key.coil_id): (one.verdict.revision, one.verdict.label.value)
            for judged in assess(open_source(str(file), plant="bench"), only(null_model()), Settings(), records=False)
            for one in judged.coils
        }


def check(here: Servers, sides: Sequence[str]) -> None:
    """Every side gives the verdicts of `coilflow assess`, on the same readings; AssertionError where one does not."""
    coils = list(simulated_coils(CHECKED_COILS, seed=2))
    topic, right = fill(here, coils), judged_from_file(coils)
    for side in sides:
        _, outcome = turn(here, side, topic, "check")
        assert side == "bare" or outcome == right, f"{SIDES[side]} gives other verdicts than coilflow assess"


def measure(here: Servers, sides: Sequence[str], topic: Filled, rounds: int) -> list[Turn]:
    """All sides in turn, round after round, each with the same verdicts as the others."""
    turns = []
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for number in range(rounds):
        order = sides if number % 2 == 0 else sides[::-1]
        for side in order:
            done, outcome = turn(here, side, topic, str(number))
            print(f"  round {number + 1}: {SIDES[side]}: {done.events_per_s:,.0f} events/s", file=sys.stderr)
            turns.append(done)
            if side != "bare":
                first = first or outcome
                assert outcome == first, f"{SIDES[side]} stored other verdicts"
    return turns


def table(turns: Sequence[Turn], sides: Sequence[str], topic: Filled) -> dict[str, dict[str, float]]:
    """Medians by side."""
    found = {}
    for side in sides:
        own = [one for one in turns if one.side == side]
        rates = [one.events_per_s for one in own]
        found[SIDES[side]] = {
            "events_per_s": median(rates),
            "lowest": min(rates),
            "highest": max(rates),
            "coils_per_s": median(rates) * topic.coils / topic.events,
            "cpu_us_per_event": median(one.cpu_us_per_event for one in own),
            "broker_share": median(one.broker_share for one in own),
            "database_share": median(one.database_share for one in own),
        }
    return found


def print_table(found: dict[str, dict[str, float]]) -> None:
    """As Markdown."""
    ours = found.get(OURS, {}).get("events_per_s")
    print("| side | events/s, median | lowest–highest | coils/s | own µs of processor an event | broker, cores "
          "| database, cores | coilflow to it |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for name, row in found.items():
        ratio = f"{ours / row['events_per_s']:.2f}" if ours else ""
        print(
            f"| {name} | {row['events_per_s']:,.0f} | {row['lowest']:,.0f}–{row['highest']:,.0f} "
            f"| {row['coils_per_s']:.0f} | {row['cpu_us_per_event']:.1f} | {row['broker_share']:.2f} "
            f"| {row['database_share']:.2f} | {ratio} |"
        )


def main() -> None:
    """Check the sides, measure them, and print machine, table and what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream_rate")
    parser.add_argument("--coils", type=int, default=2000)
    parser.add_argument("--events", type=int, help="instead of --coils: at least so many events")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sides", nargs="+", choices=[*SIDES], default=DEFAULT_SIDES)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if any("-" in side for side in given.sides) and not PEERS_PYTHON.exists():
        parser.error("the peers are not installed: run `make .venv-bench`, or give --sides null bare")
    with servers() as here:
        says = machine()
        check(here, given.sides)
        coils = _coils(given.coils, given.events)
        topic = fill(here, coils)
        value, headers = message_bytes(coils[0])
        about = (
            f"{topic.events:,} events of {topic.coils:,} coils, {COILS_AT_ONCE} coils at once, "
            f"{PARTITIONS} partitions; {value:.0f} bytes of value and {headers:.0f} of headers an event; "
            f"{given.rounds} rounds; {here.server}"
        )
        turns = measure(here, given.sides, topic, given.rounds)
    found = table(turns, given.sides, topic)
    if given.json:
        print(json.dumps({"machine": says, "about": about, "sides": found, "turns": [asdict(one) for one in turns]}))
        return
    print(f"{says}\n{about}\n")
    print_table(found)
    if {"null", "bare"} <= set(given.sides):
        ours, bare = found[OURS]["events_per_s"], found[BARE]["events_per_s"]
        peers = {name: row["events_per_s"] for name, row in found.items() if name not in (OURS, BARE)}
        durable = [rate for name, rate in peers.items() if LOST not in name]
        lost = [rate for name, rate in peers.items() if LOST in name]
        print(
            f"\nasked for: 30,000 events/s: {_met(ours >= 30_000)}; 60% of the bare loop: {_met(ours >= 0.6 * bare)} "
            f"({100 * ours / bare:.0f}%); ahead of peers as durable: {_ahead(ours, durable)}; "
            f"ahead of peers that lose open coils: {_ahead(ours, lost)}"
        )


def _coils(coils: int, events: int | None) -> list[list[bytes]]:
    if events is None:
        return list(simulated_coils(coils))
    found: list[list[bytes]] = []
    counted = 0
    for coil in simulated_coils(events // 10):  # no coil has fewer
        found.append(coil)
        counted += len(coil)
        if counted >= events:
            break
    return found


def _ahead(ours: float, peers: Sequence[float]) -> str:
    return _met(ours > max(peers)) if peers else "not measured"


def _met(reached: bool) -> str:  # noqa: FBT001 - a word for it
    return "met" if reached else "NOT MET"


if __name__ == "__main__":
    main()
