"""Counts say what became of every coil."""

from schemas.verdicts import Label
from store.coils import counts, missing_coils
from store.connection import Connection
from store.deadletters import record_dead_letters
from store.verdicts import record_verdicts
from tests.store.given import NOON, decided, key_of, reject


def test_every_coil_is_counted_in_one_state(connection: Connection) -> None:
    batch = [decided("1"), decided("2", label=Label.NOK, p_nok=0.9), decided("3", label=Label.UNDECIDED)]
    record_verdicts(connection, batch, decided_at=NOON, destinations=())
    record_dead_letters(connection, [reject("4"), reject("4", original=b"["), reject(None)])
    found = counts(connection)
    assert found.coils == found.open + found.decided + found.dead_lettered == 4
    assert (found.ok, found.nok, found.undecided, found.verdicts) == (1, 1, 1, 3)
    assert (found.dead_lettered, found.dead_letters) == (1, 3)


def test_a_coil_with_two_standing_verdicts_is_counted_as_duplicated(connection: Connection) -> None:
    batch = [decided("1"), decided("1", revision="r2"), decided("2"), decided("2", revision="r2")]
    record_verdicts(connection, batch, decided_at=NOON, destinations=())
    assert counts(connection).duplicated == 0
    connection.execute("update coilflow.verdicts set supersedes = null where coil_id = '1'")
    assert counts(connection).duplicated == 1


def test_a_shadow_verdict_beside_the_champion_is_no_duplicate(connection: Connection) -> None:
    record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=())
    connection.execute(
        "insert into coilflow.verdicts"
        " (plant, coil_id, revision, role, label, p_nok, threshold, ensemble_version, observed, decided_at)"
        " select plant, coil_id, revision, 'shadow', label, p_nok, threshold, 'e2', observed, decided_at"
        " from coilflow.verdicts"
    )
    found = counts(connection)
    assert (found.verdicts, found.duplicated, found.superseding) == (1, 0, 0)


def test_a_coil_without_verdict_and_dead_letter_is_missing(connection: Connection) -> None:
    record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=())
    record_dead_letters(connection, [reject("2")])
    assert missing_coils(connection, [key_of(coil_id) for coil_id in "123"]) == 1
    assert missing_coils(connection, []) == 0


def test_a_coil_without_a_band_is_stored(connection: Connection) -> None:
    record_verdicts(connection, [decided("1", order=None)], decided_at=NOON, destinations=())
    assert connection.execute("select zn_min_g_m2 from coilflow.coils").fetchone() == {"zn_min_g_m2": None}
