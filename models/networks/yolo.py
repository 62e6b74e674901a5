"""YOLOv8-cls of Ultralytics; their network only, never their trainer or their predictor."""

import atexit
import os
import shutil
import tempfile
from typing import Any

import torch
from torch import nn

from models.network_spec import NetworkOptions
from models.networks.contract import Network, channels_of
from models.networks.inputs import framed, squared, three_channels


class Yolo(Network):
    """YOLOv8-cls on the framed or the square coil in three channels, its first blocks frozen as the options say.

    Ultralytics' own pipeline would centre-crop a coil to 18 of its rows (FACTS section 7). Blocks count as
    Ultralytics counts them, model.0 to model.9; the tenth holds the neck and the head, which are always trained.
    Frozen blocks get no gradient and stay in evaluation mode, so that their batch norm keeps its statistics.
    """

    def __init__(self, size: str, options: NetworkOptions) -> None:
        super().__init__()
        self.channels = channels_of(options)
        self.square = options.input == "square"
        self.input_form = "square_264x264" if self.square else "native_288x32"
        model = _classification_model(size)
        self.blocks: nn.Sequential = model.model[:-1]
        last = model.model[-1]
        self.neck = nn.Sequential(last.conv, last.pool, nn.Flatten(), last.drop)
        self.head = nn.Linear(last.linear.in_features, 1)
        self.frozen_blocks = options.freeze
        self.blocks[: self.frozen_blocks].requires_grad_(requires_grad=False)
        self.train()

    def train(self, mode: bool = True) -> "Yolo":  # noqa: FBT001, FBT002 - as torch defines it
        """Set training mode everywhere but in the frozen blocks."""
        super().train(mode)
        self.blocks[: self.frozen_blocks].eval()
        return self

    def frozen_part(self, coils: torch.Tensor) -> torch.Tensor:
        """What the frozen blocks give, float32 [N, maps, rows, columns]: it never changes, so it can be kept.

        With nine blocks frozen that is 256 maps of 9 × 1 of a native coil in size n. With none it is the input.
        """
        image = three_channels(squared(coils) if self.square else framed(coils))
        found: torch.Tensor = self.blocks[: self.frozen_blocks](image)
        return found

    def trained_part(self, maps: torch.Tensor) -> torch.Tensor:
        """Features, float32 [N, 1280], of what `frozen_part` gave."""
        found: torch.Tensor = self.neck(self.blocks[self.frozen_blocks :](maps))
        return found

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """Pooled outputs of the last convolution, float32 [N, 1280]."""
        return self.trained_part(self.frozen_part(coils))


def prepare_ultralytics() -> None:
    """Keep Ultralytics quiet, and its settings file in a scratch folder unless the user set another place."""
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    if "YOLO_CONFIG_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="coilflow-ultralytics-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["YOLO_CONFIG_DIR"] = folder


def _classification_model(size: str) -> Any:  # noqa: ANN401 - Ultralytics is not typed
    prepare_ultralytics()
    from ultralytics.nn.tasks import ClassificationModel  # noqa: PLC0415 - reads the environment when imported

    return ClassificationModel(f"yolov8{size}-cls.yaml", ch=3, nc=2, verbose=False)  # type: ignore[no-untyped-call]
