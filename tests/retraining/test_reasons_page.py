"""docs/retraining.md's promise: it says of every reason that coilflow gives what it means and what to do."""

from pathlib import Path
from typing import get_args

from scheduler.reasons import Code

ROOT = Path(__file__).parents[2]
CODES = frozenset(get_args(Code))


def test_the_page_names_every_code_of_a_reason_and_what_to_do() -> None:
    page = (ROOT / "docs" / "retraining.md").read_text(encoding="utf-8")
    _, _, part = page.partition("\n| code | what it says | what to do |\n")
    table, _, _ = part.partition("\n\n")
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[1:]]
    assert {len(row) for row in rows} == {3}
    assert all(all(row) for row in rows)
    assert sorted(code.strip("`") for code, _, _ in rows) == sorted(CODES)


def test_every_code_is_given_somewhere() -> None:
    sources = (path for path in (ROOT / "scheduler").glob("*.py") if path.name != "reasons.py")
    written = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert {code for code in CODES if f'"{code}"' in written} == CODES
