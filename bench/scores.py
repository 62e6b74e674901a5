"""How long a month's verdicts take to score.

Run as `python -m bench.scores [--verdicts 100000] [--labels 10000] [--plans] [--out FILE.md]`.
Rows are made in the database: one coil a verdict, three members, every twentieth coil NOK, alarms and one in fifty of
the others asked for; a tenth labelled twice. With `--plans`, the plan of each statement is printed.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from flows.score_models import score_models
from schemas.settings import Settings
from store.connection import Connection, connect
from store.embedded import embedded_postgres
from store.migrations import migrate
from store.queries import query
from store.scores import latest_scores

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
RUNS = 5
MOST_S = 10.0  # words that come within it share a run
STATEMENTS = ("counted_coils", "assessed_coils", "newest_scores")

_ROWS: tuple[LiteralString, ...] = (
    """
    insert into coilflow.coils (plant, coil_id, zn_min_g_m2, zn_max_g_m2, length_m, material, state)
    select 'line ' || n %% 2, n::text, 40 + 20 * (n %% 5), 60 + 20 * (n %% 5), 500, 'S' || n %% 5, 'decided'
    from generate_series(1, %(verdicts)s) as n
    """,
    """
    insert into coilflow.readings (plant, coil_id, revision, readings)
    select 'line ' || n %% 2, n::text, 'r', '' from generate_series(1, %(verdicts)s) as n
    """,
    """
    insert into coilflow.verdicts (
        plant, coil_id, revision, label, p_nok, threshold, ensemble_version, observed, review, review_probability,
        decided_at
    )
    select
        'line ' || n %% 2, n::text, 'r', case when nok then 'NOK' else 'OK' end, case when nok then 0.9 else 0.1 end,
        0.5, 'e' || n * 2 / %(verdicts)s, 1,
        case when nok then array['alarm: p_nok'] when n %% 50 = 7 then array['random: drawn'] else '{}' end,
        case when nok then 1 else 0.02 end,
        %(now)s - (%(verdicts)s - n) * %(step)s
    from (select n, n %% 20 = 0 as nok from generate_series(1, %(verdicts)s) as n) as r
    """,
    """
    insert into coilflow.assessments (verdict_id, model, version, p_nok)
    select verdict_id, 'm' || m, ensemble_version, least(1, greatest(0, p_nok + 0.1 * sin(verdict_id + m)))
    from coilflow.verdicts cross join generate_series(1, 3) as m
    """,
    """
    insert into coilflow.feedback (source, event_id, plant, coil_id, label, operator, given_at, received_at)
    select 'bench', v.verdict_id || ' ' || w, v.plant, v.coil_id, case when v.p_nok > 0.5 then 'NOK' else 'OK' end,
        'op' || w, %(now)s, %(now)s
    from (
        select * from coilflow.verdicts order by review = '{}', md5(verdict_id::text) limit %(labels)s
    ) as v
    cross join generate_series(1, 2) as w
    where w = 1 or v.verdict_id %% 10 = 0
    """,
    "analyze",
)


def fill(connection: Connection, *, verdicts: int, labels: int) -> None:
    """A month of verdicts and what people said of them."""
    values = {"verdicts": verdicts, "labels": labels, "now": NOW, "step": MONTH * 0.99 / verdicts}
    for statement in _ROWS:
        connection.execute(statement, values if "%" in statement else None)


def main() -> int:
    """Print how long the first computation takes, one where nothing changed, and one after a piece of feedback."""
    parser = argparse.ArgumentParser(prog="python -m bench.scores")
    parser.add_argument("--verdicts", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=10_000, help="coils that somebody labelled")
    parser.add_argument("--plans", action="store_true", help="print the plan of each statement too")
    add_out(parser)
    given = parser.parse_args()
    says, folder = machine(), Path(tempfile.mkdtemp(prefix="coilflow-bench-"))
    try:
        with embedded_postgres(folder) as dsn:
            migrate(dsn)
            with connect(dsn) as connection:
                fill(connection, verdicts=given.verdicts, labels=given.labels)
                server = connection.info.parameter_status("server_version")
                with report("bench.scores", "Scores of a month", given.out, on=says):
                    print(f"PostgreSQL {server}; {given.verdicts:,} verdicts of 3 members, {given.labels:,} labelled\n")
                    code = _time(connection)
                if given.plans:
                    _plans(connection)
                return code
    finally:
        shutil.rmtree(folder)


def _time(connection: Connection) -> int:
    settings, rows, medians = Settings(), list[tuple[object, ...]](), dict[str, float]()
    for what in ("first", "nothing changed", "one coil relabelled"):
        seconds, stored = [], 0
        for run in range(1 if what == "first" else RUNS):
            if what == "one coil relabelled":
                connection.execute(
                    "insert into coilflow.feedback (source, event_id, plant, coil_id, label, operator, given_at) "
                    "select 'bench', %(id)s, plant, coil_id, 'NOK', 'op3', %(now)s from coilflow.coils "
                    "where coil_id = %(coil)s",
                    {"id": f"again {run}", "coil": str(50 * run + 7), "now": NOW},
                )
            before = time.perf_counter()
            stored = len(score_models(connection, settings, NOW))
            seconds.append(time.perf_counter() - before)
        medians[what] = statistics.median(seconds)
        rows.append((what, f"{1e3 * medians[what]:.0f}", len(seconds), stored))
    before = time.perf_counter()
    found = latest_scores(connection)
    rows.append(("newest scores read", f"{1e3 * (time.perf_counter() - before):.1f}", 1, len(found)))
    print_table(("", "ms, median", "runs", "scores"), rows)
    after = medians["one coil relabelled"]
    return print_bars([(f"a word is scored in less than {MOST_S:g} s", f"{after:.2f} s", after < MOST_S)])


def _plans(connection: Connection) -> None:
    for name in STATEMENTS:
        print(f"\n{name}")
        statement = query(name).as_string(connection)
        values = {"after": NOW - MONTH, "until": NOW, "heard_after": NOW - 2 * MONTH} if "%(" in statement else None
        for row in connection.execute(b"explain (analyze, costs off) " + statement.encode(), values):
            print(*row.values())


if __name__ == "__main__":
    raise SystemExit(main())
