"""Cursors: where a list goes on, as opaque text that keeps its place while new rows come in."""

import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from http import HTTPStatus
from typing import TypeVar

import orjson
from pydantic import TypeAdapter

from console.rest.problems import ProblemError

MOST_ITEMS = 200

_CHECK_BYTES = 9
_Place = TypeVar("_Place")


def cursor_after(place: Sequence[object], *, of: object) -> str:
    """A cursor to what comes after a row.

    Args:
        place: the row's sort key, in values that JSON has (times too).
        of: the list and its filters, in the same values; the cursor fits no other.
    """
    text = orjson.dumps(list(place))
    return urlsafe_b64encode(_check(text, of) + text).decode().rstrip("=")


def place_of(cursor: str, kind: TypeAdapter[_Place], *, of: object) -> _Place:
    """The sort key that a cursor holds.

    Args:
        cursor: from `cursor_after`.
        kind: of the sort key.
        of: the list and its filters, as the cursor was made.

    Raises:
        ProblemError: 400: it is none of ours, of another list, of other filters, or was changed.
    """
    found = _read(cursor, kind, of)
    if found is None:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST,
            "the cursor is not of this list with these filters",
            remedy="give `next` of the page before, unchanged and with the same filters, or none to begin anew",
        )
    return found


def _read(cursor: str, kind: TypeAdapter[_Place], of: object) -> _Place | None:
    try:
        held = b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        check, text = held[:_CHECK_BYTES], held[_CHECK_BYTES:]
        return kind.validate_json(text) if check == _check(text, of) else None
    except ValueError:  # no base64, or a key of another kind
        return None


def _check(text: bytes, of: object) -> bytes:
    return hashlib.sha256(orjson.dumps(of) + b"\x00" + text).digest()[:_CHECK_BYTES]
