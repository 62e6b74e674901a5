"""`coilflow deadletters`: what got no verdict."""

from schemas.errors import UsageError


def list_() -> int:
    """List dead letters."""
    raise UsageError("deadletters list is not there yet", remedy="use a later version")


def show() -> int:
    """Show one dead letter."""
    raise UsageError("deadletters show is not there yet", remedy="use a later version")


def replay() -> int:
    """Send dead letters through again."""
    raise UsageError("deadletters replay is not there yet", remedy="use a later version")
