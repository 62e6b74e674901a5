"""Promises of a training specification."""

from pathlib import Path

import pytest

from models.ensemble import SHIPPED
from models.spec import read_spec
from schemas.errors import SpecError

GOOD = "name: a\nkind: cnn10\ndata:\n  simulate: {coils: 100, seed: 1}\n"


def _read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    read_spec(path)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD + "epoch: 3\n", "epoch"),
        (GOOD + "epochs: 51\n", "epochs"),
        (GOOD.replace("cnn10", "cnn11"), "kind"),
        (GOOD.replace("seed: 1", "seed: x"), "data.simulate.seed"),
        (GOOD + "class_weight: {ok: 1, nok: -5}\n", "class_weight"),
        (GOOD + "augment: {mirror: 2}\n", "augment.mirror"),
        ("name: a\nkind: cnn10\ndata: {}\n", "data"),
        ("kind: cnn10\n", "name"),
        ("- a list\n", "the whole file"),
    ],
)
def test_a_wrong_key_is_named_in_one_sentence_with_a_remedy(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SpecError, match=rf"spec.yaml: key {key}") as caught:
        _read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["a: [", "\tx"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="is no YAML") as caught:
        _read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read_spec(tmp_path / "none.yaml")


def test_every_shipped_specification_is_one() -> None:
    names = [read_spec(path).name for path in sorted((SHIPPED.parent / "specs").glob("*.yaml"))]
    assert len(set(names)) == len(names) >= 4
