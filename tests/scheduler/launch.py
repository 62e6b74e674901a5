"""A scheduler in a process of its own: `python -m tests.scheduler.launch DSN FOLDER`; ends by SIGTERM.

Its job writes one row in a transaction. In the first attempt of a fire it touches `inside` in FOLDER within that
transaction and waits there for `go`; what its commit meets stands in `refused`, or `committed`.
"""

import signal
import sys
import threading
from pathlib import Path

from scheduler.jobs import Job, JobContext
from scheduler.service import Scheduler
from schemas.errors import StoreError
from store.connection import connect
from store.schedule import committing
from tests.scheduler.given import EVERY_MINUTE, HASTY, Clock


def careful(folder: Path, context: JobContext) -> None:
    """The job."""
    try:
        with connect(context.dsn) as connection, committing(connection, context.attempt_id, now=context.now):
            connection.execute("insert into ledger values (%s, %s, %s)", (context.job, context.fire_at, context.epoch))
            if context.attempt == 1:
                (folder / "inside").touch()
                while not (folder / "go").exists():
                    threading.Event().wait(0.02)
    except StoreError as error:
        (folder / "refused").write_text(type(error).__name__)
        raise
    (folder / "committed").touch()


def main() -> None:
    """Run until SIGTERM."""
    dsn, folder = sys.argv[1], Path(sys.argv[2])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    jobs = {"write": Job(run=lambda context: careful(folder, context), cron=EVERY_MINUTE, coalesce=False)}
    Scheduler(dsn, settings=HASTY, jobs=jobs, clock=Clock()).run(stop)


if __name__ == "__main__":
    main()
