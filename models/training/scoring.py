"""What a network says of coils, a few hundred at a time."""

from collections.abc import Callable
from itertools import chain

import numpy as np
import torch
from torch import nn

from models.networks import Network
from schemas.coils import Float32Array, FloatArray

_AT_ONCE = 256


def log_odds(network: nn.Module, coils: Float32Array) -> FloatArray:
    """Log-odds of NOK, float64 [N], of coils float32 [N, C, 264, 18]; the network is left in evaluation mode."""
    return _in_parts(network, network, coils).numpy().astype(np.float64)


def features(network: Network, coils: Float32Array) -> torch.Tensor:
    """Features float32 [N, D], on the CPU, of coils as for `log_odds`; the network is left in evaluation mode."""
    return _in_parts(network, network.features, coils)


def device_of(network: nn.Module) -> torch.device:
    """Where a network is: that of its parameters, or of its buffers where it has none."""
    first = next(chain(network.parameters(), network.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def _in_parts(network: nn.Module, of: Callable[[torch.Tensor], torch.Tensor], coils: Float32Array) -> torch.Tensor:
    network.eval()
    device = device_of(network)
    with torch.inference_mode():
        parts = [
            of(torch.from_numpy(coils[start : start + _AT_ONCE]).to(device)).cpu()
            for start in range(0, len(coils), _AT_ONCE)
        ]
        return torch.cat(parts)
