"""`coilflow bridge mqtt`: the plant's MQTT topics."""

from schemas.errors import UsageError


def mqtt() -> int:
    """Serve the plant's MQTT topics."""
    raise UsageError("bridge mqtt is not there yet", remedy="use a later version")
