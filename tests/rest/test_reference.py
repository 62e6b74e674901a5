"""The examples of docs/rest.md run as written, and no operation is missing there."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from console.rest.app import create_app
from console.rest.service import Service, running_service
from flows.serving import following
from processors.decode import decode_message
from scheduler.registry import registered_jobs
from schemas.access import ROLE_SCOPES, Role
from schemas.coils import CoilKey
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import connect
from store.deadletters import record_dead_letters
from store.leadership import leader_session, take_over
from store.schedules import register_schedules
from tests.audit.given import a_line, bad, candidate, refuse
from tests.flows.given import coil, events_of, lines_of
from tests.rest.given import bearer, served

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8321"
REFUSED = Reject(
    step="assemble",
    place="inbox",
    key=CoilKey(plant="linz", coil_id="6"),
    error="the readings lie outside the limits",
    remedy="correct the limits, and replay it",
    original=lines_of(events_of(coil("6"))),
    whole_coil=True,
)
_ELSEWHERE = {"/metrics", "/api/v1/events"}


@pytest.fixture(name="running")
def _running(database: str, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Address of a console with what the examples name, and an environment with a key."""
    line = a_line(database, tmp_path)
    line.assess(bad("4711"))
    with connect(database) as connection:
        candidate(connection, line, "v2", parent="v1")
        record_dead_letters(connection, [REFUSED])
        refuse(connection, "5", "no reading")
    with leader_session(database) as session:
        taken = take_over(session, "given", silent_after_s=60)
        assert taken is not None
        crons = {name: job.cron for name, job in registered_jobs(line.settings).items()}
        register_schedules(session, crons, epoch=taken.epoch, now=datetime.now(UTC))
    with (
        following(database, line.settings, kind="inbox") as serving,
        running_service(
            database, serving.current, line.settings, decode=decode_message, connections=4, wait_s=2.0
        ) as service,
        served(service) as address,
    ):
        key = bearer(database, *ROLE_SCOPES[Role.ENGINEER])["authorization"].removeprefix("Bearer ")
        yield address, os.environ | {"COILFLOW_KEY": key}


def test_the_examples_run_one_after_the_other(running: tuple[str, dict[str, str]]) -> None:
    address, environment = running
    blocks = re.findall(r"^```bash\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    script = "\n".join(blocks).replace(ADDRESS, address)
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert '"fate":"disputed"' in done.stdout
    assert '"champion":"v2"' in done.stdout
    assert '"state":"replayed"' in done.stdout


def test_every_operation_is_in_the_reference() -> None:
    console = cast("Service", SimpleNamespace(settings=Settings()))
    for path in create_app(console).openapi()["paths"].keys() - _ELSEWHERE:
        last = [part for part in path.split("/") if "{" not in part][-1]
        assert f"/{last}" in GUIDE, path
