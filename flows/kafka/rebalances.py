"""What Kafka says of the group, written down in its callbacks and acted upon by the poll loop."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor


@dataclass(frozen=True, slots=True)
class Rebalance:
    """Partitions that came or went, in the order in which Kafka said so."""

    kind: Literal["came", "went"]
    partitions: tuple[int, ...]


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Callbacks run inside `poll`, where an exception would let it read on from a wrong offset: these cannot fail."""

    def __init__(self, consumer: KafkaConsumer, assignor: CooperativeStickyAssignor) -> None:
        self._consumer = consumer
        self._assignor = assignor
        self._seen: list[Rebalance] = []

    def take(self) -> list[Rebalance]:
        """What happened since the last call."""
        seen, self._seen = self._seen, []
        return seen

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Nothing of them is read until the database has said from where."""
        came = tuple(assigned)
        for partition in came:
            self._consumer.seek(partition, 0)  # a position of Kafka's own is never asked for
        self._consumer.pause(*came)
        self._note("came", came)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """They go to another worker."""
        self._note("went", revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """They went to another worker already: the session was over."""
        self._assignor.member_assignment = None  # else kafka-python 3.0.12 claims them still, and nobody gets them
        self._note("went", lost)

    def _note(self, kind: Literal["came", "went"], partitions: Iterable[TopicPartition]) -> None:
        numbers = tuple(sorted(partition.partition for partition in partitions))
        if numbers:
            self._seen.append(Rebalance(kind, numbers))
