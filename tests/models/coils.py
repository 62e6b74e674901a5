"""Coils and bundles that the tests of this room share."""

from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from models.bundle import GOLDEN, INPUT, MODEL, OUTPUT, write_bundle
from schemas.bundles import BundleManifest, TrainingRecord
from schemas.coils import CoilKey, Float32Array, FloatArray, Limits
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import Scale, matrix_batch

LIMITS = Limits(low=-100.0, high=150.0)


def random_matrix(coils: int, seed: int = 0) -> Float32Array:
    """Mostly in-band matrices float32 [coils, 264, 18] in [-1, 1]."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (coils, *MATRIX_SHAPE)).clip(-1, 1)
    return np.where(rng.random(values.shape) < 0.6, 0, values).astype(np.float32)


def batch_of(matrix: Float32Array, scale: Scale = "limits") -> pa.RecordBatch:
    """A batch of MATRIX_BATCH around matrices."""
    size = len(matrix)
    return matrix_batch(
        keys=[CoilKey(plant="p", coil_id=str(i)) for i in range(size)],
        revisions=[f"{i:064x}" for i in range(size)],
        matrix=matrix,
        spread=np.zeros_like(matrix),
        observed=np.ones(size),
        scale=scale,
        columns={"limits_version": [LIMITS.version if scale == "limits" else None] * size},
    )


def mean_model(factor: float) -> bytes:
    """A graph whose `p_nok` is sigmoid(factor × mean of the matrix)."""
    shape: list[str | int | None] = ["coils", *MATRIX_SHAPE]
    nodes = [
        helper.make_node("ReduceMean", [INPUT, "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "factor"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["coils"])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("factor", TensorProto.FLOAT, [], [factor]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def write_mean_bundle(folder: Path, *, factor: float = -20.0, scale: Scale = "limits", off_by: float = 0.0) -> Path:
    """A bundle of `mean_model`; `off_by` is added to its golden outputs."""
    matrix = random_matrix(4, seed=9)
    expected = 1 / (1 + np.exp(-factor * matrix.mean(axis=(1, 2), dtype=np.float64))) + off_by
    return write_plain_bundle(folder, mean_model(factor), matrix, expected, kind="mean", scale=scale)


def write_plain_bundle(
    folder: Path,
    model: bytes,
    matrix: Float32Array,
    expected: FloatArray,
    *,
    kind: str,
    scale: Scale,
    spec: dict[str, object] | None = None,
) -> Path:
    """A bundle of any graph, whose canaries are these matrices with these outputs."""
    batch = batch_of(matrix, scale).append_column(OUTPUT, pa.array(expected))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    manifest = BundleManifest(
        name=folder.name,
        version="1",
        kind=kind,
        scale=scale,
        input_form="native_264x18",
        limits_version=LIMITS.version if scale == "limits" else None,
        threshold=0.5,
        metrics={},
        training=TrainingRecord(
            source="none", coils=0, nok=0, data_digest="0" * 64, spec=spec or {}, seed=0, weights="none"
        ),
        code_version="0",
        libraries={},
        files={},
    )
    write_bundle(folder, manifest=manifest, files={MODEL: model, GOLDEN: sink.getvalue().to_pybytes()})
    return folder
