"""Draw docs/pictures/console_*.png: every page of the console over a demonstration's line, by Chromium.

`python -m docs.console_pictures` takes some minutes: the models slip and a successor is trained, so that there is
something to see. With a number of coils after it, another story; below 800 nothing is trained. Debian's package
`chromium` is needed.
"""

import io
import shutil
import sys
import tempfile
import threading
from datetime import timedelta
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, StorageState, sync_playwright

from console.beside import console_beside
from flows.observe import log_warnings_to_stderr
from scheduler.demo import run_story
from scheduler.once import run_once
from scheduler.registry import registered_jobs
from schemas.errors import UsageError
from schemas.settings import Settings
from store.connection import connect
from store.databases import create_database
from store.embedded import embedded_postgres
from store.registered import EVERY_PLANT, serving

PICTURES = Path(__file__).parent / "pictures"
WIDTH_PX, MOST_HEIGHT_PX = 1440, 1500
COILS = 1600  # as `coilflow demo`
_COLOURS = 256
_MOST_MS = 300_000.0  # until a page stands, on a busy machine
_JOBS = ("drift", "embed", "review_draw")  # whose work pages show and the story does without
_IN_SIGHT = """
() => [...document.images].every(one => one.complete || one.getBoundingClientRect().top > innerHeight)
"""
_SHOWN_COIL = """
select plant, coil_id from coilflow.verdicts where role = 'champion' and label = 'NOK' order by p_nok desc limit 1
"""
_REFUSED_WHEN_THEY_RAN = """
update coilflow.coils as c
set seen_at = v.decided_at
from coilflow.verdicts as v
where c.state = 'dead_lettered' and v.plant = c.plant
  and v.coil_id = (select max(coil_id) from coilflow.verdicts where plant = c.plant and coil_id < c.coil_id)
"""  # the story has a clock of its own
_NEWEST_LETTER = "select dead_letter_id from coilflow.dead_letters order by dead_letter_id desc limit 1"


def main(coils: int) -> None:
    """Let a story run, and draw each page of it."""
    log_warnings_to_stderr()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise UsageError("there is no Chromium", remedy="install Debian's package `chromium`")
    with tempfile.TemporaryDirectory(prefix="coilflow-") as folder:
        settings = Settings(data_dir=Path(folder))
        with embedded_postgres(settings.data_dir) as server, sync_playwright() as playwright:
            dsn = create_database(server, "pictures")
            given = _run(dsn, settings, coils)
            with console_beside(dsn, given, "anna") as link:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                _draw_all(browser, link, _places(dsn))
                browser.close()


def _run(dsn: str, settings: Settings, coils: int) -> Settings:
    """Let the story run, and what pages show beside it; the story's own settings."""
    story: list[Settings] = []
    run_story(
        coils,
        seed=0,
        dsn=dsn,
        settings=settings,
        trains=True,
        tell=lambda who, said: print(who, *said, flush=True),  # noqa: T201 - a command
        on_coils=lambda _: None,
        on_rejects=lambda _: None,
        on_ready=story.append,
    )
    [given] = story
    with connect(dsn) as connection:
        [newest] = connection.execute("select max(decided_at) as at from coilflow.verdicts").fetchall()
        connection.execute(_REFUSED_WHEN_THEY_RAN)
    ended_at = newest["at"] + timedelta(hours=2)
    for job in _JOBS:
        ran = run_once(
            dsn,
            job,
            settings=given,
            jobs=registered_jobs(given),
            clock=lambda: ended_at,
            who="anna",
            why="for the pictures",
            stop=threading.Event(),
        )
        print(job, ran.outcome, ran.error or "", flush=True)  # noqa: T201 - a command
    return given


def _places(dsn: str) -> dict[str, str]:
    """The page of each picture."""
    with connect(dsn) as connection:
        coil = connection.execute(_SHOWN_COIL).fetchone() or {}
        [letter] = connection.execute(_NEWEST_LETTER).fetchall()
        version = serving(connection)[EVERY_PLANT].champion
    return {
        "line": "/",
        "coil": f"/coils/{coil['plant']}/{coil['coil_id']}?explain=1",
        "review": "/review",
        "models": "/models",
        "model": f"/models/{version}",
        "schedule": "/schedule",
        "data": "/data",
        "dead_letter": f"/data/dead-letters/{letter['dead_letter_id']}",
    }


def _draw_all(browser: Browser, link: str, places: dict[str, str]) -> None:
    address = link.partition("/sign-in")[0]
    light = _context(browser, address, "light")
    light.new_page().goto(link)
    for name, place in places.items():
        _draw(light, place, PICTURES / f"console_{name}.png")
    dark = _context(browser, address, "dark", light.storage_state())
    _draw(dark, places["line"], PICTURES / "console_line_dark.png")


def _context(
    browser: Browser, address: str, scheme: Literal["light", "dark"], signed_in: StorageState | None = None
) -> BrowserContext:
    context = browser.new_context(
        base_url=address,
        viewport={"width": WIDTH_PX, "height": MOST_HEIGHT_PX},
        color_scheme=scheme,
        storage_state=signed_in,
        reduced_motion="reduce",
        bypass_csp=True,  # for `_IN_SIGHT`
    )
    context.set_default_timeout(_MOST_MS)
    return context


def _draw(context: BrowserContext, place: str, file: Path) -> None:
    """As much of a page as is within `MOST_HEIGHT_PX`, in few colours."""
    page = context.new_page()
    answer = page.goto(place)
    if answer is None or not answer.ok:
        raise UsageError(
            f"{place} answered {answer and answer.status}", remedy="look at it by `coilflow demo --console`"
        )
    page.locator("[data-later]").wait_for(state="detached")
    page.locator("#pulse.waits").wait_for(state="detached")
    page.wait_for_function(_IN_SIGHT)
    shot = Image.open(io.BytesIO(page.screenshot(clip=_drawn(page)))).convert("RGB")
    shot.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.name} {file.stat().st_size / 1000:.0f} kB", flush=True)  # noqa: T201 - a command
    page.close()


def _drawn(page: Page) -> FloatRect:
    whole = page.locator("body").bounding_box()
    height = MOST_HEIGHT_PX if whole is None else min(whole["height"], MOST_HEIGHT_PX)
    return {"x": 0, "y": 0, "width": WIDTH_PX, "height": height}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COILS)
