"""What the benches of the console run on: a database of their own on this machine, and the shipped command."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.stream_setup import cpu_s, environment
from schemas.access import Scope
from schemas.console_settings import ConsoleSettings
from schemas.settings import Settings
from store.connection import connect
from store.embedded import embedded_postgres, server_folder
from store.keys import create_key
from store.migrations import migrate

_STOP_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Console:
    """A running console."""

    address: str
    key: str  # that may look at everything
    dsn: str
    server: str  # version of PostgreSQL
    pid: int
    postmaster: int

    def cpu_s(self) -> tuple[float, float]:
        """Processor seconds so far of the console and of the database."""
        return cpu_s(self.pid), cpu_s(self.postmaster)


@contextmanager
def console(fill: Callable[[str], None], folder: Path | None = None) -> Iterator[Console]:
    """Serve a database while the block lasts.

    Args:
        fill: is given the DSN of a migrated database before the console starts.
        folder: where the database stays for the next time; None: a temporary one.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        home = folder or Path(name)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
        with embedded_postgres(home) as dsn:
            migrate(dsn)
            fill(dsn)
            with connect(dsn) as connection:
                now = datetime.now(UTC)
                key = create_key(connection, f"bench {now:%H%M%S%f}", (Scope.READ,), expires_at=None, now=now)
                server = f"PostgreSQL {connection.info.parameter_status('server_version')}"
            settings = Settings(data_dir=home, database_dsn=dsn, console=ConsoleSettings(requests_a_minute=100_000_000))
            command = [str(Path(sys.executable).with_name("coilflow")), "console", "--port", "0"]
            given = environment(settings) | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
            process = subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True)
            try:
                assert process.stderr is not None
                address = ""
                for line in process.stderr:
                    found = re.search(r"coilflow console on (http://\S+)", line)
                    address = found.group(1) if found else address
                    if "startup complete" in line:
                        break
                threading.Thread(target=process.stderr.read, daemon=True).start()  # what it logs is not kept
                postmaster = int((server_folder(home) / "postmaster.pid").read_text().split()[0])
                yield Console(address=address, key=key, dsn=dsn, server=server, pid=process.pid, postmaster=postmaster)
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
