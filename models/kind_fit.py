"""Fit a kind model: multinomial logistic regression on known places, as an ONNX graph; without torch."""

from collections.abc import Sequence
from warnings import catch_warnings, simplefilter

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.kind_places import CODED_MOST, Coding, KnownPlaces
from models.kinds import OUTPUT, PLACES
from models.place_features import WIDTH
from schemas.coils import FloatArray

LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn")  # that a model depends on

_STRENGTH = 0.1  # inverse of the penalty
_ROUNDS = 1000
_OPSET, _IR_VERSION = 17, 8


def fit_kinds(places: KnownPlaces, kinds: Sequence[str]) -> bytes:
    """Learn to tell kinds; returns the graph, `places` float32 [N, D] -> `p` float32 [N, kinds].

    One optimum, so that the same places give the same model (Bishop 2006, 4.3.4).

    Args:
        places: those of the holdout, and of other kinds, are left aside.
        kinds: to tell, each of which occurs.
    """
    taken = ~places.holdout & np.isin(places.kind, list(kinds))
    standard, kind = places.standard[taken], places.kind[taken]
    model = LogisticRegression(C=_STRENGTH, max_iter=_ROUNDS)
    # One thread: sums come in one order, and whatever else the machine does is left alone.
    with threadpool_limits(1), catch_warnings():
        simplefilter("error", ConvergenceWarning)
        model.fit(standard, kind)
    order = [model.classes_.tolist().index(one) for one in kinds]
    return _graph(places.coding, model.coef_[order], model.intercept_[order])


def _graph(coding: Coding, weight: FloatArray, bias: FloatArray) -> bytes:
    constants = {
        "mean": coding.mean,
        "deviation": coding.deviation,
        "low": np.float32(-CODED_MOST),
        "high": np.float32(CODED_MOST),
        "weight": weight.astype(np.float32),
        "bias": bias.astype(np.float32),
    }
    nodes = [
        helper.make_node("Sub", [PLACES, "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["standard"]),
        helper.make_node("Gemm", ["standard", "weight", "bias"], ["log_odds"], transB=1),
        helper.make_node("Softmax", ["log_odds"], [OUTPUT], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "kinds",
        [helper.make_tensor_value_info(PLACES, TensorProto.FLOAT, ["places_", WIDTH])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["places_", len(bias)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
