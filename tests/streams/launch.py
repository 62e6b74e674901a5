"""Real worker processes for the tests: forked from one process that has loaded everything, so that a kill is cheap.

`python -m tests.streams.launch` reads one JSON object a line and answers with the process id of a new worker:
{"settings": …, "dsn": …, "instance_id": …, "log": FILE, "tally": FILE, "clock_off_s": …, "kill_at" or "freeze_at":
[POINT, n] or null}. A worker ends by SIGTERM. Points of death are wrapped around the worker's steps here: production
code knows nothing of them.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from functools import wraps
from pathlib import Path
from typing import Any

import orjson
import psycopg
import structlog

import flows.kafka.committer
import flows.kafka.ownership
import flows.kafka.session
from flows.kafka import metrics
from flows.kafka.rebalances import Rebalances
from flows.kafka.worker import run_worker
from flows.served import always
from processors.decode import decoder
from processors.partition_log import PartitionLog
from schemas.settings import Settings
from tests.flows.judging import MeanScorer

POINTS = (
    "after poll, before reading",
    "after reading",
    "before judging",
    "after judging, before the commit",
    "after the statement was sent",
    "after the commit, before its coils are forgotten",
    "after its coils are forgotten",
    "after Kafka's own commit",
    "before a claim",
    "after a claim, before it is read from",
    "after a claim",
    "in a rebalance, partitions came",
    "in a rebalance, partitions went",
)
_WAIT_R = psycopg.waiting.WAIT_R


class _Death:
    """Kills this process, or freezes it, at the n-th pass of a point."""

    def __init__(self, point: str | None, passes: int, number: signal.Signals) -> None:
        self.point, self.left, self.number = point, passes, number

    def at(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.number)


def _around(death: _Death, where: Any, name: str, before: str | None, after: str | None) -> None:
    inner: Callable[..., Any] = getattr(where, name)

    @wraps(inner)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before:
            death.at(before)
        result = inner(*args, **kwargs)
        if after:
            death.at(after)
        return result

    setattr(where, name, wrapped)


def _arm(death: _Death) -> None:
    ownership, session = flows.kafka.ownership, flows.kafka.session
    committer: Any = flows.kafka.committer
    _around(death, PartitionLog, "read", POINTS[0], POINTS[1])
    _around(death, committer, "judge", POINTS[2], POINTS[3])
    _around(death, committer, "commit_log", None, POINTS[5])
    _around(death, PartitionLog, "close", None, POINTS[6])
    _around(death, session.Session, "_report_positions", None, POINTS[7])
    _around(death, ownership, "claim_positions", POINTS[8], POINTS[9])
    _around(death, session, "take_over", None, POINTS[10])
    _around(death, Rebalances, "on_partitions_assigned", None, POINTS[11])
    _around(death, Rebalances, "on_partitions_revoked", None, POINTS[12])
    if death.point == POINTS[4]:
        _arm_statement(death)


def _arm_statement(death: _Death) -> None:
    """Die while the server works on a commit: its statement is sent, and its answer will find nobody."""
    committing = threading.local()
    committer: Any = flows.kafka.committer
    commit, wait = committer.commit_log, psycopg.Connection.wait

    def commit_log(*args: Any, **kwargs: Any) -> Any:
        committing.now = True
        try:
            return commit(*args, **kwargs)
        finally:
            committing.now = False

    def watched(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        try:
            asked = next(steps)
            while True:
                if asked == _WAIT_R and getattr(committing, "now", False):
                    death.at(POINTS[4])
                asked = steps.send((yield asked))
        except StopIteration as done:
            return done.value

    def waiting(self: Any, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return wait(self, watched(gen), *args, **kwargs)

    committer.commit_log = commit_log
    psycopg.Connection.wait = waiting  # type: ignore[method-assign]


def _work(order: dict[str, Any]) -> None:
    """One worker, in a process of its own."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    logging.disable(logging.CRITICAL)
    printed = Path(order["log"]).open("a", buffering=1)  # noqa: SIM115 - as long as the process
    structlog.configure(
        processors=[structlog.processors.TimeStamper("iso"), structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(printed),
    )
    if order.get("clock_off_s"):
        right = time.time
        time.time = lambda: right() + order["clock_off_s"]
    freezing = order.get("freeze_at")
    point, passes = order.get("kill_at") or freezing or (None, 0)
    _arm(_Death(point, passes, signal.SIGSTOP if freezing else signal.SIGKILL))
    flows.kafka.session._REPORT_EVERY_S = 0.3
    settings = Settings(**order["settings"])
    run_worker(
        settings, always(MeanScorer()), decoder(None), dsn=order["dsn"], instance_id=order.get("instance_id"), stop=stop
    )
    if order.get("tally"):
        Path(order["tally"]).write_bytes(orjson.dumps(unaccounted(settings.kafka.chunks_topic)))


def unaccounted(topic: str) -> dict[str, float]:
    """Both conservation differences of this process, summed over the partitions of a topic."""
    found = {}
    for name, gauge in (("messages", metrics.UNACCOUNTED_MESSAGES), ("coils", metrics.UNACCOUNTED_COILS)):
        samples = [s for family in gauge.collect() for s in family.samples if s.labels.get("topic") == topic]
        found[name] = sum(abs(sample.value) for sample in samples)
    return found


def main() -> None:
    """Fork a worker for each line of the input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = 1
            try:
                os.setsid()
                _work(orjson.loads(line))
                code = 0
            except BaseException as error:  # noqa: BLE001 - the last word of a worker
                with Path(orjson.loads(line)["log"]).open("a") as printed:
                    printed.write(f"died of {error!r}\n")
            os._exit(code)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
