"""What housekeeping removes of scores, checks and files, and that it never takes what anybody may still need."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from structlog.testing import capture_logs

from flows.bundle_store import local_copy
from flows.change_models import new_ensemble
from flows.score_models import score_models
from scheduler.housekeeping import housekeeping
from schemas.loop_settings import ScheduleSettings
from schemas.settings import Settings
from store import registry
from store.connection import Connection
from store.drift import DriftCheck, latest_drift_checks, store_drift_check
from store.idempotency import KeptAnswer, KeyedRequest, Lease, claim, keep
from store.registry_steps import known_ensemble
from store.scores import latest_scores
from tests.retraining.given import ANNA, NOON, leading, run
from tests.scheduler.given import rows
from tests.scores.given import decide, decided, say
from tests.swap.given import write_version

DAY = timedelta(days=1)
LATER = NOON + 500 * DAY
DIGESTS = {version: letter * 64 for version, letter in zip(("v1", "v2", "v3", "v4"), "abcd", strict=True)}


def keep_house(dsn: str, given: Settings, now: datetime) -> str:
    with leading(dsn) as epoch:
        return run(dsn, given, housekeeping, "housekeeping", epoch=epoch, now=now)


def test_scores_and_checks_that_newer_ones_replaced_go_and_the_newest_of_each_stay(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = Settings(data_dir=tmp_path, schedule=ScheduleSettings(scores_days=400))
    decide(connection, *(decided(str(coil), 0.9) for coil in range(4)))
    for coil, days in (("0", 1), ("1", 2), ("2", 3)):
        say(connection, coil, "NOK" if coil != "1" else "OK")
        score_models(connection, given, NOON + days * DAY)
    for plant, days in (("linz", 1), ("linz", 2), ("graz", 1), ("linz", 499)):
        store_drift_check(connection, check(plant, NOON + days * DAY))
    newest, pilot = latest_scores(connection), "select * from coilflow.mperformance order by mname"
    dashboard, all_scores = rows(connection, pilot), len(rows(connection, "select 1 from coilflow.model_scores"))
    assert dashboard
    assert all_scores > len(newest)

    said = keep_house(database, given, LATER)
    old_scores = f"{all_scores - len(newest)} old scores"
    assert said == f"deleted {old_scores}, 1 old drift checks, 4 changes that event streams told"
    assert latest_scores(connection) == newest
    assert rows(connection, pilot) == dashboard
    assert len(rows(connection, "select 1 from coilflow.model_scores")) == len(newest)
    assert [(one.plant, one.checked_at) for one in latest_drift_checks(connection)] == [
        ("graz", NOON + DAY),
        ("linz", NOON + 499 * DAY),
    ]
    assert keep_house(database, given, LATER + DAY) == "deleted nothing"


def test_answers_kept_for_repeated_requests_go_after_their_day(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    asked = KeyedRequest(caller="anna", route="POST /here", key="4711", body_sha256=b"1" * 32)
    with connection.transaction():
        lease = claim(connection, asked)
        assert isinstance(lease, Lease)
        assert keep(connection, asked, lease, KeptAnswer(status=200, location=None, body=b"{}"))
    given, now = Settings(data_dir=tmp_path), datetime.now(UTC)
    assert keep_house(database, given, now) == "deleted nothing"
    assert keep_house(database, given, now + DAY) == "deleted 1 kept answers of the console"


def test_files_go_once_nothing_needs_them_and_only_where_they_can_come_back(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = Settings(
        data_dir=tmp_path / "data", threads=1, ensembles_uri=(tmp_path / "shared").as_uri(), ensemble=tmp_path / "none"
    )
    succeed(connection, given, tmp_path, ("v1", "v2", "v3", "v4"))
    folders = {version: given.data_dir / "ensembles" / version for version in DIGESTS}
    files = {digest: touched(given.data_dir / "snapshots" / f"{digest}.arrow") for digest in DIGESTS.values()}
    foreign = touched(given.data_dir / "snapshots" / f"{'e' * 64}.arrow")
    features = touched(given.data_dir / "features" / "backbone" / "used.arrow")
    unused = touched(given.data_dir / "features" / "backbone" / "unused.arrow")
    left = touched(given.data_dir / "retraining" / "7" / "model.onnx")
    for path in (*folders.values(), *files.values(), foreign, unused, left.parent):
        aged(path, LATER - 91 * DAY)
    aged(features, LATER - 89 * DAY)

    assert (
        keep_house(database, given, LATER)
        == "deleted 11 changes that event streams told, 5 old files, 2 copies of old ensembles"
    )
    assert [version for version, folder in folders.items() if folder.exists()] == ["v3", "v4"]  # v3: the one before
    assert [digest[0] for digest, path in files.items() if path.exists()] == ["c", "d"]
    assert (foreign.exists(), features.exists(), unused.exists(), left.parent.exists()) == (False, True, False, False)
    assert keep_house(database, given, LATER + DAY) == "deleted nothing"

    assert local_copy(known_ensemble(connection, "v1"), given) == folders["v1"]  # it came back


def test_the_only_copy_of_an_ensemble_is_never_removed(database: str, connection: Connection, tmp_path: Path) -> None:
    alone = Settings(data_dir=tmp_path / "data", threads=1, ensemble=tmp_path / "none")
    in_place = alone.model_copy(update={"ensembles_uri": (alone.data_dir / "ensembles").as_uri()})
    shared = alone.model_copy(update={"ensembles_uri": (tmp_path / "shared").as_uri()})
    succeed(connection, alone, tmp_path, ("v1",))
    succeed(connection, in_place, tmp_path, ("v2",))
    succeed(connection, shared, tmp_path, ("v3", "v4", "v5", "v6"))
    (tmp_path / "shared" / "v3" / "ensemble.json").unlink()
    for graph in (tmp_path / "shared" / "v4").rglob("model.onnx"):
        graph.write_bytes(b"altered")
    folders = [alone.data_dir / "ensembles" / f"v{number}" for number in range(1, 7)]
    for folder in folders:
        aged(folder, LATER - 91 * DAY)
    assert keep_house(database, shared, LATER) == "deleted 17 changes that event streams told"
    assert all(folder.exists() for folder in folders)


def test_a_copy_that_is_needed_is_not_read_far_away_and_one_that_cannot_be_removed_is_told(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = Settings(
        data_dir=tmp_path / "data", threads=1, ensembles_uri=(tmp_path / "shared").as_uri(), ensemble=tmp_path / "none"
    )
    succeed(connection, given, tmp_path, ("v1", "v2", "v3", "v4"))
    (tmp_path / "shared" / "v3" / "ensemble.json").unlink()  # of the one before: whoever reads it complains
    folders = [given.data_dir / "ensembles" / f"v{number}" for number in range(1, 5)]
    for folder in folders:
        aged(folder, LATER - 91 * DAY)
    touched(given.data_dir / "ensembles" / ".v1.gone")  # a file in the way of the folder
    with capture_logs() as logs:
        assert (
            keep_house(database, given, LATER)
            == "deleted 11 changes that event streams told, 1 copies of old ensembles"
        )
    assert [folder.name for folder in folders if folder.exists()] == ["v1", "v3", "v4"]
    assert [(one["event"], one.get("path")) for one in logs] == [("an old file cannot be removed", str(folders[0]))]


def check(plant: str, at: datetime) -> DriftCheck:
    return DriftCheck(
        checked_at=at, plant=plant, ensemble_version="e1", coils=500, drifted=False, sentence="no drift", figures={}
    )


def succeed(connection: Connection, given: Settings, folder: Path, versions: Sequence[str]) -> None:
    """Register ensembles, each promoted in the place of the one before."""
    for version in versions:
        new = new_ensemble(write_version(folder, version), given)
        new = replace(new, snapshot_digest=DIGESTS.get(version))
        registry.register_ensemble(connection, new, ANNA)
        registry.promote(connection, version, ANNA)


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def aged(path: Path, at: datetime) -> None:
    os.utime(path, (at.timestamp(), at.timestamp()))
