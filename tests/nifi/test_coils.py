"""Assembled coils travel through NiFi bit for bit."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from flows.nifi.coils import Carried, coil_rows, coils_from_rows
from processors.chunks import CoilEvents, coils_from_events, fragment
from processors.decode import ChunkEvent, EventFault, decode_message
from schemas.coils import CoilBatch, CoilKey, Origin
from schemas.errors import SourceError
from schemas.nifi_batches import NifiBatch, read_batch, write_batch
from tests.hosts.scenarios import NOT_ENDED, SCENARIOS


def _events(lines: list[bytes]) -> tuple[ChunkEvent, ...]:
    found = [decode_message(line) for line in lines]
    return tuple(event for one in found if not isinstance(one, EventFault) for event in one)


def _given(lines: list[bytes], *, silent_s: float | None = None) -> CoilEvents:
    events = _events(lines)
    origin = Origin(place="inbox", original=lambda: b"".join(line + b"\n" for line in lines))
    return CoilEvents(key=events[0].key, origin=origin, events=events, silent_s=silent_s)


def _assembled() -> CoilBatch:
    return coils_from_events([_given(lines) for lines in (*SCENARIOS.values(), NOT_ENDED)]).coils


def _without_origins(coils: CoilBatch) -> CoilBatch:
    return replace(coils, headers=tuple(replace(h, origin=Origin(place="", original=bytes)) for h in coils.headers))


def _same(one: CoilBatch, other: CoilBatch) -> bool:
    arrays = ("face_start", "position", "expected_rows", "mean_g_m2", "std_g_m2")
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in arrays
    ) and all(getattr(one, name) == getattr(other, name) for name in ("revisions", "reasons"))


def test_every_coil_comes_out_as_it_went_in() -> None:
    coils = _assembled()
    carried = [Carried(order=h.order, rows_per_face=0, inbox_id=i) for i, h in enumerate(coils.headers)]
    through = read_batch("coils", write_batch("coils", NifiBatch(rows=coil_rows(coils, carried)))).rows
    back, beside = coils_from_rows(through)
    assert len(coils) > 15
    assert _same(back, coils)
    assert [(h.key, h.order, h.started_at, h.label, h.reasons, h.origin.place) for h in back.headers] == [
        (h.key, h.order, h.started_at, h.label, h.reasons, h.origin.place) for h in coils.headers
    ]
    assert list(beside) == carried


def test_a_fragment_without_its_start_keeps_that_nobody_knows_its_band() -> None:
    found = fragment(_given(SCENARIOS["no start"], silent_s=60.0))
    assert found is not None
    coils, order = found
    assert order is None
    back, beside = coils_from_rows(coil_rows(coils, [Carried(order=order, fragment=True)]))
    assert _same(back, coils)
    assert beside == (Carried(order=None, fragment=True),)


def test_what_a_dead_letter_keeps_of_a_coil_makes_the_same_coil_again() -> None:
    coils = _assembled()
    carried = [
        Carried(order=h.order, rows_per_face=None if h.reasons else (h.rows_per_face or 0)) for h in coils.headers
    ]
    back, _ = coils_from_rows(coil_rows(coils, carried))
    again = coils_from_events([_given(header.origin.original().splitlines()) for header in back.headers]).coils
    assert _same(again, coils)


def test_batches_of_coils_can_be_joined() -> None:
    coils = _assembled()
    rows = coil_rows(coils, [Carried(order=h.order) for h in coils.headers])
    back, _ = coils_from_rows(pa.concat_batches([rows.slice(0, 5), rows.slice(5)]))
    assert _same(back, coils)
    assert len(coils_from_rows(rows.slice(0, 0))[0]) == 0


def test_damaged_readings_are_told_in_one_sentence() -> None:
    coils = _assembled()
    rows = coil_rows(coils, [Carried(order=h.order) for h in coils.headers])
    at = rows.schema.get_field_index("readings")
    broken = rows.set_column(at, rows.schema.field(at), pa.array([b"no arrow"] * rows.num_rows, type=pa.binary()))
    with pytest.raises(SourceError, match="damaged"):
        coils_from_rows(broken)
    assert np.array_equal(coils_from_rows(rows)[0].face_start, coils.face_start)
    assert coils.headers[0].key == CoilKey(plant=coils.headers[0].key.plant, coil_id="good")
