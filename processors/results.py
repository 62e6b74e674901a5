"""Rejects that a pure step makes of a coil."""

from schemas.coils import CoilHeader
from schemas.rejects import Reject, Step


def reject_coil(header: CoilHeader, *, step: Step, error: str, remedy: str) -> Reject:
    """Reject one coil with the bytes it came as."""
    return Reject(
        step=step,
        place=header.origin.place,
        key=header.key,
        error=error,
        remedy=remedy,
        original=header.origin.original(),
    )
