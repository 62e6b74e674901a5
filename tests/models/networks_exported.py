"""Untrained networks as bundles with features, for tests that need a graph and no skill."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from models.export import to_onnx
from models.network_spec import NetworkKind, NetworkOptions
from models.networks import build
from schemas.matrices import Scale
from tests.models.coils import random_matrix, write_plain_bundle

TEMPERATURE = 1.7


@cache
def untrained(kind: NetworkKind, options: NetworkOptions | None = None) -> bytes:
    """The graph of a network with random weights, exported with a temperature of 1.7."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(kind, options or NetworkOptions())
    return to_onnx(network, temperature=TEMPERATURE)


def write_untrained(
    folder: Path, model: bytes, *, scale: Scale = "limits", spec: dict[str, object] | None = None
) -> Path:
    """A bundle of a graph; its canaries expect nothing sensible."""
    return write_plain_bundle(folder, model, random_matrix(4), np.full(4, 0.5), kind="cnn10", scale=scale, spec=spec)
