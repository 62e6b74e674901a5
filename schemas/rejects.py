"""Bad input as a value: what was wrong, where, what to do, and the bytes as they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.coils import CoilKey

Step = Literal["consume", "decode", "assemble", "normalize", "score", "decide", "store", "feedback"]


Headers = Sequence[tuple[str, bytes]]  # of a message, in their order


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPlace:
    """The message in a Kafka topic, or the last message of a coil, that was refused."""

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    headers: Headers = ()  # empty where a whole coil is meant


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """One coil, or one piece of input that belongs to no coil, that got no verdict."""

    step: Step
    place: str  # file and line, or topic, partition and offset
    key: CoilKey | None
    error: str  # one sentence, no trailing remedy
    remedy: str
    original: bytes
    whole_coil: bool = True  # False: one message, whatever becomes of the coil it may name
    log: LogPlace | None = None  # None where it did not come from Kafka

    def sentence(self) -> str:
        """What a user reads: coil, place, fault and remedy in one line."""
        coil = f"coil {self.key.coil_id}: " if self.key else ""
        return f"{self.place}: {coil}{self.error}; {self.remedy}"
