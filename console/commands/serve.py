"""`coilflow console`: REST for an MES without Kafka."""

from schemas.errors import UsageError


def serve() -> int:
    """Serve REST under /api/v1."""
    raise UsageError("console is not there yet", remedy="use a later version")
