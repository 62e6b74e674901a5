"""Write what the local host judged into the database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from flows.assess import Judged, JudgedCoil
from flows.shadows import count_unstored
from schemas.errors import StoreError, StoreUnavailableError
from schemas.settings import Settings
from store.connection import Connection
from store.deadletters import record_dead_letters
from store.verdicts import Decided, Recorded, record_verdicts


def record(
    connection: Connection, judged: Judged, settings: Settings, *, decided_at: datetime | None = None
) -> Recorded:
    """Store one batch, verdicts and dead letters, in one transaction; a repeat changes nothing.

    In mode `observe` nothing is queued for announcement.

    Args:
        connection: on a database of this version.
        judged: with its records.
        settings: mode and destinations.
        decided_at: of a line that has a time of its own, with a time zone; None: now.

    Raises:
        StoreError: the database refused; nothing of the batch is stored then.
    """
    decided = [_decided(coil) for coil in judged.coils]
    shadows = [replace(_decided(coil), role="shadow") for coil in judged.shadows]
    at = decided_at or datetime.now(UTC)
    try:
        return _store(connection, [*decided, *shadows], judged, settings, at)
    except StoreUnavailableError:
        raise
    except StoreError as error:
        if not shadows:
            raise
        count_unstored(error)
        return _store(connection, decided, judged, settings, at)


def _decided(coil: JudgedCoil) -> Decided:
    if coil.record is None:
        raise StoreError("a coil came without its readings", remedy="assess with records=True")
    return Decided(
        verdict=coil.verdict,
        order=coil.record.order,
        started_at=coil.record.started_at,
        truth=coil.record.truth,
        readings=coil.record.readings,
    )


def _store(
    connection: Connection, decided: Sequence[Decided], judged: Judged, settings: Settings, decided_at: datetime
) -> Recorded:
    with connection.transaction():
        recorded = record_verdicts(
            connection,
            decided,
            decided_at=decided_at,
            destinations=settings.destinations if settings.mode == "announce" else (),
        )
        record_dead_letters(connection, judged.rejects)
    return recorded
