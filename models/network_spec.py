"""Which network a model is, and how it is built: what a specification says under `kind` and `network`."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from models.spec_part import SpecPart

YoloKind = Literal["yolov8n-cls", "yolov8s-cls", "yolov8m-cls", "yolov8l-cls", "yolov8x-cls"]
CnnKind = Literal["cnn3", "cnn4", "cnn5", "cnn6", "cnn7", "cnn8", "cnn9", "cnn10"]
SiameseKind = Literal["siamese3", "siamese4", "siamese5", "siamese6", "siamese7", "siamese8", "siamese9", "siamese10"]
RuleKind = Literal["rule", "rule-in-steps"]  # of what leaves the band; of grey levels in steps
NetworkKind = Literal[YoloKind, CnnKind, SiameseKind, "cnn1d", "vit", "anomaly", RuleKind]
Family = Literal["yolo", "cnn", "siamese", "cnn1d", "vit", "anomaly", "rule"]

OPTIONS: dict[Family, frozenset[str]] = {
    "yolo": frozenset({"input", "channels", "freeze", "weights"}),
    "cnn": frozenset({"input", "channels", "norm", "pooling", "dropout"}),
    "siamese": frozenset({"input", "channels", "norm", "pooling", "dropout", "references"}),
    "cnn1d": frozenset({"channels", "dropout"}),
    "vit": frozenset({"input", "channels", "dropout"}),
    "anomaly": frozenset({"components"}),
    "rule": frozenset(),
}
"""Which keys of `network` each family has."""


class NetworkOptions(SpecPart):
    """How a network is built; which keys a family has stands in `OPTIONS`."""

    input: Literal["native", "square"] = "native"  # 264 × 18 framed to 288 × 32, or its columns repeated to 264 × 264
    channels: Literal["matrix", "matrix_and_spread"] = "matrix"
    freeze: Annotated[int, Field(ge=0, le=9)] = 0  # of YOLOv8's ten blocks, from the input on
    weights: str = "none"  # none, ultralytics (downloaded), simulated (ours), or a .pt or .safetensors file
    norm: Literal["batch", "layer"] = "batch"
    pooling: Literal["average", "max"] = "average"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    references: Literal[1, 3] = 3  # KMeans centres per class that a Siamese network compares with
    components: Annotated[int, Field(ge=2, le=256)] = 32  # of the subspace that an anomaly detector spans


def family_of(kind: NetworkKind) -> Family:
    """The family of networks that a kind belongs to."""
    for family, kinds in (("yolo", YoloKind), ("cnn", CnnKind), ("siamese", SiameseKind), ("rule", RuleKind)):
        if kind in get_args(kinds):
            return family  # type: ignore[return-value]
    return kind  # type: ignore[return-value]


def conv_layers_of(kind: NetworkKind) -> int:
    """Convolutions of a CNN or Siamese encoder, 3 to 10; raises ValueError for other kinds."""
    for prefix in ("cnn", "siamese"):
        if kind.startswith(prefix) and kind.removeprefix(prefix).isdigit():
            return int(kind.removeprefix(prefix))
    raise ValueError(f"{kind} has no number of convolutions")
