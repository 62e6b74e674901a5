"""From a trained network to an ONNX graph that any batch of matrices goes through as it is."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from models.bundle import INPUT, OUTPUT
from models.networks import Network
from schemas.layout import MATRIX_SHAPE

OPSET = 18


class _Probability(nn.Module):
    """Probability of NOK, float32 [N], of matrices float32 [N, 264, 18]."""

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, matrix: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.network(matrix) / self.temperature)


def to_onnx(network: Network, *, temperature: float) -> bytes:
    """Export a network in evaluation mode as `matrix` float32 [N, 264, 18] -> `p_nok` float32 [N]."""
    model = _Probability(network, temperature).eval()
    example = torch.zeros((2, *MATRIX_SHAPE))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            (example,),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"matrix": {0: torch.export.Dim("coils", min=1)}},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        graph = onnx.load(path)
    return _without_traces(graph)


def torch_probability(network: Network, matrix: np.ndarray, *, temperature: float) -> np.ndarray:
    """What the exported graph must agree with: float32 [N] by torch itself."""
    with torch.inference_mode():
        return np.asarray(_Probability(network, temperature).eval()(torch.from_numpy(matrix)).numpy())


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
