"""The processors in an installation of NiFi: whole or not at all, with the packages that NiFi's Python can load."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.nifi.install import Packages, install, uninstall
from flows.nifi.nifi_home import parse_properties, read_home
from schemas.errors import UsageError
from tests.nifi.running import API, PROCESSORS, ROOT

ROOMS = ("schemas", "plant", "models", "store", "processors", "flows", "scheduler", "console")
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
COILFLOW = ("coilflow", "__editable__", "_editable_")


@pytest.fixture
def nifi_home(tmp_path: Path) -> Path:
    home = tmp_path / "nifi-2.9.0"
    (home / "conf").mkdir(parents=True)
    (home / "python" / "framework").mkdir(parents=True)
    (home / "python" / "extensions").mkdir()
    (home / "python" / "framework" / "Controller.py").touch()
    configure(home, f"nifi.python.command={sys.executable}")
    return home


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; what the wheel needs is linked, since pip would take half a minute."""
    home = tmp_path_factory.mktemp("coilflow")
    venv.create(home, with_pip=False)
    [packages] = (home / "lib").glob("python*/site-packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(COILFLOW) and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet", "--no-deps"]
    call([*pip, "--no-index", "--ignore-installed", str(wheel)])
    return home


def configure(home: Path, *lines: str) -> None:
    (home / "conf" / "nifi.properties").write_text("\n".join(["# NiFi", *lines, ""]))


def call(command: list[str], folder: Path = ROOT, **variables: str) -> str:
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("COILFLOW_", "PYTHON"))}
    done = subprocess.run(command, cwd=folder, env={**clean, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def coilflow(environment: Path, *arguments: str) -> str:
    return call([str(environment / "bin" / "coilflow"), *arguments], environment)


def listed(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    """A folder with what NiFi's Python has to load, and of our dependencies nothing but links."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(COILFLOW) and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    for room in ROOMS:
        (folder / room).symlink_to(ROOT / room)
    return Packages(folder=folder, version="0.1.0")


def test_an_installed_wheel_brings_its_processors_and_nifis_python_loads_each_with_nothing_else_on_its_path(
    environment: Path, nifi_home: Path
) -> None:
    told = json.loads(coilflow(environment, "nifi", "install", "--nifi-home", str(nifi_home), "--json"))
    folder = nifi_home / "python" / "extensions" / "coilflow"
    names = sorted(file.stem for file in PROCESSORS.glob("*.py"))
    assert (told["folder"], told["processors"]) == (str(folder), names)
    assert listed(folder) == sorted(["NAR-INF", *(f"{name}.py" for name in names)])
    bundled = folder / "NAR-INF" / "bundled-dependencies"
    assert bundled.resolve() == Path(told["packages"]).resolve()
    for name in names:
        program = f"import {name} as m, sys; m.{name}(jvm=None); import flows; print(flows.__file__, sys.flags.no_site)"
        path = os.pathsep.join(map(str, (API, folder, bundled)))
        said = call([sys.executable, "-S", "-c", program], nifi_home, PYTHONPATH=path).split()
        assert said == [f"{bundled}/flows/__init__.py", "1"]


def test_what_nifis_properties_need_is_told_until_they_have_it_and_they_are_never_written(
    nifi_home: Path, packages: Packages
) -> None:
    configure(nifi_home, "nifi.python.extensions.source.directory.default=./python/extensions")
    before = (nifi_home / "conf" / "nifi.properties").read_text()
    needs = install(nifi_home, packages).needs
    assert [need.name for need in needs] == [
        "nifi.python.command",
        "nifi.python.extensions.source.directory.coilflow",
    ]
    assert MINOR in needs[0].wanted or needs[0].wanted == sys.executable
    assert (nifi_home / "conf" / "nifi.properties").read_text() == before
    configure(nifi_home, *(f"{need.name}={need.wanted}" for need in needs))
    assert install(nifi_home, packages).needs == ()


def test_a_second_installation_takes_the_place_of_the_first_and_leaves_nothing_of_it(
    nifi_home: Path, packages: Packages
) -> None:
    first = install(nifi_home, packages)
    (first.folder / "Gone.py").touch()
    second = install(nifi_home, packages)
    extensions = nifi_home / "python" / "extensions"
    assert "Gone" not in second.processors
    assert [name.startswith(".coilflow-") for name in listed(extensions)] == [True, False]


def test_an_installation_that_was_broken_off_changes_nothing_and_is_cleared_by_the_next(
    nifi_home: Path, packages: Packages, tmp_path: Path
) -> None:
    install(nifi_home, packages)
    extensions = nifi_home / "python" / "extensions"
    before = (extensions / "coilflow").resolve()
    (extensions / ".coilflow-half" / "NAR-INF").mkdir(parents=True)
    (extensions / ".coilflow-half" / "link").symlink_to(".coilflow-half")
    assert (extensions / "coilflow").resolve() == before
    install(nifi_home, packages)
    assert len(listed(extensions)) == 2


def test_of_installations_at_once_one_is_whole_and_nothing_of_the_others_is_left(
    nifi_home: Path, packages: Packages
) -> None:
    configure(nifi_home)
    with ThreadPoolExecutor(8) as several:
        for done in [several.submit(install, nifi_home, packages) for _ in range(40)]:
            done.result()
    link = nifi_home / "python" / "extensions" / "coilflow"
    assert (link / "ScoreCoil.py").is_file()
    assert listed(link.parent) == sorted(["coilflow", link.readlink().name])


def test_another_user_can_read_what_one_with_a_strict_umask_installed(nifi_home: Path, packages: Packages) -> None:
    before = os.umask(0o077)
    try:
        folder = install(nifi_home, packages).folder
    finally:
        os.umask(before)
    shut = [one for one in (folder, *folder.rglob("*")) if not one.stat().st_mode & 0o004]
    assert shut == []


def test_uninstalling_leaves_nothing_and_twice_is_as_well_as_once(nifi_home: Path, packages: Packages) -> None:
    before = listed(nifi_home / "python" / "extensions")
    install(nifi_home, packages)
    assert uninstall(nifi_home)
    assert listed(nifi_home / "python" / "extensions") == before
    assert not uninstall(nifi_home)


def test_an_editable_installation_is_refused_with_the_way_out(nifi_home: Path, packages: Packages) -> None:
    editable = Packages(folder=packages.folder, version="0.1.0", editable=True)
    with pytest.raises(UsageError, match="editable") as refused:
        install(nifi_home, editable)
    assert "pip install coilflow" in refused.value.remedy
    assert listed(nifi_home / "python" / "extensions") == []


def test_a_checkout_by_pips_editable_mode_is_known_as_such(environment: Path, nifi_home: Path) -> None:
    [info] = (environment / "lib").glob("python*/site-packages/coilflow-*.dist-info")
    origin = info / "direct_url.json"
    before = origin.read_text()
    origin.write_text(json.dumps({"url": "file:///src/coilflow", "dir_info": {"editable": True}}))
    try:
        command = [str(environment / "bin" / "coilflow"), "nifi", "install", "--nifi-home", str(nifi_home)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        origin.write_text(before)
    assert done.returncode == 2
    assert "editable" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_minor_version_of_python_is_refused(nifi_home: Path, packages: Packages, tmp_path: Path) -> None:
    other = tmp_path / "python3.9"
    other.write_text("#!/bin/sh\necho cpython 3.9\n")
    other.chmod(0o755)
    configure(nifi_home, f"nifi.python.command={other}")
    with pytest.raises(UsageError, match=rf"is cpython 3\.9, and coilflow is installed for cpython {MINOR}"):
        install(nifi_home, packages)
    assert listed(nifi_home / "python" / "extensions") == []


@pytest.mark.parametrize("command", ["/nowhere/python3", "false"])
def test_a_python_that_does_not_run_is_refused(command: str, nifi_home: Path, packages: Packages) -> None:
    configure(nifi_home, f"nifi.python.command={command}")
    with pytest.raises(UsageError, match=command):
        install(nifi_home, packages)


def test_packages_that_nifis_python_cannot_load_are_refused(nifi_home: Path, packages: Packages) -> None:
    (packages.folder / "pyarrow").unlink()
    with pytest.raises(UsageError, match="No module named 'pyarrow'"):
        install(nifi_home, packages)


def test_what_stands_in_the_way_and_is_not_ours_is_left_alone(nifi_home: Path, packages: Packages) -> None:
    theirs = nifi_home / "python" / "extensions" / "coilflow"
    theirs.mkdir()
    (theirs / "Theirs.py").touch()
    for step in (lambda: install(nifi_home, packages), lambda: uninstall(nifi_home)):
        with pytest.raises(UsageError, match="not laid out by coilflow"):
            step()
    assert listed(theirs) == ["Theirs.py"]


def test_a_folder_that_is_no_nifi_or_has_no_python_is_refused(nifi_home: Path, packages: Packages) -> None:
    (nifi_home / "python" / "framework" / "Controller.py").unlink()
    with pytest.raises(UsageError, match="runs no Python"):
        install(nifi_home, packages)
    (nifi_home / "conf" / "nifi.properties").unlink()
    with pytest.raises(UsageError, match="is no NiFi"):
        install(nifi_home, packages)


def test_javas_properties_are_read_as_java_reads_them(nifi_home: Path) -> None:
    text = "# a=1\n! b=2\n c = 3 \nd:4\ne=f:\\\n   g\nhalf\nnifi.python.extensions.source.directory.x=/a\n"
    assert parse_properties(text) == {
        "c": "3", "d": "4", "e": "f:g", "nifi.python.extensions.source.directory.x": "/a",
    }  # fmt: skip
    configure(nifi_home, text)
    assert read_home(nifi_home).sources() == [Path("/a")]
