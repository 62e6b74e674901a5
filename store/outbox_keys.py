"""The unit of order in the outbox: a coil's key, and the hash slot that one relay at a time owns."""

import zlib
from urllib.parse import quote

from schemas.coils import CoilKey

SLOTS = 64


def outbox_key(*parts: str) -> str:
    """Parts percent-encoded and joined by a slash, as the keys of Kafka messages are."""
    return "/".join(quote(part, safe="") for part in parts)


def coil_outbox_key(key: CoilKey) -> str:
    """Plant and coil."""
    return outbox_key(key.plant, key.coil_id)


def slot_of(key: str) -> int:
    """CRC-32 of the key modulo the number of slots."""
    return zlib.crc32(key.encode()) % SLOTS
