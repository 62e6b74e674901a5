"""Promises of initial weights: tensors are taken, code is never run, and what was taken is said."""

import hashlib
import os
import pickle
import subprocess
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from models.network_spec import NetworkOptions
from models.networks import Network, build
from models.networks.weights import SIMULATED, load_state, state_bytes
from models.networks.yolo import Yolo, prepare_ultralytics
from schemas.errors import BundleError, SpecError
from tests.models.coils import random_matrix

prepare_ultralytics()


def _yolo(seed: int, weights: Path | str = "none") -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build("yolov8n-cls", NetworkOptions(weights=str(weights))).eval()


def _ultralytics(classes: int = 7) -> nn.Module:
    from ultralytics.nn.tasks import ClassificationModel  # noqa: PLC0415 - reads the environment when imported

    with torch.random.fork_rng():
        torch.manual_seed(11)
        model: nn.Module = ClassificationModel("yolov8n-cls.yaml", ch=3, nc=classes, verbose=False)  # type: ignore[no-untyped-call]
    return model


def _backbone(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("head.")}


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_none_says_none() -> None:
    assert _yolo(0).initial_weights == "none"


def test_our_own_safetensors_give_the_very_same_network_and_their_digest_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(state_bytes(_yolo(1)))
    loaded = _yolo(2, path)
    assert _same(loaded.state_dict(), _yolo(1).state_dict())
    assert loaded.initial_weights == f"mine.safetensors, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_plain_state_dict_with_ultralytics_names_fills_all_but_the_head_and_says_so(tmp_path: Path) -> None:
    model = _ultralytics()
    torch.save(model.state_dict(), tmp_path / "plain.pt")
    loaded = _yolo(2, tmp_path / "plain.pt")
    theirs = list(model.state_dict().values())[:-2]
    assert all(torch.equal(a, b) for a, b in zip(_backbone(loaded).values(), theirs, strict=True))
    assert loaded.initial_weights.endswith("but head.weight, head.bias at random")


def test_an_ultralytics_checkpoint_is_read_without_building_what_it_names(tmp_path: Path) -> None:
    model = _ultralytics().half()
    model.names = {0: "OK"}  # type: ignore[assignment]
    checkpoint = {"epoch": -1, "ema": None, "model": model, "train_args": {"task": "classify"}, "at": Path("here")}
    torch.save(checkpoint | {"mode": nn.SiLU.forward, "bound": getattr(model, "forward")}, tmp_path / "theirs.pt")  # noqa: B009
    loaded = _yolo(2, tmp_path / "theirs.pt")
    theirs = [tensor.float() for tensor in list(model.state_dict().values())[:-2]]
    assert all(torch.equal(a.float(), b) for a, b in zip(_backbone(loaded).values(), theirs, strict=True))
    assert loaded.state_dict()["head.weight"].dtype == torch.float32


def test_the_score_follows_the_weights_that_were_loaded(tmp_path: Path) -> None:
    model = _ultralytics().eval()
    torch.save({"model": model}, tmp_path / "theirs.pt")
    loaded = _yolo(2, tmp_path / "theirs.pt")
    assert isinstance(loaded, Yolo)
    coils = torch.from_numpy(random_matrix(2))[:, None]
    with torch.inference_mode():
        image = nn.functional.pad(coils, (7, 7, 12, 12)).expand(-1, 3, -1, -1)
        theirs = model.model[-1].conv(model.model[:-1](image)).mean(dim=(2, 3))  # type: ignore[index, operator, union-attr]
        torch.testing.assert_close(loaded.features(coils), theirs)


class _Bomb:
    """Calls a function when an ordinary unpickler reads it."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __call__(self) -> None:
        """Callable, so that a pickler takes it for a function that the pickle makes itself."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


def _goes_off(path: Path, marker: Path) -> bool:
    """Whether an ordinary unpickler runs what is in it: that the bomb is a bomb."""
    assert not marker.exists()
    with suppress(TypeError, AttributeError):
        torch.load(path, weights_only=False)
    return marker.exists()


@pytest.mark.parametrize("hidden", ["beside", "inside"])
@pytest.mark.parametrize("function", [os.mkdir, subprocess.call, eval, exec])
def test_a_pickle_with_code_in_it_is_refused_and_does_nothing(tmp_path: Path, function: object, hidden: str) -> None:
    marker, path = tmp_path / "was-run", tmp_path / "bomb.pt"
    argument: object = f"__import__('os').mkdir({str(marker)!r})"
    if function is os.mkdir:
        argument = str(marker)
    elif function is subprocess.call:
        argument = ["mkdir", str(marker)]
    bomb = _Bomb(function, argument)
    state = _ultralytics().state_dict()
    inside = {"model": state | {"model.0.conv.weight": bomb}}
    torch.save(inside if hidden == "inside" else {"model": state, "extra": bomb}, path)
    with pytest.raises(SpecError) as refused:
        _yolo(0, path)
    assert "safetensors" in refused.value.remedy
    assert _goes_off(path, marker)


@pytest.mark.parametrize("function", ["numpy", "getattr"])
def test_code_behind_a_name_that_is_stood_in_for_does_nothing(tmp_path: Path, function: str) -> None:
    marker, path = tmp_path / "was-run", tmp_path / "bomb.pt"
    bomb = _Bomb(np.savetxt, str(marker), [1]) if function == "numpy" else _Bomb(_Bomb(getattr, Path, "touch"), marker)
    torch.save({"model": _ultralytics().state_dict(), "extra": bomb}, path)
    with suppress(SpecError):
        _yolo(0, path)
    assert _goes_off(path, marker)


def test_a_bare_pickle_is_refused_and_does_nothing(tmp_path: Path) -> None:
    marker, path = tmp_path / "was-run", tmp_path / "bare.pt"
    path.write_bytes(pickle.dumps(_Bomb(os.mkdir, str(marker))))
    with pytest.raises(SpecError, match="cannot be read as tensors"):
        _yolo(0, path)
    assert not marker.exists()


def _other_size(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return state | {"blocks.3.conv.weight": torch.zeros(2)}


def _not_finite(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return state | {"blocks.3.conv.weight": state["blocks.3.conv.weight"] * float("nan")}


@pytest.mark.parametrize(
    ("change", "said"),
    [(_other_size, "not of yolov8n-cls: it has no blocks.3.conv.weight"), (_not_finite, "not finite")],
)
def test_weights_of_another_network_or_of_a_broken_one_are_refused(tmp_path: Path, change: object, said: str) -> None:
    assert callable(change)
    safetensors.torch.save_file(change(_yolo(0).state_dict()), tmp_path / "w.safetensors")
    with pytest.raises(SpecError, match=said):
        _yolo(0, tmp_path / "w.safetensors")


def test_a_first_convolution_for_other_channels_is_left_at_random_and_said(tmp_path: Path) -> None:
    state = _yolo(0).state_dict() | {"blocks.0.conv.weight": torch.zeros(16, 1, 3, 3)}
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    assert _yolo(3, tmp_path / "w.safetensors").initial_weights.endswith("but blocks.0.conv.weight at random")


@pytest.mark.parametrize("name", ["absent.pt", "torn.pt", "torn.safetensors", "notes.txt", "empty.pt"])
def test_a_file_that_holds_no_weights_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"no weights at all")
    if name.startswith("empty"):
        torch.save({"model": OrderedDict(), "epoch": 3}, tmp_path / name)
    with pytest.raises(SpecError, match=name) as refused:
        _yolo(0, tmp_path / name)
    assert "\n" not in str(refused.value)
    assert refused.value.remedy


def test_without_a_network_ultralytics_weights_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing answers there
    with pytest.raises(SpecError, match=r"yolov8n-cls\.pt cannot be downloaded") as refused:
        _yolo(0, "ultralytics")
    assert "name the file" in refused.value.remedy


def test_ultralytics_weights_that_were_downloaded_before_are_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"model": _ultralytics(1000)}, folder / "yolov8n-cls.pt")
    assert _yolo(0, "ultralytics").initial_weights.startswith("yolov8n-cls.pt, SHA-256 ")


def test_simulated_weights_are_used_where_they_are_and_else_the_remedy_is_said() -> None:
    if (SIMULATED / "yolov8n-cls.safetensors").exists():
        assert _yolo(0, "simulated").initial_weights.startswith("yolov8n-cls.safetensors, SHA-256 ")
    with pytest.raises(SpecError, match="no weights of yolov8x-cls pre-trained on the simulated line") as refused:
        build("yolov8x-cls", NetworkOptions(weights="simulated"))
    assert "weights: none" in refused.value.remedy


def test_the_state_of_a_network_is_bytes_that_bring_it_back_and_are_always_the_same() -> None:
    first, other = build("siamese3", NetworkOptions()), build("siamese3", NetworkOptions())
    assert state_bytes(first) == state_bytes(first)
    load_state(other, state_bytes(first))
    assert _same(first.state_dict(), other.state_dict())


@pytest.mark.parametrize("state", [b"torn", state_bytes(build("cnn4", NetworkOptions()))])
def test_the_state_of_another_network_is_refused(state: bytes) -> None:
    with pytest.raises(BundleError, match="weights of a parent") as refused:
        load_state(build("cnn3", NetworkOptions()), state)
    assert "same kind" in refused.value.remedy
