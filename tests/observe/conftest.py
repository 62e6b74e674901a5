"""Every service as a process of its own, on real servers, and what each shows to Prometheus; and promtool."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from docs.metric_table import ALL
from store.databases import create_database, drop_database
from tests.fix_kafka import fresh_topics
from tests.waiting import wait_until

_START_S = 300.0  # six processes that load models, on a busy machine

Promtool = Callable[..., str]


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Run promtool; returns what it says, and fails where it finds fault."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: it comes with Debian's package prometheus")

    def run(*arguments: str, given: str | None = None) -> str:
        done = subprocess.run([found, *arguments], check=False, input=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def pages(kafka_server: str, postgres_server: str) -> Iterator[Mapping[str, str]]:
    """The page of metrics of each service, once it runs."""
    kafka, name = fresh_topics(kafka_server, partitions=1), f"coilflow_test_{uuid.uuid4().hex[:12]}"
    ports = {service: _free_port() for service in ALL}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coilflow-services-")))
        dsn = create_database(postgres_server, name)
        stack.callback(drop_database, postgres_server, name)
        processes = []
        for service, port in ports.items():
            process = subprocess.Popen(
                [sys.executable, "-c", "from console.cli import main; main()", *_command(service, port)],
                env=os.environ
                | {
                    "COILFLOW_DATA_DIR": str(folder),
                    "COILFLOW_DATABASE_DSN": dsn,
                    "COILFLOW_KAFKA": orjson.dumps(kafka.model_dump(mode="json", exclude_unset=True)).decode(),
                    "COILFLOW_MQTT__HOST": "127.0.0.1",
                    "COILFLOW_MQTT__PORT": "9",
                    "COILFLOW_DESTINATIONS": orjson.dumps([f"kafka:{kafka.verdicts_topic}"]).decode(),
                    "COILFLOW_METRICS_PORT": str(port),
                },
                stdout=subprocess.DEVNULL,
                stderr=stack.enter_context((folder / f"{service}.log").open("w")),
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append((service, process))

        for service, process in processes:
            sign = "coilflow_database_up 1.0" if service == "scheduler" else "coilflow_build_info{"

            def ready(service: str = service, process: subprocess.Popen[bytes] = process, sign: str = sign) -> bool:
                assert process.poll() is None, (service, (folder / f"{service}.log").read_text()[-2000:])
                return sign in _shown(ports[service])

            try:
                wait_until(ready, _START_S)
            except AssertionError as error:
                error.add_note(f"{service}: {(folder / f'{service}.log').read_text()[-2000:]}")
                raise
        yield {service: _shown(port) for service, port in ports.items()}


@pytest.fixture(scope="session")
def exported(pages: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    """Names of the samples and families that each service exports."""
    return {service: frozenset(_names(page)) for service, page in pages.items()}


def _names(page: str) -> Iterator[str]:
    for family in text_string_to_metric_families(page):
        if family.name.endswith("_created"):  # when a counter began, which the client adds to each
            continue
        suffixes = {"counter": ("_total",), "histogram": ("", "_bucket", "_sum", "_count")}.get(family.type, ("",))
        yield from (family.name + suffix for suffix in suffixes)


def _command(service: str, port: int) -> list[str]:
    if service == "scheduler":
        return ["scheduler", "run"]
    return ["console", "--port", str(port)] if service == "console" else service.split()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _shown(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page: str = answer.read().decode()
            return page
    except (urllib.error.URLError, OSError):
        return ""
