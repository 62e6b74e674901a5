"""Verdicts are stored once and announced once."""

import math
from dataclasses import replace

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.coils import CoilKey
from schemas.errors import StoreError
from schemas.events import EVENT, CoilVerdictEvent
from schemas.verdicts import Label
from store.coils import counts
from store.connection import Connection
from store.verdicts import Recorded, event_id, record_verdicts, verdict_of
from tests.store.given import KAFKA, MQTT, NOON, decided, key_of


def rows(connection: Connection, statement: bytes) -> list[dict[str, object]]:
    return connection.execute(statement).fetchall()


def test_a_stored_verdict_reads_back_as_it_was_given(connection: Connection) -> None:
    one = decided(
        "226031456", label=Label.NOK, p_nok=0.875, reasons=("clipped_cells: 12", "doubt: a 'quoted' \\ thing")
    )
    assert record_verdicts(connection, [one], decided_at=NOON, destinations=(KAFKA,)) == Recorded(
        new=1, repeated=0, announced=1
    )
    stored = verdict_of(connection, one.verdict.key)
    assert stored is not None
    assert (stored.verdict, stored.role, stored.decided_at) == (one.verdict, "champion", NOON)


def test_recording_twice_changes_nothing_and_announces_nothing(connection: Connection) -> None:
    batch = [decided(str(i)) for i in range(5)]
    record_verdicts(connection, batch, decided_at=NOON, destinations=(KAFKA, MQTT))
    everything = b"""select to_jsonb(c) as c, to_jsonb(v) as v, to_jsonb(a) as a, to_jsonb(o) as o
        from coilflow.coils c join coilflow.verdicts v using (plant, coil_id)
        join coilflow.assessments a using (verdict_id) join coilflow.outbox o on o.payload->>'subject' = c.coil_id
        order by v.verdict_id, a.model, o.outbox_id"""
    before = rows(connection, everything)
    again = [decided(str(i), label=Label.NOK, p_nok=0.99) for i in range(5)]
    assert record_verdicts(connection, again, decided_at=NOON, destinations=(KAFKA, MQTT)) == Recorded(
        new=0, repeated=5, announced=0
    )
    assert rows(connection, everything) == before
    assert len(before) == 5 * 2 * 2


def test_a_repeat_within_a_batch_is_stored_once(connection: Connection) -> None:
    batch = [decided("7", p_nok=0.1), decided("7", p_nok=0.2), decided("8")]
    assert record_verdicts(connection, batch, decided_at=NOON, destinations=(KAFKA,)) == Recorded(
        new=2, repeated=1, announced=2
    )
    stored = verdict_of(connection, key_of("7"))
    assert stored is not None
    assert stored.verdict.p_nok == 0.1


def test_a_superseding_revision_is_stored_beside_the_first(connection: Connection) -> None:
    first, second = decided("7"), decided("7", revision="r2", supersedes="r1", label=Label.NOK, p_nok=0.75)
    record_verdicts(connection, [first, second], decided_at=NOON, destinations=(KAFKA,))
    stored = verdict_of(connection, key_of("7"))
    assert stored is not None
    assert stored.verdict == second.verdict
    found = counts(connection)
    assert (found.coils, found.verdicts, found.superseding, found.duplicated, found.outbox) == (1, 2, 1, 0, 2)


def chain(connection: Connection, coil_id: str) -> list[tuple[str, str | None]]:
    """Revisions of a coil in the order they were stored, each with the one that it supersedes."""
    found = connection.execute(
        "select revision, supersedes from coilflow.verdicts where coil_id = %s order by verdict_id", (coil_id,)
    )
    return [(row["revision"], row["supersedes"]) for row in found]


@pytest.mark.parametrize("batched", [True, False])
def test_a_new_revision_supersedes_the_standing_one(connection: Connection, *, batched: bool) -> None:
    revised = [decided("7", revision=revision) for revision in ("r9", "r2", "r5")]
    for batch in [revised] if batched else [[one] for one in revised]:
        record_verdicts(connection, [*batch, decided("8")], decided_at=NOON, destinations=(KAFKA,))
    assert chain(connection, "7") == [("r9", None), ("r2", "r9"), ("r5", "r2")]
    assert chain(connection, "8") == [("r1", None)]
    found = counts(connection)
    assert (found.verdicts, found.superseding, found.duplicated) == (4, 2, 0)


def test_going_back_to_an_earlier_revision_changes_nothing(connection: Connection) -> None:
    for revision in ("a", "b"):
        record_verdicts(connection, [decided("7", revision=revision)], decided_at=NOON, destinations=(KAFKA,))
    assert record_verdicts(
        connection, [decided("7", revision="a")], decided_at=NOON, destinations=(KAFKA,)
    ) == Recorded(new=0, repeated=1, announced=0)
    stored = verdict_of(connection, key_of("7"))
    assert stored is not None
    assert stored.verdict.revision == "b"
    record_verdicts(connection, [decided("7", revision="c")], decided_at=NOON, destinations=(KAFKA,))
    assert chain(connection, "7") == [("a", None), ("b", "a"), ("c", "b")]


def test_a_named_revision_is_superseded_rather_than_the_standing_one(connection: Connection) -> None:
    batch = [decided("7"), decided("7", revision="r2"), decided("7", revision="r3", supersedes="r1")]
    record_verdicts(connection, batch, decided_at=NOON, destinations=(KAFKA,))
    assert chain(connection, "7") == [("r1", None), ("r2", "r1"), ("r3", "r1")]


def test_the_event_of_a_superseding_verdict_says_so(connection: Connection) -> None:
    for revision in ("r1", "r2"):
        record_verdicts(connection, [decided("7", revision=revision)], decided_at=NOON, destinations=(KAFKA, MQTT))
    said = []
    for row in rows(connection, b"select payload from coilflow.outbox order by outbox_id"):
        event = EVENT.validate_json(orjson.dumps(row["payload"]))
        assert isinstance(event, CoilVerdictEvent)
        said.append((event.data.revision, event.data.supersedes))
    assert said == [("r1", None)] * 2 + [("r2", "r1")] * 2


def test_the_same_coil_of_another_plant_is_superseded_by_nothing(connection: Connection) -> None:
    here = decided("7")
    there = replace(here, verdict=replace(here.verdict, key=CoilKey(plant="graz", coil_id="7"), revision="r2"))
    record_verdicts(connection, [here, there], decided_at=NOON, destinations=())
    assert sorted(chain(connection, "7")) == [("r1", None), ("r2", None)]
    assert counts(connection).duplicated == 0


def test_observing_stores_and_announces_nothing(connection: Connection) -> None:
    assert record_verdicts(connection, [decided("7")], decided_at=NOON, destinations=()).announced == 0
    assert counts(connection).outbox == 0


def test_the_outbox_holds_valid_events_whose_id_belongs_to_the_verdict(connection: Connection) -> None:
    one = decided("226/031 ü")
    record_verdicts(connection, [one], decided_at=NOON, destinations=(KAFKA, MQTT))
    found = rows(
        connection, b"select event_id, destination, key, slot, payload from coilflow.outbox order by destination"
    )
    assert [row["destination"] for row in found] == [KAFKA, MQTT]
    assert {row["key"] for row in found} == {"linz/226%2F031%20%C3%BC"}
    for row in found:
        event = EVENT.validate_json(orjson.dumps(row["payload"]))
        assert isinstance(event, CoilVerdictEvent)
        assert row["event_id"] == event_id(one.verdict)
        assert (event.id, event.subject, event.data.label) == (str(row["event_id"]), "226/031 ü", Label.OK)


def test_event_ids_differ_where_plant_coil_or_revision_differ() -> None:
    verdicts = [decided("1/2").verdict, decided("1").verdict, decided("1", revision="2/r1").verdict]
    assert len({event_id(verdict) for verdict in verdicts}) == 3
    assert event_id(decided("1").verdict) == event_id(decided("1", p_nok=0.3).verdict)


def test_a_coil_that_could_not_be_scored_is_stored_without_a_probability(connection: Connection) -> None:
    one = decided("7", label=Label.UNDECIDED, p_nok=math.nan)
    record_verdicts(connection, [one], decided_at=NOON, destinations=(KAFKA,))
    stored = verdict_of(connection, key_of("7"))
    assert stored is not None
    assert math.isnan(stored.verdict.p_nok)


def test_a_batch_with_one_impossible_value_is_refused_as_a_whole(connection: Connection) -> None:
    with pytest.raises(StoreError, match="cannot record 2 verdicts") as caught:
        record_verdicts(connection, [decided("1"), decided("2", p_nok=1.5)], decided_at=NOON, destinations=())
    assert "\n" not in str(caught.value)
    assert counts(connection).coils == 0


@pytest.mark.parametrize("coil_id", ["a\x00b", "\ud800", ""])
def test_a_coil_id_that_postgresql_cannot_keep_is_a_clean_error(connection: Connection, coil_id: str) -> None:
    with pytest.raises(StoreError, match=r"the coil id .* cannot be stored") as caught:
        record_verdicts(connection, [decided(coil_id)], decided_at=NOON, destinations=(KAFKA,))
    assert caught.value.remedy == "correct the coil id at the source, then run it again"
    assert counts(connection).coils == 0


def test_a_nul_in_any_other_text_is_a_clean_error(connection: Connection) -> None:
    with pytest.raises(StoreError, match="cannot record 1 verdicts"):
        record_verdicts(connection, [decided("1", reasons=("doubt: \x00",))], decided_at=NOON, destinations=())


def test_no_verdicts_are_no_work(connection: Connection) -> None:
    assert record_verdicts(connection, [], decided_at=NOON, destinations=()) == Recorded(new=0, repeated=0, announced=0)


def test_a_label_learned_later_is_added_and_never_changed(connection: Connection) -> None:
    for truth in (None, "NOK", "OK"):
        record_verdicts(connection, [decided("1", truth=truth)], decided_at=NOON, destinations=())
    assert rows(connection, b"select truth from coilflow.coils") == [{"truth": "NOK"}]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(coil_id=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_other_coil_id_is_kept_as_it_is(connection: Connection, coil_id: str) -> None:
    record_verdicts(connection, [decided(coil_id)], decided_at=NOON, destinations=(KAFKA,))
    stored = verdict_of(connection, key_of(coil_id))
    assert stored is not None
    assert stored.verdict == decided(coil_id).verdict
