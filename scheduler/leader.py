"""Standing by until it is this scheduler's turn, and saying that it lives while it leads."""

import os
import socket
import threading
import time
from collections.abc import Callable

import structlog

from schemas.errors import StoreError
from store.connection import Connection
from store.leadership import TakeOver, beat, last_leader, resign, take_over

_LOOKS = 10  # at a leader, within the time after which it is put out
_BEATS = 5  # of a leader, within that time
_STUCK = 3  # times that: a leader that should have been put out by now
_COMPLAIN_S = 60.0
_log = structlog.stdlib.get_logger(__name__)


def holder_name() -> str:
    """Host and process, as people know this scheduler."""
    return f"{socket.gethostname()}:{os.getpid()}"


def stand_by(
    session: Connection, *, take_over_s: float, stop: threading.Event, silent: Callable[[float], None]
) -> TakeOver | None:
    """Wait until nobody else leads, then lead.

    A leader that was killed is followed at the next look, a tenth of `take_over_s`; one that is frozen or cut off after
    `take_over_s` and two looks.

    Args:
        session: of `store.leadership.leader_session`.
        take_over_s: a leader silent for so long is put out.
        stop: ends the waiting.
        silent: told, now and then, of a leader that is silent and cannot be put out, with its silence in s.

    Returns:
        The epoch that began; None where `stop` was set first.

    Raises:
        StoreError: the session has ended or the database refused.
    """
    complain_at_s = time.monotonic()
    while not stop.is_set():
        taken = take_over(session, holder_name(), silent_after_s=take_over_s)
        if taken is not None:
            return taken
        leader = last_leader(session)
        if leader is not None and leader.silent_s > _STUCK * take_over_s and time.monotonic() >= complain_at_s:
            complain_at_s = time.monotonic() + _COMPLAIN_S
            silent(leader.silent_s)
        stop.wait(take_over_s / _LOOKS)
    return None


def keep_leading(session: Connection, epoch: int, *, take_over_s: float, until: threading.Event) -> None:
    """Say that this scheduler lives, until an event.

    Raises:
        NotLeaderError: another leads.
        StoreError: the session has ended, and with it the lead.
    """
    while not until.wait(take_over_s / _BEATS):
        beat(session, epoch)


def give_up(session: Connection, epoch: int) -> None:
    """Resign; where the database cannot be reached, the end of the session does it."""
    try:
        resign(session, epoch)
    except StoreError as error:
        _log.warning("the lead could not be given up in good order", reason=str(error))
