"""Promises of `coilflow doctor`."""

from pathlib import Path

import orjson
import pytest

import schemas
from flows.kafka.local_broker import free_port
from tests.console.conftest import Coilflow
from tests.swap.given import write_version

EXAMPLES = Path(schemas.__file__).parent / "examples"


def test_a_healthy_machine_is_an_exit_code_of_0(coilflow: Coilflow, place: Path, database: str) -> None:
    ran = coilflow("doctor")
    assert ran.code == 0
    assert "2 members" in ran.out


def test_a_database_of_this_version_is_healthy(
    coilflow: Coilflow, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    ran = coilflow("doctor")
    assert ran.code == 0
    assert "tables of this version" in ran.out


@pytest.mark.parametrize("dsn", ["postgresql://x:geheim@127.0.0.1:1/x", "postgresql://x:ge%heim@y/z"])
def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    coilflow: Coilflow, monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", dsn)
    ran = coilflow("doctor")
    assert ran.code == 1
    assert "heim" not in ran.out + ran.err


def test_a_database_without_tables_is_unhealthy(
    coilflow: Coilflow, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", empty_database)
    assert coilflow("doctor").code == 1


def test_a_broken_bundle_is_unhealthy_and_the_other_checks_are_made(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "broken").mkdir()
    (place / "broken" / "ensemble.json").write_text("{}")
    monkeypatch.setenv("COILFLOW_ENSEMBLE", str(place / "broken"))
    ran = coilflow("doctor")
    assert ran.code == 1
    assert "ensemble.json" in ran.out
    assert "database" in ran.out


def test_a_data_folder_that_cannot_be_made_is_unhealthy(
    coilflow: Coilflow, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").write_bytes(b"")
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(place / "file" / "data"))
    assert coilflow("doctor").code == 1


@pytest.mark.parametrize("arguments", [(), ("--fix",)], ids=["doctor", "fix"])
def test_brokers_that_do_not_answer_are_unhealthy_and_the_other_checks_are_made(
    coilflow: Coilflow, database: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("flows.kafka.client._ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setenv("COILFLOW_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    ran = coilflow("doctor", *arguments)
    assert (ran.code, ran.err) == (1, "")
    assert "cannot be" in ran.out
    assert "training" in ran.out


def test_a_remedy_can_be_copied_from_a_narrow_terminal(coilflow: Coilflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", "postgresql://127.0.0.1:1/x")
    assert "start the server or correct the DSN (yours, or COILFLOW_DATABASE_DSN)" in coilflow("doctor").out


def test_its_json_is_one_object_a_check(
    coilflow: Coilflow, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", empty_database)
    ran = coilflow("doctor", "--json")
    checks = {check.pop("check"): check for check in map(orjson.loads, ran.out.splitlines())}
    assert ran.code == 1
    assert set(checks["database"]) == {"healthy", "state", "remedy"}
    assert not checks["database"]["healthy"]
    assert "--fix" in checks["database"]["remedy"]
    assert checks["installation"] == {"healthy": True, "state": checks["installation"]["state"], "remedy": None}
    fixed = coilflow("doctor", "--fix", "--json")
    assert fixed.code == 0
    assert "0001_coils" in fixed.err
    assert all(orjson.loads(line)["healthy"] for line in fixed.out.splitlines())


def test_wrong_settings_are_wrong_use(coilflow: Coilflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COILFLOW_THREADS", "0")
    ran = coilflow("doctor")
    assert ran.code == 2
    assert "COILFLOW_THREADS" in ran.sentence()


def test_fix_makes_the_data_folder_and_brings_the_database_to_this_version(
    coilflow: Coilflow, place: Path, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", empty_database)
    ran = coilflow("doctor", "--fix")
    assert ran.code == 0
    assert "0001_coils" in ran.out
    assert (place / "data").is_dir()
    assert "none, the database has them all" in coilflow("doctor", "--fix").out


def test_every_published_example_is_a_right_event(coilflow: Coilflow) -> None:
    examples = sorted(file for file in EXAMPLES.glob("*.json") if not file.name.startswith(("mqtt.", "dead.")))
    assert examples
    for file in examples:
        ran = coilflow("doctor", "--event", file)
        assert (file.name, ran.code) == (file.name, 0)


def test_each_wrong_event_of_a_file_is_named_by_its_line(coilflow: Coilflow, place: Path) -> None:
    right = (EXAMPLES / "coil.chunk.json").read_bytes()
    line = orjson.dumps(orjson.loads(right))
    wrong = line.replace(b'"top"', b'"left"')
    assert wrong != line
    (place / "events.jsonl").write_bytes(b"\n".join([line, wrong, b"{"]))
    ran = coilflow("doctor", "--event", "events.jsonl")
    assert ran.code == 1
    objects = [orjson.loads(line) for line in coilflow("doctor", "--event", "events.jsonl", "--json").out.splitlines()]
    assert [(one["place"], one["right"]) for one in objects] == [("line 1", True), ("line 2", False), ("line 3", False)]
    assert "line 1: right" in ran.out
    assert "line 2: data.face" in ran.out
    assert "line 3: it is no JSON" in ran.out


def test_an_event_file_that_is_not_there_is_wrong_use(coilflow: Coilflow) -> None:
    assert coilflow("doctor", "--event", "nowhere.json").code == 2


def test_it_looks_at_what_the_registry_says_serves(
    coilflow: Coilflow, database: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    assert "of the settings, for the registry has none" in coilflow("doctor").out
    assert coilflow("models", "register", write_version(place, "v7")).code == 0
    assert coilflow("models", "promote", "v7").code == 0
    ran = coilflow("doctor")
    assert (ran.code, "every plant: v7: 1 members, digests right" in ran.out) == (0, True)
    (place / "data" / "ensembles" / "v7" / "mean-v7" / "model.onnx").write_bytes(b"x")
    assert coilflow("doctor").code == 1


def test_it_says_who_leads_and_whether_retraining_can_run_here(
    coilflow: Coilflow, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COILFLOW_DATABASE_DSN", database)
    told = coilflow("doctor").out
    assert "none has ever led: no job runs by itself" in told
    assert "retraining (retrain.how = head) can run here" in told
    assert coilflow("scheduler", "once", "housekeeping").code == 0
    assert "none leads since " in coilflow("doctor").out
