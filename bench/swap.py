"""What swaps cost the coils that stream meanwhile: their time to the verdict, with swaps and without.

Run as `python -m bench.swap [--rate 20] [--seconds 120] [--every 5] [--threads 2] [--json] [--out FILE.md]`. One
`coilflow worker assess` with the three shipped members on scale `limits`; broker, database and the sender share the
machine, as for `bench.stream_latency`. A steady run, then one in which every few seconds another ensemble is promoted:
the same three members under another version, every fourth one with a damaged graph, which is rolled back once it is
refused; then a steady run again, so that the machine's own noise is seen. Counted by SQL: coils failed (dead letters,
verdicts without a probability), lost, doubled, and verdicts whose votes are not those of the ensemble that they name.
"""

import argparse
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from bench.stream_arrivals import LASTS_S, Arrivals, Coil, prepared
from bench.stream_latency import LIMIT_S, PARTITIONS, WARM_S
from bench.stream_setup import (
    THREE,
    Servers,
    Service,
    fresh_database,
    fresh_topics,
    servers,
    wait_for,
    worker_command,
)
from bench.stream_verdicts import commits, owners, verdicts
from flows.change_models import register_folder
from models.bundle import MANIFEST, MODEL, write_bundle
from models.ensemble import ENSEMBLE, SHIPPED, write_ensemble
from schemas.bundles import BundleManifest, EnsembleManifest
from schemas.settings import Settings
from store.coils import counts
from store.connection import Connection, connect
from store.registry import promote, rollback
from store.registry_steps import Actor
from store.swaps import answers

DAMAGED_EVERY = 4
MOST_GROWTH_MS = 5.0  # of the p99
LOOK_S = 0.5  # for an answer: looking more often slows the coils more than swaps do


@dataclass(frozen=True, kw_only=True, slots=True)
class Swapping:
    """One run; milliseconds."""

    run: str
    coils: int
    promoted: int
    damaged: int  # of them
    swapped: int
    refused: int
    failed: int
    lost: int
    doubled: int
    mixed: int  # verdicts with another ensemble's vote
    p50: float
    p99: float
    highest: float


def version(folder: Path, name: str) -> Path:
    """The three members again, each under this version, so that a vote says whose it is."""
    shipped = EnsembleManifest.model_validate_json((SHIPPED / ENSEMBLE).read_bytes())
    members = [folder / "members" / name / member for member in THREE]
    for member in members:
        manifest = BundleManifest.model_validate_json((SHIPPED / member.name / MANIFEST).read_bytes())
        files = {file: (SHIPPED / member.name / file).read_bytes() for file in manifest.files}
        write_bundle(member, manifest=manifest.model_copy(update={"version": name}), files=files)
    write_ensemble(
        folder / name,
        name="three",
        version=name,
        members=members,
        thresholds={"limits": shipped.thresholds["limits"]},
        limits=shipped.limits,
    )
    return folder / name


def registered(connection: Connection, settings: Settings, folder: Path, number: int) -> list[str]:
    """Register so many ensembles; every fourth one's files are damaged after that."""
    names = [f"swap-{one}" for one in range(1, number + 1)]
    for one, name in enumerate(names, start=1):
        actor = Actor(who="bench", why="to be swapped", at=datetime.now(UTC))
        register_folder(connection, version(folder, name), settings, actor)
        if one % DAMAGED_EVERY == 0:
            graph = settings.data_dir / "ensembles" / name / THREE[-1] / MODEL
            graph.write_bytes(graph.read_bytes()[:-100])
    return names


def count_mixed(connection: Connection) -> int:
    """Verdicts with a vote of another ensemble than they name, or without all of its votes."""
    row = connection.execute(
        """
        select count(*) as mixed from coilflow.verdicts as v
        where (select count(*) from coilflow.assessments as a
               where a.verdict_id = v.verdict_id and a.version = v.ensemble_version) <> %(members)s
           or (select count(*) from coilflow.assessments as a where a.verdict_id = v.verdict_id) <> %(members)s
        """,
        {"members": len(THREE)},
    ).fetchone()
    return int(row["mixed"]) if row else 0


def count_failed(connection: Connection) -> int:
    """Dead letters, and verdicts that no model gave."""
    row = connection.execute(
        """
        select (select count(*) from coilflow.dead_letters)
             + (select count(*) from coilflow.verdicts where p_nok is null) as failed
        """
    ).fetchone()
    return int(row["failed"]) if row else 0


class Swapper(threading.Thread):
    """Promotes one ensemble after the other, each once the one before is answered, until told to stop.

    Damaged ones are rolled back as they are refused.
    """

    def __init__(self, dsn: str, names: Sequence[str], *, every_s: float) -> None:
        super().__init__(name="swapper", daemon=True)
        self._dsn, self._names, self._every_s = dsn, names, every_s
        self._halt = threading.Event()
        self.promoted = self.damaged = 0
        self.failed: BaseException | None = None

    def stop(self) -> None:
        """Promote no more; raises what it failed of."""
        self._halt.set()
        self.join()
        if self.failed is not None:
            raise self.failed

    def run(self) -> None:
        """Promote, wait, promote."""
        try:
            with connect(self._dsn) as connection:
                begun_s = time.monotonic()
                for number, name in enumerate(self._names, start=1):
                    if self._halt.wait(max(0.0, begun_s + number * self._every_s - time.monotonic())):
                        return
                    actor = Actor(who="bench", why="swap", at=datetime.now(UTC))
                    promote(connection, name, actor)
                    self.promoted += 1
                    self.damaged += number % DAMAGED_EVERY == 0
                    self._until_answered(connection, name)
                    if number % DAMAGED_EVERY == 0:
                        rollback(connection, actor)
        except BaseException as error:  # noqa: BLE001 - raised by `stop`
            self.failed = error

    def _until_answered(self, connection: Connection, name: str) -> None:
        while not answers(connection, name) and not self._halt.wait(LOOK_S):
            continue


def measure(
    here: Servers, run: str, coils: list[Coil], *, rate: float, threads: int, every_s: float | None
) -> Swapping:
    """Latencies of one steady stream through a fresh worker, swapped every few seconds or not at all."""
    kafka = fresh_topics(here, partitions=PARTITIONS)
    with fresh_database(here) as dsn, connect(dsn) as connection:
        folder = here.folder / run
        settings = Settings(
            data_dir=folder / "data",
            database_dsn=dsn,
            kafka=kafka,
            ensemble=version(folder, "swap-0"),
            threads=threads,
            destinations=(f"kafka:{kafka.verdicts_topic}",),
        )
        service = Service(worker_command(), settings, here.folder / f"{run}.log")
        service.start()
        try:
            wait_for(
                lambda: sum(owners(connection, kafka.chunks_topic).values()) == PARTITIONS,
                services=[service],
                limit_s=LIMIT_S,
            )
            lasts_s = len(coils) / rate + LASTS_S
            names = registered(connection, settings, folder, int(lasts_s / every_s) if every_s else 0)
            arrivals, swapper = Arrivals(kafka, coils, rate=rate), Swapper(dsn, names, every_s=every_s or 1.0)
            arrivals.start()
            swapper.start()
            arrivals.join()
            arrivals.check()
            swapper.stop()
            wait_for(lambda: verdicts(connection) == len(coils), services=[service], limit_s=LIMIT_S)
            committed = {commit.coil_id: commit.committed_s for commit in commits(connection)}
            said = [one.outcome for one in answers(connection)]
            stored, mixed, failed = counts(connection), count_mixed(connection), count_failed(connection)
        finally:
            service.stop()
    warm_s = min(arrivals.sent_s.values()) + WARM_S
    waits = [1000 * (committed[coil] - sent) for coil, sent in arrivals.sent_s.items() if sent >= warm_s]
    p50, p99 = (float(value) for value in np.percentile(waits, (50, 99)))
    return Swapping(
        run=run,
        coils=len(waits),
        promoted=swapper.promoted,
        damaged=swapper.damaged,
        swapped=said.count("swapped"),
        refused=said.count("refused"),
        failed=failed,
        lost=len(coils) - stored.decided,
        doubled=stored.duplicated,
        mixed=mixed,
        p50=p50,
        p99=p99,
        highest=max(waits),
    )


def show(found: Sequence[Swapping], *, every_s: float, lasts_s: float) -> int:
    """Print a line a run, and whether the bars are met."""
    print_table(
        (
            "run",
            "coils",
            "promoted",
            "swapped",
            "refused",
            "failed",
            "lost",
            "doubled",
            "mixed",
            "p50 ms",
            "p99 ms",
            "max ms",
        ),
        (
            (
                *(one.run, one.coils, one.promoted, one.swapped, one.refused),
                *(one.failed, one.lost, one.doubled, one.mixed),
                *(f"{ms:.1f}" for ms in (one.p50, one.p99, one.highest)),
            )
            for one in found
        ),
    )
    before, swapping, after = found
    growth = swapping.p99 - (before.p99 + after.p99) / 2
    harmed = (swapping.failed, swapping.lost, swapping.doubled, swapping.mixed)
    healthy = swapping.promoted - swapping.damaged
    apart_s = lasts_s / max(1, swapping.promoted)
    return print_bars(
        [
            ("0 coils failed, lost, doubled or mixed", ", ".join(map(str, harmed)), not any(harmed)),
            (
                f"p99 grows by {MOST_GROWTH_MS:g} ms at most",
                f"{growth:+.1f} ms; the steady runs differ by {abs(before.p99 - after.p99):.1f} ms",
                growth <= MOST_GROWTH_MS,
            ),
            (f"a promotion every {every_s:g} s", f"{apart_s:.1f} s", apart_s <= 1.2 * every_s),
            (
                "every damaged one is refused, and no other",
                f"{swapping.refused} of {swapping.damaged} damaged, {healthy} others",
                swapping.refused == swapping.damaged > 0,
            ),
            (
                "every other one is swapped in, and acknowledged",
                f"{swapping.swapped} swaps",
                swapping.swapped >= healthy > 0,
            ),
        ]
    )


def main() -> int:
    """Print the machine, then a line a run: without swaps, with them, and without them again."""
    parser = argparse.ArgumentParser(prog="python -m bench.swap")
    parser.add_argument("--rate", type=float, default=20.0, help="coils a second")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two promotions")
    parser.add_argument("--threads", type=int, default=2, help="of a model")
    parser.add_argument("--json", action="store_true")
    add_out(parser)
    given = parser.parse_args()
    coils = prepared(round(given.rate * (given.seconds + WARM_S)))
    with servers() as here:
        says = machine()
        found = [
            measure(here, name, coils, rate=given.rate, threads=given.threads, every_s=every_s)
            for name, every_s in (("steady", None), ("swapping", given.every), ("steady again", None))
        ]
    about = (
        f"{given.rate:g} coils/s for {given.seconds:g} s, a promotion every {given.every:g} s, "
        f"{PARTITIONS} partitions, {given.threads} threads; {here.server}"
    )
    if given.json:
        print(json.dumps({"machine": says, "about": about, "runs": [asdict(one) for one in found]}))
        return 0
    with report("bench.swap", "Swaps under load", given.out, on=says):
        print(f"{about}\n")
        return show(found, every_s=given.every, lasts_s=len(coils) / given.rate + LASTS_S)


if __name__ == "__main__":
    raise SystemExit(main())
