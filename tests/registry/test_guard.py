"""A guard is registered as the model that it is, though it does not vote."""

from pathlib import Path

from flows.change_models import new_ensemble
from models.ensemble import write_ensemble
from schemas.settings import Settings
from store.connection import connect
from store.registry import start_registry
from tests.models.coils import LIMITS, write_mean_bundle
from tests.retraining.given import ANNA


def test_the_guard_of_an_ensemble_is_registered_with_its_members(database: str, tmp_path: Path) -> None:
    member, guard = (write_mean_bundle(tmp_path / name) for name in ("member", "watch"))
    folder = tmp_path / "ensembles" / "e"
    write_ensemble(
        folder, name="e", version="1", members=[member], thresholds={"limits": 0.5}, limits=LIMITS, guard=guard
    )
    with connect(database) as connection:
        start_registry(connection, new_ensemble(folder, Settings(data_dir=tmp_path)), ANNA)
        models = connection.execute("select name from coilflow.models order by name").fetchall()
        voting = connection.execute("select model from coilflow.ensemble_members where votes").fetchall()
    assert [row["name"] for row in models] == ["member", "watch"]
    assert [row["model"] for row in voting] == ["member"]
