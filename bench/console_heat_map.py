"""How long a coil's heat map takes on the server, from the database to bytes: `python -m bench.console_heat_map`.

Simulated coils are judged and stored by `coilflow assess --store`; each form is asked for by HTTP, one at a time.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from bench.console_setup import Console, console
from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from bench.stream_setup import simulated_coils
from console.rest.matrices import ARROW
from console.rest.names import PAGE, REST

MOST_MS = 50.0
PAGE_MAP = "the page's map, a pixel a cell"
PICTURE = "picture, PNG"


def fill(dsn: str, coils: int) -> None:
    """Judge and store simulated coils."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        source = Path(folder) / "events.jsonl"
        with source.open("wb") as file:
            for events in simulated_coils(coils):
                file.writelines(line.rstrip(b"\n") + b"\n" for line in events)
        command = [str(Path(sys.executable).with_name("coilflow")), "assess", str(source), "--store", dsn]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(here: Console, rounds: int) -> int:
    """Print what each form takes."""
    with httpx.Client(base_url=here.address, headers={"authorization": f"Bearer {here.key}"}, timeout=60) as client:
        coils = client.get(REST.removesuffix("/"), params={"limit": "200"}).json()["items"]
        forms = {
            PAGE_MAP: (PAGE, "map.png", "image/png"),
            PICTURE: (REST, "picture", "image/png"),
            "picture, SVG": (REST, "picture", "image/svg+xml"),
            "matrix, JSON": (REST, "matrix", "application/json"),
            "matrix, Arrow": (REST, "matrix", ARROW),
        }
        took_ms: dict[str, list[float]] = {name: [] for name in forms}
        size: dict[str, int] = {}
        for nth in range(rounds + 1):
            for one in coils:
                for name, (under, what, accept) in forms.items():
                    path = f"{under}{one['plant']}/{one['coil_id']}/{what}"
                    began_s = time.perf_counter()
                    answer = client.get(path, params={"revision": one["revision"]}, headers={"accept": accept})
                    if nth:  # the first round warms up
                        took_ms[name].append(1e3 * (time.perf_counter() - began_s))
                    assert answer.status_code == 200, answer.text
                    size[name] = len(answer.content)
    p95 = {name: statistics.quantiles(found, n=100)[94] for name, found in took_ms.items()}
    titles = ("form", "requests", "bytes", "p50 ms", "p95 ms", "most ms")
    print_table(
        titles,
        (
            (name, len(ms), size[name], f"{statistics.median(ms):.1f}", f"{p95[name]:.1f}", f"{max(ms):.1f}")
            for name, ms in took_ms.items()
        ),
    )
    return print_bars(
        (f"p95 of {name} under {MOST_MS:g} ms", f"{p95[name]:.1f} ms", p95[name] < MOST_MS)
        for name in (PAGE_MAP, PICTURE)
    )


def main() -> int:
    """Print what a heat map takes."""
    parser = argparse.ArgumentParser(prog="python -m bench.console_heat_map")
    parser.add_argument("--coils", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    add_out(parser)
    given = parser.parse_args()
    with console(lambda dsn: fill(dsn, given.coils)) as here:
        says = machine()
        with report("bench.console_heat_map", "A coil's heat map", given.out, on=says):
            print(f"`coilflow console` and the embedded {here.server}, one client; {given.coils} simulated coils\n")
            return measure(here, given.rounds)


if __name__ == "__main__":
    raise SystemExit(main())
