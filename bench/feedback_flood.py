"""What a flood of feedback does: so many words at once through `coilflow worker feedback`, and what memory it takes.

Run as `python -m bench.feedback_flood [--words 100000] [--coils 50000] [--repeat 0.1] [--out FILE.md]`. All words lie
in the topic before the worker starts; some come a second time, some name a label outside the set. Each has to be
stored once or be a dead letter, whatever the worker's memory is allowed.
"""

import argparse
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import psutil

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from bench.stream_setup import Servers, Service, fresh_database, fresh_topics, servers, wait_for, worker_command
from flows.kafka.client import producer
from flows.kafka.produce import Message, binary_message
from schemas.settings import Settings
from schemas.stream_settings import KafkaSettings
from store.connection import Connection, connect

PARTITIONS = 3
WRONG_EVERY = 100  # words, of which one has a label outside the set
LIMIT_S = 900.0
MOST_GROWTH_MIB = 256.0  # a batch of the largest polls, decoded, beside what a worker takes that idles
MEMORY_MIB = 1024 * 1024


def words(number: int, coils: int, repeat: float, drawn: random.Random) -> Iterator[Message]:
    """So many different words, in an order of no meaning, some of them twice."""
    given_at = datetime.now(UTC) - timedelta(hours=1)
    for nth in range(number):
        data = {
            "plant": "linz",
            "coil_id": str(drawn.randrange(coils)),
            "label": "SCRAP" if nth % WRONG_EVERY == 0 else drawn.choice(("OK", "NOK")),
            "operator": f"op{drawn.randrange(5)}",
            "given_at": (given_at + timedelta(milliseconds=nth)).isoformat(),
        }
        event = {"specversion": "1.0", "type": "operator.feedback", "source": "/bench", "id": f"w{nth}", "data": data}
        message = binary_message(orjson.dumps(event))
        yield message
        if nth % WRONG_EVERY and drawn.random() < repeat:
            yield message


def send(kafka: KafkaSettings, messages: Iterator[Message]) -> int:
    """Send all of them; returns how many."""
    sender, sent = producer(kafka), 0
    for key, value, headers in messages:
        sender.send(kafka.feedback_topic, key=key, value=value, headers=headers)
        sent += 1
    sender.flush()
    sender.close()
    return sent


def rows(connection: Connection) -> dict[str, int]:
    """What is stored."""
    row = connection.execute("""
        select (select count(*) from coilflow.feedback) as words,
               (select count(distinct event_id) from coilflow.feedback) as different,
               (select count(*) from coilflow.dead_letters) as letters,
               (select count(*) from coilflow.coil_labels) as labelled
    """).fetchone()
    return dict(row or {})


def stored(connection: Connection) -> int:
    """Words and dead letters, quickly."""
    row = connection.execute(
        "select (select count(*) from coilflow.feedback) + (select count(*) from coilflow.dead_letters) as stored"
    ).fetchone()
    return int(row["stored"]) if row else 0


def flood(here: Servers, *, number: int, coils: int, repeat: float) -> dict[str, float]:
    """Let one worker take all of it; what came of it."""
    kafka = fresh_topics(here, partitions=PARTITIONS)
    with fresh_database(here) as dsn, connect(dsn) as connection:
        settings = Settings(data_dir=here.folder / "data", database_dsn=dsn, kafka=kafka)
        service = Service((*worker_command()[:-1], "feedback"), settings, here.folder / "worker.log")
        sizes = list[float]()

        def done() -> bool:
            sizes.append(psutil.Process(service.process.pid).memory_info().rss / MEMORY_MIB)
            return stored(connection) == number

        service.start()
        try:
            send(kafka, words(1, 1, 0.0, random.Random(0)))  # noqa: S311 - the one wrong word with which it warms up
            wait_for(lambda: stored(connection) == 1, services=[service], limit_s=LIMIT_S)
            idle_mib = psutil.Process(service.process.pid).memory_info().rss / MEMORY_MIB
            service.stop()
            connection.execute("truncate coilflow.dead_letters cascade")
            sent = send(kafka, words(number, coils, repeat, random.Random(1)))  # noqa: S311
            began_s = time.monotonic()
            service.start()
            wait_for(done, services=[service], limit_s=LIMIT_S)
            seconds = time.monotonic() - began_s
        finally:
            service.stop()
        return {
            "messages": sent,
            "seconds": round(seconds, 1),
            "idle_mib": round(idle_mib),
            "largest_mib": round(max(sizes)),
            **rows(connection),
        }


def main() -> int:
    """Print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.feedback_flood")
    parser.add_argument("--words", type=int, default=100_000)
    parser.add_argument("--coils", type=int, default=50_000, help="that they are of")
    parser.add_argument("--repeat", type=float, default=0.1, help="share of words that come twice")
    add_out(parser)
    given = parser.parse_args()
    with servers() as here:
        says = machine()
        found = flood(here, number=given.words, coils=given.coils, repeat=given.repeat)
        server = here.server
    wrong = -(-given.words // WRONG_EVERY)
    with report("bench.feedback_flood", "A flood of feedback", given.out, on=says):
        print(f"One worker, {PARTITIONS} partitions; {server}\n")
        print_table(("", "number"), ((name.replace("_", " "), value) for name, value in found.items()))
        right, growth = given.words - wrong, found["largest_mib"] - found["idle_mib"]
        return print_bars(
            [
                (f"{right} words are stored once", found["words"], found["words"] == found["different"] == right),
                (f"{wrong} wrong ones are dead letters", found["letters"], found["letters"] == wrong),
                (f"memory grows by {MOST_GROWTH_MIB:g} MiB at most", f"{growth:g} MiB", growth <= MOST_GROWTH_MIB),
            ]
        )


if __name__ == "__main__":
    raise SystemExit(main())
