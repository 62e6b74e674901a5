"""Ensembles whose explanation is known: members that weigh every cell."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.bundle import INPUT, OUTPUT
from models.ensemble import Ensemble, load_ensemble, write_ensemble
from schemas.coils import Float32Array
from schemas.layout import MATRIX_COLUMNS, MATRIX_ROWS, MATRIX_SHAPE
from schemas.matrices import Scale
from tests.models.coils import LIMITS, write_plain_bundle

_CELLS = MATRIX_ROWS * MATRIX_COLUMNS


def linear_model(weights: Float32Array, bias: float) -> bytes:
    """A graph whose log-odds are the weighted sum of the matrix, and a bias."""
    shape: list[str | int | None] = ["coils", *MATRIX_SHAPE]
    nodes = [
        helper.make_node("Reshape", [INPUT, "flat"], ["cells"]),
        helper.make_node("MatMul", ["cells", "weights"], ["sums"]),
        helper.make_node("Squeeze", ["sums", "last"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["coils"])],
        [
            helper.make_tensor("flat", TensorProto.INT64, [2], [-1, _CELLS]),
            helper.make_tensor("last", TensorProto.INT64, [1], [1]),
            helper.make_tensor("bias", TensorProto.FLOAT, [], [bias]),
            numpy_helper.from_array(weights.reshape(_CELLS, 1).astype(np.float32), "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def linear_ensemble(
    folder: Path, *weights: Float32Array, bias: float = 0.0, scales: tuple[Scale, ...] = ()
) -> Ensemble:
    """An ensemble of linear members, of scale `limits` unless said otherwise."""
    made = []
    coils = np.zeros((2, *MATRIX_SHAPE), dtype=np.float32)
    expected = np.full(2, 1 / (1 + np.exp(-bias)))
    for number, one in enumerate(weights):
        scale = scales[number] if scales else "limits"
        path = folder / "made" / f"linear-{number}"
        made.append(write_plain_bundle(path, linear_model(one, bias), coils, expected, kind="linear", scale=scale))
    write_ensemble(
        folder / "ensemble",
        name="linear",
        version="l1",
        members=made,
        thresholds={"limits": 0.5, "self": 0.5},
        limits=LIMITS,
    )
    return load_ensemble(folder / "ensemble", threads=1)
