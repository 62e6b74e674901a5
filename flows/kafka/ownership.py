"""Take partitions over: the epoch from the database, and the coils as they were left."""

from collections.abc import Iterable
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition

from processors.decode import Decoder, EventFault
from processors.open_coils import OpenCoil, revision_of
from processors.partition_log import PartitionLog
from schemas.coils import CoilKey, StoredCoil
from schemas.errors import LogError
from schemas.rejects import LogPlace, Reject
from store.connection import Connection
from store.log import ParkedCoil, claim_positions, decided_coils, parked_coils, refused_coils, settled_coils


@dataclass(slots=True, kw_only=True)
class Owned:
    """A partition that this worker owns."""

    log: PartitionLog
    epoch: int
    committed: int  # position as the database has it


def take_over(
    connection: Connection,
    consumer: KafkaConsumer,
    topic: str,
    partitions: Iterable[int],
    *,
    owner: str,
    decode: Decoder,
) -> tuple[dict[int, Owned], list[Reject]]:
    """Become the owner of partitions, rebuild what is parked of them and seek to where they are read on from.

    Returns:
        The partitions; and for each stretch of the log that was deleted before it was read, a dead letter that says so.

    Raises:
        StoreError: the database refused or cannot be reached.
        LogError: a stored position lies beyond the end of its partition.
    """
    numbers = sorted(partitions)
    places = [TopicPartition(topic, number) for number in numbers]
    first, end = consumer.beginning_offsets(places), consumer.end_offsets(places)
    claims = claim_positions(connection, topic, {p.partition: first[p] for p in places}, owner=owner)
    settled = settled_coils(connection, topic, numbers)
    owned, lost = {}, []
    for claim in claims:
        place = TopicPartition(topic, claim.partition)
        _refuse_beyond_end(place, claim.next_offset, end[place])
        begin = max(claim.next_offset, first[place])
        if begin > claim.next_offset:
            lost.append(_lost(place, claim.next_offset, begin))
        log = PartitionLog(topic=topic, partition=claim.partition, next_offset=begin, settled=settled[claim.partition])
        owned[claim.partition] = Owned(log=log, epoch=claim.owner_epoch, committed=claim.next_offset)
        consumer.seek(place, begin)
    parked = parked_coils(connection, topic, numbers)
    keys = [coil.key for coil in parked]
    revised = decided_coils(connection, keys) if keys else {}
    refused = refused_coils(connection, keys) if keys else frozenset()
    for coil in parked:
        open_coil = _unparked(coil, revised, decode)
        open_coil.after_reject = coil.key in refused
        owned[coil.partition].log.restore(open_coil, last_offset=coil.last_offset)
    return owned, lost


def _unparked(parked: ParkedCoil, revised: dict[CoilKey, StoredCoil], decode: Decoder) -> OpenCoil:
    stored = revised.get(parked.key)
    coil = (revision_of(stored) if stored else None) or OpenCoil(key=parked.key)
    for line in parked.events.splitlines():
        decoded = decode(line, ())
        message = (line, ())
        if isinstance(decoded, EventFault):
            coil.fail((decoded.error, decoded.remedy), message, offset=parked.last_offset, now_ms=0)
        else:
            coil.apply(decoded, message, offset=parked.last_offset, now_ms=0)
    return coil


def _refuse_beyond_end(place: TopicPartition, position: int, end: int) -> None:
    if position > end:
        raise LogError(
            f"{place.topic}[{place.partition}] ends at offset {end}, before the stored position {position}: "
            "the topic was made anew, or the broker lost messages",
            remedy="find out which, and read a topic of another name by COILFLOW_KAFKA__CHUNKS_TOPIC: "
            "offsets of this one mean other messages now",
        )


def _lost(place: TopicPartition, position: int, begin: int) -> Reject:
    where = f"{place.topic}[{place.partition}], offsets {position} to {begin - 1}"
    return Reject(
        step="consume",
        place=where,
        key=None,
        error=f"{begin - position} messages were deleted by the topic's retention before they were read",
        remedy="send these coils again, and raise the topic's retention above the longest outage",
        original=b"",
        whole_coil=False,
        log=LogPlace(topic=place.topic, partition=place.partition, offset=position),
    )
