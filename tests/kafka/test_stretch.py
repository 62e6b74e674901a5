"""Positions of a stretch: none goes past a message that the stretch does not store."""

from flows.judge import Outcome
from flows.kafka.ownership import Owned
from flows.kafka.stretch import Due, stretch_of
from processors.decode import decode_message
from processors.partition_log import LogMessage, PartitionLog
from schemas.rejects import Reject
from schemas.settings import Settings
from tests.streams.lines import coil

TOPIC = "coil.chunks"
NOTHING = Outcome(decided=(), rejects=())


def read(partition: int, *lines: bytes) -> tuple[Owned, list[Reject]]:
    """A partition after it read these messages."""
    part = PartitionLog(topic=TOPIC, partition=partition, next_offset=0)
    rejects = part.read([LogMessage(n, 0, None, (line, ()), decode_message(line)) for n, line in enumerate(lines)], {})
    return Owned(log=part, epoch=1, committed=0), rejects


def due_of(owned: Owned) -> Due:
    [one] = owned.log.open.values()
    return owned.log, one


def positions(
    owned: dict[int, Owned], due: list[Due], pending: list[Reject], *, noting: bool = False
) -> dict[int, int]:
    stretch = stretch_of(TOPIC, owned, due, NOTHING, [], noting=noting, settings=Settings(), pending=pending)
    assert stretch is not None
    return {claim.partition: claim.next_offset for claim in stretch.batch.positions}


def test_a_coil_stored_from_one_partition_lets_no_messages_of_it_go_in_another() -> None:
    lines = coil("7")
    here, there = read(0, *lines[::2])[0], read(1, *lines[1::2])[0]
    assert positions({0: here, 1: there}, [due_of(here)], []) == {0: len(lines[::2])}


def test_no_position_goes_past_a_refused_message_that_is_stored_later() -> None:
    lines = coil("7")
    owned, rejects = read(0, *lines[:3], b"no event", *lines[3:])
    assert positions({0: owned}, [due_of(owned)], rejects) == {0: 3}
    assert positions({0: owned}, [due_of(owned)], []) == {0: len(lines) + 1}


def test_open_coils_are_noted_under_the_epoch_of_their_partition_whatever_is_decided_in_another() -> None:
    here, there = read(0, *coil("7"))[0], read(1, *coil("8")[:3])[0]
    assert positions({0: here, 1: there}, [due_of(here)], [], noting=True) == {0: len(coil("7")), 1: 0}
