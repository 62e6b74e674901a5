"""YOLOv8-cls of Ultralytics on the native matrix; their network only, never their trainer or their predictor."""

import os
import tempfile
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from models.networks.contract import Network

_PAD_ROWS = (288 - 264) // 2
_PAD_COLUMNS = (32 - 18) // 2


class Yolo(Network):
    """YOLOv8-cls at 288 × 32: the matrix framed with 0, which is in band, in three channels.

    Ultralytics' own pipeline would centre-crop a coil to 18 of its rows (FACTS section 7).
    """

    input_form = "native_288x32"
    channels = 1

    def __init__(self, size: str) -> None:
        super().__init__()
        model = _classification_model(size)
        self.blocks = model.model[:-1]
        last = model.model[-1]
        self.neck = nn.Sequential(last.conv, last.pool, nn.Flatten(), last.drop)
        self.head = nn.Linear(last.linear.in_features, 1)

    def features(self, coils: torch.Tensor) -> torch.Tensor:
        """Pooled outputs of the last convolution, float32 [N, 1280]."""
        framed = pad(coils, (_PAD_COLUMNS, _PAD_COLUMNS, _PAD_ROWS, _PAD_ROWS))
        found: torch.Tensor = self.neck(self.blocks(framed.expand(-1, 3, -1, -1)))
        return found


def _classification_model(size: str) -> Any:  # noqa: ANN401 - Ultralytics is not typed
    """Build it offline, with Ultralytics' settings file in a scratch folder unless the user set another place."""
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    if "YOLO_CONFIG_DIR" not in os.environ:
        os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="coilflow-ultralytics-")
    from ultralytics.nn.tasks import ClassificationModel  # noqa: PLC0415 - reads the environment when imported

    return ClassificationModel(f"yolov8{size}-cls.yaml", ch=3, nc=2, verbose=False)  # type: ignore[no-untyped-call]
