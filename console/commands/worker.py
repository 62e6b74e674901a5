"""`coilflow worker`: Kafka consumers that assess coils."""

from schemas.errors import UsageError


def assess() -> int:
    """Assess the coils of the Kafka topic, one verdict each."""
    raise UsageError("worker assess is not there yet", remedy="use a later version")
