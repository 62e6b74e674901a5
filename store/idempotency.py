"""Writes that a client repeats under a key of its own: done once, and answered alike for a day.

Source: draft-ietf-httpapi-idempotency-key-header-07, sections 2.2 to 2.7.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from store.connection import Connection, store_errors
from store.queries import query

KEPT = timedelta(hours=24)  # so long the same answer is given again
LEASE_S = 20.0  # of what is under way outside a transaction, unless it is renewed


@dataclass(frozen=True, kw_only=True)
class KeyedRequest:
    """A write that is asked for under a key."""

    caller: str
    route: str  # method and path
    key: str
    body_sha256: bytes

    @cached_property
    def identity(self) -> bytes:
        """SHA-256 of whose key it is, and for what."""
        digest = hashlib.sha256()
        for text in (self.caller, self.route, self.key):
            part = text.encode()
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAnswer:
    """What was answered."""

    status: int
    location: str | None
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to do it and to keep the answer."""

    token: uuid.UUID


Claim = Lease | KeptAnswer | Literal["under way", "other body"]


def claim(connection: Connection, asked: KeyedRequest) -> Claim:
    """Ask whether a write is to be done; of many that ask at once, one may.

    Args:
        connection: within a transaction: to its end nobody else may, and where it is rolled back, nobody asked.
        asked: the write.

    Returns:
        A lease where it is to be done: in the same transaction, or within `LEASE_S` of its commit, unless it is
        renewed; the answer where it was done; else why neither.

    Raises:
        StoreError: the database refused.
    """
    lease = Lease(token=uuid.uuid4())
    values = {
        "identity": asked.identity,
        "lock": int.from_bytes(asked.identity[:8], "big", signed=True),
        "caller": asked.caller,
        "route": asked.route,
        "key": asked.key,
        "body_sha256": asked.body_sha256,
        "lease": lease.token,
        "lease_s": LEASE_S,
        "kept_s": KEPT.total_seconds(),
    }
    with store_errors("look whether this was asked for before"):
        [lock] = connection.execute(query("lock_request"), values).fetchall()
        if not lock["locked"]:
            return "under way"
        if connection.execute(query("claim_request"), values).fetchone() is not None:
            return lease
        [known] = connection.execute(query("kept_answer"), values).fetchall()
    if not known["same_body"]:
        return "other body"
    if known["status"] is None:
        return "under way"
    return KeptAnswer(status=known["status"], location=known["location"], body=known["answer"])


def renew(connection: Connection, asked: KeyedRequest, lease: Lease) -> bool:
    """Lengthen a lease by `LEASE_S` from now; returns whether it still holds, raises StoreError."""
    values = {"identity": asked.identity, "lease": lease.token, "lease_s": LEASE_S}
    with store_errors("go on with what is under way"):
        return connection.execute(query("renew_lease"), values).rowcount > 0


def keep(connection: Connection, asked: KeyedRequest, lease: Lease, answer: KeptAnswer) -> bool:
    """Keep the answer, in the transaction of what it tells of.

    Returns:
        Whether the lease still held; where it did not, another does it, and the caller rolls back.

    Raises:
        StoreError: the database refused.
    """
    values = {
        "identity": asked.identity,
        "lease": lease.token,
        "status": answer.status,
        "location": answer.location,
        "answer": answer.body,
    }
    with store_errors("keep what is answered"):
        return connection.execute(query("keep_answer"), values).rowcount > 0


def release(connection: Connection, asked: KeyedRequest, lease: Lease) -> None:
    """Give up a lease of what was not done, so that it may be asked for again; raises StoreError."""
    with store_errors("give up what was under way"):
        connection.execute(query("release_request"), {"identity": asked.identity, "lease": lease.token})


def prune_requests(connection: Connection, *, before: datetime, rows: int) -> int:
    """Delete a piece of the requests asked for before then; returns how many, raises StoreError."""
    with store_errors("delete old answers"):
        return connection.execute(query("prune_requests"), {"before": before, "rows": rows}).rowcount
