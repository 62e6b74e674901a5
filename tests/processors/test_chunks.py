"""Coils from their events."""

from datetime import UTC, datetime

import pytest

from processors.chunks import CoilEvents, coils_from_events
from processors.decode import ChunkEvent, EventFault, decode_message
from schemas.coils import CoilKey, Origin
from tests.streams.lines import PLANT, chunks, ended, started


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("2026-11-20T12:00:00Z", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", None),  # in UTC the year 0
        ("9999-12-31T23:59:59-05:00", None),  # in UTC the year 10000
    ],
)
def test_a_start_that_a_database_could_not_give_back_is_unknown(said: str, kept: datetime | None) -> None:
    events: list[ChunkEvent] = []
    for line in (started("7", started_at=said), *chunks("7"), ended("7")):
        found = decode_message(line)
        assert not isinstance(found, EventFault)
        events += found
    given = CoilEvents(
        key=CoilKey(plant=PLANT, coil_id="7"), origin=Origin(place="here", original=bytes), events=tuple(events)
    )
    [header] = coils_from_events([given]).coils.headers
    assert header.started_at == kept
