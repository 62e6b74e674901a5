"""The registry keeps each model version once and as it was."""

from datetime import datetime
from typing import get_args

import pytest

from models.ensemble import load_ensemble
from schemas.bundles import BundleManifest, TrainingRecord
from schemas.errors import StoreError
from store.connection import Connection
from store.models import ModelState, register_models
from tests.store.given import NOON

MODEL_STATES: tuple[ModelState, ...] = get_args(ModelState)


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


def registered(connection: Connection) -> list[tuple[BundleManifest, str, datetime]]:
    """Manifest, state and time of every registered version."""
    found = connection.execute("select manifest, state, registered_at from coilflow.models order by name, version")
    return [(BundleManifest.model_validate(row["manifest"]), row["state"], row["registered_at"]) for row in found]


def test_a_registered_model_is_a_candidate_with_its_manifest(connection: Connection) -> None:
    assert register_models(connection, [manifest("a"), manifest("b")], registered_at=NOON) == 2
    assert registered(connection) == [(manifest(name), "candidate", NOON) for name in "ab"]


def test_a_model_that_serves_already_is_registered_as_champion(connection: Connection) -> None:
    register_models(connection, [manifest("a")], registered_at=NOON, state="champion")
    assert registered(connection) == [(manifest("a"), "champion", NOON)]


def test_registering_again_changes_nothing(connection: Connection) -> None:
    register_models(connection, [manifest("a")], registered_at=NOON, state="champion")
    for state in MODEL_STATES:
        later = NOON.replace(hour=13)
        assert register_models(connection, [manifest("a")], registered_at=later, state=state) == 0
    assert registered(connection) == [(manifest("a"), "champion", NOON)]


def test_a_version_never_changes(connection: Connection) -> None:
    register_models(connection, [manifest("a")], registered_at=NOON)
    with pytest.raises(StoreError, match=r"a 1\.0 is registered with another manifest"):
        register_models(connection, [manifest("b"), manifest("a", threshold=0.25)], registered_at=NOON)
    assert registered(connection) == [(manifest("a"), "candidate", NOON)]


def test_the_shipped_ensemble_can_be_registered(connection: Connection) -> None:
    manifests = [member.manifest for member in load_ensemble(None, threads=1).members]
    assert register_models(connection, manifests, registered_at=NOON, state="champion") == len(manifests) > 0
    assert register_models(connection, manifests, registered_at=NOON, state="champion") == 0


def test_no_models_are_no_work(connection: Connection) -> None:
    assert register_models(connection, [], registered_at=NOON) == 0
