"""Promises of a new head: what is fitted, and what stands in the graph afterwards."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.bundle import FEATURES, INPUT, OUTPUT, open_session
from models.head_graph import backbone_digest, replace_head, with_features
from models.heads import Head, fit_head, head_log_odds
from models.network_spec import NetworkKind
from models.objectives_spec import ClassWeights
from schemas.coils import BoolArray, Float32Array
from schemas.errors import BundleError
from schemas.layout import MATRIX_SHAPE
from tests.models.coils import mean_model, random_matrix
from tests.models.networks_exported import untrained

PLACE = Path("model.onnx")
NO_COPIES = np.zeros((0, 10), dtype=np.float32)
KINDS: tuple[NetworkKind, ...] = ("cnn10", "cnn1d", "yolov8n-cls")


def _features(coils: int, seed: int, *, nok_share: float = 0.3) -> tuple[Float32Array, BoolArray]:
    """Ten features on very different scales, of which three tell the label; the last is constant."""
    rng = np.random.default_rng(seed)
    is_nok = rng.random(coils) < nok_share
    found = rng.normal(0, 1, (coils, 10))
    found[:, :3] += 1.5 * is_nok[:, None]
    found[:, -1] = 4.0
    return (found * np.logspace(-3, 3, 10) + 5).astype(np.float32), is_nok


def _odds_of(model: bytes, matrix: Float32Array) -> tuple[np.ndarray, np.ndarray]:
    p_nok, found = open_session(model, place=PLACE, threads=1).run([OUTPUT, FEATURES], {INPUT: matrix})
    return np.log(p_nok / (1 - p_nok)), found


def _random_head(width: int, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    return Head(weight=rng.normal(0, 0.3 / np.sqrt(width), width), bias=0.4, strength=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_with_a_new_head_says_what_the_head_says_of_the_same_features(kind: NetworkKind) -> None:
    model, matrix = untrained(kind), random_matrix(5)
    _, before = _odds_of(model, matrix)
    head = _random_head(before.shape[1])
    odds, after = _odds_of(replace_head(model, head, place=PLACE), matrix)
    np.testing.assert_array_equal(after, before)
    np.testing.assert_allclose(odds, head_log_odds(head, before), atol=1e-4)
    assert np.abs(odds - _odds_of(model, matrix)[0]).max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_head_can_be_replaced_again_and_leaves_no_trace(kind: NetworkKind) -> None:
    model = untrained(kind)
    width = _odds_of(model, random_matrix(1))[1].shape[1]
    one, two = _random_head(width, 1), _random_head(width, 2)
    again = replace_head(replace_head(model, one, place=PLACE), two, place=PLACE)
    assert again == replace_head(model, two, place=PLACE)
    assert len(again) == pytest.approx(len(model), rel=0.01)


def test_graphs_that_differ_in_their_head_alone_have_one_backbone() -> None:
    model, other = untrained("cnn10"), untrained("cnn1d")
    changed = replace_head(model, _random_head(128), place=PLACE)
    assert backbone_digest(changed, place=PLACE) == backbone_digest(model, place=PLACE)
    assert backbone_digest(other, place=PLACE) != backbone_digest(model, place=PLACE)


def test_another_weight_of_the_backbone_is_another_backbone() -> None:
    model = untrained("cnn10")
    graph = onnx.load_model_from_string(model)
    place = next(i for i, one in enumerate(graph.graph.initializer) if len(one.dims) == 4)
    values = numpy_helper.to_array(graph.graph.initializer[place]).copy()
    values.flat[0] += 1e-3
    graph.graph.initializer[place].CopyFrom(numpy_helper.from_array(values, graph.graph.initializer[place].name))
    assert backbone_digest(graph.SerializeToString(), place=PLACE) != backbone_digest(model, place=PLACE)


@pytest.mark.parametrize("form", ["matmul", "matmul_add", "corrected", "gemm", "gemm_across", "mul"])
def test_a_linear_head_is_found_however_it_was_exported(form: str) -> None:
    model, head = _by_hand(form), _random_head(MATRIX_SHAPE[1])
    odds, found = _odds_of(replace_head(model, head, place=PLACE), random_matrix(3))
    np.testing.assert_allclose(odds, head_log_odds(head, found), atol=1e-5)


@pytest.mark.parametrize("form", ["scaled", "deep", "behind_a_relu", "distance"])
def test_a_graph_that_ends_otherwise_is_refused_with_a_remedy(form: str) -> None:
    with pytest.raises(BundleError, match="does not end in one linear head") as caught:
        replace_head(_by_hand(form), _random_head(MATRIX_SHAPE[1]), place=PLACE)
    assert "coilflow train" in caught.value.remedy


@pytest.mark.parametrize("form", ["gemm", "matmul_add", "difference"])
def test_a_graph_that_gave_no_features_gives_them_and_says_the_same(form: str) -> None:
    model, matrix = _by_hand(form, gives_features=False), random_matrix(3)
    (before,) = open_session(model, place=PLACE, threads=1).run([OUTPUT], {INPUT: matrix})
    wider = with_features(model, place=PLACE)
    odds, found = _odds_of(wider, matrix)
    np.testing.assert_allclose(odds, np.log(before / (1 - before)), atol=1e-5)
    np.testing.assert_allclose(found, matrix.mean(axis=1), atol=1e-6)
    head = _random_head(MATRIX_SHAPE[1])
    np.testing.assert_allclose(
        _odds_of(replace_head(wider, head, place=PLACE), matrix)[0], head_log_odds(head, found), atol=1e-5
    )
    assert with_features(wider, place=PLACE) == wider


def test_a_graph_without_a_linear_head_cannot_give_features() -> None:
    with pytest.raises(BundleError, match="does not end in one linear head"):
        with_features(mean_model(1.0), place=PLACE)


def test_a_graph_without_features_is_refused() -> None:
    with pytest.raises(BundleError, match="gives no features"):
        backbone_digest(mean_model(1.0), place=PLACE)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(BundleError, match="is no ONNX graph"):
        backbone_digest(b"no model", place=PLACE)


def test_a_head_of_another_width_is_refused() -> None:
    with pytest.raises(BundleError, match="its head takes 128 features, the new one 4"):
        replace_head(untrained("cnn10"), _random_head(4), place=PLACE)


def test_a_head_tells_labels_apart_on_features_of_any_scale() -> None:
    training, is_nok = _features(800, 0)
    validation, validation_is_nok = _features(400, 1)
    head = fit_head(training, is_nok, NO_COPIES, validation, validation_is_nok, class_weight="balanced")
    unseen, truth = _features(400, 2)
    assert np.mean((head_log_odds(head, unseen) > 0) == truth) > 0.85
    assert head.weight[-1] == pytest.approx(0, abs=1e-6)  # constant, so it says nothing


def test_the_same_features_give_the_same_head() -> None:
    (training, is_nok), (validation, truth) = _features(300, 0), _features(100, 1)
    one, two = (fit_head(training, is_nok, NO_COPIES, validation, truth, class_weight="balanced") for _ in range(2))
    np.testing.assert_array_equal(one.weight, two.weight)
    assert one.bias == two.bias


@pytest.mark.parametrize("class_weight", ["balanced", ClassWeights(ok=1.0, nok=5.0)])
def test_copies_that_say_nothing_new_change_nothing(class_weight: Literal["balanced"] | ClassWeights) -> None:
    (training, is_nok), (validation, truth) = _features(300, 0), _features(200, 1)
    again = np.concatenate([training[is_nok]] * 4)
    plain, copied = (
        fit_head(training, is_nok, copies, validation, truth, class_weight=class_weight)
        for copies in (NO_COPIES, again)
    )
    unseen, _ = _features(100, 2)
    np.testing.assert_allclose(head_log_odds(copied, unseen), head_log_odds(plain, unseen), atol=0.1)


def test_a_heavier_class_is_called_more_often() -> None:
    (training, is_nok), (validation, truth) = _features(600, 0, nok_share=0.1), _features(300, 1, nok_share=0.1)
    light, heavy = (
        fit_head(training, is_nok, NO_COPIES, validation, truth, class_weight=ClassWeights(ok=1.0, nok=nok))
        for nok in (0.2, 20.0)
    )
    called = [np.mean(head_log_odds(head, validation) > 0) for head in (light, heavy)]
    assert called[0] < called[1]


def test_probabilities_are_calibrated_on_validation() -> None:
    training, is_nok = _features(60, 0)  # few coils: without a temperature the head is too sure of itself
    validation, truth = _features(4000, 1)
    even = ClassWeights(ok=1.0, nok=1.0)
    head = fit_head(training, is_nok, NO_COPIES, validation, truth, class_weight=even)
    odds = head_log_odds(head, validation)

    def loss(temperature: float) -> float:
        return float(np.mean(np.logaddexp(0, np.where(truth, -odds, odds) / temperature)))

    assert loss(1.0) <= min(loss(0.9), loss(1.1)) + 1e-6


def _by_hand(form: str, *, gives_features: bool = True) -> bytes:
    """A graph whose features are the means of the 18 columns, with a head of another form."""
    width = MATRIX_SHAPE[1]
    rng = np.random.default_rng(0)
    values: dict[str, np.ndarray] = {
        "axes": np.array([1], dtype=np.int64),
        "last": np.array([1], dtype=np.int64),
        "weight": rng.normal(0, 1, (width, 1)).astype(np.float32),
        "across": rng.normal(0, 1, (1, width)).astype(np.float32),
        "square": rng.normal(0, 1, (width, width)).astype(np.float32),
        "bias": np.array([0.3], dtype=np.float32),
        "pair": rng.normal(0, 1, (2, width)).astype(np.float32),
        "biases": np.array([0.3, -0.4], dtype=np.float32),
        "first": np.array(0, dtype=np.int64),
        "second": np.array(1, dtype=np.int64),
        "factor": np.array(0.5, dtype=np.float32),
        "two": np.array(2.0, dtype=np.float32),
    }
    node = helper.make_node
    heads = {
        "matmul": [node("MatMul", [FEATURES, "weight"], ["odds"])],
        "matmul_add": [node("MatMul", [FEATURES, "weight"], ["product"]), node("Add", ["product", "bias"], ["odds"])],
        "corrected": [
            node("MatMul", [FEATURES, "weight"], ["product"]),
            node("Add", ["product", "bias"], ["sum"]),
            node("Mul", ["sum", "factor"], ["odds"]),
        ],
        "gemm": [node("Gemm", [FEATURES, "across", "bias"], ["odds"], transB=1)],
        "gemm_across": [node("Identity", [FEATURES], ["same"]), node("Gemm", ["same", "weight", "bias"], ["odds"])],
        "mul": [node("MatMul", [FEATURES, "weight"], ["product"]), node("Mul", ["product", "factor"], ["odds"])],
        "scaled": [node("Gemm", [FEATURES, "weight", "bias"], ["odds"], alpha=2.0)],
        "deep": [node("MatMul", [FEATURES, "square"], ["hidden"]), node("MatMul", ["hidden", "weight"], ["odds"])],
        "behind_a_relu": [node("Relu", [FEATURES], ["positive"]), node("MatMul", ["positive", "weight"], ["odds"])],
        "difference": [
            node("Gemm", [FEATURES, "pair", "biases"], ["both"], transB=1),
            node("Gather", ["both", "second"], ["nok"], axis=1),
            node("Gather", ["both", "first"], ["ok"], axis=1),
            node("Sub", ["nok", "ok"], ["flat"]),
        ],
        "distance": [node("ReduceMean", [FEATURES, "last"], ["odds"], keepdims=1)],
    }
    nodes = [
        node("ReduceMean", [INPUT, "axes"], [FEATURES], keepdims=0),
        *heads[form],
        *([] if form == "difference" else [node("Squeeze", ["odds", "last"], ["flat"])]),
        node("Div", ["flat", "two"], ["cooled"]),
        node("Sigmoid", ["cooled"], [OUTPUT]),
    ]
    outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["coils"])]
    if gives_features:
        outputs.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["coils", width]))
    else:
        for one in nodes:  # as an exporter would call them
            one.input[:] = ["mean" if name == FEATURES else name for name in one.input]
            one.output[:] = ["mean" if name == FEATURES else name for name in one.output]
    graph = helper.make_graph(
        nodes,
        form,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["coils", *MATRIX_SHAPE])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content
