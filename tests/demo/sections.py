"""An ensemble of one small model that judges a coil by its thinnest sections, made on the demonstration's line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pyarrow as pa
from onnx import TensorProto, helper

from flows.demo import LINE
from models.bundle import FEATURES, INPUT, OUTPUT
from models.ensemble import write_ensemble
from models.heads import fit_head, head_log_odds
from plant.line import simulate
from processors.assemble import assemble
from processors.normalize import normalize
from schemas.coils import BoolArray, Float32Array
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import tensor_values
from tests.models.coils import LIMITS, random_matrix, write_plain_bundle

ROWS, SENSORS = 132, 7  # of a section: half of the coil, most of a face
WIDTH = MATRIX_SHAPE[1] - SENSORS + 2  # features: the thinnest section of each strip, and of all
SPEC = {
    "class_weight": "balanced",
    "augment": {"mirror": 0.0, "noise": 0.001, "shift_rows": 0},
    "validation_share": 0.2,
    "holdout_share": 0.2,
}


def write_sections(folder: Path) -> Path:
    """The ensemble's folder; its model learnt from coils of the line before it drifts."""
    matrix, is_nok = _coils(320, seed=90)
    found = _features(matrix)
    cut = len(matrix) * 3 // 4
    none = np.empty((0, WIDTH), dtype=np.float32)
    head = fit_head(found[:cut], is_nok[:cut], none, found[cut:], is_nok[cut:], class_weight="balanced")
    canaries = random_matrix(4, seed=9)
    expected = 1 / (1 + np.exp(-head_log_odds(head, _features(canaries))))
    content = _graph(head.weight.astype(np.float32), float(head.bias))
    bundle = write_plain_bundle(
        folder / "made" / "sections", content, canaries, expected, kind="cnn5", scale="limits", spec=SPEC
    )
    out = folder / "ensemble"
    write_ensemble(out, name="line", version="first", members=[bundle], thresholds={"limits": 0.5}, limits=LIMITS)
    return out


def _coils(count: int, *, seed: int) -> tuple[Float32Array, BoolArray]:
    line = replace(LINE, gauge=replace(LINE.gauge, damaged_share=0.0))
    blocks = simulate(count, seed=seed, line=line)
    parts = [normalize(assemble(block.rows, block.headers).coils, LIMITS).batch for block in blocks]
    [batch] = pa.Table.from_batches(parts).combine_chunks().to_batches()
    return tensor_values(batch), np.array(batch.column("label").to_pylist()) == "NOK"


def _features(matrix: Float32Array) -> Float32Array:
    session = ort.InferenceSession(_graph(np.zeros(WIDTH, dtype=np.float32), 0.0))
    found: Float32Array = session.run([FEATURES], {INPUT: matrix})[0]
    return found


def _graph(weight: Float32Array, bias: float) -> bytes:
    nodes = [
        helper.make_node("Unsqueeze", [INPUT, "channel"], ["image"]),
        helper.make_node("AveragePool", ["image"], ["sections"], kernel_shape=[ROWS, SENSORS], strides=[ROWS // 11, 1]),
        helper.make_node("ReduceMin", ["sections", "along"], ["strips"], keepdims=0),
        helper.make_node("ReduceMin", ["sections", "everywhere"], ["thinnest"], keepdims=0),
        helper.make_node("Unsqueeze", ["thinnest", "channel"], ["column"]),
        helper.make_node("Concat", ["strips", "column"], [FEATURES], axis=1),
        helper.make_node("Gemm", [FEATURES, "weight", "bias"], ["odds"], transB=1),
        helper.make_node("Squeeze", ["odds", "channel"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], [OUTPUT]),
    ]
    shape: list[str | int | None] = ["coils", *MATRIX_SHAPE]
    graph = helper.make_graph(
        nodes,
        "sections",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["coils"]),
            helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["coils", WIDTH]),
        ],
        [
            helper.make_tensor("channel", TensorProto.INT64, [1], [1]),
            helper.make_tensor("along", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("everywhere", TensorProto.INT64, [3], [1, 2, 3]),
            helper.make_tensor("weight", TensorProto.FLOAT, [1, WIDTH], weight.tolist()),
            helper.make_tensor("bias", TensorProto.FLOAT, [1], [bias]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
