"""Our YOLOv8 weights as a checkpoint that Ultralytics' own trainer begins with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.network_spec import NetworkKind, NetworkOptions
from models.networks import build
from models.networks.weights import load_weights
from models.networks.yolo import Yolo, prepare_ultralytics

NAMES = {0: "NOK", 1: "OK"}  # as Ultralytics numbers the folders of a class: by name


def ultralytics_state(network: Yolo) -> Mapping[str, torch.Tensor]:
    """The same network under Ultralytics' names, for images and two classes.

    An image is x = (s + 1) / 2 of a coil s, so that the first convolution of s is that of x with twice the weights,
    less the sum of the weights: the batch norm behind it takes that in. Only at the border of an image, which is
    padded with 0 where ours is in band, the two differ. Our one logit z becomes z/2 for NOK and -z/2 for OK, whose
    softmax is its sigmoid.

    Args:
        network: with one channel of coils, repeated to three.

    Returns:
        Tensors by the names of `ultralytics.nn.tasks.ClassificationModel`.
    """
    found = {_their_name(name): tensor.detach().clone() for name, tensor in network.state_dict().items()}
    first = found["model.0.conv.weight"]
    found["model.0.bn.running_mean"] += first.sum(dim=(1, 2, 3))
    found["model.0.conv.weight"] = 2 * first
    for part in ("weight", "bias"):
        logit = found[f"model.9.linear.{part}"]
        found[f"model.9.linear.{part}"] = torch.cat([logit, -logit]) / 2
    return found


def write_checkpoint(kind: NetworkKind, weights: Path, file: Path) -> str:
    """Write a `.pt` that `YOLO(file)` reads; returns a line that says which weights it holds.

    Raises:
        SpecError: the weights are not there, or of another network.
    """
    network = build(kind, NetworkOptions())
    assert isinstance(network, Yolo)
    given = load_weights(network, kind, str(weights))
    prepare_ultralytics()
    from ultralytics.models import YOLO  # noqa: PLC0415 - reads the environment when imported
    from ultralytics.nn.tasks import ClassificationModel  # noqa: PLC0415

    model: Any = YOLO(f"{kind}.yaml", verbose=False)
    ClassificationModel.reshape_outputs(model.model, len(NAMES))  # type: ignore[no-untyped-call]
    model.model.names = NAMES
    model.model.load_state_dict(ultralytics_state(network))
    model.save(file)
    return given.said()


def _their_name(name: str) -> str:
    for ours, theirs in (("neck.0.", "model.9.conv."), ("head.", "model.9.linear."), ("blocks.", "model.")):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise ValueError(f"{name} is no tensor of a YOLOv8 of ours")
