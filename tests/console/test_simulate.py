"""Promises of `coilflow simulate`."""

from pathlib import Path

import pytest

from tests.console.conftest import Coilflow


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("form", "names"), [("tables", ["coils.csv", "tiles.csv", "truth.csv"]), ("events", ["events.jsonl"])]
)
def test_the_same_seed_gives_the_same_files_and_another_seed_others(
    coilflow: Coilflow, place: Path, form: str, names: list[str]
) -> None:
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        ran = coilflow("simulate", "--coils", 4, "--seed", seed, "--out", place / folder, "--format", form)
        assert (ran.code, ran.err) == (0, "")
    first, same, other = (content(place / name) for name in "abc")
    assert list(first) == names
    assert first == same
    assert first != other


def test_what_it_writes_can_be_assessed_whole(coilflow: Coilflow, place: Path) -> None:
    coilflow("simulate", "--coils", 6, "--out", place / "line")
    ran = coilflow("assess", place / "line", "--json")
    assert ran.code == 0
    assert len(ran.objects) == 6


def test_defects_can_be_asked_for(coilflow: Coilflow, place: Path) -> None:
    ran = coilflow("simulate", "--coils", 30, "--out", place / "line", "--defect-share", 1)
    assert "30 coils in" in ran.out
    assert ", 0 of them NOK" not in ran.out.replace("\n", " ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--coils", 0, "--out", "x"),
        ("--coils", 5),
        ("--out", "x"),
        ("--coils", 5, "--out", "x", "--format", "xlsx"),
        ("--coils", 5, "--out", "x", "--seed", -1),
        ("--coils", 5, "--out", "x", "--defect-share", 2),
        ("--coils", 5, "--out", "a-file"),
    ],
)
def test_wrong_use_is_one_sentence(coilflow: Coilflow, place: Path, arguments: tuple[object, ...]) -> None:
    (place / "a-file").write_bytes(b"")
    ran = coilflow("simulate", *arguments)
    assert ran.code == 2
    assert ran.sentence().startswith("error: ")
    assert not (place / "x").exists()
