"""What an ONNX graph needs before and after quantisation, so that int8 is faster and says the same."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from models.bundle import OUTPUT

_FEW_CHANNELS = 8
_SLOPE, _SHIFT = "coilflow.int8.slope", "coilflow.int8.shift"


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """Log-odds of a float graph, from those of its int8 form: `slope × log-odds + shift`."""

    slope: float
    shift: float


def pools_as_convolutions(graph: ModelProto) -> ModelProto:
    """Write average pools as convolutions of each channel by itself, which say the same.

    ONNX Runtime's int8 average pool takes as long as the convolutions around it (2.6 of 17 ms for the first of cnn10,
    sixteen coils, one thread); its int8 depthwise convolution takes a tenth of that.

    Args:
        graph: with shapes inferred; altered.
    """
    shapes = {one.name: [d.dim_value for d in one.type.tensor_type.shape.dim] for one in graph.graph.value_info}
    for number, node in enumerate(graph.graph.node):
        node.name = node.name or f"node{number}"
        given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        shape = shapes.get(node.input[0], []) if node.input else []
        if node.op_type != "AveragePool" or len(shape) < 3 or not shape[1] or not _plain(given):
            continue
        window = list(given["kernel_shape"])
        weight = np.full((shape[1], 1, *window), 1 / np.prod(window), dtype=np.float32)
        graph.graph.initializer.append(numpy_helper.from_array(weight, f"{node.name}.weight"))
        node.CopyFrom(
            helper.make_node(
                "Conv",
                [node.input[0], f"{node.name}.weight"],
                list(node.output),
                node.name,
                group=shape[1],
                kernel_shape=window,
                strides=list(given.get("strides", [1] * len(window))),
            )
        )
    return graph


def float_nodes(graph: ModelProto) -> list[str] | None:
    """The nodes to leave in float: the first convolution where it sees few channels, and all behind the last one.

    Int8 is six times slower in a convolution of one to three input channels (0.5 and 3.3 of 17 ms for the first of
    cnn10, sixteen coils, one thread). What stands behind the last convolution decides, and costs nothing. None where
    fewer than two convolutions leave nothing to gain.

    Args:
        graph: its nodes have names and stand in topological order.
    """
    nodes = list(graph.graph.node)
    places = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    if len(places) < 2:
        return None
    needed = _upstream(nodes, places)
    weights = {one.name: one.dims for one in graph.graph.initializer}
    channels = weights.get(nodes[places[0]].input[1], [0, 0])[1]
    begin = places[1] if channels < _FEW_CHANNELS else places[0]
    return [node.name for place, node in enumerate(nodes) if place < begin or place not in needed]


def corrected(model: bytes, correction: Correction) -> bytes:
    """The same graph with its log-odds corrected before the sigmoid; a graph that ends in none is left as it is."""
    graph = onnx.load_model_from_string(model)
    nodes = graph.graph.node
    place = next((p for p, node in enumerate(nodes) if OUTPUT in node.output), None)
    if place is None or nodes[place].op_type != "Sigmoid":
        return model
    odds = nodes[place].input[0]
    nodes[place].input[0] = f"{_SHIFT}.odds"
    nodes.insert(place, helper.make_node("Add", [f"{_SLOPE}.odds", _SHIFT], [f"{_SHIFT}.odds"], _SHIFT))
    nodes.insert(place, helper.make_node("Mul", [odds, _SLOPE], [f"{_SLOPE}.odds"], _SLOPE))
    for name, value in ((_SLOPE, correction.slope), (_SHIFT, correction.shift)):
        graph.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def _plain(given: dict[str, object]) -> bool:
    """Whether a pool neither pads nor rounds up, so that each window is whole."""
    pads = given.get("pads", [0])
    padded = any(pads) if isinstance(pads, list) else True
    dilated = given.get("dilations", [1])
    spread = any(one != 1 for one in dilated) if isinstance(dilated, list) else True
    return not padded and not spread and not given.get("ceil_mode") and given.get("auto_pad", b"NOTSET") == b"NOTSET"


def _upstream(nodes: list[NodeProto], places: list[int]) -> set[int]:
    """Places of the nodes that any of the given ones follows from, themselves included."""
    wanted: set[str] = set()
    needed: set[int] = set()
    for place in range(len(nodes) - 1, -1, -1):
        if place in places or wanted & set(nodes[place].output):
            needed.add(place)
            wanted |= set(nodes[place].input)
    return needed
