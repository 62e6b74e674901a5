"""Verdicts, model changes and early warnings as they are committed, for any number of listeners: one poller a process.

A listener that does not keep up is cut off; it comes again with the place that it got to, and is told the rest.
"""

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

import anyio
import structlog

from console.metrics import EVENT_STREAMS
from flows.kafka.database import Database, backoff_s
from schemas.errors import StoreError
from store.changes import Change, Position, Row, Snapshot, changes_between, current_snapshot, forget_foreign_changes
from store.connection import Connection

log = structlog.get_logger("coilflow.console")

MOST_LISTENERS = 600  # of 800 connections of a process: pages and machines find some free
MOST_WAITING = 2_000  # events, of one listener
_POLL_S = 0.2
_AT_ONCE = 500  # changes read
_READERS = 2  # clients that come again all at once leave others their connections


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One event, written once for all who hear it."""

    change: Change
    frame: bytes  # as it goes out


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What has changed up to a place."""

    events: tuple[Told, ...]
    place: str  # after all of them


@dataclass(eq=False, slots=True)
class Listener:
    """One client's share of the news; its thread is that of its event loop, the feed's only hands over."""

    begins: Snapshot  # what is told is what came after it
    loop: asyncio.AbstractEventLoop
    news: deque[News] = field(default_factory=deque)
    waiting: int = 0  # events in `news`
    ended: bool = False  # cut off, or there will be nothing more
    called: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, news: News) -> None:
        """Take news, or be cut off where too much waits already."""
        if self.waiting + len(news.events) > MOST_WAITING and self.waiting:
            self.end()
        elif not self.ended:
            self.news.append(news)
            self.waiting += len(news.events)
            self.called.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self.news.clear()
        self.called.set()

    async def next_news(self, *, most_s: float) -> News | None:
        """The next news; None where there is none in time, or no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not self.news and not self.ended:
                    self.called.clear()
                    await self.called.wait()
        if not self.news:
            return None
        found = self.news.popleft()
        self.waiting -= len(found.events)
        return found


class Feed:
    """Reads what changes, as long as anybody listens.

    Args:
        dsn: of a database of this version.
    """

    def __init__(self, dsn: str) -> None:
        self._database = Database(dsn, application_name="coilflow event streams")
        self._thread = threading.Thread(target=self._guarded, name="event streams", daemon=True)
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # of place and listeners together: who joins gets all that follows his place
        self._place: Snapshot | None = None
        self._listeners: set[Listener] = set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Let every listener go, and nobody join any more."""
        self._stopped.set()
        self.let_go()

    def stop(self) -> None:
        """End, and wait until nothing is read any more."""
        self.end()
        self._thread.join()

    @property
    def ended(self) -> bool:
        """Whether nobody joins any more."""
        return self._stopped.is_set()

    @property
    def alive(self) -> bool:
        """Whether it reads."""
        return self._thread.is_alive()

    def let_go(self) -> None:
        """End every stream: clients come again, with the place that they got to."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            _call(listener, listener.end)

    @property
    def listening(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @cached_property
    def readers(self) -> anyio.CapacityLimiter:
        """How many read at once what they missed; asked for within the event loop."""
        return anyio.CapacityLimiter(_READERS)

    @contextmanager
    def listener(self) -> Iterator[Listener | None]:
        """Listen while the block lasts, within a running event loop; None where nobody can join now.

        Too many do, or the feed has yet to begin, or is in the middle of many changes: ask again.
        """
        with self._lock:
            joined = None
            if self._place is not None and len(self._listeners) < MOST_LISTENERS and not self._stopped.is_set():
                joined = Listener(begins=self._place, loop=asyncio.get_running_loop())
                self._listeners.add(joined)
        if joined is None:
            yield None
            return
        EVENT_STREAMS.inc()
        try:
            yield joined
        finally:
            EVENT_STREAMS.dec()
            with self._lock:
                self._listeners.discard(joined)

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException:  # shown as not well; the streams end, and nobody joins
            log.exception("event streams are not told any more")
            raise
        finally:
            with self._lock:
                self._place = None
            self.let_go()
            self._database.close()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.wait(backoff_s(failures, jitter=random.random()) if failures else _POLL_S):  # noqa: S311
            try:
                self._poll(self._database.connection())
                failures = 0
            except StoreError as error:
                failures += 1
                self._database.close()
                if failures == 1:
                    log.warning("event streams wait for the database", error=str(error), remedy=error.remedy)

    def _poll(self, connection: Connection) -> None:
        now = current_snapshot(connection)
        seen = self._place
        if seen is None or not now.is_as_late_as(seen):
            self._begin_anew(connection, now)
            return
        with self._lock:
            if not self._listeners:
                self._place = now
                return
        if now != seen:
            self._tell(connection, seen, now)

    def _begin_anew(self, connection: Connection, now: Snapshot) -> None:
        """The first look, or one that broke off, or another server: who listens has to say what it was told."""
        if forgotten := forget_foreign_changes(connection):
            log.warning("the database was restored: changes of before are told no more", changes=forgotten)
        with self._lock:
            self._place = now
            listeners = tuple(self._listeners)
        for listener in listeners:
            _call(listener, listener.end)

    def _tell(self, connection: Connection, seen: Snapshot, now: Snapshot) -> None:
        after: Row | None = None
        while True:
            changes, after = changes_between(connection, seen, now, after=after, most=_AT_ONCE)
            with self._lock:
                self._place = None if after else now  # nobody joins between two pieces of one step
                listeners = tuple(self._listeners)
            place = Position(seen=seen, until=now, row=after) if after else Position(seen=now)
            news = News(events=tuple(told(change, seen=seen, until=now) for change in changes), place=str(place))
            for listener in listeners if changes else ():
                _call(listener, listener.hear, news)
            if after is None:
                return
            if not listeners:
                break
        with self._lock:
            self._place = now


def told(change: Change, *, seen: Snapshot, until: Snapshot) -> Told:
    """A change as it goes out, with its place among those between two snapshots."""
    place = Position(seen=seen, until=until, row=change.row)
    data = change.data.model_dump_json()
    return Told(change=change, frame=f"id: {place}\nevent: {change.kind}\ndata: {data}\n\n".encode())


def _call(listener: Listener, what: Callable[..., None], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop has ended, and its clients are gone
        listener.loop.call_soon_threadsafe(what, *arguments)
