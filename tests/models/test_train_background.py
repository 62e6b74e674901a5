"""Promises of `train` about what it leans on beside labelled coils, and about labels that are not there."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit

from flows.background import Fetched, background_of, network_coils, refuse_judged
from flows.population import Population, labelled, simulated
from flows.split import split
from flows.train import train_on
from models.bundle import MODEL, WEIGHTS, load_bundle, read_weights, sha256
from models.data_spec import DataSpec, SimulatedData
from models.network_spec import NetworkOptions
from models.networks import build
from models.spec import TrainSpec
from models.training import Background, log_odds
from schemas.coils import Limits
from schemas.errors import BundleError, SourceError, SpecError
from schemas.matrices import tensor_values
from schemas.settings import ToleranceProfile
from tests.models.coils import LIMITS, batch_of, random_matrix

DATA = SimulatedData(coils=100, seed=3)
UNLABELLED = {"simulate": {"coils": 20, "seed": 4}}


def _spec(**changes: object) -> TrainSpec:
    plain = {"name": "tiny", "kind": "cnn3", "data": {"simulate": DATA.model_dump()}, "epochs": 1, "batch": 16}
    return TrainSpec.model_validate({**plain, **changes})


@pytest.fixture(scope="module")
def population() -> Population:
    return simulated(DATA, LIMITS)


@pytest.fixture(scope="module")
def parent(population: Population, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_on(_spec(name="parent"), population, tmp_path_factory.mktemp("runs") / "parent")


@pytest.fixture(scope="module")
def by_rule(population: Population, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rule whose threshold is that of a profile."""
    spec = _spec(kind="rule", threshold={"rule": "profile", "profile": "strict"})
    profiles = {"strict": ToleranceProfile(threshold=0.21)}
    return train_on(spec, population, tmp_path_factory.mktemp("runs") / "rule", profiles=profiles)


def test_a_bundle_holds_the_weights_that_a_successor_begins_with(
    parent: Path, population: Population, tmp_path: Path
) -> None:
    bundle = load_bundle(parent, threads=1)
    assert bundle.manifest.files[WEIGHTS] == sha256((parent / WEIGHTS).read_bytes())
    assert bundle.manifest.training.weights == "none"
    child = load_bundle(train_on(_spec(parent=parent), population, tmp_path / "child"), threads=1).manifest
    assert child.parent == f"parent@{bundle.manifest.version}"
    assert child.training.weights == f"parent {child.parent}"
    assert child.files[MODEL] != bundle.manifest.files[MODEL], "it began where the parent, of the same seed, began"


def test_serving_does_not_need_the_weights_but_a_successor_needs_them_unaltered(by_rule: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rule"
    shutil.copytree(by_rule, folder)
    (folder / WEIGHTS).write_bytes(b"altered")
    assert load_bundle(folder, threads=1).verify() <= 1e-4
    with pytest.raises(BundleError, match="was altered"):
        read_weights(load_bundle(folder, threads=1))


def test_a_parent_of_another_kind_is_refused(parent: Path) -> None:
    with pytest.raises(SpecError, match="is a cnn3, the model to train a cnn6"):
        background_of(_spec(kind="cnn6", parent=parent), LIMITS)


def test_a_parent_of_another_scale_or_of_other_limits_is_refused_with_a_remedy(parent: Path) -> None:
    with pytest.raises(SpecError, match="is on scale limits, the model to train on scale self") as caught:
        background_of(_spec(parent=parent, scale="self"), LIMITS)
    assert "set scale: limits" in caught.value.remedy
    other = Limits(low=-50.0, high=50.0)
    with pytest.raises(SpecError, match=f"limits {LIMITS.version}, the coils are .* {other.version}") as caught:
        background_of(_spec(parent=parent), other)
    assert "COILFLOW_ENSEMBLE" in caught.value.remedy


def test_a_parent_of_another_form_is_refused(parent: Path, population: Population, tmp_path: Path) -> None:
    spec = _spec(parent=parent, network={"channels": "matrix_and_spread"})
    with pytest.raises(BundleError, match="do not fit"):
        train_on(spec, population, tmp_path / "m")


def test_unlabelled_coils_come_on_the_models_own_scale() -> None:
    spec = _spec(scale="self", pretrain={"unlabelled": UNLABELLED}, adapt={"method": "coral", "unlabelled": UNLABELLED})
    found = background_of(spec, LIMITS).background
    assert found.unlabelled is not None
    assert found.recent is not None
    assert found.unlabelled.shape == (20, 1, 264, 18)
    np.testing.assert_allclose(np.rint(found.recent * 255), found.recent * 255, atol=1e-3)
    assert background_of(_spec(pretrain={}), LIMITS).background.unlabelled is None


def test_a_password_of_a_source_never_reaches_a_manifest(population: Population, tmp_path: Path) -> None:
    dsn = "postgresql://me:secret@plant/coils"
    spec = _spec(data={"source": dsn}, adapt={"method": "coral", "unlabelled": {"source": dsn}})
    fetched = background_of(_spec(adapt={"method": "coral", "unlabelled": UNLABELLED}), LIMITS)
    manifest = load_bundle(train_on(spec, population, tmp_path / "m", fetched=fetched), threads=1).manifest
    assert "secret" not in manifest.model_dump_json()
    assert manifest.training.spec["adapt"]["unlabelled"]["source"] == "the plant's database"
    assert manifest.training.unlabelled == fetched.digests()
    assert manifest.training.unlabelled.keys() == {"adapt.unlabelled"}
    assert manifest.training.device in ("cpu", "cuda")


def test_unlabelled_coils_of_the_holdout_are_refused(population: Population, tmp_path: Path) -> None:
    ours = {"simulate": DATA.model_dump()}
    for key, changes in (
        ("pretrain", {"pretrain": {"unlabelled": ours}}),
        ("adapt", {"adapt": {"method": "coral", "unlabelled": ours}}),
    ):
        with pytest.raises(
            SpecError, match=rf"key {key}\.unlabelled: 14 coils of the holdout, such as plant-1/\d+, are"
        ):
            train_on(_spec(**changes), population, tmp_path / "m")


def test_unlabelled_coils_of_the_same_readings_under_another_name_are_refused(population: Population) -> None:
    renamed = population.batch.set_column(
        population.batch.schema.get_field_index("coil_id"),
        population.batch.schema.field("coil_id"),
        pa.array([f"again-{i}" for i in range(population.batch.num_rows)]),
    )
    fetched = Fetched(background=Background(), parent=None, unlabelled={"adapt.unlabelled": renamed})
    with pytest.raises(SpecError, match="2 coils of the holdout"):
        refuse_judged(fetched, population, np.array([3, 5]))
    other = simulated(DATA.model_copy(update={"seed": 4}), LIMITS).batch
    refuse_judged(
        Fetched(background=Background(), parent=None, unlabelled={"adapt.unlabelled": other}), population, np.arange(9)
    )


def _ok_only(population: Population) -> pa.RecordBatch:
    return population.batch.take(pa.array(np.flatnonzero(~population.is_nok)))


def test_an_anomaly_detector_is_trained_before_the_first_nok_coil(population: Population, tmp_path: Path) -> None:
    ok = labelled([_ok_only(population)], limits=LIMITS, source="ok", needed=("OK",))
    spec = _spec(kind="anomaly", threshold={"most_false_alarms": 0.3})
    bundle = load_bundle(train_on(spec, ok, tmp_path / "m"), threads=1)
    metrics = bundle.manifest.metrics
    assert [metrics[name] for name in ("recall", "roc_auc", "mcc")] == [None, None, None]
    shares = {"validation_share": spec.validation_share, "holdout_share": spec.holdout_share}
    validation = split(ok, **shares, needed=("OK",)).validation
    matrix = tensor_values(ok.batch)[validation]
    alarms = bundle.p_nok(matrix, np.zeros_like(matrix)) >= bundle.manifest.threshold
    assert alarms.mean() <= 0.3


def test_a_rule_is_trained_before_the_first_nok_coil_with_its_weights_by_hand(
    population: Population, tmp_path: Path
) -> None:
    ok = labelled([_ok_only(population)], limits=LIMITS, source="ok", needed=("OK",))
    spec = _spec(kind="rule", threshold={"most_false_alarms": 0.3})
    bundle = load_bundle(train_on(spec, ok, tmp_path / "m"), threads=1)
    assert bundle.manifest.threshold_rule == "false_alarms"
    coils = network_coils(ok.batch, spec)[:8]
    by_hand = expit(log_odds(build("rule", NetworkOptions()).eval(), coils))
    np.testing.assert_allclose(bundle.p_nok(coils[:, 0], np.zeros_like(coils[:, 0])), by_hand, atol=1e-5)


def test_other_kinds_need_both_labels_and_say_so(population: Population, tmp_path: Path) -> None:
    ok = labelled([_ok_only(population)], limits=LIMITS, source="ok", needed=("OK",))
    with pytest.raises(SourceError, match="no coil is labelled NOK, and a cnn3 cannot be trained without") as caught:
        train_on(_spec(), ok, tmp_path / "m")
    assert "kind: rule" in caught.value.remedy
    with pytest.raises(SourceError, match="0 coils are labelled NOK") as caught:
        labelled([_ok_only(population)], limits=LIMITS, source="ok")
    assert "anomaly" in caught.value.remedy


def test_an_anomaly_detector_with_few_ok_coils_says_how_many_it_needs(tmp_path: Path) -> None:
    batch = batch_of(random_matrix(40))
    place = batch.schema.get_field_index("label")
    batch = batch.set_column(place, batch.schema.field(place), pa.array(["OK"] * 40))
    ok = labelled([batch], limits=LIMITS, source="ok", needed=("OK",))
    with pytest.raises(SourceError) as caught:
        train_on(_spec(kind="anomaly"), ok, tmp_path / "m")
    assert "at least 59 OK coils" in caught.value.remedy


def test_a_threshold_is_that_of_the_profile_asked_for(by_rule: Path) -> None:
    assert load_bundle(by_rule, threads=1).manifest.threshold == 0.21


def test_so_many_of_each_label_are_nok_coils_and_the_ok_coil_after_each(population: Population) -> None:
    few = simulated(DATA.model_copy(update={"each_label": 12}), LIMITS)
    assert (int(few.is_nok.sum()), len(few.is_nok)) == (12, 24)
    ids, kept = (p.batch.column("coil_id").to_pylist() for p in (population, few))
    nok = [ids.index(coil) for coil, is_nok in zip(kept, few.is_nok, strict=True) if is_nok]
    ok = [ids.index(coil) for coil, is_nok in zip(kept, few.is_nok, strict=True) if not is_nok]
    assert nok == np.flatnonzero(population.is_nok)[:12].tolist()
    assert all(after > before for before, after in zip(nok, ok, strict=True))
    assert ok == sorted(ok)
    with pytest.raises(SpecError, match=r"each_label: \d+ of the simulated coils are NOK, wanted are 90"):
        simulated(DATA.model_copy(update={"each_label": 90}), LIMITS)


def test_a_later_period_drifts(population: Population) -> None:
    later = DATA.model_copy(update={"drift_per_1000_coils": -0.5})
    drifted = simulated(later, LIMITS)
    before, after = (tensor_values(p.batch).mean(axis=(1, 2)) for p in (population, drifted))
    assert (after[50:] - before[50:]).mean() < (after[:50] - before[:50]).mean() < 0
    assert "drift -0.5" in drifted.source


@pytest.mark.parametrize("skip", [64, 70])
def test_coils_after_skipped_ones_are_the_last_of_all_coils(skip: int) -> None:
    line = SimulatedData(coils=skip + 90, seed=8, drift_per_1000_coils=0.4)
    whole = simulated(line, LIMITS).batch
    later = simulated(line.model_copy(update={"coils": 90, "skip_coils": skip}), LIMITS)
    assert whole.column("label").null_count == 0
    assert later.batch.equals(whole.slice(skip))
    assert f"90 coils after the first {skip}" in later.source


def test_coils_of_each_label_are_those_after_the_skipped_ones() -> None:
    later = SimulatedData(coils=60, seed=8, skip_coils=70)
    period = simulated(later, LIMITS)
    found = simulated(later.model_copy(update={"each_label": 11}), LIMITS)
    ids, kept = (p.batch.column("coil_id").to_pylist() for p in (period, found))
    assert set(kept) <= set(ids)
    assert kept[0] == ids[int(np.flatnonzero(period.is_nok)[0])]


def test_a_simulation_ends_where_each_label_has_its_coils() -> None:
    found = simulated(SimulatedData(coils=900_000, seed=8, skip_coils=70, each_label=11), LIMITS)
    assert (int(found.is_nok.sum()), len(found.is_nok)) == (11, 22)


def test_a_start_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone"):
        DataSpec.model_validate({"simulate": {"coils": 20, "seed": 1, "started_at": "2026-06-01T06:00:00"}})
