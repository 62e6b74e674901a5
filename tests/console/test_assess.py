"""Promises of `coilflow assess`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.coils import CoilKey
from store.connection import connect
from store.verdicts import verdict_of
from tests.console.conftest import Coilflow, Write
from tests.flows.given import coil, grey_row, three, write_events, write_grey, write_tables

COILFLOW = Path(sys.executable).with_name("coilflow")


def test_json_is_one_object_a_coil_with_these_keys(coilflow: Coilflow, write: Write) -> None:
    ran = coilflow("assess", write([coil("1"), coil("2", level=70.0)]), "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.labels == {"1": "OK", "2": "NOK"}
    for verdict in ran.objects:
        assert list(verdict) == ["coil_id", "label", "p_nok", "threshold", "observed", "members", "reasons"]
        assert [list(member) for member in verdict["members"]] == [["model", "version", "p_nok"]] * 2
        assert verdict["threshold"] == 0.6
        assert verdict["observed"] == 1.0
        assert verdict["reasons"] == []


def test_people_get_a_table_and_a_count(coilflow: Coilflow, place: Path) -> None:
    ran = coilflow("assess", write_tables([coil("1"), coil("2", level=70.0)], place / "line"))
    assert ran.code == 0
    assert "2 verdicts" in ran.out
    assert "OK 1  NOK 1  UNDECIDED 0" in ran.out


def test_every_kind_of_source_gives_the_same_verdicts(coilflow: Coilflow, place: Path, write: Write) -> None:
    coils = [coil("1"), coil("2", level=70.0), coil("3", level=150.0)]
    direct = coilflow("assess", write(coils), "--json").objects
    assert coilflow("normalize", write_events(coils, place / "x.jsonl"), "--out", place / "x.arrow").code == 0
    assert coilflow("assess", place / "x.arrow", "--json").objects == direct


def test_grey_levels_are_judged_by_the_members_that_take_them(coilflow: Coilflow, place: Path) -> None:
    ran = coilflow("assess", write_grey(place / "coils.parquet", [grey_row("1"), grey_row("2")]), "--json")
    assert ran.code == 0
    for verdict in ran.objects:
        assert [member["model"] for member in verdict["members"]] == ["low-self"]
        assert verdict["reasons"][-1] == "members_skipped: low"


def test_the_plants_name_for_coils_that_name_none_is_a_setting(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setenv("COILFLOW_PLANT", "graz")
    assert coilflow("assess", write_grey(place / "a.parquet", [grey_row("1")]), "--store", database).code == 0
    with connect(database) as connection:
        assert verdict_of(connection, CoilKey(plant="graz", coil_id="1")) is not None


def test_a_tolerance_profile_of_the_settings_moves_the_threshold(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_TOLERANCE_PROFILES__default__threshold", "0.2")
    ran = coilflow("assess", write_tables(three(), place / "line"), "--json")
    assert set(ran.labels.values()) == {"NOK"}
    assert {verdict["threshold"] for verdict in ran.objects} == {0.2}


def test_the_size_of_the_batches_changes_nothing(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tables([coil(str(i), level=90.0 + i) for i in range(9)], place / "line")
    want = coilflow("assess", source, "--json").objects
    for size in ("1", "4"):
        monkeypatch.setenv("COILFLOW_BATCH_COILS", size)
        assert coilflow("assess", source, "--json").objects == want


def run(*arguments: object, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    environment = {name: value for name, value in os.environ.items() if name != "COILFLOW_ENSEMBLE"}
    command = [str(COILFLOW), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, input=stdin, env=environment, check=False)


def test_as_a_command_of_its_own_with_the_models_it_ships(place: Path) -> None:
    made = run("simulate", "--coils", 12, "--seed", 3, "--out", place / "line", "--format", "events")
    assert (made.returncode, made.stderr) == (0, b"")
    with (place / "line" / "events.jsonl").open("ab") as out:
        out.write(b'{"specversion": "1.0"')
    done = run("assess", place / "line" / "events.jsonl", "--json")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 12
    assert [line.split(b": ")[0] for line in done.stderr.splitlines()] == [b"reject", b"1 rejected"]


def test_wrong_use_as_a_command_of_its_own(place: Path) -> None:
    done = run("assess", place / "absent")
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1
    assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error(place: Path) -> None:
    source = write_tables([coil(str(i)) for i in range(40)], place / "line")
    shell = f"{COILFLOW} assess {source} --json | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_shipped_ensemble_takes_arrow_and_grey_levels_too(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COILFLOW_ENSEMBLE")
    source = write_events(three(), place / "line.jsonl")
    assert coilflow("normalize", source, "--out", place / "line.arrow").code == 0
    arrow = coilflow("assess", place / "line.arrow", "--json")
    assert arrow.objects == coilflow("assess", source, "--json").objects
    grey = coilflow("assess", write_grey(place / "a.parquet", [grey_row("1")]), "--json")
    assert grey.code == 0
    assert len(grey.objects) == 1


def test_coils_that_are_not_ok_are_shown_before_a_long_list_of_good_ones(coilflow: Coilflow, place: Path) -> None:
    coils = [coil(f"good-{i}") for i in range(60)] + [coil("bad", level=70.0)]
    ran = coilflow("assess", write_tables(coils, place / "line"))
    assert "61 verdicts, 40 shown, those that are not OK first" in ran.out
    shown = [line for line in ran.out.splitlines() if "good-" in line or "bad" in line]
    assert "bad" in shown[0]
    assert len(shown) == 40


def test_settings_of_one_customer_leave_the_others_as_they_were(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_TOLERANCE_PROFILES", '{"automotive": {"threshold": 0.2}}')
    source = write_tables([coil("1")], place / "line")
    assert coilflow("assess", source, "--json").labels == {"1": "OK"}
    monkeypatch.setenv("COILFLOW_CUSTOMER_PROFILES", '{"C1": "automotiv"}')
    ran = coilflow("assess", source)
    assert ran.code == 2
    assert "automotiv" in ran.sentence()


def test_members_can_be_combined_as_the_pilot_did(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tables([coil("1"), coil("2", level=70.0)], place / "line")
    monkeypatch.setenv("COILFLOW_COMBINE", "confidence_sum")
    ran = coilflow("assess", source, "--json")
    assert {verdict["threshold"] for verdict in ran.objects} == {0.5}
    assert [verdict["p_nok"] for verdict in ran.objects] == [0.5, 1.0]  # a member that says 0.5 has no confidence
    assert ran.labels == {"1": "UNDECIDED", "2": "NOK"}


def test_members_can_be_combined_so_that_one_of_them_suffices(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tables([coil("1"), coil("2", level=70.0)], place / "line")
    monkeypatch.setenv("COILFLOW_COMBINE", "union")
    ran = coilflow("assess", source, "--json")
    assert {verdict["threshold"] for verdict in ran.objects} == {0.5}
    assert [verdict["p_nok"] for verdict in ran.objects] == pytest.approx([0.5, 0.997], abs=1e-3)
