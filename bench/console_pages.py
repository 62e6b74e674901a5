"""How soon each page of the console shows something in Chromium, and what it weighs: `python -m bench.console_pages`.

A demonstration's line runs first. Each page is opened many times by a browser whose cache is empty. First paint is the
browser's own `first-contentful-paint`, from the start of the navigation (https://www.w3.org/TR/paint-timing/).
"""

import argparse
import shutil
import statistics
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from bench.console_setup import Console, console
from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from console.rest.access import SESSION_COOKIE
from scheduler.demo import run_story
from schemas.access import Role
from schemas.settings import Settings
from store.connection import connect
from store.sessions import Lifetime, start_session
from store.users import add_user

MOST_PAINT_S, MOST_BYTES = 1.0, 300_000
_A_DAY = Lifetime(idle=timedelta(days=1), whole=timedelta(days=1))
_CHROMIUM_MS = 120_000.0
_TIMES = """
() => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName("first-contentful-paint");
    const [load] = performance.getEntriesByType("navigation");
    if (paint) resolve([load.responseStart, paint.startTime]);
  }).observe({ type: "paint", buffered: true });
})
"""
_COIL = """
select plant, coil_id from coilflow.verdicts where role = 'champion' and label = 'NOK' order by p_nok desc limit 1
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """One page, opened once by a browser that had never seen it."""

    answer_ms: float  # to the first byte
    paint_ms: float
    weight_bytes: int  # of everything the page brought, as it came over the line


def fill(dsn: str, coils: int) -> None:
    """Let a demonstration's line run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        run_story(
            coils,
            seed=0,
            dsn=dsn,
            settings=Settings(data_dir=Path(folder)),
            trains=False,
            tell=lambda _who, _said: None,
            on_coils=lambda _: None,
            on_rejects=lambda _: None,
        )


def places(dsn: str) -> dict[str, str]:
    """Where each page is."""
    with connect(dsn) as connection:
        [coil] = connection.execute(_COIL).fetchall()
    address = f"/coils/{coil['plant']}/{coil['coil_id']}"
    return {
        "Line": "/",
        "Coil": address,
        "Coil, explained": f"{address}?explain=1",
        "Review": "/review",
        "Models": "/models",
        "Schedule": "/schedule",
        "Data": "/data",
    }


def session(dsn: str) -> str:
    """Of an engineer, who sees every button."""
    now, no_password = datetime.now(UTC), "none fits"
    with connect(dsn) as connection:
        user_id = add_user(connection, "bench", Role.ENGINEER, password_hash=no_password, now=now)
        token = start_session(
            connection,
            user_id,
            password_hash=no_password,
            instead_of=None,
            lifetime=_A_DAY,
            now=now,
        )
    assert token is not None
    return token


def opened(browser: Browser, here: Console, token: str, place: str) -> Opened:
    """Open a page in a new profile, and wait until it has loaded."""
    context = browser.new_context(base_url=here.address, viewport={"width": 1440, "height": 900})
    try:
        context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": here.address}])
        page = context.new_page()
        page.set_default_timeout(_CHROMIUM_MS)
        weights: list[int] = []
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.on("Network.loadingFinished", lambda said: weights.append(said["encodedDataLength"]))
        answer = page.goto(place)
        assert answer is not None
        assert answer.ok, answer.status
        answer_ms, paint_ms = page.evaluate(_TIMES)
        return Opened(answer_ms=answer_ms, paint_ms=paint_ms, weight_bytes=sum(weights))
    finally:
        context.close()


def measure(here: Console, rounds: int) -> int:
    """Print how soon each page stands."""
    chromium, token = shutil.which("chromium"), session(here.dsn)
    assert chromium is not None, "install Debian's package `chromium`"
    found: dict[str, list[Opened]] = defaultdict(list)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for nth in range(rounds + 1):
            for name, place in places(here.dsn).items():
                one = opened(browser, here, token, place)
                if nth:  # the first round warms up
                    found[name].append(one)
        version = browser.version
        browser.close()
    print(f"Chromium {version}\n")
    print_table(
        ("page", "opened", "first byte p50 ms", "first paint p50 ms", "p95 ms", "most ms", "kB"),
        (
            (
                name,
                len(all_of),
                f"{statistics.median(one.answer_ms for one in all_of):.0f}",
                f"{statistics.median(one.paint_ms for one in all_of):.0f}",
                f"{statistics.quantiles((one.paint_ms for one in all_of), n=20, method='inclusive')[18]:.0f}",
                f"{max(one.paint_ms for one in all_of):.0f}",
                f"{max(one.weight_bytes for one in all_of) / 1000:.0f}",
            )
            for name, all_of in found.items()
        ),
    )
    slowest_s = max(one.paint_ms for all_of in found.values() for one in all_of) / 1000
    heaviest_bytes = max(one.weight_bytes for all_of in found.values() for one in all_of)
    return print_bars(
        (
            (f"every first paint under {MOST_PAINT_S:g} s", f"{slowest_s:.2f} s at most", slowest_s < MOST_PAINT_S),
            (
                f"every page under {MOST_BYTES / 1000:.0f} kB",
                f"{heaviest_bytes / 1000:.0f} kB at most",
                heaviest_bytes < MOST_BYTES,
            ),
        )
    )


def main() -> int:
    """Print how soon each page stands, and what it weighs."""
    parser = argparse.ArgumentParser(prog="python -m bench.console_pages")
    parser.add_argument("--coils", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=20)
    add_out(parser)
    given = parser.parse_args()
    with console(lambda dsn: fill(dsn, given.coils)) as here:
        says = machine()
        with report("bench.console_pages", "First paint and weight of the console's pages", given.out, on=says):
            print(f"`coilflow console` and the embedded {here.server}; {given.coils} coils of a demonstration\n")
            return measure(here, given.rounds)


if __name__ == "__main__":
    raise SystemExit(main())
