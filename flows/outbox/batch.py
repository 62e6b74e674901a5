"""One batch: read, publish in order, mark what was acknowledged."""

from collections.abc import Callable
from dataclasses import dataclass, field

from flows.outbox.outcomes import Publish
from store.connection import Connection
from store.outbox import OutboxRow, mark_published, mark_refused, waiting_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What became of one batch."""

    sent: int = 0  # acknowledged and marked
    failure: str | None = None  # why the destination took no more
    refused: dict[str | int, int] = field(default_factory=dict)  # unit that has to wait -> attempts of its first row
    set_aside: tuple[OutboxRow, ...] = ()  # refused for the last time: what follows them goes on

    @property
    def idle(self) -> bool:
        """Whether nothing was done: there is no hurry to look again."""
        return not self.sent and not self.set_aside


def send_batch(
    connection: Connection,
    destination: str,
    publish: Publish,
    *,
    slots: frozenset[int],
    may_publish: Callable[[], bool],
    without: frozenset[str | int],
    most_attempts: int,
) -> Batch:
    """Publish the oldest rows of these slots, and mark those that the destination acknowledged.

    A row goes out only after every row before it of the same unit was acknowledged or set aside. A kill between the
    acknowledgement and the mark repeats rows, with the same ids.

    Args:
        connection: on a database of this version.
        destination: as in the settings.
        publish: sends rows of different units and waits for the answers.
        slots: that this relay owns.
        may_publish: whether it still does; asked before each piece that goes out.
        without: units that wait for their next attempt.
        most_attempts: a row refused so often is set aside.

    Raises:
        StoreError: the database refused; what was published since the last mark is repeated.
    """
    rest = list(waiting_rows(connection, destination, slots=slots, without=without))
    sent: list[int] = []
    refusals: dict[int, str] = {}
    refused_rows: dict[int, OutboxRow] = {}
    failure: str | None = None
    while rest and failure is None and may_publish():
        wave, rest = _wave(rest)
        stopped: set[str | int] = set()
        for row, outcome in zip(wave, publish(wave), strict=True):
            if outcome.kind == "sent":
                sent.append(row.outbox_id)
                continue
            stopped.add(row.unit)
            if outcome.kind == "failed":
                failure = outcome.reason
            else:
                refusals[row.outbox_id], refused_rows[row.outbox_id] = outcome.reason, row
        rest = [row for row in rest if row.unit not in stopped]
    mark_published(connection, sent)
    aside = mark_refused(connection, refusals, most_attempts=most_attempts)
    return Batch(
        sent=len(sent),
        failure=failure,
        refused={row.unit: row.attempts + 1 for number, row in refused_rows.items() if number not in aside},
        set_aside=tuple(row for number, row in refused_rows.items() if number in aside),
    )


def _wave(rows: list[OutboxRow]) -> tuple[list[OutboxRow], list[OutboxRow]]:
    """The first row of each unit, and the others, both in their order."""
    first: dict[str | int, OutboxRow] = {}
    later = [row for row in rows if first.setdefault(row.unit, row) is not row]
    return list(first.values()), later
