"""The table of networks there are."""

from models.networks.cnn import TenLayerCnn
from models.networks.cnn1d import PilotCnn
from models.networks.contract import Network
from models.networks.yolo import YoloNano
from models.spec import NetworkKind

NETWORKS: dict[NetworkKind, type[Network]] = {"yolov8n-cls": YoloNano, "cnn10": TenLayerCnn, "cnn1d": PilotCnn}


def build(kind: NetworkKind) -> Network:
    """A network with fresh random weights, drawn from torch's global generator."""
    return NETWORKS[kind]()
