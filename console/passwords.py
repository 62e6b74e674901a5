"""Passwords: what is asked of them, and how they are kept (argon2id, RFC 9106's second recommended option)."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from schemas.access import one_spelling
from schemas.errors import UsageError
from store.connection import utf8_fault

LEAST_CHARACTERS = 12
_MOST_CHARACTERS = 1024
AT_ONCE = 2  # each takes 64 MiB and a core

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def hash_password(password: str) -> str:
    """What is kept of a password.

    Raises:
        UsageError: it is too short, so long that it is none, or no text.
    """
    if utf8_fault(password) or not LEAST_CHARACTERS <= len(one_spelling(password)) <= _MOST_CHARACTERS:
        raise UsageError(
            f"a password has {LEAST_CHARACTERS} to {_MOST_CHARACTERS} characters of text", remedy="take several words"
        )
    return _hasher.hash(one_spelling(password))


def is_password(password: str, password_hash: str | None) -> bool:
    """Whether it is the one; for somebody who is not there (None) it takes as long to say no."""
    nobodys = _nobodys()
    typed = one_spelling(password)[: _MOST_CHARACTERS + 1]
    try:
        _hasher.verify(password_hash or nobodys, "" if utf8_fault(typed) else typed)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return password_hash is not None


@cache
def _nobodys() -> str:
    return _hasher.hash("of nobody")
