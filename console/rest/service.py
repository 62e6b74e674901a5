"""What the endpoints work with: the pool, the settings, and the judge in the background."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from fastapi import Request

from console.feed import Feed
from console.rest.readiness import Readiness, readiness_of
from flows.current_kinds import CurrentKinds
from flows.inbox import InboxJudge
from flows.recent_shapes import RecentShapes
from flows.served import Current
from flows.tracing import Tracing, tracing_of
from processors.decode import Decoder
from schemas.settings import Settings
from store.pool import Pool, connection_pool

_APPLICATION = "coilflow console"


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One running console."""

    pool: Pool
    settings: Settings
    decode: Decoder
    judge: InboxJudge
    feed: Feed
    current: Current  # what serves, for what is drawn of coils
    readiness: Readiness
    tracing: Tracing | None = None  # of coils; None: nobody asks
    shapes: RecentShapes = field(default_factory=RecentShapes)  # for similar coils
    kinds: CurrentKinds = field(default_factory=CurrentKinds)  # for explanations
    trials: threading.Semaphore = field(default_factory=partial(threading.BoundedSemaphore, 1))  # of ensembles


@contextmanager
def running_service(
    dsn: str, current: Current, settings: Settings, *, decode: Decoder, connections: int, wait_s: float
) -> Iterator[Service]:
    """Open the pool and judge the inbox while the block lasts; at its end the batch in hand is finished.

    Args:
        dsn: of a database of this version.
        current: what serves, asked once a batch.
        settings: rules of the stream, tolerance profiles, destinations.
        decode: of chunk events.
        connections: most requests that talk to the database at once.
        wait_s: how long a request waits for a connection before it is told to come again.

    Raises:
        StoreError: the DSN cannot be read.
    """
    with (
        connection_pool(dsn, size=connections, wait_s=wait_s, application_name=_APPLICATION) as pool,
        tracing_of(settings, service="console") as tracing,
    ):
        judge = InboxJudge(dsn, current, settings, decode=decode, tracing=tracing)
        feed = Feed(dsn)
        judge.start()
        feed.start()
        try:
            yield Service(
                pool=pool,
                settings=settings,
                decode=decode,
                judge=judge,
                feed=feed,
                current=current,
                readiness=readiness_of(pool, settings),
                tracing=tracing,
            )
        finally:
            feed.stop()
            judge.stop()


def service_of(request: Request) -> Service:
    """The service that an endpoint works with."""
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("the app was made without its service")
    return service
