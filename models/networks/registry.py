"""From a kind and its options to a network."""

from models.network_spec import NetworkKind, NetworkOptions, family_of
from models.networks.cnn import TenLayerCnn
from models.networks.cnn1d import PilotCnn
from models.networks.contract import Network
from models.networks.yolo import Yolo


def build(kind: NetworkKind, options: NetworkOptions) -> Network:
    """A network with fresh random weights, drawn from torch's global generator."""
    channels = 2 if options.channels == "matrix_and_spread" else 1
    match family_of(kind):
        case "yolo":
            return Yolo(kind.removeprefix("yolov8")[0])
        case "cnn1d":
            return PilotCnn(channels=channels, dropout=options.dropout)
        case _:
            return TenLayerCnn(channels=channels, dropout=options.dropout)
