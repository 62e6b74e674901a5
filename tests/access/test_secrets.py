"""No key, token, password or link is in what the console logs, whatever is done with them."""

import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from schemas.access import Role, Scope
from store.connection import connect
from store.sessions import link_for_engineer
from tests.access.given import PASSWORD, add_person, browser, csrf_of, session_of, sign_in
from tests.access.test_sessions import NOW
from tests.rest.given import bearer
from tests.waiting import wait_until

COMMAND = [sys.executable, "-c", "from console.cli import main; main()"]


def test_what_is_secret_is_in_no_line_of_the_log(database: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = os.environ | {"COILFLOW_DATA_DIR": str(tmp_path), "COILFLOW_DATABASE_DSN": database}
    key = bearer(database, Scope.READ)
    token = session_of(database, "anna", Role.ENGINEER)
    add_person(database, "berta")
    typed, wrong_key, wrong_token = (secrets.token_urlsafe(24) for _ in range(3))
    with connect(database) as connection:
        late = link_for_engineer(connection, "local", now=NOW)
    assert late
    with log.open("wb") as file:
        process = subprocess.Popen([*COMMAND, "console", "--port", "0"], env=environment, stderr=file, stdout=file)
    try:
        wait_until(lambda: b"startup complete" in log.read_bytes(), 60)
        [address] = re.findall(r"http://127\.0\.0\.1:\d+", log.read_text())
        with browser(address, token) as client:
            csrf = csrf_of(client)
            client.post("/api/v1/schedule/retrain/requests", json={"why": "x"}, headers={"x-csrf-token": csrf})
            client.post("/sign-out", data={"csrf_token": typed})
        with browser(address, wrong_token) as client:
            client.get("/docs")
            client.get("/sign-in", params={"once": late})
            sign_in(client, typed, typed)
            sign_in(client, "berta", typed)
            sign_in(client, "berta", PASSWORD)
            given = next(iter(client.cookies.jar)).value
        httpx.get(f"{address}/docs", headers=key, timeout=120)
        httpx.get(f"{address}/docs", headers={"authorization": f"Bearer {wrong_key}"}, timeout=120)
        httpx.get(f"{address}/api/v1/coils/a/%ff%00", headers=key, timeout=120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert '"signed in"' in said
    assert said.count('"sign-in refused"') == 3
    assert said.count('"address": "127.0.0.1"') == 4
    for secret in (key["authorization"], token, csrf, late, PASSWORD, typed, wrong_key, wrong_token, given):
        assert secret
        assert secret.removeprefix("Bearer ") not in said


def test_on_this_machine_the_console_prints_a_link_that_works(tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = os.environ | {"COILFLOW_DATA_DIR": str(tmp_path)}
    environment.pop("COILFLOW_DATABASE_DSN", None)
    with log.open("wb") as file:
        process = subprocess.Popen([*COMMAND, "console", "--port", "0"], env=environment, stderr=file, stdout=file)
    try:
        wait_until(lambda: b"startup complete" in log.read_bytes(), 120)
        [link] = re.findall(r"http://127\.0\.0\.1:\d+/sign-in\?once=\S+", log.read_text())
        with httpx.Client(timeout=120) as client:
            assert client.get(link).headers["location"] == "/"
            assert client.get(httpx.URL(link).join("/openapi.json")).status_code == 200
            assert client.get(link).status_code == 403
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
