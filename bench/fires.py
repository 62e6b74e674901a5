"""Whether each fire has exactly one committed run while the database breaks off and leaders die.

Run as `python -m bench.fires [--fires 1000] [--seed S] [--json] [--out FILE.md]`. Two schedulers, processes of their
own, share a fresh database in which so many fires of a job are late and none may be coalesced. All the while sessions
of theirs are ended at random (`pg_terminate_backend`), now and then all of them and the database takes none for a
second or two; every few seconds the leader is killed and started again, or frozen for longer than a take-over lasts
and then woken. Every run writes one row with the commit of its fire. In the end each fire has to have one committed
attempt and one row; it exits with 1 where one has not.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from scheduler.jobs import Job, JobContext, Jobs
from scheduler.service import Scheduler
from schemas.loop_settings import ScheduleSettings
from schemas.settings import Settings
from store.connection import Connection, connect, parameters_of
from store.embedded import embedded_postgres
from store.leadership import last_leader, leader_session, resign, take_over
from store.migrations import migrate
from store.schedule import committing
from store.schedules import register_schedules

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SETTINGS = Settings(schedule=ScheduleSettings(take_over_s=3.0, misfire_grace_s=10 * 86_400.0))
JOB = "write"


@dataclass(kw_only=True, slots=True)
class Faults:
    """What was done to the schedulers."""

    sessions_ended: int = 0
    outages: int = 0  # of the database
    killed: int = 0
    frozen: int = 0


def write(context: JobContext) -> None:
    """A row, stored with the commit of its fire."""
    with connect(context.dsn) as connection, committing(connection, context.attempt_id, now=context.now):
        connection.execute("insert into ledger values (%s, %s)", (context.fire_at, context.epoch))


def jobs() -> Jobs:
    """One job, every minute."""
    return {JOB: Job(run=write, cron="* * * * *", coalesce=False)}


def serve(dsn: str, began_at: datetime) -> None:
    """Run one scheduler until SIGTERM; its clock says noon at `began_at`."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Scheduler(dsn, settings=SETTINGS, jobs=jobs(), clock=lambda: NOON + (datetime.now(UTC) - began_at)).run(stop)


class Pair:
    """Two schedulers, of which one may be dead or frozen."""

    def __init__(self, dsn: str) -> None:
        began_at = datetime.now(UTC).isoformat()
        self._command = [sys.executable, "-W", "ignore", "-m", "bench.fires", "--serve", dsn, "--began-at", began_at]
        self.processes = [self._start() for _ in range(2)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def leading(self, connection: Connection) -> int | None:
        """Which of the two leads."""
        leader = last_leader(connection)
        for nth, process in enumerate(self.processes):
            if leader is not None and leader.leads and leader.holder.endswith(f":{process.pid}"):
                return nth
        return None

    def kill(self, nth: int) -> None:
        """Kill one and start it again."""
        self.processes[nth].kill()
        self.processes[nth].wait()
        self.processes[nth] = self._start()

    def stop(self) -> None:
        """End both in good order."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            process.wait()


@contextmanager
def database() -> Iterator[str]:
    """An embedded server of its own, migrated."""
    with tempfile.TemporaryDirectory(prefix="coilflow-fires-") as folder, embedded_postgres(Path(folder)) as dsn:
        migrate(dsn)
        yield dsn


def fall_behind(dsn: str, fires: int) -> None:
    """Register the job as if no scheduler had run for so many minutes."""
    with leader_session(dsn) as session:
        taken = take_over(session, "bench", silent_after_s=60.0)
        assert taken is not None
        crons = {name: job.cron for name, job in jobs().items()}
        register_schedules(session, crons, epoch=taken.epoch, now=NOON - timedelta(minutes=fires))
        session.execute("create table ledger (fire_at timestamptz, epoch bigint)")
        resign(session, taken.epoch)


def number(connection: Connection, statement: str) -> int:
    """The one number that a statement gives."""
    [row] = connection.execute(statement.encode(), {"noon": NOON}).fetchall()
    return int(next(iter(row.values())))


_SETTLED = (
    "select count(*) from coilflow.fires where fire_at <= %(noon)s and state in ('committed', 'failed', 'missed')"
)
_ALL = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'coilflow scheduler%'"
_VICTIM = (
    "select pg_terminate_backend(pid) from (select pid from pg_stat_activity"
    " where application_name like 'coilflow scheduler%' order by random() limit 1) as v"
)


def break_off(dsn: str, seconds: float, pause: threading.Event) -> int:
    """Let no scheduler reach the database for so long; returns how many sessions were ended."""
    name = sql.Identifier(parameters_of(dsn)["dbname"])
    with connect(make_conninfo("", **{**parameters_of(dsn), "dbname": "template1"})) as server:
        server.execute(sql.SQL("alter database {} allow_connections false").format(name))
        try:
            ended = len(server.execute(_ALL.encode()).fetchall())
            pause.wait(seconds)
        finally:
            server.execute(sql.SQL("alter database {} allow_connections true").format(name))
    return ended


def measured(dsn: str, *, fires: int, drawn: random.Random) -> dict[str, int | float]:
    """Run all fires under faults; what came of them."""
    fall_behind(dsn, fires)
    faults, pause, pair, began_s = Faults(), threading.Event(), Pair(dsn), time.monotonic()
    frozen: tuple[int, float] | None = None  # which, and until when
    next_death_s, next_outage_s = began_s + drawn.uniform(3, 6), began_s + drawn.uniform(4, 8)
    with connect(dsn) as connection:
        try:
            while number(connection, _SETTLED) < fires:
                pause.wait(drawn.uniform(0.05, 0.6))
                faults.sessions_ended += len(connection.execute(_VICTIM.encode()).fetchall())
                now_s = time.monotonic()
                if now_s >= next_outage_s:
                    faults.sessions_ended += break_off(dsn, drawn.uniform(0.5, 2), pause)
                    faults.outages += 1
                    next_outage_s = now_s + drawn.uniform(8, 20)
                if frozen is not None and now_s >= frozen[1]:
                    pair.processes[frozen[0]].send_signal(signal.SIGCONT)
                    frozen = None
                nth = pair.leading(connection)
                if frozen is None and nth is not None and now_s >= next_death_s:
                    next_death_s = now_s + drawn.uniform(5, 12)
                    if drawn.random() < 0.5:
                        pair.kill(nth)
                        faults.killed += 1
                    else:
                        pair.processes[nth].send_signal(signal.SIGSTOP)
                        frozen = nth, now_s + 2.5 * SETTINGS.schedule.take_over_s
                        faults.frozen += 1
        finally:
            pair.stop()
        return {"fires": fires, "seconds": round(time.monotonic() - began_s, 1), **asdict(faults), **counts(connection)}


def counts(connection: Connection) -> dict[str, int]:
    """What the database says of the fires up to noon."""
    of_fire = "from coilflow.attempts as a join coilflow.fires as f using (fire_id) where f.fire_at <= %(noon)s"
    return {
        "committed": number(
            connection, "select count(*) from coilflow.fires where fire_at <= %(noon)s and state = 'committed'"
        ),
        "rows": number(connection, "select count(*) from ledger where fire_at <= %(noon)s"),
        "different_rows": number(connection, "select count(distinct fire_at) from ledger where fire_at <= %(noon)s"),
        "attempts": number(connection, f"select count(*) {of_fire}"),
        "committed_attempts": number(connection, f"select count(*) {of_fire} and a.outcome = 'committed'"),
        "lost": number(connection, f"select count(*) {of_fire} and a.outcome = 'lost'"),
        "interrupted": number(connection, f"select count(*) {of_fire} and a.outcome = 'interrupted'"),
        "epochs": number(connection, "select count(*) from coilflow.leaders") - 1,
    }


def show(found: dict[str, int | float], fires: int) -> int:
    """Print the counts, and whether the bars are met."""
    print_table(("", "number"), ((name.replace("_", " "), value) for name, value in found.items()))
    once = [found[name] for name in ("committed", "rows", "different_rows", "committed_attempts")]
    deaths = found["killed"] + found["frozen"]
    return print_bars(
        [
            (f"each of {fires} fires has exactly one committed run", ", ".join(map(str, once)), set(once) == {fires}),
            ("attempts are recorded", found["attempts"], found["attempts"] >= fires),
            (
                "the database broke off, leaders were killed or frozen",
                f"{found['sessions_ended']}, {deaths}",
                deaths > 0,
            ),
            ("for each that died another took over", f"{found['epochs']} epochs", found["epochs"] > deaths),
        ]
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.fires")
    parser.add_argument("--fires", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--began-at", type=datetime.fromisoformat, help=argparse.SUPPRESS)
    add_out(parser)
    asked = parser.parse_args()
    if asked.serve is not None:
        serve(asked.serve, asked.began_at)
        return 0
    says = machine()
    with database() as dsn:
        found = measured(dsn, fires=asked.fires, drawn=random.Random(asked.seed))  # noqa: S311 - where faults strike
    if asked.json:
        print(json.dumps(found | {"machine": says}))
        return 0
    with report("bench.fires", "Fires while the database breaks off and leaders die", asked.out, on=says):
        return show(found, asked.fires)


if __name__ == "__main__":
    sys.exit(main())
