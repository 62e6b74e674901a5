"""A successor that is trained whole: its network is fine-tuned in the process apart, from the champion's weights."""

from pathlib import Path

import numpy as np

from flows.change_models import new_ensemble
from flows.population import Population
from flows.train import train_on
from models.bundle import WEIGHTS, load_bundle, read_weights
from models.data_spec import DataSpec, SimulatedData
from models.ensemble import load_ensemble, write_ensemble
from models.spec import TrainSpec
from scheduler.retraining import retrain
from schemas.coils import CoilKey
from schemas.loop_settings import RetrainSettings, ReviewSettings
from schemas.matrices import matrix_batch
from store.connection import Connection
from store.registered import ensemble
from store.registry import start_registry
from store.training import retrainings
from tests.models.coils import LIMITS
from tests.registry.given import states
from tests.retraining.given import ANNA, NOON, coils, judge, label, leading, run, settings
from tests.retraining.test_refusals import DAY

SPEC = TrainSpec(
    name="tiny",
    kind="cnn3",
    data=DataSpec(simulate=SimulatedData(coils=20, seed=0)),  # in word alone: coils are given
    epochs=1,
    batch=8,
    seed=1,
)


def trained_champion(folder: Path) -> Path:
    """An ensemble of one network that has learnt a little of the top face."""
    given = coils(80, first=10_000)
    batch = matrix_batch(
        keys=[CoilKey(plant="linz", coil_id=str(place)) for place in range(80)],
        revisions=[f"{place:064x}" for place in range(80)],
        matrix=given.matrix,
        spread=np.zeros_like(given.matrix),
        observed=np.ones(80),
        scale="limits",
        columns={
            "limits_version": [LIMITS.version] * 80,
            "label": ["NOK" if nok else "OK" for nok in given.nok("top")],
        },
    )
    bundle = train_on(SPEC, Population(batch=batch, limits=LIMITS, source="given"), folder / "bundles" / "tiny")
    threshold = load_bundle(bundle, threads=1).manifest.threshold
    out = folder / "champion"
    thresholds = {"limits": threshold}
    write_ensemble(out, name="line", version="champion", members=[bundle], thresholds=thresholds, limits=LIMITS)  # type: ignore[arg-type]
    return out


def test_a_network_is_fine_tuned_in_the_process_apart_and_registered(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    full = RetrainSettings(how="full", niceness=0, least_holdout_nok=3)
    given = settings(tmp_path, retrain=full, review=ReviewSettings(share=1))
    start_registry(connection, new_ensemble(trained_champion(tmp_path), given), ANNA)
    batch = coils(140)
    label(connection, batch, judge(connection, given, batch, at=NOON), face="bottom", at=NOON + DAY / 2)
    with leading(database) as epoch:
        said = run(database, given, retrain, "retrain", epoch=epoch, now=NOON + DAY)
    [found] = retrainings(connection)
    assert found.candidate is not None, said
    assert (found.how, found.members, found.judged["trained"]) == ("full", ("tiny",), ["tiny"])
    made = ensemble(connection, found.candidate)
    assert made is not None
    assert (made.parent, made.snapshot_digest) == ("champion", found.snapshot)
    assert states(connection, "champion", found.candidate)["champion"] == "champion"

    before = load_ensemble(given.data_dir / "ensembles" / "champion", threads=1).members[0]
    after = load_ensemble(given.data_dir / made.location, threads=1).members[0]
    assert after.manifest.training.data_digest == found.snapshot
    assert after.manifest.training.spec["parent"] == str(before.folder)
    assert after.manifest.training.spec["holdout_share"] == full.holdout_share
    assert WEIGHTS in after.manifest.files
    assert read_weights(after) != read_weights(before), "all of it has learnt"
    assert after.manifest.version != before.manifest.version
