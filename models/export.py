"""From a trained network to an ONNX graph that any batch of matrices goes through as it is."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from models.bundle import FEATURES, INPUT, OUTPUT, SPREAD
from models.networks import Network
from schemas.layout import MATRIX_SHAPE

OPSET = 18


class _Served(nn.Module):
    """Probability of NOK, float32 [N], and features, float32 [N, D], of matrices and spreads float32 [N, 264, 18]."""

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, matrix: torch.Tensor, spread: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        coils = matrix.unsqueeze(1) if spread is None else torch.stack([matrix, spread], dim=1)
        features = self.network.features(coils)
        return torch.sigmoid(self.network.head(features).squeeze(1) / self.temperature), features


def to_onnx(network: Network, *, temperature: float) -> bytes:
    """Export a network in evaluation mode.

    The graph takes `matrix` and, where the network has two channels, `spread`, float32 [N, 264, 18], and gives
    `p_nok` float32 [N] and `features` float32 [N, D].
    """
    model = _Served(network, temperature).eval()
    names = (INPUT, SPREAD)[: network.channels]
    examples = tuple(torch.zeros((2, *MATRIX_SHAPE)) for _ in names)
    coils = torch.export.Dim("coils", min=1)  # named once: the exporter warns of a second name for the same size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            examples,
            path,
            input_names=list(names),
            output_names=[OUTPUT, FEATURES],
            dynamic_shapes={name: {0: coils if name == INPUT else torch.export.Dim.DYNAMIC} for name in names},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        graph = onnx.load(path)
    return _without_traces(graph)


def torch_probability(network: Network, coils: np.ndarray, *, temperature: float) -> np.ndarray:
    """What the exported graph must agree with: float32 [N] by torch itself, of coils float32 [N, C, 264, 18]."""
    with torch.inference_mode():
        return np.asarray(torch.sigmoid(network.eval()(torch.from_numpy(coils)) / temperature).numpy())


def _without_traces(graph: onnx.ModelProto) -> bytes:
    """Drop the exporter's notes (stack traces with paths of this machine) and serialise reproducibly."""
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*graph.graph.input, *graph.graph.output, *graph.graph.value_info, *graph.graph.initializer]:
        del value.metadata_props[:]
        value.doc_string = ""
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    del graph.graph.value_info[:]
    content: bytes = graph.SerializeToString(deterministic=True)
    return content
