"""A NiFi of one's own: the installation that `COILFLOW_TEST_NIFI_HOME` names, run in a folder that may be broken."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil

from tests.waiting import wait_until

HOME = "COILFLOW_TEST_NIFI_HOME"  # an unpacked NiFi 2.x, which is not changed
URL = "COILFLOW_TEST_NIFI"  # where it shall answer, as http://127.0.0.1:8099; else on any free port
UP_S = 240.0
_WEB = {
    "http": {
        "nifi.web.http.host": "localhost",
        "nifi.web.https.host": "",
        "nifi.web.https.port": "",
        "nifi.security.keystore": "",
        "nifi.security.truststore": "",
        "nifi.remote.input.secure": "false",
    },
    "https": {"nifi.web.https.host": "localhost"},
}
_NEEDED = ("bin", "conf", "lib", "python")  # the rest comes from running


@dataclass(kw_only=True)
class NifiServer:
    """A NiFi on the loopback address: without sign-in by http, or with a user and a password by https."""

    home: Path
    port: int
    scheme: Literal["http", "https"] = "http"
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """As a browser opens it."""
        return f"{self.scheme}://localhost:{self.port}/nifi"

    def start(self) -> None:
        """Start it, and return once it answers."""
        with (self.home / "printed.log").open("ab") as printed:
            self._process = subprocess.Popen(
                [str(self.home / "bin" / "nifi.sh"), "run"],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                start_new_session=True,
            )
        wait_until(self._answers, UP_S)

    def kill(self) -> None:
        """SIGKILL it, and no more: its Python processes see that it is gone."""
        if self._process is not None:
            if self._process.poll() is None:
                for one in self._all():
                    if "Controller.py" not in _command(one) and alive(one):
                        one.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it as an operator does; what does not end in time is killed."""
        if self._process is not None:
            for one in self._all():
                if "org.apache.nifi.NiFi" in _command(one):
                    one.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60.0)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def python_processes(self) -> dict[int, psutil.Process]:
        """Those that run a processor, by pid; NiFi's own controller, which it starts first, is not among them."""
        found = [one for one in self._all() if "Controller.py" in _command(one)]
        return {one.pid: one for one in sorted(found, key=lambda one: one.create_time())[1:]}

    def by_type(self) -> dict[str, psutil.Process]:
        """The processes that run now by the type of the processor in them, as NiFi's log tells."""
        logs = sorted((self.home / "logs").glob("nifi-app*.log"), key=lambda file: file.stat().st_mtime)
        log = "".join(file.read_text(errors="replace") for file in logs)  # NiFi begins a new one every hour
        running = self.python_processes()
        told = re.findall(r"\[Initialize (\w+)\].*Successfully started.*pid=(\d+)", log)
        return {type_: running[int(pid)] for type_, pid in told if int(pid) in running}

    def java(self) -> psutil.Process:
        """NiFi itself."""
        return next(one for one in self._all() if "org.apache.nifi.NiFi" in _command(one))

    def _all(self) -> list[psutil.Process]:
        assert self._process is not None, "NiFi does not run"
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.home / "printed.log").read_text()[-2000:]
        try:
            unseen = ssl._create_unverified_context()  # noqa: S323 - our own, whose certificate is new
            with urllib.request.urlopen(f"{self.url}-api/flow/about", timeout=5, context=unseen):  # noqa: S310
                return True
        except urllib.error.HTTPError as refused:
            return refused.code == HTTPStatus.UNAUTHORIZED
        except (urllib.error.URLError, OSError):
            return False


def alive(process: psutil.Process) -> bool:
    """Whether it runs still; nobody may have fetched the status of one that ended."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> str:
    """Its command line; empty where it has ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


@contextmanager
def nifi_server(folder: Path, scheme: Literal["http", "https"] = "http") -> Iterator[NifiServer]:
    """A copy of the installation in a new folder, not started yet; killed in the end."""
    home = _copied(Path(os.environ[HOME]), folder)
    port = urlsplit(os.environ.get(URL, "")).port or _free_port()
    set_properties(
        home,
        {
            **_WEB[scheme],
            f"nifi.web.{scheme}.port": str(port),
            "nifi.sensitive.props.key": "of-a-test-that-ends",
            "nifi.python.command": str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}"),
        },
    )
    server = NifiServer(home=home, port=port, scheme=scheme)
    try:
        yield server
    finally:
        server.kill()
        for one in psutil.process_iter():  # NiFi leaves its own controller behind, and processes that it was starting
            if str(home) in _command(one):
                one.kill()


def set_properties(home: Path, values: Mapping[str, str]) -> None:
    """Set lines of `conf/nifi.properties`, as a person does."""
    file = home / "conf" / "nifi.properties"
    names = set(values)
    kept = [line for line in file.read_text().splitlines() if line.lstrip("# ").partition("=")[0] not in names]
    file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in values.items())]) + "\n")


def _copied(installation: Path, home: Path) -> Path:
    home.mkdir(parents=True)
    for name in _NEEDED:
        shutil.copytree(installation / name, home / name)
    return home


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
