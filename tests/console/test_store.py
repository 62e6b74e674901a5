"""Promises of `coilflow assess --store`."""

from pathlib import Path

import pyarrow as pa
import pytest

from schemas.coils import CoilKey
from store.coils import Counts, counts
from store.connection import connect
from store.embedded import embedded_postgres
from store.verdicts import verdict_of
from tests.console.conftest import Coilflow, Write
from tests.flows.given import coil, grey_row, three, write_events, write_grey, write_tables


def stored(dsn: str) -> Counts:
    with connect(dsn) as connection:
        return counts(connection)


def test_a_second_run_stores_nothing_twice(coilflow: Coilflow, place: Path, database: str) -> None:
    coils = [*three(), coil("4")]
    coils[3].faces["top"] = []
    source = write_events(coils, place / "line.jsonl")
    seen = []
    for _ in range(2):
        ran = coilflow("assess", source, "--json", "--store", database)
        assert ran.code == 0
        assert ran.labels == {"1": "OK", "2": "OK", "3": "OK"}
        seen.append(stored(database))
    assert seen[0] == seen[1]
    assert (seen[0].coils, seen[0].verdicts, seen[0].dead_letters, seen[0].duplicated) == (4, 3, 1, 0)
    assert (seen[0].decided, seen[0].dead_lettered, seen[0].open) == (3, 1, 0)


def test_an_empty_database_gets_its_tables(coilflow: Coilflow, place: Path, empty_database: str) -> None:
    assert coilflow("assess", write_tables(three(), place / "line"), f"--store={empty_database}").code == 0
    assert stored(empty_database).verdicts == 3


def test_what_is_stored_is_what_was_said(coilflow: Coilflow, place: Path, database: str) -> None:
    (said,) = coilflow("assess", write_tables([coil("7")], place / "line"), "--json", "--store", database).objects
    with connect(database) as connection:
        found = verdict_of(connection, CoilKey(plant="linz", coil_id="7"))
    assert found is not None
    assert found.verdict.label == said["label"]
    assert found.verdict.p_nok == pytest.approx(said["p_nok"], abs=1e-6)
    assert [m.model for m in found.verdict.members] == [m["model"] for m in said["members"]]


def test_the_dead_letter_keeps_the_original_bytes(coilflow: Coilflow, place: Path, database: str) -> None:
    source = write_events(three()[:1], place / "line.jsonl")
    with source.open("ab") as out:
        out.write(b"\xff\x00 what is this?\n")
    assert coilflow("assess", source, "--store", database).code == 0
    with connect(database) as connection:
        rows = connection.execute("select * from coilflow.dead_letters").fetchall()
    assert b"\xff\x00 what is this?\n" in rows[0].values()


def test_the_database_of_the_settings_is_the_default(
    coilflow: Coilflow, place: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    assert coilflow("assess", "--store", write_tables(three(), place / "plant=linz")).code == 0
    assert stored(database).verdicts == 3


def test_without_a_dsn_the_embedded_database_keeps_the_verdicts(coilflow: Coilflow, place: Path) -> None:
    source = write_tables(three(), place / "line")
    for arguments in ((source, "--store", "--json"), ("--store", source), (source, "--json", "--store")):
        assert coilflow("assess", *arguments).code == 0
    with embedded_postgres(place / "data") as dsn:
        assert stored(dsn).verdicts == 3


def test_nothing_is_stored_unless_asked(coilflow: Coilflow, place: Path, database: str, write: Write) -> None:
    assert coilflow("assess", write(three())).code == 0
    assert stored(database).coils == 0
    assert not (place / "data").exists()


def test_arrow_and_grey_levels_of_others_are_stored(coilflow: Coilflow, place: Path, database: str) -> None:
    coilflow("normalize", write_events(three(), place / "line.jsonl"), "--out", place / "full.arrow")
    with pa.memory_map(str(place / "full.arrow")) as handle:
        few = pa.ipc.open_file(handle).read_all().select(["coil_id", "matrix", "scale"])
        with pa.OSFile(str(place / "few.arrow"), "wb") as sink, pa.ipc.new_file(sink, few.schema) as writer:
            writer.write_table(few)
    assert coilflow("assess", place / "few.arrow", "--store", database).code == 0
    assert stored(database).verdicts == 3
    grey = write_grey(place / "grey.parquet", [grey_row("8"), grey_row("9")])
    assert coilflow("assess", grey, "--store", database).code == 0
    assert stored(database).verdicts == 5


def test_texts_that_a_database_cannot_keep_do_not_stop_the_run(coilflow: Coilflow, place: Path, database: str) -> None:
    coils = three()
    coils[1].plant = "li\x00nz"
    ran = coilflow("assess", write_tables(coils, place / "line"), "--json", "--store", database)
    assert ran.code == 0
    assert ran.labels == {"1": "OK", "3": "OK"}
    assert stored(database).dead_letters == 1


def test_a_server_that_is_not_there_is_one_sentence_without_the_password(coilflow: Coilflow, place: Path) -> None:
    ran = coilflow("assess", write_tables(three(), place / "line"), "--store", "postgresql://x:geheim@127.0.0.1:1/x")
    assert (ran.code, ran.out) == (1, "")
    assert "x@127.0.0.1:1/x cannot be reached" in ran.sentence()
    assert "geheim" not in ran.err
