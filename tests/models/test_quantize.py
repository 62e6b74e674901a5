"""Promises of the int8 form of an ensemble."""

from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest

from models.bundle import MODEL, Bundle, load_bundle
from models.ensemble import Ensemble, load_ensemble, write_ensemble
from models.golden import golden_again
from models.head_graph import replace_head
from models.heads import Head
from models.quantize import label_agreement, quantize_ensemble
from schemas.errors import BundleError, SourceError
from schemas.matrices import tensor_values
from tests.models.coils import LIMITS, batch_of, random_matrix, write_mean_bundle
from tests.models.networks_exported import untrained, write_untrained


def _labelled(coils: int, seed: int) -> pa.RecordBatch:
    """Coils that differ in how much is out of band, every second of them NOK."""
    strength = np.linspace(0, 2, coils, dtype=np.float32)[:, None, None]
    batch = batch_of((random_matrix(coils, seed) * strength).clip(-1, 1))
    place = batch.schema.get_field_index("label")
    return batch.set_column(place, batch.schema.field(place), pa.array(["OK", "NOK"] * (coils // 2)))


CALIBRATION, JUDGED = _labelled(48, 1), _labelled(40, 2)


def _sharp(model: bytes, coils: np.ndarray, folder: Path) -> bytes:
    """The graph with a head under which these coils differ widely."""
    found = load_bundle(write_untrained(folder, model), threads=1).features(coils, np.zeros_like(coils))
    deviation = found.std(axis=0) + 1e-6 * np.abs(found).max()
    weight = np.random.default_rng(0).normal(0, 1, found.shape[1]) / deviation
    odds = found @ weight
    return replace_head(
        model,
        Head(weight=2 * weight / odds.std(), bias=float(-2 * odds.mean() / odds.std()), strength=1.0),
        place=Path("m"),
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    coils = tensor_values(CALIBRATION)
    members = [write_mean_bundle(root / "mean")]
    for kind in ("cnn10", "cnn1d"):
        model = _sharp(untrained(kind), coils, root / f"{kind}-blunt")
        members.append(write_untrained(root / kind, model))
    write_ensemble(
        root / "ensemble", name="three", version="1", members=members, thresholds={"limits": 0.5}, limits=LIMITS
    )
    return root / "ensemble"


@pytest.fixture(scope="module")
def int8(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    out = tmp_path_factory.mktemp("int8") / "ensemble"
    quantize_ensemble(source, out, calibration=CALIBRATION, judged=JUDGED)
    return load_ensemble(out, threads=1)


def _member(ensemble: Ensemble, name: str) -> Bundle:
    return next(one for one in ensemble.members if one.manifest.name == name)


def test_the_int8_form_loads_and_its_canaries_agree(int8: Ensemble) -> None:
    assert set(int8.verify()) == {"mean", "cnn10-int8", "cnn1d-int8"}
    assert (int8.manifest.name, int8.manifest.thresholds, int8.limits) == ("three-int8", {"limits": 0.5}, LIMITS)


def test_labels_agree_with_the_float_form_on_coils_it_was_not_calibrated_on(source: Path, int8: Ensemble) -> None:
    assert label_agreement(load_ensemble(source, threads=1), int8, JUDGED) >= 0.95


@pytest.mark.parametrize("kind", ["cnn10", "cnn1d"])
def test_probabilities_stay_close(source: Path, int8: Ensemble, kind: str) -> None:
    matrix = tensor_values(JUDGED)
    coils = matrix, np.zeros_like(matrix)
    before = _member(load_ensemble(source, threads=1), kind).p_nok(*coils)
    after = _member(int8, f"{kind}-int8").p_nok(*coils)
    assert before.std() > 0.1
    assert np.abs(after - before).mean() < 0.05


def test_the_manifest_says_whose_form_it_is_and_how_good(source: Path, int8: Ensemble) -> None:
    before, after = _member(load_ensemble(source, threads=1), "cnn10").manifest, _member(int8, "cnn10-int8").manifest
    assert after.parent == f"cnn10@{before.version}"
    assert after.version != before.version
    assert after.metrics["n"] == JUDGED.num_rows
    assert after.training == before.training
    assert set(after.libraries) == {"numpy", "onnx", "onnxruntime"}


def test_weights_of_convolutions_are_int8_but_the_first_and_the_head(int8: Ensemble) -> None:
    graph = onnx.load(_member(int8, "cnn10-int8").folder / MODEL).graph
    kinds = {one.name: one.data_type for one in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert kinds[convolutions[0].input[1]] == onnx.TensorProto.FLOAT
    assert all(kinds.get(node.input[1]) != onnx.TensorProto.FLOAT for node in convolutions[1:])
    (head,) = (node for node in graph.node if node.op_type == "Gemm")
    assert kinds[head.input[1]] == onnx.TensorProto.FLOAT
    assert not any(node.op_type == "AveragePool" for node in graph.node)


def test_a_member_without_convolutions_stays_as_it_is(source: Path, int8: Ensemble) -> None:
    assert _member(int8, "mean").digest == _member(load_ensemble(source, threads=1), "mean").digest


def test_the_head_of_an_int8_form_can_be_replaced(int8: Ensemble) -> None:
    bundle = _member(int8, "cnn10-int8")
    matrix = random_matrix(3)
    found = bundle.features(matrix, np.zeros_like(matrix))
    head = Head(weight=np.full(found.shape[1], 0.1), bias=-0.2, strength=1.0)
    model = replace_head((bundle.folder / MODEL).read_bytes(), head, place=Path("m"))
    again = load_bundle(write_untrained(bundle.folder.parent.parent / "again", model), threads=1)
    expected = 1 / (1 + np.exp(-(found @ head.weight + head.bias)))
    np.testing.assert_allclose(again.p_nok(matrix, np.zeros_like(matrix)), expected, atol=1e-5)


def test_the_same_coils_give_the_same_version(source: Path, int8: Ensemble, tmp_path: Path) -> None:
    manifest = quantize_ensemble(source, tmp_path / "again", calibration=CALIBRATION, judged=JUDGED)
    assert manifest.version == int8.manifest.version


def test_canaries_are_asked_again_of_the_new_graph(int8: Ensemble) -> None:
    bundle = _member(int8, "cnn10-int8")
    assert golden_again(bundle.golden, bundle.session) == bundle.golden


def test_coils_without_a_label_cannot_judge(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="need a label each"):
        quantize_ensemble(source, tmp_path / "m", calibration=CALIBRATION, judged=batch_of(random_matrix(4)))


def test_coils_on_another_scale_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="takes scale limits, the coils are on scale self"):
        quantize_ensemble(source, tmp_path / "m", calibration=batch_of(random_matrix(4), "self"), judged=JUDGED)


def test_an_existing_folder_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="exists already"):
        quantize_ensemble(source, tmp_path, calibration=CALIBRATION, judged=JUDGED)
