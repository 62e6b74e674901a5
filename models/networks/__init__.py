"""Networks by name; importing one imports torch, so the serving side never does."""

from models.networks.contract import Network
from models.networks.registry import build

__all__ = ["Network", "build"]
