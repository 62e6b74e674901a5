"""YOLOv8n-cls of Ultralytics on the native matrix; their network only, never their trainer or their predictor."""

import os
import tempfile
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import pad

from models.networks.contract import Network

_PAD_ROWS = (288 - 264) // 2
_PAD_COLUMNS = (32 - 18) // 2


class YoloNano(Network):
    """YOLOv8n-cls with two classes at 288 × 32: the matrix framed with 0, which is in band, in three channels.

    Ultralytics' own pipeline would centre-crop a coil to 18 of its rows (FACTS section 7).
    """

    input_form: ClassVar[str] = "native_288x32"

    def __init__(self) -> None:
        super().__init__()
        self.network = _classification_model()

    def forward(self, matrix: torch.Tensor) -> torch.Tensor:
        """Log-odds of NOK, float32 [N]: the difference of the two classes' logits."""
        framed = pad(matrix.unsqueeze(1), (_PAD_COLUMNS, _PAD_COLUMNS, _PAD_ROWS, _PAD_ROWS))
        output = self.network(framed.expand(-1, 3, -1, -1))
        logits: torch.Tensor = output if self.training else output[1]
        return logits[:, 1] - logits[:, 0]


def _classification_model() -> nn.Module:
    """Build it offline, with Ultralytics' settings file in a scratch folder unless the user set another place."""
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    if "YOLO_CONFIG_DIR" not in os.environ:
        os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="coilflow-ultralytics-")
    from ultralytics.nn.tasks import ClassificationModel  # noqa: PLC0415 - reads the environment when imported

    model: nn.Module = ClassificationModel("yolov8n-cls.yaml", ch=3, nc=2, verbose=False)  # type: ignore[no-untyped-call]
    return model
