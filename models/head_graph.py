"""The linear head of an ONNX graph: found, replaced, and left out of the graph's digest; with `onnx` alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import NodeProto, helper, numpy_helper

from models.bundle import FEATURES, OUTPUT, sha256
from models.heads import Head
from schemas.coils import FloatArray
from schemas.errors import BundleError

_WEIGHT, _BIAS = "coilflow.head.weight", "coilflow.head.bias"
_AXIS, _ODDS = "coilflow.head.axis", "coilflow.head.odds"
_SAME_VALUES = ("Squeeze", "Reshape", "Flatten", "Identity")  # change no log-odds on the way out
_REMEDY = "take a bundle of a classifier that `coilflow train` wrote (yolo, cnn, cnn1d, vit), or train it anew"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """Where the head stands, and what the graph does behind it, as to divide by a temperature."""

    node: NodeProto  # Gemm or MatMul
    features: str  # the value it takes
    width: int  # D
    slope: float  # what the graph does to the node's output on the way to the sigmoid: slope × output + shift
    shift: float


def replace_head(model: bytes, head: Head, *, place: Path) -> bytes:
    """A graph with the same features and another head.

    The graph divides its log-odds by the temperature it was exported with, and an int8 form corrects them. A head is
    calibrated already, so it goes in multiplied by that temperature and the division takes it back: no other node is
    touched, and the graph needs nothing more.

    Args:
        model: a serialised graph that ends in a linear head on `features`.
        head: of as many features as the graph gives.
        place: of the graph, for errors.

    Raises:
        BundleError: the graph has no such head (Siamese, anomaly detector, rule, or exported without features).
    """
    graph = _parsed(model, place)
    found = _find(graph, place)
    if found.width != len(head.weight):
        raise BundleError(
            f"{place}: its head takes {found.width} features, the new one {len(head.weight)}",
            remedy="compute the features with this very bundle",
        )
    weight = (head.weight / found.slope).astype(np.float32)[None, :]
    bias = np.array([(head.bias - found.shift) / found.slope], dtype=np.float32)
    node = helper.make_node(
        "Gemm", [found.features, _WEIGHT, _BIAS], list(found.node.output), found.node.name, transB=1
    )
    found.node.CopyFrom(node)
    used = {name for node in graph.graph.node for name in node.input} - {_WEIGHT, _BIAS}
    kept = [one for one in graph.graph.initializer if one.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(
        [*kept, numpy_helper.from_array(weight, _WEIGHT), numpy_helper.from_array(bias, _BIAS)]
    )
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def with_features(model: bytes, *, place: Path) -> bytes:
    """The same graph, which also gives the features that its linear head decides on; one that does is left as it is.

    Bundles written before graphs gave features can so have their heads retrained. The two log-odds of such a YOLOv8,
    of which one is subtracted from the other, become one head of the difference of their rows: the same sum.

    Args:
        model: a serialised graph.
        place: of the graph, for errors.

    Raises:
        BundleError: the graph does not end in a linear head.
    """
    graph = _parsed(model, place)
    if FEATURES in {one.name for one in graph.graph.output}:
        return model
    _as_one_head(graph)
    found = _head(graph, place)
    graph.graph.node.append(helper.make_node("Identity", [found.features], [FEATURES], FEATURES))
    shape = [graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param or "coils", found.width]
    graph.graph.output.append(helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, shape))
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def backbone_digest(model: bytes, *, place: Path) -> str:
    """SHA-256 of what gives the features: graphs that differ in their head and temperature alone have the same.

    Raises:
        BundleError: as `replace_head`.
    """
    graph = _parsed(model, place)
    found = _find(graph, place)
    needed = _upstream(graph, found.features)
    digest = [node.SerializeToString(deterministic=True) for node in needed]
    names = {name for node in needed for name in node.input}
    digest += [one.SerializeToString(deterministic=True) for one in graph.graph.initializer if one.name in names]
    return sha256(b"".join(digest))


def _parsed(model: bytes, place: Path) -> onnx.ModelProto:
    try:
        return onnx.load_model_from_string(model)
    except DecodeError as error:
        raise BundleError(f"{place} is no ONNX graph", remedy="restore it from a good copy") from error


def _find(graph: onnx.ModelProto, place: Path) -> _Found:
    if FEATURES not in {one.name for one in graph.graph.output}:
        raise BundleError(f"{place}: its graph gives no features", remedy="train it again with `coilflow train`")
    found = _head(graph, place)
    makers = {name: node for node in graph.graph.node for name in node.output}
    if _origin(found.features, makers) != _origin(FEATURES, makers):
        raise _no_head(place)
    return found


def _head(graph: onnx.ModelProto, place: Path) -> _Found:
    makers = {name: node for node in graph.graph.node for name in node.output}
    constants = _constants(graph)
    node = makers[OUTPUT]
    if node.op_type != "Sigmoid":
        raise _no_head(place)
    slope, shift = 1.0, 0.0
    while (step := makers.get(node.input[0])) is not None:
        factor = _scalar(constants, step.input[1]) if step.op_type in ("Div", "Mul", "Add") else None
        if factor is not None and step.op_type == "Add":
            shift += slope * factor
        elif factor is not None:
            slope = slope / factor if step.op_type == "Div" else slope * factor
        elif step.op_type not in _SAME_VALUES:
            break
        node = step
    width = _width(step, constants) if step is not None else None
    if step is None or width is None:
        raise _no_head(place)
    return _Found(node=step, features=step.input[0], width=width, slope=slope, shift=shift)


def _no_head(place: Path) -> BundleError:
    return BundleError(f"{place}: its graph does not end in one linear head on its features", remedy=_REMEDY)


def _as_one_head(graph: onnx.ModelProto) -> None:
    """Where one of two outputs of a head is subtracted from the other, let a head of one output give the difference."""
    makers = {name: node for node in graph.graph.node for name in node.output}
    constants = _constants(graph)
    for place, node in enumerate(graph.graph.node):
        picks = [makers[name] for name in node.input if name in makers and makers[name].op_type == "Gather"]
        if node.op_type != "Sub" or len(picks) != 2 or picks[0].input[0] != picks[1].input[0]:
            continue
        head = makers.get(picks[0].input[0])
        columns = [_column(pick, constants) for pick in picks]
        if head is None or head.op_type != "Gemm" or not _given(head).get("transB") or None in columns:
            continue
        weight, bias = (constants[name] for name in head.input[1:])
        more, less = (column for column in columns if column is not None)
        one_weight, one_bias = (weight[more] - weight[less])[None, :], (bias[more] - bias[less]).reshape(1)
        for name, value in ((_WEIGHT, one_weight), (_BIAS, one_bias), (_AXIS, np.array([1], dtype=np.int64))):
            graph.graph.initializer.append(numpy_helper.from_array(value, name))
        node.CopyFrom(helper.make_node("Squeeze", [_ODDS, _AXIS], list(node.output), node.name))
        graph.graph.node.insert(
            place, helper.make_node("Gemm", [head.input[0], _WEIGHT, _BIAS], [_ODDS], f"{node.name}.head", transB=1)
        )
        for unused in (*picks, head):
            graph.graph.node.remove(unused)
        return


def _width(node: NodeProto, constants: Mapping[str, FloatArray]) -> int | None:
    """How many features a node sums up to one number a coil; None where it does anything else."""
    if node.op_type not in ("Gemm", "MatMul"):
        return None
    given = _given(node)
    weight = constants.get(node.input[1])
    plain = not given.get("transA") and given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0
    across = 0 if given.get("transB") else 1
    return weight.size if plain and weight is not None and weight.ndim == 2 and weight.shape[across] == 1 else None


def _column(node: NodeProto, constants: Mapping[str, FloatArray]) -> int | None:
    """Which column [N] of a table [N, D] a Gather takes; None where it takes several, or rows."""
    index = constants.get(node.input[1])
    alone = index is not None and index.ndim == 0 and _given(node).get("axis") in (1, -1)
    return int(index) if index is not None and alone else None


def _given(node: NodeProto) -> dict[str, object]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _constants(graph: onnx.ModelProto) -> dict[str, FloatArray]:
    found = {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _scalar(constants: Mapping[str, FloatArray], name: str) -> float | None:
    value = constants.get(name)
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def _origin(name: str, makers: Mapping[str, NodeProto]) -> str:
    """The value that a chain of Identity nodes hands on."""
    while (node := makers.get(name)) is not None and node.op_type == "Identity":
        name = node.input[0]
    return name


def _upstream(graph: onnx.ModelProto, value: str) -> list[NodeProto]:
    """The nodes that a value follows from, in the graph's order."""
    wanted, needed = {value}, []
    for node in reversed(graph.graph.node):
        if wanted & set(node.output):
            needed.append(node)
            wanted |= set(node.input)
    return needed[::-1]
