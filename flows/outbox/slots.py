"""The slots that this relay may publish: granted by whoever holds the locks, and shared by its destinations."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from flows.outbox.metrics import SLOTS_OWNED
from flows.outbox.pace import Pace
from schemas.errors import StoreError
from store.relays import fair_share, relay_session, release_slots, take_slots

_NONE: frozenset[int] = frozenset()
_log = structlog.stdlib.get_logger(__name__)


class Slots:
    """What is granted lapses by itself, so that a relay that was frozen publishes nothing when it wakes.

    Args:
        lease_s: a grant is good for so long.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._mutex = threading.Lock()
        self._granted = _NONE
        self._granted_at_s = time.monotonic()
        self._in_use: dict[str, frozenset[int]] = {}

    def grant(self, slots: frozenset[int]) -> None:
        """Allow these slots and no others, from now on."""
        with self._mutex:
            self._granted, self._granted_at_s = slots, time.monotonic()
        SLOTS_OWNED.set(len(slots))

    def current(self) -> frozenset[int]:
        """The slots that may be published now."""
        return self._granted if time.monotonic() - self._granted_at_s < self._lease_s else _NONE

    def busy(self) -> frozenset[int]:
        """The slots of batches that are under way."""
        with self._mutex:
            return _NONE.union(*self._in_use.values())

    @contextmanager
    def use(self, destination: str) -> Iterator[frozenset[int]]:
        """Yield the slots for one batch, and keep their locks from being released until the batch is through."""
        with self._mutex:
            mine = self._in_use[destination] = self.current()
        try:
            yield mine
        finally:
            with self._mutex:
                del self._in_use[destination]


def keep_slots(dsn: str, slots: Slots, *, pace: Pace, stop: threading.Event) -> None:
    """Own this relay's share of the slots until told to stop; where the session breaks, own none and begin again.

    Args:
        dsn: of the database.
        slots: to grant what is locked.
        pace: beats and retries.
        stop: set once no batch is under way any more.
    """
    failures = 0
    while not stop.is_set():
        try:
            with relay_session(dsn) as connection:
                held = _NONE
                while not stop.is_set():
                    share = fair_share(connection)
                    slots.grant(held & share)  # first, so that no new batch takes what is about to be released
                    given_up = held - share - slots.busy()
                    release_slots(connection, given_up)
                    held = held - given_up | take_slots(connection, share - held)
                    slots.grant(held & share)
                    failures = 0
                    stop.wait(pace.beat_s)
        except StoreError as error:
            slots.grant(_NONE)
            failures += 1
            _log.warning("the slots are lost, nothing is published", reason=str(error), remedy=error.remedy)
            stop.wait(pace.retry_s(failures))
    slots.grant(_NONE)
