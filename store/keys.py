"""Keys of machines: made once, shown once, known by their digest afterwards."""

import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from psycopg.rows import DictRow

from schemas.access import Scope
from schemas.errors import UsageError
from store.connection import Connection, store_errors
from store.queries import query

_KEY = re.compile(r"cfk_(?P<key_id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """A key without its secret."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None  # None: never
    revoked_at: datetime | None  # None: it was not
    last_used_at: datetime | None  # to the minute

    @classmethod
    def from_row(cls, row: DictRow) -> "ApiKey":
        """From a row of `list_keys`."""
        return cls(**{**row, "scopes": frozenset(map(Scope, row["scopes"]))})


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyHolder:
    """Whose key it is, and what it may do."""

    key_id: str
    name: str
    scopes: frozenset[Scope]


def create_key(
    connection: Connection, name: str, scopes: Collection[Scope], *, expires_at: datetime | None, now: datetime
) -> str:
    """Make a key; it is told here once and never again.

    Args:
        connection: on a database of this version.
        name: of the machine; no other valid key has it.
        scopes: what it may do, at least one.
        expires_at: when it ends; None: never.
        now: the time.

    Returns:
        The key, "cfk_..." with 256 random bits.

    Raises:
        UsageError: another key has that name.
        StoreError: the database refused.
    """
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    parameters = {
        "key_id": key_id,
        "name": name,
        "digest": digest_of(secret),
        "scopes": sorted(scopes),
        "expires_at": expires_at,
        "now": now,
    }
    with store_errors(f"make the key {name}"):
        if connection.execute(query("insert_key"), parameters).fetchone() is None:
            raise UsageError(f"there is a key {name} already", remedy="give another name, or revoke that one first")
    return f"cfk_{key_id}_{secret}"


def key_holder(connection: Connection, key: str, *, now: datetime) -> KeyHolder | None:
    """Whose key this is, or None where it is none, revoked or expired; notes that it was used.

    Args:
        connection: on a database of this version.
        key: as it was sent.
        now: the time.

    Raises:
        StoreError: the database refused.
    """
    parts = _KEY.fullmatch(key)
    if parts is None:
        return None
    parameters = {"key_id": parts["key_id"], "digest": digest_of(parts["secret"]), "now": now}
    with store_errors("look a key up"):
        row = connection.execute(query("use_key"), parameters).fetchone()
    if row is None or not hmac.compare_digest(bytes(row["digest"]), digest_of(parts["secret"])):
        return None
    return KeyHolder(key_id=row["key_id"], name=row["name"], scopes=frozenset(map(Scope, row["scopes"])))


def list_keys(connection: Connection) -> tuple[ApiKey, ...]:
    """All keys that ever were, oldest first.

    Raises:
        StoreError: the database refused.
    """
    with store_errors("list the keys"):
        return tuple(map(ApiKey.from_row, connection.execute(query("list_keys"))))


def revoke_key(connection: Connection, name: str, *, now: datetime) -> ApiKey | None:
    """End a key at once; None where no valid key has that name or id.

    Args:
        connection: on a database of this version.
        name: of the key, or its id.
        now: the time.

    Raises:
        StoreError: the database refused.
    """
    with store_errors(f"revoke the key {name}"):
        row = connection.execute(query("revoke_key"), {"name": name, "now": now}).fetchone()
    return None if row is None else ApiKey.from_row(row)


def digest_of(secret: str) -> bytes:
    """SHA-256: for what has 256 random bits, which nobody guesses however fast the hash is."""
    return sha256(secret.encode()).digest()
