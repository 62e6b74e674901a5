"""Our processors in an installation of NiFi: an extension folder that points at the coilflow that is installed."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from flows.nifi.nifi_home import COMMAND, MOST_PROCESSES, SOURCES, NifiHome, read_home
from schemas.errors import UsageError

_EXTENSIONS, _NAME = Path("python") / "extensions", "coilflow"
_LAID_OUT = ".coilflow-"  # before the folder that the link `coilflow` names
_CHECK_S = 120.0  # the first import of a cold disk
# What NiFi's Python says of itself, started as NiFi starts it for a folder with bundled dependencies.
_ASK = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
_IMPORT = "import flows.nifi.score_coil, flows.nifi.record_verdict"


@dataclass(frozen=True, kw_only=True, slots=True)
class Packages:
    """Where coilflow is installed, with all that it needs."""

    folder: Path  # site-packages
    version: str
    editable: bool = False  # NiFi's Python reads no .pth file, so it would not find it


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A line of `conf/nifi.properties` that is not as it has to be."""

    name: str
    wanted: str
    found: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """What an installation left behind."""

    folder: Path
    packages: Path
    version: str
    processors: tuple[str, ...]
    needs: tuple[Need, ...]  # until they are met, NiFi does not see the processors


def packages_of(installed: Distribution | None = None) -> Packages:
    """Where the coilflow that runs is installed."""
    found = installed or distribution("coilflow")
    origin = json.loads(found.read_text("direct_url.json") or "{}")  # PEP 610
    folder = Path(str(found.locate_file(""))).resolve()
    editable = bool(origin.get("dir_info", {}).get("editable", False))
    return Packages(folder=folder, version=found.version, editable=editable)


def install(nifi_home: Path, packages: Packages) -> Installed:
    """Lay out the extension folder, in place of one that is there.

    Until the new one is whole, NiFi sees the old one: a link is turned.

    Args:
        nifi_home: folder of NiFi.
        packages: as `packages_of` finds them.

    Raises:
        UsageError: no NiFi lies there, coilflow is installed so that NiFi's Python cannot load it, or what stands in
            the way is not ours.
    """
    home = read_home(nifi_home)
    _check_packages(packages)
    _check_python(home, packages)
    link = _link(home)
    link.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(link.parent):
        _is_there(link)
        folder = _laid_out(link.parent, packages)
        turned = folder / "link"
        turned.symlink_to(folder.name)
        turned.replace(link)
        _forget_others(link.parent, folder)
        names = tuple(sorted(file.stem for file in folder.glob("*.py")))
    return Installed(
        folder=link, packages=packages.folder, version=packages.version, processors=names, needs=tuple(needs_of(home))
    )


def uninstall(nifi_home: Path) -> bool:
    """Take the extension folder away; return whether there was one.

    Raises:
        UsageError: no NiFi lies there, or what stands there is not ours.
    """
    link = _link(read_home(nifi_home))
    if not link.parent.is_dir():
        return False
    with _alone_in(link.parent):
        there = _is_there(link)
        link.unlink(missing_ok=True)
        _forget_others(link.parent, None)
    return there


def needs_of(home: NifiHome) -> list[Need]:
    """Which lines of `conf/nifi.properties` have to change, so that NiFi loads the processors."""
    needs = []
    if home.python is None:
        needs.append(Need(name=COMMAND, wanted=_own_python(), found=None))
    link, name = _link(home), f"{SOURCES}{_NAME}"
    if link.resolve() not in {one.resolve() for one in home.sources()}:
        needs.append(Need(name=name, wanted=f"./{_EXTENSIONS / _NAME}", found=home.properties.get(name)))
    if home.properties.get(MOST_PROCESSES) == "0":
        needs.append(Need(name=MOST_PROCESSES, wanted="100", found="0"))
    return needs


def _check_packages(packages: Packages) -> None:
    if packages.editable:
        raise UsageError(
            "coilflow is installed editable, which NiFi's Python does not see",
            remedy="install it into an environment of its own, as by `python -m venv /opt/coilflow && "
            "/opt/coilflow/bin/pip install coilflow`, and run /opt/coilflow/bin/coilflow nifi install",
        )
    if not (packages.folder / "processors" / "nifi").is_dir():
        raise UsageError(
            f"{packages.folder} holds no processors for NiFi", remedy="install coilflow again, from its wheel"
        )


def _check_python(home: NifiHome, packages: Packages) -> None:
    if home.python is None:
        return
    wanted = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
    found = _said(home, packages, _ASK)
    if found != wanted:
        raise UsageError(
            f"{COMMAND}={home.python} is {found}, and coilflow is installed for {wanted}",
            remedy=f"install coilflow with {found.split()[-1]}, or set {COMMAND}={_own_python()}",
        )
    _said(home, packages, _IMPORT)


def _said(home: NifiHome, packages: Packages, program: str) -> str:
    """Run a program as NiFi's Python does, without site-packages of its own, and return what it printed."""
    remedy = f"set {COMMAND} in conf/nifi.properties to the Python by which coilflow was installed: {_own_python()}"
    command = [str(home.python), "-S", "-c", program]
    try:
        done = subprocess.run(  # noqa: S603 - the command that NiFi itself runs
            command,
            cwd=home.folder,
            env={**os.environ, "PYTHONPATH": str(packages.folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=_CHECK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{COMMAND}={home.python} does not run: {error}", remedy=remedy) from error
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"{COMMAND}={home.python} cannot load coilflow: {why}", remedy=remedy)
    return done.stdout.strip()


def _own_python() -> str:
    """The interpreter by which coilflow was installed: of the system rather than of the environment."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    base = Path(sys.base_prefix) / "bin" / name
    return str(base if base.exists() else sys.executable)


def _link(home: NifiHome) -> Path:
    return home.folder / _EXTENSIONS / _NAME


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let others who install wait, who would take what is not linked yet for what was left behind."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _is_there(link: Path) -> bool:
    """Whether we laid out something before; raises UsageError where what stands there is not ours."""
    if not link.is_symlink() and not link.exists():
        return False
    if link.is_symlink() and link.readlink().name.startswith(_LAID_OUT):
        return True
    raise UsageError(f"{link} is there and was not laid out by coilflow", remedy="move it away, then try again")


def _laid_out(where: Path, packages: Packages) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=_LAID_OUT, dir=where))
    for file in (packages.folder / "processors" / "nifi").glob("*.py"):
        shutil.copyfile(file, folder / file.name)
        (folder / file.name).chmod(0o644)
    (folder / "NAR-INF").mkdir()
    (folder / "NAR-INF" / "bundled-dependencies").symlink_to(packages.folder)
    for one in (folder, folder / "NAR-INF"):
        one.chmod(0o755)  # whatever the umask: NiFi may run as another user
    return folder


def _forget_others(where: Path, kept: Path | None) -> None:
    """Remove what an installation that was broken off left behind."""
    for folder in where.glob(f"{_LAID_OUT}*"):
        if folder != kept:
            shutil.rmtree(folder)
