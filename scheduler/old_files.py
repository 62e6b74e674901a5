"""Files of this machine's data folder that nothing needs any more: the database keeps what an audit asks for."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import structlog

from flows.bundle_store import FOLDER as ENSEMBLES
from flows.bundle_store import drop_local, is_kept_elsewhere
from flows.retrain_process import FOLDER as RETRAINING
from flows.snapshot import FOLDER as SNAPSHOTS
from models.features import FOLDER as FEATURES
from scheduler.jobs import JobContext
from schemas.errors import BundleError
from schemas.settings import Settings
from store.connection import Connection
from store.leadership import fenced
from store.registered import StoredEnsemble, champions_before, ensembles, serving

_AT_ONCE = 100  # files while others wait for the leader
_OVER = ("retired", "rejected")
_log = structlog.stdlib.get_logger(__name__)


def remove_old_files(connection: Connection, context: JobContext, before: datetime) -> tuple[int, int]:
    """Remove snapshots, features, what trainings left, and copies of ensembles, that were last written before then.

    Kept are the snapshots of ensembles that serve, shadow, may yet, or served before those that do; features that a
    training has used since; and ensembles but those that are over, served before the last, and can be copied here again
    from `ensembles_uri`.

    Args:
        connection: not within a transaction.
        context: of the job.
        before: the time.

    Returns:
        How many files of the first three kinds, and how many ensembles.

    Raises:
        NotLeaderError: the run was given up; what was removed stays removed.
        StoreError: the database refused.
    """
    folder, files = context.settings.data_dir, 0
    old = [path for path in _files(folder) if _is_older(path, before)]
    for start in range(0, len(old), _AT_ONCE):
        if context.stop.is_set():
            return files, 0
        with fenced(connection, context.attempt_id):
            needed = {f"{one.snapshot_digest}.arrow" for one in _needed(connection)}
            files += sum(_gone(path) for path in old[start : start + _AT_ONCE] if path.name not in needed)
    return files, _remove_ensembles(connection, context, before)


def _files(folder: Path) -> Iterator[Path]:
    yield from (folder / SNAPSHOTS).glob("*")
    yield from (folder / FEATURES).glob("*/*")
    yield from (folder / RETRAINING).glob("*")


def _remove_ensembles(connection: Connection, context: JobContext, before: datetime) -> int:
    removed, settings = 0, context.settings
    needed = _needed_versions(connection)
    for one in ensembles(connection):
        folder = settings.data_dir / ENSEMBLES / one.version
        if context.stop.is_set() or one.version in needed or not _is_older(folder, before):
            continue
        if not _can_come_back(one, settings):  # read far away: not within the fence
            continue
        with fenced(connection, context.attempt_id):
            if one.version not in _needed_versions(connection):
                removed += _dropped(one, folder, settings)
    return removed


def _needed_versions(connection: Connection) -> set[str]:
    return {one.version for one in _needed(connection)}


def _dropped(one: StoredEnsemble, folder: Path, settings: Settings) -> bool:
    """Remove an ensemble's folder; one that cannot be is told and stays."""
    try:
        drop_local(one, settings)
    except OSError as error:
        _tell(folder, error)
        return False
    return True


def _can_come_back(one: StoredEnsemble, settings: Settings) -> bool:
    try:
        return is_kept_elsewhere(one, settings)
    except BundleError as error:
        _log.warning("an old ensemble is kept here", ensemble=one.version, reason=str(error), remedy=error.remedy)
        return False


def _needed(connection: Connection) -> list[StoredEnsemble]:
    """What serves, shadows, may yet, or is what a rollback goes back to."""
    before = {version for plant in serving(connection) for version in champions_before(connection, plant)[:1]}
    return [one for one in ensembles(connection) if one.state not in _OVER or one.version in before]


def _is_older(path: Path, before: datetime) -> bool:
    try:
        return path.stat().st_mtime < before.timestamp()
    except FileNotFoundError:  # a training was faster
        return False


def _gone(path: Path) -> bool:
    """Remove a file or a folder; one that cannot be is told and stays."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        _tell(path, error)
        return False
    return True


def _tell(path: Path, error: OSError) -> None:
    _log.warning("an old file cannot be removed", path=str(path), reason=error.strerror)
