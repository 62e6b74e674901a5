"""Publishing that adds itself to the coils' traces, and hands the trace on to who receives the event."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from flows.outbox.outcomes import Outcome, Publish
from flows.tracing import Span, Tracing, Value, traceparent_of
from schemas.coils import CoilKey
from store.outbox import OutboxRow

OpenPublisher = Callable[[str], AbstractContextManager[Publish]]
_OF_A_COIL = ("coil.verdict", "coil.warning")


def traced(open_publisher: OpenPublisher, tracing: Tracing) -> OpenPublisher:
    """The same publishers; events of coils carry `traceparent`, and each that is acknowledged is a span `announce`.

    Args:
        open_publisher: connects to a destination.
        tracing: where spans go.
    """

    @contextmanager
    def opened(destination: str) -> Iterator[Publish]:
        with open_publisher(destination) as publish:
            yield lambda rows: _published(publish, rows, destination, tracing)

    return opened


def _published(publish: Publish, rows: Sequence[OutboxRow], destination: str, tracing: Tracing) -> Sequence[Outcome]:
    keys = [_followed(row, tracing) for row in rows]
    began_ns = time.time_ns()
    outcomes = publish([row if key is None else _handed_on(row, key) for row, key in zip(rows, keys, strict=True)])
    ended_ns = time.time_ns()
    for row, key, outcome in zip(rows, keys, outcomes, strict=True):
        if key is not None and outcome.kind == "sent":
            waited_s = round(began_ns / 1e9 - row.created_at.timestamp(), 3)
            said: dict[str, Value] = {"coilflow.destination": destination, "coilflow.waited_s": waited_s}
            tracing.add(key, [Span(name="announce", began_ns=began_ns, ended_ns=ended_ns, attributes=said)])
    return outcomes


def _followed(row: OutboxRow, tracing: Tracing) -> CoilKey | None:
    """The coil that a row's event is about, where it is traced."""
    event = row.event or {}
    if event.get("type") not in _OF_A_COIL:
        return None
    key = CoilKey(plant=event["data"]["plant"], coil_id=event["data"]["coil_id"])
    return key if tracing.follows(key) else None


def _handed_on(row: OutboxRow, key: CoilKey) -> OutboxRow:
    return replace(row, event={**(row.event or {}), "traceparent": traceparent_of(key)})
