"""The registry keeps each model version once and as it was."""

import pytest

from schemas.bundles import BundleManifest, TrainingRecord
from schemas.errors import StoreError
from store.connection import Connection
from store.models import list_models, register_models
from tests.store.given import NOON


def manifest(name: str, *, threshold: float = 0.5) -> BundleManifest:
    return BundleManifest(
        name=name,
        version="1.0",
        kind="cnn1d",
        scale="limits",
        input_form="native_264x18",
        limits_version="plant-1",
        threshold=threshold,
        metrics={"f1": {"value": 0.75, "ci95": [0.65, 0.85]}},
        training=TrainingRecord(
            source="plant: 6000 coils, seed 11",
            coils=6000,
            nok=180,
            data_digest="0" * 64,
            spec={},
            seed=1,
            weights="none",
        ),
        code_version="0.1.0",
        libraries={"onnx": "1.23.2"},
        files={"model.onnx": "1" * 64},
    )


def test_a_registered_model_reads_back_as_a_candidate(connection: Connection) -> None:
    assert register_models(connection, [manifest("a"), manifest("b")], registered_at=NOON) == 2
    found = list_models(connection)
    assert [model.manifest for model in found] == [manifest("a"), manifest("b")]
    assert {(model.state, model.registered_at) for model in found} == {("candidate", NOON)}


def test_registering_again_changes_nothing(connection: Connection) -> None:
    register_models(connection, [manifest("a")], registered_at=NOON)
    before = list_models(connection)
    assert register_models(connection, [manifest("a")], registered_at=NOON.replace(hour=13)) == 0
    assert list_models(connection) == before


def test_a_version_never_changes(connection: Connection) -> None:
    register_models(connection, [manifest("a")], registered_at=NOON)
    with pytest.raises(StoreError, match=r"a 1\.0 is registered with another manifest"):
        register_models(connection, [manifest("b"), manifest("a", threshold=0.25)], registered_at=NOON)
    assert [model.manifest for model in list_models(connection)] == [manifest("a")]


def test_no_models_are_no_work(connection: Connection) -> None:
    assert register_models(connection, [], registered_at=NOON) == 0
