"""How much one FlowFile may hold, by count: its length says little of the memory that its records take."""

from collections.abc import Iterable

from schemas.errors import SourceError

MOST_RECORDS = 250_000  # events and records of JSON, a row a chunk: 64 MB of true ones
MOST_ROWS = 1_000_000  # of a table of tiles
MOST_COILS = 10_000  # of a table of tiles
MOST_VALUES = 8_000_000  # of one JSON text
MOST_BRACKETS = 4 * MOST_RECORDS  # of one JSON text: an event has its data in it, and these their readings


def refuse_too_many_lines(content: bytes, *, most: int) -> None:
    """Refuse content of more lines than that before they are looked at; raises SourceError."""
    refuse_too_many(content.count(b"\n", 0, len(content.rstrip())) + 1, most=most)


def refuse_too_many_values(texts: Iterable[bytes]) -> None:
    """Refuse a JSON text that would fill the memory as Python's objects before it is read; raises SourceError."""
    if any(text.count(b",") >= MOST_VALUES or text.count(b"{") + text.count(b"[") > MOST_BRACKETS for text in texts):
        said = f"the FlowFile holds a JSON text of more than {MOST_VALUES:,} values or {MOST_BRACKETS:,} objects"
        raise SourceError(said, remedy="send a record a line, in several FlowFiles")


def refuse_too_many(count: int, *, most: int, what: str = "records") -> None:
    """Refuse more than that.

    Args:
        count: of what there is, or more than `most`.
        most: what is taken.
        what: is counted, to people.

    Raises:
        SourceError: there are more.
    """
    if count > most:
        raise SourceError(
            f"the FlowFile has more than {most:,} {what}, and no more can be taken at once",
            remedy="split it into FlowFiles of about a hundred coils, e.g. by SplitText or SplitRecord",
        )
