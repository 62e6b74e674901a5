"""What a worker serves follows the registry, and nothing broken ever serves."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.change_models import promote as promote_after_trial
from flows.serving import Serving, following
from schemas.coils import Limits
from schemas.errors import BundleError, RegistryError
from schemas.settings import Settings
from store.connection import Connection
from store.registered import ensemble, model_changes
from store.registry import freeze, promote, register_ensemble, rollback, shadow
from store.swaps import SwapAnswer, Worker, answer, answers, note_worker, workers
from tests.models.coils import LIMITS
from tests.registry.given import new_ensemble as registry_ensemble
from tests.swap.given import (
    ANNA,
    JOB,
    answered,
    registered,
    settings_in,
    version_of,
    write_no_model,
    write_other_limits,
    write_slow,
    write_version,
)
from tests.waiting import wait_until

Start = Callable[..., Serving]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of one machine; e1 is its first ensemble."""
    return settings_in(tmp_path, write_version(tmp_path, "e1"))


@pytest.fixture
def start(database: str, settings: Settings) -> Iterator[Start]:
    """Starts workers; all are stopped at the end."""
    with ExitStack() as stack:

        def begin(worker: str = "w1", **other: object) -> Serving:
            mine = settings.model_copy(update=other)
            return stack.enter_context(following(database, mine, kind="kafka", worker=worker))

        yield begin


def kept(settings: Settings, version: str) -> Path:
    """The model of an ensemble in the data folder."""
    return settings.data_dir / "ensembles" / version / f"mean-{version}" / "model.onnx"


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


def _truncate(settings: Settings) -> None:
    file = kept(settings, "e2")
    file.write_bytes(file.read_bytes()[:-20])


def _remove(settings: Settings) -> None:
    kept(settings, "e2").unlink()


@pytest.mark.parametrize(("damage", "reason"), [(_truncate, "SHA-256 is"), (_remove, "cannot be read")])
def test_a_damaged_ensemble_is_refused_everywhere_and_the_old_one_goes_on(
    start: Start,
    settings: Settings,
    connection: Connection,
    database: str,
    tmp_path: Path,
    damage: Callable[[Settings], None],
    reason: str,
) -> None:
    both = [start("w1"), start("w2")]
    registered(database, settings, write_version(tmp_path, "e2"), write_version(tmp_path, "e3"))
    damage(settings)
    with pytest.raises(BundleError, match=reason):
        promote_after_trial(connection, "e2", settings, ANNA)
    assert answers(connection, "e2") == ()  # by the way of a person it does not even get into the registry
    promote(connection, "e2", ANNA)
    said = answered(connection, "e2", 2)
    assert {(one.worker, one.outcome) for one in said} == {("w1", "refused"), ("w2", "refused")}
    assert all(reason in one.reason for one in said)
    assert [version_of(one) for one in both] == [("e1", None)] * 2
    promote(connection, "e3", ANNA)
    answered(connection, "e3", 2)
    assert [version_of(one) for one in both] == [("e3", None)] * 2


@pytest.mark.parametrize("model", [b"this is no graph", b""])
def test_what_cannot_be_loaded_though_its_digests_are_right_is_refused(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path, model: bytes
) -> None:
    serving = start()
    registered(database, settings, write_no_model(tmp_path, "e2", model))
    promote(connection, "e2", ANNA)
    [said] = answered(connection, "e2")
    assert (said.outcome, "ONNX Runtime cannot load it" in said.reason) == ("refused", True)
    assert version_of(serving) == ("e1", None)


def test_canaries_that_are_off_are_refused(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    registered(database, settings, write_version(tmp_path, "e2", off_by=0.01))
    promote(connection, "e2", ANNA)
    [said] = answered(connection, "e2")
    assert (said.outcome, "differ from their golden outputs by 0.01" in said.reason) == ("refused", True)
    assert version_of(serving) == ("e1", None)


def test_a_graph_that_crashes_its_process_is_refused_and_the_worker_lives(
    start: Start,
    settings: Settings,
    connection: Connection,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving = start()
    registered(database, settings, write_version(tmp_path, "e2"))
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n")
    with monkeypatch.context() as changed:
        changed.setenv("PYTHONPATH", str(site), prepend=":")
        promote(connection, "e2", ANNA)
        [said] = answered(connection, "e2")
    assert (said.outcome, "crashed (signal SIGSEGV)" in said.reason) == ("refused", True)
    assert version_of(serving) == ("e1", None)


def test_a_slower_one_than_the_settings_allow_is_refused(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    registered(database, settings, write_slow(tmp_path, "e2"))
    promote(connection, "e2", ANNA)
    [said] = answered(connection, "e2")
    assert (said.outcome, "more than 3 times as long" in said.reason) == ("refused", True)
    assert version_of(serving) == ("e1", None)


def test_other_limits_are_refused_by_a_worker_whatever_the_registry_says(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    registered(database, settings, write_other_limits(tmp_path, "e2", Limits(low=-50.0, high=50.0)))
    with pytest.raises(RegistryError, match="its limits are"):
        promote(connection, "e2", ANNA)
    connection.execute("update coilflow.serving set champion = 'e2'")
    [said] = answered(connection, "e2")
    assert (said.outcome, "has the limits" in said.reason) == ("refused", True)
    assert version_of(serving) == ("e1", None)


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
    _truncate(settings)
    assert version_of(start("w2")) == ("e1", None)
    [said] = answered(connection, "e2")
    assert (said.worker, said.outcome) == ("w2", "refused")


def test_with_nothing_whole_to_serve_a_worker_does_not_start(
    start: Start, settings: Settings, connection: Connection
) -> None:
    start("w1").stop()
    file = kept(settings, "e1")
    file.write_bytes(b"x")
    with pytest.raises(BundleError, match=r"the champion e1 cannot be loaded \(.*SHA-256"):
        start("w2")


def test_a_fault_of_the_machine_is_told_like_any_other_where_nothing_can_be_loaded(
    start: Start, connection: Connection
) -> None:
    odd = "ü" * 200  # 400 bytes: no file system takes it as a name
    for version in ("older", odd):
        register_ensemble(connection, registry_ensemble(version), ANNA)
        promote(connection, version, ANNA)
    with pytest.raises(BundleError, match=r"the champion ü+ cannot be loaded, nor can older before it \(.+\)$") as told:
        start("w1")
    assert "\n" not in str(told.value)
    assert "coilflow models verify" in told.value.remedy


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


def test_a_fault_at_one_place_that_nobody_thought_of_stops_no_other(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    serving = start()
    odd = "ü" * 200  # 400 bytes: no file system takes it as a name
    register_ensemble(connection, registry_ensemble(odd, limits=LIMITS), ANNA)
    registered(database, settings, write_version(tmp_path, "e2"))
    promote(connection, odd, ANNA, plant="graz")
    promote(connection, "e2", ANNA, plant="linz")
    answered(connection, "e2")
    assert version_of(serving, "linz") == ("e2", None)
    assert version_of(serving, "graz") == ("e1", None)
    [said] = answered(connection, odd)
    assert (said.outcome, said.plant) == ("refused", "graz")
    assert said.reason.startswith("unreachable: OSError: ")


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
        [said] = answered(connection, "e2")
    assert said.outcome == "swapped"


def test_a_restart_on_a_damaged_champion_says_so_once(
    start: Start, settings: Settings, connection: Connection, database: str, tmp_path: Path
) -> None:
    start("w1").stop()
    registered(database, settings, write_version(tmp_path, "e2"), write_version(tmp_path, "e3"))
    promote(connection, "e2", ANNA)
    _truncate(settings)
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
