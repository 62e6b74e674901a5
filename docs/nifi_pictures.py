"""Draw docs/pictures/nifi_*.png: our flows as a running NiFi shows them, by Chromium and its driver.

`python -m docs.nifi_pictures http://127.0.0.1:8080/nifi`, where `coilflow nifi deploy` brought them in and nobody has
to sign in. Debian's packages `chromium` and `chromium-driver` are needed.
"""

import base64
import io
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from PIL import Image, ImageChops

from flows.nifi.groups import find_groups
from flows.nifi.server import Nifi, SignIn

PICTURES = Path(__file__).parent / "pictures"
WIDTH_PX, HEIGHT_PX = 2400, 1700
_LIMIT_S, _LOOK_S = 60.0, 0.5
_DRAWN = "return document.querySelectorAll('g.processor, g.connection').length > 1"
_BARE = """
for (const one of document.querySelectorAll('graph-controls, fd-header, fd-flow-status, breadcrumbs, footer'))
  one.style.display = 'none'
"""
_GRID_GREY = 200  # NiFi's grid is lighter
_MARGIN_PX = 20


def main(url: str) -> None:
    """Draw each flow that is there."""
    groups = find_groups(Nifi(url, SignIn()))
    with _browser() as session:
        for name, group in groups.items():
            session.post("/url", json={"url": f"{url.rstrip('/')}/#/process-groups/{group.group_id}"})
            _wait(session, _DRAWN)
            _run(session, _BARE)
            shot = session.get("/screenshot").json()["value"]
            file = PICTURES / f"nifi_{name}.png"
            _cropped(Image.open(io.BytesIO(base64.b64decode(shot)))).save(file, optimize=True)
            print(file.name)  # noqa: T201 - a command


@contextmanager
def _browser() -> Iterator[httpx.Client]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)  # noqa: S603, S607
    address = f"http://127.0.0.1:{port}"
    arguments = ["--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH_PX},{HEIGHT_PX}"]
    try:
        _until(lambda: httpx.get(f"{address}/status").json()["value"]["ready"])
        wanted = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}
        made = httpx.post(f"{address}/session", json={"capabilities": wanted}, timeout=_LIMIT_S).json()["value"]
        with httpx.Client(base_url=f"{address}/session/{made['sessionId']}", timeout=_LIMIT_S) as session:
            yield session
            session.delete("/")
    finally:
        driver.terminate()
        driver.wait()


def _run(session: httpx.Client, script: str) -> object:
    answer: dict[str, object] = session.post("/execute/sync", json={"script": script, "args": []}).json()
    return answer["value"]


def _wait(session: httpx.Client, script: str) -> None:
    _until(lambda: _run(session, script) is True)
    time.sleep(5.0)  # it moves the view to where all is seen, and says nothing when that is done


def _until(done: Callable[[], object]) -> None:
    end_s = time.monotonic() + _LIMIT_S
    while True:
        try:
            if done():
                return
        except httpx.TransportError:
            if time.monotonic() > end_s:
                raise
        if time.monotonic() > end_s:
            raise TimeoutError(f"NiFi showed no flow within {_LIMIT_S:.0f} s")
        time.sleep(_LOOK_S)


def _cropped(picture: Image.Image) -> Image.Image:
    """What is drawn, without the empty canvas around it."""
    grey = picture.convert("L").point(lambda value: 255 if value < _GRID_GREY else 0)
    box = ImageChops.difference(grey, Image.new("L", grey.size, 0)).getbbox() or (0, 0, *picture.size)
    left, top, right, bottom = box
    return picture.crop(
        (
            max(left - _MARGIN_PX, 0),
            max(top - _MARGIN_PX, 0),
            min(right + _MARGIN_PX, picture.width),
            min(bottom + _MARGIN_PX, picture.height),
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
