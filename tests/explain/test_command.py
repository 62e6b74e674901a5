"""`coilflow explain`: one coil of any source, in words, as JSON and as a picture."""

from pathlib import Path

import pytest
from PIL import Image

from tests.console.conftest import Coilflow, coilflow
from tests.explain.test_rest import thin_at_the_end
from tests.flows.given import coil, grey_row, write_grey, write_tables

__all__ = ["coilflow"]


@pytest.fixture
def source(thin_folder: Path) -> Path:
    return write_tables([coil("1"), thin_at_the_end(), coil("2", rows=1)], thin_folder / "line")


def test_the_words_name_the_place(source: Path, coilflow: Coilflow) -> None:
    ran = coilflow("explain", source, "--coil", "7")
    assert ran.code == 0
    summary, region = ran.out.splitlines()
    assert summary.startswith("coil 7: p(NOK) 0.")
    assert "bottom face" in region
    assert "sensors 1–3" in region


def test_json_is_one_object_that_adds_up(source: Path, coilflow: Coilflow) -> None:
    [said] = coilflow("explain", source, "--coil", "7", "--json").objects
    [verdict] = [one for one in coilflow("assess", source, "--json").objects if one["coil_id"] == "7"]
    assert said["base_p_nok"] == pytest.approx(verdict["p_nok"], abs=1e-5)
    assert said["judged_by"] is None
    assert said["regions"][0]["delta_p_nok"] > 0


def test_a_coil_in_its_band_says_that_nothing_speaks_for_nok(source: Path, coilflow: Coilflow) -> None:
    ran = coilflow("explain", source, "--coil", "1")
    assert ran.code == 0
    assert ran.out.splitlines() == ["coil 1: p(NOK) 0.05: no stretch of the coil speaks for NOK by itself"]


def test_a_picture_is_drawn(source: Path, thin_folder: Path, coilflow: Coilflow) -> None:
    for coil_id in ("7", "1"):
        assert coilflow("explain", source, "--coil", coil_id, "--out", "coil.png").code == 0
        with Image.open(thin_folder / "coil.png") as picture:
            assert picture.format == "PNG"


def test_a_coil_that_is_not_there_is_named_beside_some_that_are(source: Path, coilflow: Coilflow) -> None:
    ran = coilflow("explain", source, "--coil", "99")
    assert ran.code == 1
    assert ran.sentence() == f"error: {source} holds no coil 99; name one that it holds, such as 1, 7"


def test_a_coil_that_was_refused_says_why(source: Path, coilflow: Coilflow) -> None:
    ran = coilflow("explain", source, "--coil", "2")
    assert ran.code == 1
    assert "coil 2 of" in ran.sentence()
    assert "there is nothing to explain" in ran.sentence()


def test_a_scale_that_no_member_takes_is_an_error(thin_folder: Path, coilflow: Coilflow) -> None:
    grey = write_grey(thin_folder / "grey.parquet", [grey_row("1")])
    ran = coilflow("explain", grey, "--coil", "1")
    assert ran.code == 1
    assert "no member of ensemble l1 takes scale self" in ran.sentence()


@pytest.mark.parametrize("file", ["coil.jpg", "none/coil.png"])
def test_a_place_that_no_picture_can_have_is_wrong_use(source: Path, coilflow: Coilflow, file: str) -> None:
    ran = coilflow("explain", source, "--coil", "7", "--out", file)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
