"""The client examples of docs/http.md work as written, against the command as it is shipped."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from schemas.access import Scope
from store.coils import counts
from store.connection import connect
from store.databases import create_database, drop_database
from tests.rest.given import bearer

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8321"


def key(dsn: str, *scopes: Scope) -> str:
    return bearer(dsn, *scopes)["authorization"].removeprefix("Bearer ")


def example(language: str) -> str:
    """The one block of a language in the guide."""
    [block] = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert ADDRESS in block
    return str(block)


@pytest.fixture(scope="module")
def console(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of a running `coilflow console`, and the DSN of its database; it ends cleanly."""
    name = f"coilflow_http_guide_{os.getpid()}"
    dsn = create_database(postgres_server, name)
    command = [sys.executable, "-c", "from console.cli import main; main()", "console", "--port", "0"]
    environment = os.environ | {
        "COILFLOW_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "COILFLOW_DATABASE_DSN": dsn,
    }
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        with process.stderr as said:
            started = re.search(r"http://127\.0\.0\.1:\d+", said.readline())
            assert started, "it says where it listens"
            for line in said:
                if "startup complete" in line:
                    break
            yield started.group(), dsn
            process.send_signal(signal.SIGTERM)
            said.read()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        drop_database(postgres_server, name)


def test_curl_sends_an_event_and_finds_its_coil(console: tuple[str, str]) -> None:
    address, dsn = console
    script = example("bash").replace(ADDRESS, address)
    environment = os.environ | {"COILFLOW_KEY": key(dsn, Scope.EVENTS, Scope.READ)}
    done = subprocess.run(
        ["bash", "-ec", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "202 Accepted" in done.stdout
    assert "/api/v1/coils/linz-hdg2/226031456" in done.stdout
    assert '"state":"open"' in done.stdout


def test_the_python_client_sends_a_coil_and_gets_its_verdict(console: tuple[str, str]) -> None:
    address, dsn = console
    script = example("python").replace(ADDRESS, address)
    environment = os.environ | {"COILFLOW_KEY": key(dsn, Scope.EVENTS, Scope.READ)}
    for _ in range(2):  # as after a crash of the client
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("decided ")
    with connect(dsn) as connection:
        assert counts(connection).verdicts == 1


def test_the_api_describes_itself(console: tuple[str, str]) -> None:
    described = httpx.get(f"{console[0]}/openapi.json", headers=bearer(console[1], Scope.READ)).json()
    assert "/api/v1/events" in described["paths"]


def test_a_port_that_is_taken_is_one_sentence(console: tuple[str, str], tmp_path: Path) -> None:
    port = console[0].rpartition(":")[2]
    command = [sys.executable, "-c", "from console.cli import main; main()", "console", "--port", port]
    environment = os.environ | {"COILFLOW_DATA_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "cannot be listened on" in done.stderr
