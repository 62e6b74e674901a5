"""How soon 200 clients hear of a verdict, and what that costs: from commit to client, ten verdicts a second.

Run as `python -m bench.console_stream [--clients 200] [--rate 10] [--seconds 30] [--out FILE.md]`. The clients are
sockets of this one process; each verdict is committed alone, and its time is that at which its commit returned. Half of
the clients then break off and come again with `Last-Event-ID`: all of them together must have heard each verdict once.
"""

import argparse
import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import orjson

from bench.console_setup import Console, console
from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from schemas.coils import CoilKey, Order
from schemas.verdicts import Label, Verdict
from store.connection import Connection, connect
from store.verdicts import Decided, record_verdicts

P95_MS = 1000.0  # of a person's patience; the feed looks every 200 ms
MOST_CORES = 1.0  # of two: the other is the workers'
_BREAK_S = 2.0
_SETTLE_S = 3.0


@dataclass(slots=True)
class Client:
    """One listener."""

    heard: Counter[str] = field(default_factory=Counter)  # by coil
    delays_s: list[float] = field(default_factory=list)
    place: str = ""
    told: bool = False


async def listen(client: Client, here: Console, committed: dict[str, float], *, until: asyncio.Event) -> None:
    """Hear until told to stop."""
    at = urlsplit(here.address)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    place = f"Last-Event-ID: {client.place}\r\n" if client.place else ""
    writer.write(
        f"GET /api/v1/stream HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {here.key}\r\n{place}\r\n".encode()
    )
    stop = asyncio.create_task(until.wait())
    try:
        while not stop.done():
            line = asyncio.create_task(reader.readline())
            await asyncio.wait({line, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                return
            if not line.result():
                raise ConnectionError("the stream ended")
            _hear(client, line.result(), committed)
    finally:
        stop.cancel()
        writer.close()


def _hear(client: Client, line: bytes, committed: dict[str, float]) -> None:
    if line.startswith(b"HTTP/1.1") and b" 200 " not in line:
        raise ConnectionError(line.decode())
    if line.startswith(b"id: "):
        client.place, client.told = line[4:].decode().strip(), True
    elif line.startswith(b"data: {"):
        now_s, coil_id = time.monotonic(), orjson.loads(line[6:])["coil_id"]
        client.heard[coil_id] += 1
        client.delays_s.append(now_s - committed.get(coil_id, now_s))


def _commit(connection: Connection, coil_id: str) -> float:
    verdict = Verdict(
        key=CoilKey("linz", coil_id),
        revision=f"r{coil_id}",
        label=Label.OK,
        p_nok=0.1,
        threshold=0.5,
        ensemble_version="bench",
        members=(),
        observed=1.0,
    )
    order = Order(zn_min_g_m2=100, zn_max_g_m2=120)
    one = Decided(verdict=verdict, readings=b"bench", order=order, started_at=None, truth=None)
    record_verdicts(connection, [one], decided_at=datetime.now(UTC), destinations=())
    return time.monotonic()


async def _verdicts(here: Console, rate: float, seconds: float, name: str, committed: dict[str, float]) -> None:
    with connect(here.dsn) as connection:
        began_s = time.monotonic()
        for nth in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began_s + nth / rate - time.monotonic()))
            coil_id = f"{name}{nth}"
            committed[coil_id] = await asyncio.to_thread(_commit, connection, coil_id)


async def measure(here: Console, *, number: int, rate: float, seconds: float) -> tuple[list[Client], dict[str, float]]:
    """All clients, and figures of processors and of who came again."""
    clients, committed, over = [Client() for _ in range(number)], dict[str, float](), asyncio.Event()
    half = asyncio.Event()
    tasks = [
        asyncio.create_task(listen(one, here, committed, until=half if nth % 2 else over))
        for nth, one in enumerate(clients)
    ]
    while not all(one.told for one in clients):
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done():
                task.result()
    idle = here.cpu_s()
    await asyncio.sleep(seconds / 3)
    before, began_s = here.cpu_s(), time.monotonic()
    await _verdicts(here, rate, seconds, "a", committed)
    after, took_s = here.cpu_s(), time.monotonic() - began_s
    figures = {
        "console, cores, silent": (before[0] - idle[0]) / (seconds / 3),
        "console, cores": (after[0] - before[0]) / took_s,
        "database, cores": (after[1] - before[1]) / took_s,
    }
    half.set()
    await asyncio.sleep(_BREAK_S)
    delays = [list(one.delays_s) for one in clients]
    told_off = asyncio.create_task(_verdicts(here, rate, _BREAK_S, "b", committed))
    await asyncio.sleep(_BREAK_S / 2)
    again = [asyncio.create_task(listen(one, here, committed, until=over)) for one in clients[1::2]]
    await told_off
    await asyncio.sleep(_SETTLE_S)
    over.set()
    await asyncio.gather(*tasks, *again)
    for one, kept in zip(clients, delays, strict=True):
        one.delays_s = kept
    return clients, figures | {"verdicts": len(committed)}


def main() -> int:
    """Print how soon clients hear, and what it costs."""
    parser = argparse.ArgumentParser(prog="python -m bench.console_stream")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0, help="verdicts a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    add_out(parser)
    given = parser.parse_args()
    with console(lambda _: None) as here:
        says = machine()
        with report("bench.console_stream", f"{given.clients} event streams", given.out, on=says):
            print(
                f"`coilflow console` and the embedded {here.server}; clients and commits of one process beside them\n"
            )
            clients, figures = asyncio.run(measure(here, number=given.clients, rate=given.rate, seconds=given.seconds))
            return _told(clients, figures)


def _told(clients: list[Client], figures: dict[str, float]) -> int:
    delays_ms = sorted(1e3 * delay for one in clients for delay in one.delays_s)
    cuts = statistics.quantiles(delays_ms, n=100)
    lost = sum(int(figures["verdicts"]) - len(one.heard) for one in clients)
    repeated = sum(count - 1 for one in clients for count in one.heard.values())
    rows = [("events that reached a client", len(delays_ms))]
    rows += [(f"commit to client, p{nth}, ms", round(cuts[nth - 1])) for nth in (50, 95, 99)]
    rows += [("commit to client, most, ms", round(delays_ms[-1]))]
    print_table(("", "found"), [*rows, *((name, round(value, 2)) for name, value in figures.items())])
    return print_bars(
        [
            ("no verdict is lost, also to who broke off", lost, lost == 0),
            ("none is told twice", repeated, repeated == 0),
            (f"p95 under {P95_MS:g} ms", f"{cuts[94]:.0f} ms", cuts[94] < P95_MS),
            (
                f"the console takes less than {MOST_CORES:g} core",
                f"{figures['console, cores']:.2f}",
                figures["console, cores"] < MOST_CORES,
            ),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
