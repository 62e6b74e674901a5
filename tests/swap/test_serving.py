"""What a worker serves follows the registry, and nothing broken ever serves."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.serving import following
from schemas.errors import RegistryError
from schemas.settings import Settings
from store.connection import Connection
from store.registered import ensemble, model_changes
from store.registry import freeze, promote, rollback, shadow
from store.swaps import SwapAnswer, Worker, answer, answers, note_worker, workers
from tests.swap.given import (
    ANNA,
    JOB,
    Start,
    answered,
    kept,
    registered,
    settings_in,
    truncate,
    version_of,
    write_version,
)
from tests.waiting import wait_until


def test_the_first_start_registers_and_promotes_the_settings_ensemble(
    start: Start, settings: Settings, connection: Connection
) -> None:
    assert version_of(start()) == ("e1", None)
    [told, promoted] = model_changes(connection)
    assert (told.change, promoted.change, promoted.who) == ("registered", "promoted", "start")
    stored = ensemble(connection, "e1")
    assert stored is not None
    assert (stored.state, stored.location) == ("champion", "ensembles/e1")
    assert kept(settings, "e1").exists()
    [said] = answered(connection, "e1")
    assert (said.worker, said.outcome, said.role) == ("w1", "swapped", "champion")
    assert [(one.worker, one.kind) for one in workers(connection, since=said.at - timedelta(minutes=1))] == [
        ("w1", "kafka")
    ]


def test_a_later_start_serves_what_the_registry_says(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    start("w1").stop()
    registered(database, settings, write_version(tmp_path, "e2"))
    promote(connection, "e2", ANNA)
    assert version_of(start("w2")) == ("e2", None)


def test_every_worker_swaps_and_answers(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    both = [start("w1"), start("w2")]
    registered(database, settings, write_version(tmp_path, "e2"))
    before = [one.current() for one in both]
    promote(connection, "e2", ANNA)
    said = answered(connection, "e2", 2)
    assert sorted((one.worker, one.outcome) for one in said) == [("w1", "swapped"), ("w2", "swapped")]
    assert [version_of(one) for one in both] == [("e2", None)] * 2
    assert [type(one.of("linz").champion).__name__ for one in before] == ["Ensemble"] * 2  # batches in hand keep theirs


def test_a_cut_connection_loses_no_change(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    answered(connection, "e1")
    registered(database, settings, write_version(tmp_path, "e2"))
    with connection.transaction():
        cut = connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'coilflow models%' and datname = current_database()"
        ).fetchall()
        promote(connection, "e2", ANNA)
    assert len(cut) == 1
    answered(connection, "e2")
    assert version_of(serving) == ("e2", None)


def test_without_any_word_of_it_a_change_is_found_by_looking(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    answered(connection, "e1")
    registered(database, settings, write_version(tmp_path, "e2"))
    connection.execute("alter table coilflow.serving disable trigger serving_is_told")
    promote(connection, "e2", ANNA)
    answered(connection, "e2")
    assert version_of(serving) == ("e2", None)


def test_a_rollback_swaps_back(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    registered(database, settings, write_version(tmp_path, "e2"))
    promote(connection, "e2", ANNA)
    answered(connection, "e2")
    rollback(connection, ANNA)
    answered(connection, "e1", 2)
    assert version_of(serving) == ("e1", None)


def test_while_frozen_nothing_swaps_by_itself(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    registered(database, settings, write_version(tmp_path, "e2"))
    freeze(connection, ANNA)
    with pytest.raises(RegistryError, match="frozen"):
        promote(connection, "e2", JOB)
    promote(connection, "e2", ANNA)
    answered(connection, "e2")
    assert version_of(serving) == ("e2", None)


def test_a_plant_of_its_own_and_a_shadow_serve_beside_the_others(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    registered(database, settings, write_version(tmp_path, "e2"), write_version(tmp_path, "e3"))
    promote(connection, "e2", ANNA, plant="linz")
    shadow(connection, "e3", ANNA)
    answered(connection, "e2")
    [said] = answered(connection, "e3")
    assert said.role == "shadow"
    assert (version_of(serving, "linz"), version_of(serving, "graz")) == (("e2", None), ("e1", "e3"))
    rollback(connection, ANNA, plant="linz")
    promote(connection, "e3", ANNA)
    answered(connection, "e3", 2)
    wait_until(lambda: version_of(serving, "linz") == version_of(serving, "graz") == ("e3", None))


def test_a_restart_on_a_damaged_champion_serves_the_one_before(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    start("w1").stop()
    registered(database, settings, write_version(tmp_path, "e2"))
    promote(connection, "e2", ANNA)
    truncate(settings)
    assert version_of(start("w2")) == ("e1", None)
    [said] = answered(connection, "e2")
    assert (said.worker, said.outcome) == ("w2", "refused")


def test_an_ensemble_in_a_shared_store_is_copied_to_each_machine_and_a_damaged_copy_mended(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    first = write_version(tmp_path, "e1")
    store = (tmp_path / "store").as_uri()
    here, there = (settings_in(tmp_path / name, first, ensembles_uri=store) for name in ("here", "there"))
    with following(database, here, kind="kafka", worker="w1") as one:
        folder = write_version(tmp_path, "e2")
        (folder / "reference.json").write_text("{}")  # lies beside an ensemble and goes with it
        registered(database, here, folder)
        stored = ensemble(connection, "e2")
        assert stored is not None
        assert stored.location == f"{store}/e2"
        with following(database, there, kind="kafka", worker="w2") as other:
            promote(connection, "e2", ANNA)
            answered(connection, "e2", 2)
            assert [version_of(each) for each in (one, other)] == [("e2", None)] * 2
    kept(there, "e2").write_bytes(b"x")
    with following(database, there, kind="kafka", worker="w3") as again:
        assert version_of(again) == ("e2", None)
    assert kept(there, "e2").read_bytes() == kept(here, "e2").read_bytes()
    assert (there.data_dir / "ensembles" / "e2" / "reference.json").read_text() == "{}"


def test_a_worker_is_seen_while_it_tries_an_ensemble(
    start: Start,
    settings: Settings,
    connection: Connection,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start()
    registered(database, settings, write_version(tmp_path, "e2"))
    site, begun, go_on = (tmp_path / name for name in ("site", "begun", "go_on"))
    site.mkdir()
    os.mkfifo(go_on)
    (site / "sitecustomize.py").write_text(f"open({str(begun)!r}, 'w').close(); open({str(go_on)!r}).read()\n")
    with monkeypatch.context() as changed:
        changed.setenv("PYTHONPATH", str(site), prepend=":")
        promote(connection, "e2", ANNA)
        wait_until(begun.exists, 60.0)
        under_way = datetime.now(UTC)
        wait_until(lambda: workers(connection, since=under_way), 60.0)
        assert answers(connection, "e2") == ()
        go_on.write_text("")
        (site / "sitecustomize.py").unlink()  # on a busy machine the trial begins anew
        [said] = answered(connection, "e2")
    assert said.outcome == "swapped"


def test_a_restart_on_a_damaged_champion_says_so_once(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    start("w1").stop()
    registered(database, settings, write_version(tmp_path, "e2"), write_version(tmp_path, "e3"))
    promote(connection, "e2", ANNA)
    truncate(settings)
    again = start("w2")
    promote(connection, "e3", ANNA, plant="linz")  # once it serves, the registry was looked at again
    answered(connection, "e3")
    assert version_of(again) == ("e3", None)
    assert [(one.worker, one.outcome) for one in answers(connection, "e2")] == [("w2", "refused")]


def test_what_serves_on_another_machine_is_tried_here_all_the_same(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    start("w1").stop()
    registered(database, settings, write_version(tmp_path, "e2", off_by=0.01))  # on the other machine they fit
    promote(connection, "e2", ANNA)
    now = datetime.now(UTC)
    note_worker(connection, Worker(worker="far", host="another machine", kind="kafka", seen_at=now))
    said = SwapAnswer(
        worker="far", plant="", ensemble_version="e2", role="champion", outcome="swapped", reason="", at=now
    )
    answer(connection, said, name="line", announce=())
    assert version_of(start("w2")) == ("e1", None)
