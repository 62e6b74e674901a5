"""`Idempotency-Key`: a write that a client sends again is done once and answered alike.

Source: draft-ietf-httpapi-idempotency-key-header-07. What is refused has changed nothing, so it is not kept: a repeat
is looked at anew.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, TypeVar

import structlog
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from console.rest.access import Caller
from console.rest.problems import ProblemError
from schemas.errors import StoreError
from store.connection import Connection
from store.idempotency import (
    KEPT,
    LEASE_S,
    KeptAnswer,
    KeyedRequest,
    Lease,
    claim,
    keep,
    release,
    renew,
)
from store.pool import Pool, borrowed

log = structlog.get_logger("coilflow.console")

REPLAYED = "Idempotent-Replayed"  # header of an answer that was given before
_RENEWALS = 4  # within a lease
_Prepared = TypeVar("_Prepared")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A write as it came."""

    key: str | None  # None: the client takes its chances
    route: str
    body_sha256: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What was done, as the client is told."""

    body: BaseModel
    status: HTTPStatus = HTTPStatus.OK
    location: str | None = None  # of what was made


async def _asked(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=255,
            pattern=r"^[\x20-\x7e]+$",
            description="Any text of your own, new for each write: sent again with the same body within 24 hours, "
            "the write is not done again, and the answer is the same.",
        ),
    ] = None,
) -> Asked:
    query = request.url.query
    path = request.scope.get("raw_path", b"").decode("ascii", "replace") + (f"?{query}" if query else "")
    return Asked(
        key=None if idempotency_key is None else idempotency_key.strip('"'),
        route=f"{request.method} {path}",
        body_sha256=hashlib.sha256(await request.body()).digest(),
    )


Idempotent = Annotated[Asked, Depends(_asked)]


def once(pool: Pool, asked: Asked, caller: Caller, act: Callable[[Connection], Done]) -> Response:
    """Do a write, unless it was done: it and its answer are stored in one transaction.

    Args:
        pool: of the console.
        asked: the write.
        caller: whose key it is.
        act: does it, within the transaction of the connection it gets.

    Raises:
        ProblemError: another request with this key is under way, or had another body.
        StoreError: the database refused; nothing is stored.
    """
    with borrowed(pool) as connection, connection.transaction():
        if asked.key is None:
            return _answer(_kept(act(connection)))
        keyed = _keyed(asked, asked.key, caller)
        found = _claimed(connection, keyed)
        return _replayed(found) if isinstance(found, KeptAnswer) else _stored(connection, keyed, found, act)


def once_prepared(
    pool: Pool,
    asked: Asked,
    caller: Caller,
    *,
    prepare: Callable[[Connection], _Prepared],
    act: Callable[[Connection, _Prepared], Done],
) -> Response:
    """As `once`, for a write that needs something longer than a transaction may last.

    A lease says that it is under way. Where this process dies the lease runs out, and a repeat does it again, from
    `prepare` on.

    Args:
        pool: of the console.
        asked: the write.
        caller: whose key it is.
        prepare: outside a transaction; what it does may be done again.
        act: stores what follows from it, within the transaction of the connection it gets.

    Raises:
        ProblemError: another request with this key is under way, or had another body.
        StoreError: the database refused; nothing is stored.
    """
    with borrowed(pool) as connection:
        if asked.key is None:
            prepared = prepare(connection)
            with connection.transaction():
                return _answer(_kept(act(connection, prepared)))
        keyed = _keyed(asked, asked.key, caller)
        with connection.transaction():
            found = _claimed(connection, keyed)
        if isinstance(found, KeptAnswer):
            return _replayed(found)
        with _leased(pool, connection, keyed, found):
            prepared = prepare(connection)
            with connection.transaction():
                return _stored(connection, keyed, found, lambda inside: act(inside, prepared))


@contextmanager
def _leased(pool: Pool, connection: Connection, keyed: KeyedRequest, lease: Lease) -> Iterator[None]:
    """Renew a lease while the block lasts; give it up where the block fails."""
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(pool, keyed, lease, over), name="lease", daemon=True)
    renewing.start()
    try:
        yield
    except BaseException:
        over.set()
        renewing.join()
        try:
            release(connection, keyed, lease)
        except StoreError as error:  # what failed first is told; the lease runs out by itself
            log.warning("a lease runs out by itself", error=str(error))
        raise
    finally:
        over.set()
        renewing.join()


def _renew(pool: Pool, keyed: KeyedRequest, lease: Lease, over: threading.Event) -> None:
    while not over.wait(LEASE_S / _RENEWALS):
        try:
            with borrowed(pool) as connection:
                renew(connection, keyed, lease)
        except StoreError as error:
            log.warning("a lease could not be renewed and is tried again", error=str(error))


def _keyed(asked: Asked, key: str, caller: Caller) -> KeyedRequest:
    return KeyedRequest(
        caller=f"{caller.kind} {caller.name}", route=asked.route, key=key, body_sha256=asked.body_sha256
    )


def _claimed(connection: Connection, keyed: KeyedRequest) -> Lease | KeptAnswer:
    found = claim(connection, keyed)
    if found == "under way":
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"a request with the idempotency key {keyed.key!r} is under way",
            remedy=f"send it again in a moment; where its process died, in {LEASE_S:.0f} seconds",
        )
    if found == "other body":
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"the idempotency key {keyed.key!r} was sent with another body",
            remedy=f"a new write needs a new key; one is kept for {KEPT.total_seconds() / 3600:.0f} hours",
        )
    return found


def _stored(connection: Connection, keyed: KeyedRequest, lease: Lease, act: Callable[[Connection], Done]) -> Response:
    answer = _kept(act(connection))
    if not keep(connection, keyed, lease, answer):
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"a repeat of the request with the idempotency key {keyed.key!r} has overtaken it",
            remedy="send it again for the answer",
        )
    return _answer(answer)


def _kept(done: Done) -> KeptAnswer:
    return KeptAnswer(status=done.status, location=done.location, body=done.body.model_dump_json().encode())


def _answer(answer: KeptAnswer) -> Response:
    headers = {} if answer.location is None else {"Location": answer.location}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type="application/json")


def _replayed(answer: KeptAnswer) -> Response:
    response = _answer(answer)
    response.headers[REPLAYED] = "true"
    return response
