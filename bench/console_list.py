"""How long a page of the coil list takes with a million coils, by HTTP, for every filter and deep pages too.

Run as `python -m bench.console_list [--coils 1000000] [--folder DIR] [--out FILE.md]`. The coils are made by SQL:
three plants, three years, 2% NOK, doubts from one in 25 down to one in 2000, reviews nearly all answered, every
hundredth coil judged again, a tenth with a shadow's verdict. `--folder` keeps them for the next time.
"""

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from bench.console_setup import Console, console
from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from console.rest.cursors import cursor_after
from store.connection import connect
from store.search import Place

P95_MS = 100.0
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
YEARS = 3
DEPTHS = (0.1, 0.5, 0.95)
_UNUSUAL, _DEEP = 500, 200  # combinations of any number of filters, and of up to three, that are drawn

FILL = (
    """insert into coilflow.coils (
        plant, coil_id, zn_min_g_m2, zn_max_g_m2, length_m, material, customer, started_at, state, seen_at
    )
    select
        (array['linz-1', 'linz-2', 'graz'])[1 + (mod(n, 10) > 5)::int + (mod(n, 10) = 9)::int],
        (226000000 + n)::text, 100, 120, 250 + mod(n, 1000), 'DX51', 'c' || mod(n, 50), at, 'decided', at
    from (
        select n, %(now)s::timestamptz - (%(coils)s - n) * %(step)s::interval as at
        from generate_series(1, %(coils)s) as n
    ) as g""",
    """insert into coilflow.readings (plant, coil_id, revision, readings)
    select plant, coil_id, 'r' || coil_id, '\\x00' from coilflow.coils""",
    "alter table coilflow.verdicts disable trigger verdict_supersedes_the_standing_one",  # it looks coil by coil
    """insert into coilflow.verdicts (
        plant, coil_id, revision, label, p_nok, threshold, ensemble_version, observed, reasons, review,
        review_probability, decided_at
    )
    select
        plant, coil_id, 'r' || coil_id,
        case when mod(h, 1000) < 20 then 'NOK' when mod(h, 1000) < 25 then 'UNDECIDED' else 'OK' end,
        mod(h, 1000) / 1000.0, 0.5, 'e' || mod(h, 4), 0.98,
        array_remove(array[
            case when mod(h, 25) = 1 then 'doubt: p_nok near the threshold' end,
            case when mod(h, 40) = 2 then 'missing_rows: 2 rows' end,
            case when mod(h, 300) = 3 then 'anomaly: like none it knows' end,
            case when mod(h, 2000) = 4 then 'gauge_stuck: top face, sensor 3' end
        ], null),
        case when mod(h, 30) = 1 then array['doubt: near'] else '{}' end, 0.03, seen_at
    from (select *, abs(hashint8(coil_id::bigint)::bigint) as h from coilflow.coils) as c""",
    """insert into coilflow.readings (plant, coil_id, revision, readings)
    select plant, coil_id, 's' || coil_id, '\\x00' from coilflow.coils where mod(coil_id::bigint, 100) = 0""",
    """insert into coilflow.verdicts (
        plant, coil_id, revision, label, p_nok, threshold, ensemble_version, observed, supersedes, decided_at
    )
    select plant, coil_id, 's' || coil_id, 'OK', 0.1, 0.5, 'e1', 1, 'r' || coil_id, seen_at + interval '1 minute'
    from coilflow.coils where mod(coil_id::bigint, 100) = 0""",
    """insert into coilflow.verdicts (
        plant, coil_id, revision, role, label, p_nok, threshold, ensemble_version, observed, decided_at
    )
    select plant, coil_id, 'r' || coil_id, 'shadow', 'NOK', 0.9, 0.5, 'e9', 1, seen_at
    from coilflow.coils where mod(coil_id::bigint, 10) = 0""",
    """insert into coilflow.feedback (event_id, plant, coil_id, label, given_at, operator, source)
    select 'f' || coil_id, plant, coil_id, case when label = 'NOK' then 'NOK' else 'OK' end, decided_at, 'op1', '/bench'
    from coilflow.verdicts where review <> '{}' and mod(verdict_id, 20) <> 0""",
    """insert into coilflow.coils (plant, coil_id, state, seen_at)
    select 'linz-1', 'open' || n, 'open', %(now)s::timestamptz - n * interval '1 minute'
    from generate_series(1, 40) as n""",
    """insert into coilflow.coils (plant, coil_id, state, seen_at)
    select 'linz-2', 'dead' || n, 'dead_lettered', %(now)s::timestamptz - n * interval '1 day'
    from generate_series(1, 900) as n""",
    "alter table coilflow.verdicts enable trigger verdict_supersedes_the_standing_one",
    "vacuum analyze",
)


def fill(dsn: str, coils: int) -> None:
    """Make the coils, unless they are there."""
    began_s = time.monotonic()
    with connect(dsn) as connection:
        found = connection.execute("select count(*) as coils from coilflow.coils").fetchone()
        if found and found["coils"]:
            return
        step = timedelta(days=365 * YEARS) / coils
        for statement in FILL:
            connection.execute("analyze")
            connection.execute(statement.encode(), {"now": NOW, "step": step, "coils": coils})
        print(f"filled with {coils} coils in {time.monotonic() - began_s:.0f} s", flush=True)


def filters(coils: int) -> Iterator[dict[str, str]]:
    """Every combination of what people look for."""
    newest, oldest = str(226000000 + coils), str(226000001)
    ranges = [
        {},
        {"from": (NOW - timedelta(days=1)).isoformat()},
        {"from": (NOW - timedelta(days=400)).isoformat(), "to": (NOW - timedelta(days=370)).isoformat()},
        {"from": (NOW - timedelta(days=365)).isoformat()},
    ]
    for plant, label, doubt, state, review, q, time_range in itertools.product(
        (None, "linz-1", "graz"),
        (None, "OK", "NOK", "UNDECIDED"),
        (None, "doubt", "gauge_stuck"),
        (None, "decided", "open"),
        (None, "asked", "waiting"),
        (None, newest, oldest[:6], oldest[:4], "2"),
        ranges,
    ):
        given = {"plant": plant, "label": label, "doubt": doubt, "state": state, "review": review, "q": q, **time_range}
        yield {name: value for name, value in given.items() if value is not None}


def usual(given: dict[str, str]) -> bool:
    """Whether a person picks it: no more than three filters, and none that contradict each other."""
    nothing = given.get("state") == "open" and {"label", "doubt", "review"} & given.keys()
    return len(given) - ("to" in given) <= 3 and not nothing


def deep(given: dict[str, str], share: float) -> dict[str, str]:
    """The same in the middle of the list."""
    at = NOW - share * timedelta(days=365 * YEARS)
    order = ("plant", "label", "from", "to", "doubt", "state", "review", "q")
    of = ["coils", *(_value(name, given.get(name)) for name in order)]
    return given | {"cursor": cursor_after(Place(at, "linz-1", "2"), of=of)}


def _value(name: str, text: str | None) -> object:
    return datetime.fromisoformat(text) if text and name in {"from", "to"} else text


def timed(client: httpx.Client, given: dict[str, str], limit: int = 50) -> tuple[float, int]:
    """Milliseconds of one page, and how many coils are on it."""
    began_s = time.perf_counter()
    answer = client.get("/api/v1/coils", params=given | {"limit": str(limit)})
    took_ms = 1e3 * (time.perf_counter() - began_s)
    assert answer.status_code == 200, answer.text
    return took_ms, len(answer.json()["items"])


def summary(name: str, took_ms: Sequence[float]) -> tuple[str, ...]:
    """A row of the table."""
    cuts = statistics.quantiles(took_ms, n=100, method="inclusive")
    return (name, str(len(took_ms)), *(f"{cuts[nth - 1]:.1f}" for nth in (50, 95, 99)), f"{max(took_ms):.1f}")


def measure(here: Console, coils: int) -> int:
    """Ask for every page in an order of no meaning; print what it took."""
    with httpx.Client(base_url=here.address, headers={"authorization": f"Bearer {here.key}"}, timeout=60) as client:
        drawn = random.Random(1)  # noqa: S311
        every = list(filters(coils))
        picked = [given for given in every if usual(given)]
        asked = [(given, "first page") for given in picked + drawn.sample(every, _UNUSUAL)]
        asked += [(deep(given, share), "deep page") for given in drawn.sample(picked, _DEEP) for share in DEPTHS]
        drawn.shuffle(asked)
        for given, _ in asked[:100]:
            timed(client, given)
        found = [(given, kind, *timed(client, given)) for given, kind in asked]
        large = [timed(client, {}, limit=200)[0] for _ in range(100)]
    of = {
        "first page, all of them": [ms for _, kind, ms, _ in found if kind == "first page"],
        "first page, up to three filters": [
            ms for given, kind, ms, _ in found if kind == "first page" and usual(given)
        ],
        "deep page, up to three filters": [ms for _, kind, ms, _ in found if kind == "deep page"],
        "200 coils, no filter": large,
        "all": [ms for _, _, ms, _ in found],
    }
    for name in ("plant", "label", "doubt", "state", "review", "q", "from"):
        of[f"with {name}"] = [ms for given, _, ms, _ in found if name in given]
    titles = ("pages of 50", "requests", "p50 ms", "p95 ms", "p99 ms", "most ms")
    print_table(titles, (summary(*one) for one in of.items()))
    print("\nThe slowest:\n")
    worst = sorted(found, key=lambda one: -one[2])[:12]
    print_table(
        ("ms", "coils", "page", "filters"),
        (
            (f"{ms:.1f}", count, kind, " ".join(f"{k}={v}" for k, v in given.items() if k != "cursor"))
            for given, kind, ms, count in worst
        ),
    )
    p95 = statistics.quantiles(of["all"], n=100, method="inclusive")[94]
    usual_p95 = statistics.quantiles(of["first page, up to three filters"], n=100, method="inclusive")[94]
    return print_bars(
        [
            (f"p95 of all under {P95_MS:g} ms", f"{p95:.1f} ms", p95 < P95_MS),
            (f"p95 up to three filters under {P95_MS:g} ms", f"{usual_p95:.1f} ms", usual_p95 < P95_MS),
        ]
    )


def main() -> int:
    """Print what pages take."""
    parser = argparse.ArgumentParser(prog="python -m bench.console_list")
    parser.add_argument("--coils", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the coils stay for the next time")
    add_out(parser)
    given = parser.parse_args()
    with console(lambda dsn: fill(dsn, given.coils), given.folder) as here:
        says = machine()
        with report("bench.console_list", f"The coil list with {given.coils} coils", given.out, on=says):
            print(f"`coilflow console` and the embedded {here.server}, one client\n")
            return measure(here, given.coils)


if __name__ == "__main__":
    raise SystemExit(main())
