"""Passwords: what is asked of them, and how they are kept (argon2id, RFC 9106's second recommended option)."""

import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from schemas.errors import UsageError

LEAST_CHARACTERS = 12
_MOST_CHARACTERS = 1024
_AT_ONCE = threading.Semaphore(2)  # each takes 64 MiB

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def hash_password(password: str) -> str:
    """What is kept of a password.

    Raises:
        UsageError: it is too short, or so long that it is none.
    """
    if not LEAST_CHARACTERS <= len(_normal(password)) <= _MOST_CHARACTERS:
        raise UsageError(
            f"a password has {LEAST_CHARACTERS} to {_MOST_CHARACTERS} characters", remedy="take several words"
        )
    return _hasher.hash(_normal(password))


def is_password(password: str, password_hash: str | None) -> bool:
    """Whether it is the one; for somebody who is not there (None) it takes as long to say no."""
    nobodys = _nobodys()
    with _AT_ONCE:
        try:
            _hasher.verify(password_hash or nobodys, _normal(password)[:_MOST_CHARACTERS])
        except (VerifyMismatchError, InvalidHashError):
            return False
    return password_hash is not None


@cache
def _nobodys() -> str:
    return _hasher.hash("of nobody")


def _normal(password: str) -> str:
    """One spelling of each character, however the keyboard makes it."""
    return unicodedata.normalize("NFKC", password)
