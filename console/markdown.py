"""Markdown that whatever text stands in it cannot break: headings, tables, lists and code."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#$])")
_ENTITY = re.compile(r"&(?=#?\w)")
_LINK = re.compile(r"(?i)\b(?:https?|ftp|mailto|xmpp)(?=:)|\bwww(?=\.)")  # that a reader's program makes one of


def plain(value: object) -> str:
    """Any value as text of one line that no Markdown reader takes for more: signs that are no print are spelled out.

    Args:
        value: None is nothing, a time is in UTC to the second, a number has six significant digits, a truth yes or no.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, float):
        return f"{value:.6g}"
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(value))
    marked = _SPECIAL.sub(r"\\\1", _ENTITY.sub("&amp;", shown))
    return _LINK.sub(lambda found: found.group() + "\\", marked)


def heading(level: int, value: object) -> str:
    """A heading with an empty line after it."""
    return f"{'#' * level} {plain(value)}\n"


def said(sentence: object) -> str:
    """A paragraph; a first sign that would make it a list, a quote or a rule is spelled as itself."""
    return re.sub(r"^(?:(?=[-+=])|\d+(?=[.)]))", lambda start: start.group() + "\\", plain(sentence).strip()) + "\n"


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """A list of names and values, without those that are unknown."""
    return "".join(f"- {plain(name)}: {plain(value)}\n" for name, value in pairs if value not in (None, ""))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = [[plain(cell) for cell in line] for line in (columns, *rows)]
    lines.insert(1, ["---"] * len(columns))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: str, language: str = "") -> str:
    """A block of code, fenced by more ticks than stand in it."""
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{ticks}{language}\n{text}\n{ticks}\n"
