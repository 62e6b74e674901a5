"""Promises of `train`, from specification to score."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.bundles import build_ensemble
from flows.population import Population, from_source, labelled, simulated
from flows.sources.open import open_source
from flows.train import train, train_on
from models.bundle import GOLDEN, MODEL, WEIGHTS, load_bundle
from models.data_spec import DataSpec, SimulatedData
from models.ensemble import load_ensemble
from models.spec import TrainSpec
from plant.line import simulate
from plant.settings import LineSettings
from plant.tables import write_tables
from schemas.coils import Limits
from schemas.errors import SourceError, SpecError
from schemas.matrices import tensor_values
from tests.flows.given import grey_row, write_grey
from tests.models.coils import LIMITS, batch_of, random_matrix

SHIPPED = load_ensemble(None, threads=1)
DATA = SimulatedData(coils=120, seed=3)


def _spec(**changes: object) -> TrainSpec:
    spec = TrainSpec(name="tiny", kind="cnn3", data=DataSpec(simulate=DATA), epochs=1, batch=16, seed=1)
    return spec.model_copy(update=changes)


@pytest.fixture(scope="module")
def population() -> Population:
    return simulated(DATA, LIMITS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(_spec(), tmp_path_factory.mktemp("runs") / "tiny", limits=SHIPPED.limits, plant="p")


def test_a_specification_becomes_a_bundle_that_joins_the_shipped_ensemble(trained: Path) -> None:
    bundle = load_bundle(trained, threads=1)
    assert bundle.verify() <= 1e-4
    assert bundle.manifest.limits_version == SHIPPED.limits.version
    p_nok = bundle.p_nok(random_matrix(3), np.zeros_like(random_matrix(3)))
    assert ((p_nok >= 0) & (p_nok <= 1)).all()


def test_the_manifest_says_where_the_model_comes_from_and_how_good_it_is(trained: Path, population: Population) -> None:
    manifest = load_bundle(trained, threads=1).manifest
    assert manifest.training.source == "plant: 120 coils, seed 3"
    assert manifest.training.data_digest == population.digest()
    assert manifest.training.spec["kind"] == "cnn3"
    assert manifest.metrics["n"] == 21
    assert set(manifest.metrics["ci95"]) == {"accuracy", "precision", "recall", "f1", "roc_auc", "mcc"}
    assert {"torch", "onnx", "onnxruntime"} <= set(manifest.libraries)


def test_the_same_specification_gives_the_same_version(trained: Path, tmp_path: Path) -> None:
    again = train_on(_spec(), simulated(DATA, SHIPPED.limits), tmp_path / "again")
    assert (again / MODEL).read_bytes() == (trained / MODEL).read_bytes()


def test_an_ensemble_is_built_from_specifications_in_one_go(tmp_path: Path) -> None:
    specs = [_spec(name="a"), _spec(name="b", scale="self")]
    out = tmp_path / "ensemble"
    out.mkdir()
    (out / "old").touch()
    build_ensemble(specs, out)
    ensemble = load_ensemble(out, threads=1)
    assert set(ensemble.verify()) == {"a", "b"}
    assert not (out / "old").exists()
    assert not list(out.rglob(WEIGHTS))
    assert all(set(member.manifest.files) == {MODEL, GOLDEN} for member in ensemble.members)
    assert ensemble.score(batch_of(random_matrix(2), "self")).skipped == ("a",)


def test_a_threshold_is_set_by_labelled_grey_coils_alone_and_nothing_is_trained_for_others(tmp_path: Path) -> None:
    rows = [grey_row("1", label="NOK"), grey_row("2", label="OK"), grey_row("3", label=None)]
    specs = [_spec(name="a"), _spec(name="b", scale="self")]
    with pytest.raises(SourceError, match="1 coils cannot be read or have no label"):
        build_ensemble(specs, tmp_path / "ensemble", real=write_grey(tmp_path / "grey.parquet", rows))


def test_a_limits_model_cannot_learn_from_grey_levels(tmp_path: Path) -> None:
    grey = _with_labels(batch_of(random_matrix(40), "self"))
    with pytest.raises(SpecError, match="key scale"):
        train_on(_spec(), labelled([grey], limits=None, source="grey"), tmp_path / "m")


def test_too_few_coils_of_a_label_are_refused() -> None:
    batch = batch_of(random_matrix(5))
    with pytest.raises(SourceError, match="0 coils are labelled OK, at least 10 are needed"):
        labelled([batch], limits=LIMITS, source="s")


def test_the_plants_tables_train_a_model_as_the_simulation_itself_does(tmp_path: Path, population: Population) -> None:
    line = LineSettings(defect_share=DATA.defect_share, restlessness=DATA.restlessness)
    write_tables(simulate(DATA.coils, seed=DATA.seed, line=line), tmp_path)
    read = from_source(open_source(str(tmp_path), plant=line.plant), LIMITS)
    assert read.digest() == population.digest()
    np.testing.assert_array_equal(tensor_values(read.batch), tensor_values(population.batch))


def test_grey_levels_train_a_self_model(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 264 * 18), dtype=np.uint8)
    columns = {"coil_id": [str(i) for i in range(40)], "label": ["OK", "NOK"] * 20}
    cells = pa.FixedSizeListArray.from_arrays(pa.array(grey.reshape(-1)), 264 * 18)
    pq.write_table(pa.table({**columns, "grey": cells}), tmp_path / "grey.parquet")
    spec = _spec(scale="self", data=DataSpec(source=str(tmp_path / "grey.parquet")))
    manifest = load_bundle(train(spec, tmp_path / "m", limits=SHIPPED.limits, plant="p"), threads=1).manifest
    assert (manifest.scale, manifest.limits_version, manifest.training.coils) == ("self", None, 40)


def test_matrices_of_other_limits_are_refused(tmp_path: Path, population: Population) -> None:
    with pa.ipc.new_file(tmp_path / "coils.arrow", population.batch.schema) as writer:
        writer.write_batch(population.batch)
    source = open_source(str(tmp_path / "coils.arrow"), plant="p")
    assert from_source(source, LIMITS).digest() == population.digest()
    with pytest.raises(SourceError, match=f"normalised with limits {LIMITS.version}"):
        from_source(source, Limits(low=-1.0, high=1.0))


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="exists already"):
        train(_spec(), tmp_path, limits=SHIPPED.limits, plant="p")


def test_limits_are_measured_where_none_are_given() -> None:
    measured = simulated(DATA, None).limits
    assert isinstance(measured, Limits)
    assert measured.low < 0 < measured.high


def _with_labels(batch: pa.RecordBatch) -> pa.RecordBatch:
    place = batch.schema.get_field_index("label")
    labels = ["OK", "NOK"] * (batch.num_rows // 2)
    return batch.set_column(place, batch.schema.field(place), pa.array(labels))
