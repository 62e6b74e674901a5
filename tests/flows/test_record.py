"""Promises of what the local host notes in the registry."""

from pathlib import Path

from flows.record import register_members
from models.ensemble import load_ensemble, write_ensemble
from store.connection import connect
from tests.models.coils import LIMITS, write_mean_bundle


def test_the_guard_of_an_ensemble_is_registered_with_its_members(database: str, tmp_path: Path) -> None:
    member, guard = (write_mean_bundle(tmp_path / name) for name in ("member", "watch"))
    write_ensemble(
        tmp_path / "e",
        name="e",
        version="1",
        members=[member],
        thresholds={"limits": 0.5},
        limits=LIMITS,
        guard=guard,
    )
    with connect(database) as connection:
        for _ in range(2):  # what is known stays as it is
            register_members(connection, load_ensemble(tmp_path / "e", threads=1))
        found = connection.execute("select name, state from coilflow.models order by name").fetchall()
    assert [(row["name"], row["state"]) for row in found] == [("member", "champion"), ("watch", "champion")]
