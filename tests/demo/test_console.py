"""Promises of `coilflow demo --console`: what runs can be looked at, and ends when it is told to."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.waiting import wait_until

COMMAND = (sys.executable, "-c", "from console.cli import main; main()", "demo", "--coils", "40", "--console")
LINK = re.compile(r"http://127\.0\.0\.1:\d+/sign-in\?once=\S+")
KEY = re.compile(r"scripts need a key: COILFLOW_DATABASE_DSN='(.+)' coilflow (keys create .+)")
LONG_S = 300.0  # it judges 40 coils on a busy machine


@pytest.fixture
def demo(short_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"COILFLOW_DATA_DIR": str(short_path / "data")}
    for name in ("COILFLOW_DATABASE_DSN", "COILFLOW_ENSEMBLE"):
        environment.pop(name, None)
    with (short_path / "out").open("wb") as out, (short_path / "err").open("wb") as err:
        process = subprocess.Popen(COMMAND, env=environment, stdout=out, stderr=err, cwd=short_path)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_link_signs_in_to_the_coils_of_the_demo_until_it_is_told_to_end(
    demo: subprocess.Popen[bytes], short_path: Path, number: signal.Signals
) -> None:
    out, err = short_path / "out", short_path / "err"
    wait_until(lambda: LINK.search(err.read_text()) or demo.poll() is not None, LONG_S)
    [link] = LINK.findall(err.read_text())
    assert "closest to their threshold" not in out.read_text(), "the link comes before the coils"
    with httpx.Client(timeout=LONG_S, headers={"accept": "text/html"}) as client:
        assert client.get(link).headers["location"] == "/"
        wait_until(lambda: '"duplicated"' in out.read_text() or demo.poll() is not None, LONG_S)
        last = json.loads(out.read_text().splitlines()[-1])
        assert (last["coils"], last["lost"]) == (40, 0)
        page = client.get(httpx.URL(link).join("/"))
        assert page.status_code == 200
        [(dsn, words)] = KEY.findall(err.read_text())
        asked = httpx.URL(link).join("/api/v1/coils?limit=100")
        shown = httpx.get(asked, headers={"authorization": f"Bearer {_key(dsn, words)}"}, timeout=LONG_S)
        ids = [one["coil_id"] for one in shown.json()["items"]]
        assert len(ids) == 40
        assert any(f"/{coil_id}" in page.text for coil_id in ids)
        begun, ended = threading.Event(), threading.Event()
        cookies = dict(client.cookies)
        watching = threading.Thread(target=_watch, args=(link, cookies, begun, ended))
        watching.start()
        try:
            assert begun.wait(LONG_S)
        finally:
            demo.send_signal(number)
        assert demo.wait(LONG_S) == 0
        watching.join()
        assert ended.is_set()
    assert out.read_text().splitlines()[-1] == json.dumps(last, separators=(",", ":"))
    assert "Traceback" not in err.read_text()
    assert err.read_text().splitlines()[-1] == "the console goes on; Ctrl-C ends it"


def _key(dsn: str, words: str) -> str:
    """The key that the command makes that the demo names."""
    made = subprocess.run(
        [*COMMAND[:3], *words.split(), "--json"],
        env=os.environ | {"COILFLOW_DATABASE_DSN": dsn},
        check=True,
        capture_output=True,
    )
    return str(json.loads(made.stdout)["key"])


def _watch(link: str, cookies: dict[str, str], begun: threading.Event, ended: threading.Event) -> None:
    """Keep a stream of events open, as the page does, until it is cut."""
    with (
        suppress(httpx.RemoteProtocolError),
        httpx.Client(timeout=LONG_S, cookies=cookies) as client,
        client.stream("GET", httpx.URL(link).join("/api/v1/stream")) as answer,
    ):
        for _ in answer.iter_raw():
            begun.set()
    ended.set()
