"""From a kind and its options to a network."""

from collections.abc import Callable

from models.network_spec import Family, NetworkKind, NetworkOptions, conv_layers_of, family_of
from models.networks.anomaly import AnomalyDetector
from models.networks.cnn import Cnn
from models.networks.cnn1d import PilotCnn
from models.networks.contract import Network
from models.networks.rule import Rule
from models.networks.siamese import Siamese
from models.networks.steps_rule import StepsRule
from models.networks.vit import VisionTransformer
from models.networks.yolo import Yolo


def build(kind: NetworkKind, options: NetworkOptions) -> Network:
    """A network with random weights, drawn from torch's global generator, and the initial weights its options name.

    Raises:
        SpecError: the initial weights are not there, or not those of this kind.
    """
    return _BUILDERS[family_of(kind)](kind, options)


def _yolo(kind: NetworkKind, options: NetworkOptions) -> Yolo:
    network = Yolo(kind.removeprefix("yolov8")[0], options)
    if options.weights != "none":
        from models.networks.weights import load_weights  # noqa: PLC0415 - needs more libraries than the network

        network.initial_weights = load_weights(network, kind, options.weights).said()
    return network


_BUILDERS: dict[Family, Callable[[NetworkKind, NetworkOptions], Network]] = {
    "yolo": _yolo,
    "cnn": lambda kind, options: Cnn(conv_layers_of(kind), options),
    "siamese": lambda kind, options: Siamese(conv_layers_of(kind), options),
    "cnn1d": lambda _, options: PilotCnn(options),
    "vit": lambda _, options: VisionTransformer(options),
    "anomaly": lambda _, options: AnomalyDetector(options.components),
    "rule": lambda kind, _: StepsRule() if kind == "rule-in-steps" else Rule(),
}
