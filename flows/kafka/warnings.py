"""The early warning as an event."""

import uuid
from datetime import datetime

from processors.early_warning import OutOfBand
from schemas.coils import CoilKey
from schemas.events import CoilWarning, CoilWarningEvent
from store.outbox_keys import outbox_key

_WARNINGS = uuid.UUID("5a0c1f0e-5c0e-5f6b-9d0a-6d5e0c011f12")  # namespace of their ids


def warning_event(key: CoilKey, found: OutOfBand, *, warned_at: datetime) -> CoilWarningEvent:
    """The warning of a coil; a coil is warned of once, so its id is the same however often the log is read."""
    return CoilWarningEvent(
        specversion="1.0",
        type="coil.warning",
        id=str(uuid.uuid5(_WARNINGS, outbox_key(key.plant, key.coil_id))),
        source=f"/plants/{outbox_key(key.plant)}",
        subject=key.coil_id,
        time=warned_at,
        data=CoilWarning(
            plant=key.plant,
            coil_id=key.coil_id,
            face=found.face,
            side=found.side,
            bound_g_m2=found.bound_g_m2,
            worst_g_m2=found.worst_g_m2,
            from_position=found.from_position,
            to_position=found.to_position,
            out_of_band_m=found.length_m,
            warned_at=warned_at,
        ),
    )
