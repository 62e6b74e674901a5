"""Nothing broken, slow or with other limits ever serves: it is refused with the reason, and the old one goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.change_models import promote as promote_after_trial
from schemas.coils import Limits
from schemas.errors import BundleError, RegistryError
from schemas.settings import Settings
from store.connection import Connection
from store.registry import promote, register_ensemble
from store.swaps import answers
from tests.models.coils import LIMITS
from tests.registry.given import new_ensemble as registry_ensemble
from tests.swap.given import (
    ANNA,
    Start,
    answered,
    kept,
    registered,
    truncate,
    version_of,
    write_no_model,
    write_other_limits,
    write_slow,
    write_version,
)


def _remove(settings: Settings) -> None:
    kept(settings, "e2").unlink()


@pytest.mark.parametrize(("damage", "reason"), [(truncate, "SHA-256 is"), (_remove, "cannot be read")])
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
