"""Dead letters keep what was refused, once."""

import pytest

from schemas.coils import CoilKey
from schemas.rejects import Reject
from store.coils import counts
from store.connection import Connection
from store.deadletters import Kept, fingerprint, record_dead_letters
from store.verdicts import record_verdicts
from tests.store.given import NOON, decided, reject


def test_a_second_run_keeps_nothing_twice(connection: Connection) -> None:
    rejects = [reject("1"), reject(None), reject("1", place="coils.jsonl, line 4"), reject("1", original=b"[")]
    assert record_dead_letters(connection, rejects) == Kept(new=4, repeated=0)
    assert record_dead_letters(connection, rejects) == Kept(new=0, repeated=4)
    found = counts(connection)
    assert (found.dead_letters, found.dead_lettered, found.coils) == (4, 1, 1)


def test_the_original_bytes_are_kept_as_they_came(connection: Connection) -> None:
    original = bytes(range(256)) * 100
    record_dead_letters(connection, [reject("1", original=original), reject(None, original=b"")])
    kept = connection.execute(
        "select original, coil_id from coilflow.dead_letters order by length(original)"
    ).fetchall()
    assert [(row["original"], row["coil_id"]) for row in kept] == [(b"", None), (original, "1")]


def test_a_decided_coil_stays_decided(connection: Connection) -> None:
    record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=())
    record_dead_letters(connection, [reject("1")])
    found = counts(connection)
    assert (found.decided, found.dead_lettered, found.dead_letters) == (1, 0, 1)


def test_a_coil_decided_after_its_dead_letter_is_decided(connection: Connection) -> None:
    record_dead_letters(connection, [reject("1")])
    record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=())
    found = counts(connection)
    assert (found.coils, found.decided, found.dead_lettered, found.dead_letters) == (1, 1, 0, 1)
    assert connection.execute("select zn_min_g_m2, length_m from coilflow.coils").fetchone() == {
        "zn_min_g_m2": 100,
        "length_m": 542.5,
    }


def states(connection: Connection) -> list[str]:
    return [row["state"] for row in connection.execute("select state from coilflow.dead_letters order by 1")]


def test_dead_letters_of_a_coil_are_resolved_by_its_verdict(connection: Connection) -> None:
    rejects = [reject("1"), reject("1", original=b"["), reject("2"), reject(None)]
    record_dead_letters(connection, rejects)
    record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=())
    assert states(connection) == ["new", "new", "resolved", "resolved"]
    record_dead_letters(connection, rejects)
    assert states(connection) == ["new", "new", "resolved", "resolved"]


def test_a_dead_letter_is_resolved_by_a_new_verdict_alone(connection: Connection) -> None:
    record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=())
    record_dead_letters(connection, [reject("1")])
    record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=())
    assert states(connection) == ["new"]
    record_verdicts(connection, [decided("1", revision="r2")], decided_at=NOON, destinations=())
    assert states(connection) == ["resolved"]


def test_a_discarded_dead_letter_stays_discarded(connection: Connection) -> None:
    record_dead_letters(connection, [reject("1"), reject("1", original=b"[")])
    connection.execute(
        "update coilflow.dead_letters set state = case original when '{' then 'replayed' else 'discarded' end"
    )
    record_verdicts(connection, [decided("1")], decided_at=NOON, destinations=())
    assert states(connection) == ["discarded", "resolved"]


@pytest.mark.parametrize("coil_id", ["a\x00b", "\ud800", 'it\'s \\ "quoted"', "ü 線"])
def test_a_reject_of_an_impossible_coil_id_is_kept(connection: Connection, coil_id: str) -> None:
    assert record_dead_letters(connection, [reject(coil_id)]) == Kept(new=1, repeated=0)
    kept = connection.execute("select coil_id from coilflow.dead_letters").fetchone()
    assert kept == {"coil_id": coil_id.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")}


def test_a_reject_with_an_empty_coil_id_belongs_to_no_coil(connection: Connection) -> None:
    assert record_dead_letters(connection, [reject("")]).new == 1
    assert counts(connection).coils == 0


def test_no_rejects_are_no_work(connection: Connection) -> None:
    assert record_dead_letters(connection, []) == Kept(new=0, repeated=0)


def test_fingerprints_tell_apart_where_one_part_ends() -> None:
    def of(plant: str, coil_id: str) -> str:
        key = CoilKey(plant=plant, coil_id=coil_id)
        return fingerprint(Reject(step="decode", place="", key=key, error="", remedy="", original=b""))

    assert of("ab", "c") != of("a", "bc")
