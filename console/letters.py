"""How dead letters look: a table, an object, and bytes that people can read."""

from datetime import UTC
from typing import Any

from rich.table import Table
from rich.text import Text

from store.deadletters import DeadLetter, WholeDeadLetter

_SHOWN_SIGNS = 4096  # of text
_SHOWN_BYTES = 512  # in hexadecimal


def as_object(letter: DeadLetter) -> dict[str, Any]:
    """The object that `list --json` prints."""
    return {
        "id": letter.dead_letter_id,
        "state": letter.state,
        "plant": letter.key.plant if letter.key else None,
        "coil_id": letter.key.coil_id if letter.key else None,
        "whole_coil": letter.whole_coil,
        "step": letter.step,
        "error": letter.error,
        "remedy": letter.remedy,
        "place": letter.place,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "bytes": letter.size_bytes,
        "created_at": letter.created_at.isoformat(),
        "fingerprint": letter.fingerprint,
        "handled_by": letter.handled_by,
        "handled_why": letter.handled_why,
        "handled_at": None if letter.handled_at is None else letter.handled_at.isoformat(),
    }


def table_of(letters: tuple[DeadLetter, ...]) -> Table:
    """Dead letters for people."""
    table = Table(title=f"{len(letters)} dead letters", title_justify="left")
    for name in ("id", "since", "state", "coil", "what", "step"):
        table.add_column(name, no_wrap=name != "coil", overflow="fold")
    table.add_column("error", overflow="fold", ratio=1)
    for letter in letters:
        coil = f"{letter.key.plant}/{letter.key.coil_id}" if letter.key else ""
        cells = (
            str(letter.dead_letter_id),
            f"{letter.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            letter.state,
            coil,
            "coil" if letter.whole_coil and letter.key else "message",
            letter.step,
            letter.error,
        )
        table.add_row(*map(Text, cells))
    return table


def message_facts(whole: WholeDeadLetter) -> list[tuple[str, str]]:
    """Key and headers of the message, as text where they are text."""
    if whole.log is None:
        return []
    facts = [] if whole.log.key is None else [("key", _short(whole.log.key))]
    return facts + [(f"header {name}", _short(value)) for name, value in whole.log.headers]


def readable(original: bytes, *, all_by: str = "--original FILE writes all") -> str:
    """Text where it is text, else the bytes in hexadecimal; the first of many, and then how to get all."""
    text = printable(original)
    if text is not None:
        return text[:_SHOWN_SIGNS] + _more(len(text) - _SHOWN_SIGNS, "signs", all_by)
    rows = range(0, min(len(original), _SHOWN_BYTES), 16)
    lines = [f"{at:08x}  {original[at : at + 16].hex(' '):<47}  {_signs(original[at : at + 16])}" for at in rows]
    return "\n".join(lines) + _more(len(original) - _SHOWN_BYTES, "bytes", all_by)


def _short(value: bytes) -> str:
    text = printable(value)
    return f"0x{value.hex()}" if text is None else text


def printable(value: bytes) -> str | None:
    """Bytes as the text that they are; None where they are none, or hold signs that are no print."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if all(sign.isprintable() or sign in "\r\n\t" for sign in text) else None


def _more(hidden: int, what: str, all_by: str) -> str:
    return f"\n… {hidden} more {what}; {all_by}" if hidden > 0 else ""


def _signs(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
