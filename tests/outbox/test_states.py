"""Whatever happens in whatever order: everything is published at least once, in order per coil, with stable ids."""

from collections.abc import Sequence
from itertools import takewhile
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flows.outbox.batch import send_batch
from flows.outbox.outcomes import Outcome, Publish
from store.connection import Connection
from store.outbox import OutboxRow, mark_published, waiting_rows
from tests.outbox.given import MEMORY, Memory, announce, unpublished

ALL = frozenset(range(64))
RELAYS = st.sampled_from((frozenset(range(0, 64, 2)), frozenset(range(1, 64, 2)), ALL))  # ALL: one that owns no share
COILS = st.sampled_from(("1", "2"))


class Outbox(RuleBasedStateMachine):
    """Recorders, relays and a destination that fails, on one database that is emptied before each run."""

    connection: Connection

    def __init__(self) -> None:
        super().__init__()
        self.connection.execute("truncate coilflow.outbox, coilflow.coils cascade")
        self.memory = Memory()
        self.recorded: dict[str, list[str]] = {}  # coil -> revisions
        self.in_hand: list[tuple[OutboxRow, ...]] = []  # read by a relay that may be out of date

    @initialize()
    def start(self) -> None:
        """Begin with one verdict."""
        self.record({"1"})

    @rule(coils=st.sets(COILS, min_size=1))
    def record(self, coils: set[str]) -> None:
        """A worker decides coils again."""
        for coil in sorted(coils):
            revisions = self.recorded.setdefault(coil, [])
            revisions.append(f"r{len(revisions)}")
            announce(self.connection, coil, revision=revisions[-1])

    @rule(coil=COILS, number=st.integers(0, 2))
    def refuse_an_event_or_take_it_again(self, coil: str, number: int) -> None:
        """The destination changes its mind about an event."""
        self.memory.refuses ^= {f"{coil}/r{number}"}

    @rule(slots=RELAYS)
    def relay_a_batch(self, slots: frozenset[int]) -> None:
        """A relay does a whole batch."""
        self._batch(slots, self.memory.publish)

    @rule(slots=RELAYS, taken=st.integers(0, 3))
    def fail_in_the_middle(self, slots: frozenset[int], taken: int) -> None:
        """The destination goes down after some rows."""
        left = taken

        def publish(rows: Sequence[OutboxRow]) -> Sequence[Outcome]:
            nonlocal left
            outcomes: list[Outcome] = []
            for row in rows:
                self.memory.down = left <= 0
                outcomes += self.memory.publish([row])
                left -= 1
            self.memory.down = False
            return outcomes

        self._batch(slots, publish)

    @rule(slots=RELAYS, taken=st.integers(1, 3))
    def die_between_publishing_and_marking(self, slots: frozenset[int], taken: int) -> None:
        """A relay publishes some and is gone."""
        rows = waiting_rows(self.connection, MEMORY, slots=slots)[:taken]
        self.memory.publish(list(takewhile(lambda row: not self.memory.would_refuse(row), rows)))

    @rule(slots=RELAYS)
    def freeze_with_rows_in_hand(self, slots: frozenset[int]) -> None:
        """A relay reads and is frozen."""
        self.in_hand.append(waiting_rows(self.connection, MEMORY, slots=slots))

    @precondition(lambda self: self.in_hand)
    @rule()
    def wake_and_publish_what_is_out_of_date(self) -> None:
        """The frozen relay goes on as if nothing had happened."""
        rows = self.in_hand.pop(0)
        refuses, self.memory.refuses = self.memory.refuses, set()  # it was taken before the relay froze
        self.memory.publish(rows)
        self.memory.refuses = refuses
        mark_published(self.connection, [row.outbox_id for row in rows])

    @invariant()
    def coils_keep_their_order_and_events_their_ids(self) -> None:
        """First publications come in the order of the verdicts, without a gap, under one id each."""
        ids: dict[tuple[str, str], set[UUID]] = {}
        for row in self.memory.got:
            assert row.event is not None
            data = row.event["data"]
            ids.setdefault((data["coil_id"], data["revision"]), set()).add(row.event_id)
        assert all(len(same) == 1 for same in ids.values())
        for coil, revisions in self.recorded.items():
            came = self.memory.revisions(coil)
            assert came == revisions[: len(came)]

    def teardown(self) -> None:
        """In the end one relay is enough: nothing stays behind."""
        self.memory.refuses.clear()
        while self._batch(ALL, self.memory.publish):
            pass
        assert unpublished(self.connection) == 0
        assert {coil: self.memory.revisions(coil) for coil in self.recorded} == self.recorded

    def _batch(self, slots: frozenset[int], publish: Publish) -> int:
        return send_batch(
            self.connection,
            MEMORY,
            publish,
            slots=slots,
            may_publish=lambda: True,
            without=frozenset(),
            most_attempts=1_000_000,
        ).sent


def test_everything_is_published_in_order_whatever_happens(connection: Connection) -> None:
    run_state_machine_as_test(
        type("Here", (Outbox,), {"connection": connection}),
        settings=settings(
            max_examples=120,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow],
            derandomize=True,
        ),
    )
