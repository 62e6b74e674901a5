"""What a bench found: shown as it goes, filed as a page of Markdown by `--out`, and held against what was asked for."""

import argparse
import io
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO


class _Both(io.TextIOBase):
    """Writes to two places."""

    def __init__(self, shown: TextIO, kept: io.StringIO) -> None:
        self._shown, self._kept = shown, kept

    def write(self, text: str) -> int:
        self._shown.write(text)
        self._shown.flush()
        return self._kept.write(text)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Let a bench be told where to file its result."""
    parser.add_argument(
        "--out", type=Path, metavar="FILE.md", help="file the result there too, as docs/results keep it"
    )


@contextmanager
def report(module: str, title: str, out: Path | None, *, on: str) -> Iterator[None]:
    """Show what the block prints below the date and the machine, and file it; a block that raises files nothing.

    Args:
        module: as it is run, such as `bench.swap`.
        title: of the page.
        on: machine, as it was when the measurement began.
        out: file to write; None: none.
    """
    kept = io.StringIO()
    with redirect_stdout(_Both(sys.stdout, kept)):
        print(f"{datetime.now(UTC):%Y-%m-%d}, {on}\n")
        yield
    if out is not None:
        command = shlex.join(["python", "-m", module, *_without_out(sys.argv[1:])])
        out.write_text(f"# {title}\n\n    {command}\n\n{kept.getvalue().strip()}\n", encoding="utf-8")


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table in Markdown, row by row as they come."""
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")


def print_bars(bars: Iterable[tuple[str, object, bool]]) -> int:
    """Print what was asked for beside what was found; returns the exit status, 1 where one is not met."""
    bars = list(bars)
    print()
    print_table(
        ("asked for", "found", ""), [(asked, found, "met" if met else "**NOT MET**") for asked, found, met in bars]
    )
    return 0 if all(met for _, _, met in bars) else 1


def _without_out(words: Sequence[str]) -> Iterator[str]:
    skip = False
    for word in words:
        if not skip and word != "--out" and not word.startswith("--out="):
            yield word
        skip = word == "--out" and not skip
