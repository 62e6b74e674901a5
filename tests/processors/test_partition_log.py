"""One partition of the log against a model that keeps everything: whatever fails, a coil ends as all its events say.

The model of the outside: a log that only grows, and a database with a position, verdicts by revision and parked coils.
"""

import random
from dataclasses import dataclass, field

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from processors.chunks import CoilEvents, coils_from_events
from processors.decode import ChunkEvent, EventFault, decode_message
from processors.open_coils import OpenCoil, revision_of
from processors.partition_log import LogMessage, PartitionLog
from schemas.coils import CoilKey, Origin, StoredCoil
from schemas.readings import readings_of
from schemas.stream_settings import StreamSettings
from tests.streams.lines import PLANT, chunk, coil, event

RULES = StreamSettings(deadline_s=10.0, settle_s=1.0)
NAMES = ("a", "b", "c")
EVENTS = {name: coil(name, 3) for name in NAMES}


def message(offset: int, line: bytes, *, timestamp_ms: int = 0) -> LogMessage:
    return LogMessage(offset, timestamp_ms, b"k", (line, ()), decode_message(line))


def key_of(name: str) -> CoilKey:
    return CoilKey(plant=PLANT, coil_id=name)


@dataclass
class Database:
    """What is stored, as `commit_log` stores it."""

    position: int = 0
    verdicts: dict[CoilKey, list[StoredCoil]] = field(default_factory=dict)  # in their order; the last one stands
    last_offset: dict[CoilKey, int] = field(default_factory=dict)
    parked: dict[CoilKey, tuple[int, bytes]] = field(default_factory=dict)

    def decided(self, keys: set[CoilKey]) -> dict[CoilKey, StoredCoil]:
        """Standing verdicts."""
        return {key: self.verdicts[key][-1] for key in keys if key in self.verdicts}


def judged(one: OpenCoil, log: PartitionLog) -> StoredCoil | None:
    """Its readings, as the verdict keeps them; None where it is refused."""
    assembled = coils_from_events([one.events_so_far(place=log.place(one), rules=RULES, silent=False)])
    if assembled.rejects:
        return None
    header = assembled.coils.headers[0]
    return StoredCoil(
        key=one.key,
        order=header.order,
        started_at=header.started_at,
        rows_per_face=one.rows_per_face,
        revision=assembled.coils.revisions[0],
        readings=readings_of(assembled.coils, 0),
    )


class Machine(RuleBasedStateMachine):
    """Events come in any order with repeats, the host dies at any time, and commits fail or lose their answer."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, bytes]] = []
        self.now_ms = 0
        self.times_ms: list[int] = []
        self.database = Database()
        self.log = PartitionLog(topic="t", partition=0, next_offset=0)
        self.refused: set[CoilKey] = set()

    @initialize(seed=st.integers(0, 2**32 - 1))
    def shuffle(self, seed: int) -> None:
        """Each coil's events in an order of its own."""
        draw = random.Random(seed)  # noqa: S311 - no secret
        self.waiting = {name: draw.sample(EVENTS[name], len(EVENTS[name])) for name in NAMES}

    @rule(name=st.sampled_from(NAMES), number=st.integers(1, 8))
    def send(self, name: str, number: int) -> None:
        """The line goes on."""
        for line in self.waiting[name][:number]:
            self._send(name, line)
        del self.waiting[name][:number]

    @rule(name=st.sampled_from(NAMES), which=st.integers(0, 7))
    def repeat(self, name: str, which: int) -> None:
        """The line sends something again."""
        lines = [line for of, line in self.sent if of == name]
        if lines:
            self._send(name, lines[which % len(lines)])

    @rule(name=st.sampled_from(NAMES), row=st.integers(3, 5), face=st.sampled_from(["top", "bottom"]))
    def send_late(self, name: str, row: int, face: str) -> None:
        """A row more than was promised, whenever."""
        self._send(name, chunk(name, face, row))

    @rule()
    def send_noise(self) -> None:
        """A message that names no coil."""
        self._send("", b"{")

    @rule(most=st.integers(1, 12))
    def read(self, most: int) -> None:
        """The host reads on."""
        first = self.log.next_offset
        stretch = [
            message(offset, self.sent[offset][1], timestamp_ms=self.times_ms[offset])
            for offset in range(first, min(first + most, len(self.sent)))
        ]
        self.log.read(stretch, self.database.decided(self.log.strangers(stretch)))

    @rule(elapsed_ms=st.sampled_from([100, 1_100]))
    def wait(self, elapsed_ms: int) -> None:
        """Time passes."""
        self.now_ms += elapsed_ms
        if self.log.next_offset == len(self.sent):
            self.log.clock.idle(elapsed_ms)

    @rule(fate=st.sampled_from(["stored", "failed", "stored, its answer lost"]), most=st.integers(1, 3))
    def decide(self, fate: str, most: int) -> None:
        """What is due is committed, or not, or nobody knows."""
        due = [(one, judged(one, self.log)) for one in self.log.due(RULES)[:most]]
        due = [(one, stored) for one, stored in due if stored is not None]  # a coil without its start waits on here
        if fate == "failed" or not due:
            return
        self._commit([one for one, _ in due])
        for one, stored in due:
            assert stored is not None
            revisions = self.database.verdicts.setdefault(one.key, [])
            if stored.revision not in [known.revision for known in revisions]:
                revisions.append(stored)
            self.database.last_offset[one.key] = max(self.database.last_offset.get(one.key, -1), one.last_offset)
            if self.database.parked.get(one.key, (10**9, b""))[0] <= one.last_offset:
                del self.database.parked[one.key]
        if fate == "stored":
            for one, _ in due:
                self.log.close(one)

    @rule(events=st.integers(0, 5), known=st.booleans())
    def park(self, events: int, *, known: bool) -> None:
        """What holds the position back goes to the database."""
        parking = self.log.holding_back(events)
        if not parking:
            return
        self._commit(parking)
        for one in parking:
            self.database.parked[one.key] = one.last_offset, one.original()
            if known:
                one.holds_from = None

    @rule()
    def crash(self) -> None:
        """All memory is lost; another host takes over from what is stored."""
        database = self.database
        settled = {key: last for key, last in database.last_offset.items() if last >= database.position}
        self.log = PartitionLog(topic="t", partition=0, next_offset=database.position, settled=settled)
        for key, (last_offset, events) in database.parked.items():
            stored = database.decided({key}).get(key)
            one = (revision_of(stored) if stored else None) or OpenCoil(key=key)
            for line in events.splitlines():
                found = decode_message(line)
                assert not isinstance(found, EventFault)
                one.apply(found, (line, ()), offset=last_offset, now_ms=0)
            self.log.restore(one, last_offset=last_offset)

    @invariant()
    def nothing_is_unaccounted_for(self) -> None:
        """Both conservation laws."""
        assert self.log.tally.unaccounted_messages == 0
        assert self.log.unaccounted_coils == 0

    @invariant()
    def the_position_passes_nothing_that_an_open_coil_needs(self) -> None:
        """What lies before the position is in a verdict or parked."""
        for offset, (name, line) in enumerate(self.sent[: self.database.position]):
            if name:
                assert self._is_kept(name, line), f"{line!r} at {offset} is before {self.database.position}"

    def teardown(self) -> None:
        """At the end all is read and decided: each coil stands on all of its events."""
        if not hasattr(self, "waiting"):
            return
        for name in NAMES:
            self.send(name, 99)
        while self.log.next_offset < len(self.sent):
            self.read(7)
        for _ in range(4):
            self.log.clock.idle(1_100)
            self.decide("stored", 3)
        assert not self.log.open
        assert self.log.position() == len(self.sent)
        for name in NAMES:
            events = [e for of, line in self.sent if of == name for e in _events(line)]
            given = CoilEvents(key=key_of(name), origin=Origin(place="", original=bytes), events=tuple(events))
            [revision] = coils_from_events([given]).coils.revisions
            assert self.database.verdicts[key_of(name)][-1].revision == revision
        assert not self.database.parked
        self.nothing_is_unaccounted_for()

    def _send(self, name: str, line: bytes) -> None:
        self.sent.append((name, line))
        self.now_ms += 10
        self.times_ms.append(self.now_ms)

    def _commit(self, without: list[OpenCoil]) -> None:
        position = self.log.position(without=without)
        self.database.position = position

    def _is_kept(self, name: str, line: bytes) -> bool:
        """Whether a verdict's rows, or a parked coil's events, hold what an event says."""
        key, data = key_of(name), orjson.loads(line)["data"]
        _, parked = self.database.parked.get(key, (0, b""))
        if any(orjson.loads(one)["data"] == data for one in parked.splitlines()):
            return True
        stored = self.database.decided({key}).get(key)
        again = revision_of(stored) if stored else None
        return again is not None and not again.apply(_events(line), (line, ()), offset=0, now_ms=0)


def _events(line: bytes) -> tuple[ChunkEvent, ...]:
    found = decode_message(line)
    assert not isinstance(found, EventFault)
    return found


TestPartitionLog = Machine.TestCase
TestPartitionLog.settings = settings(max_examples=150, stateful_step_count=40)


def test_a_message_that_names_no_coil_is_refused_alone_with_its_place_key_and_bytes() -> None:
    log = PartitionLog(topic="t", partition=3, next_offset=5)
    [reject] = log.read([message(5, b"{")], {})
    assert reject.log is not None
    assert (reject.log.topic, reject.log.partition, reject.log.offset, reject.log.key) == ("t", 3, 5, b"k")
    assert (reject.original, reject.whole_coil, reject.key) == (b"{", False, None)
    assert (log.tally.consumed, log.tally.dead) == (1, 1)


def test_a_tombstone_is_refused_with_no_bytes() -> None:
    log = PartitionLog(topic="t", partition=0, next_offset=0)
    [reject] = log.read([LogMessage(0, 0, b"k", (None, ()), decode_message(None))], {})
    assert reject.original == b""


def test_another_kind_of_event_that_names_an_open_coil_leaves_the_coil_alone() -> None:
    log = PartitionLog(topic="t", partition=0, next_offset=0)
    lines = EVENTS["a"]
    other = event("coil.painted", "a", 7)
    [reject] = log.read([message(i, line) for i, line in enumerate([*lines[:3], other, *lines[3:]])], {})
    assert (reject.key, reject.whole_coil) == (key_of("a"), False)
    [one] = log.due(RULES)
    assert judged(one, log) is not None


def test_a_wrong_event_of_an_open_coil_spoils_the_coil() -> None:
    log = PartitionLog(topic="t", partition=0, next_offset=0)
    wrong = EVENTS["a"][1].replace(b'"specversion":"1.0"', b'"specversion":"0.3"')
    assert log.read([message(i, line) for i, line in enumerate([wrong, *EVENTS["a"]])], {}) == []
    [one] = log.due(RULES)
    assert one.fault is not None
    assert judged(one, log) is None


def test_what_was_settled_is_skipped_on_a_second_reading_and_what_comes_after_it_is_not() -> None:
    log = PartitionLog(topic="t", partition=0, next_offset=0, settled={key_of("a"): 7})
    stretch = [message(i, line) for i, line in enumerate(EVENTS["a"])] + [message(8, chunk("a", "top", 5))]
    assert log.strangers(stretch[:8]) == set()
    assert log.strangers(stretch) == {key_of("a")}
    log.read(stretch[:8], {})
    assert (log.tally.duplicate, log.open) == (8, {})
    log.forget_settled()
    assert log.settled == {}


def test_open_coils_hold_the_position_and_parked_ones_do_not() -> None:
    log = PartitionLog(topic="t", partition=0, next_offset=0)
    log.read([message(0, EVENTS["a"][0]), message(1, EVENTS["b"][0]), message(2, b"{")], {})
    one, other = log.open[key_of("a")], log.open[key_of("b")]
    assert log.position() == 0
    assert log.position(without=[one]) == 1
    assert log.position(without=[one, other]) == 3
    assert log.holding_back(2) == [one]
    assert log.holding_back(3) == []
    one.holds_from = None
    assert log.position() == 1


def test_a_parked_coil_that_a_verdict_holds_already_has_a_place_in_the_log() -> None:
    one = OpenCoil(key=key_of("a"))
    for offset, line in enumerate(EVENTS["a"]):
        one.apply(_events(line), (line, ()), offset=offset, now_ms=0)
    log = PartitionLog(topic="t", partition=0, next_offset=10)
    stored = judged(one, log)
    assert stored is not None
    again = revision_of(stored)
    assert again is not None
    log.restore(again, last_offset=7)
    log.clock.idle(1_100)
    assert [log.log_place(due).offset for due in log.due(RULES)] == [7]
    assert log.position() == 10
