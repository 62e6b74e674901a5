"""Ensembles to register that need no files."""

from dataclasses import replace
from datetime import timedelta
from pathlib import PurePosixPath

from schemas.bundles import BundleManifest, EnsembleManifest
from schemas.coils import Limits
from store.connection import Connection
from store.registered import automation, ensemble, ensembles, model_changes, serving
from store.registry import NewEnsemble, register_ensemble
from store.registry_steps import Actor
from tests.store.given import NOON
from tests.store.test_models import manifest

LIMITS = Limits(low=-100.0, high=150.0)
TOPIC = "kafka:model.events"
ANNA = Actor(who="anna", why="it is better", at=NOON)
JOB = Actor(who="promotion", why="shadow won", at=NOON, automatic=True)


def later(actor: Actor, hours: float) -> Actor:
    """The same one, so many hours after noon."""
    return replace(actor, at=NOON + timedelta(hours=hours))


def member(name: str, version: str) -> BundleManifest:
    """A member that shares its name with those of other ensembles."""
    return manifest(name).model_copy(update={"version": version})


def new_ensemble(
    version: str,
    *,
    members: tuple[BundleManifest, ...] | None = None,
    limits: Limits = LIMITS,
    plant: str = "",
    parent: str | None = None,
) -> NewEnsemble:
    """An ensemble of one member of the same version."""
    chosen = members or (member("cnn", version),)
    return NewEnsemble(
        manifest=EnsembleManifest(
            name="line",
            version=version,
            members=tuple(PurePosixPath(one.name) for one in chosen),
            thresholds={"limits": 0.5},
            limits=limits,
            manifests={one.name: "0" * 64 for one in chosen},
        ),
        members=chosen,
        guard=None,
        location=f"ensembles/{version}",
        plant=plant,
        parent=parent,
    )


def register(connection: Connection, *versions: str) -> None:
    """Register candidates, each the successor of the one before."""
    for parent, version in zip((None, *versions), versions, strict=False):
        register_ensemble(connection, new_ensemble(version, parent=parent), ANNA)


def states(connection: Connection, *versions: str) -> dict[str, str]:
    """State of each ensemble."""
    found = {version: ensemble(connection, version) for version in versions}
    return {version: one.state for version, one in found.items() if one is not None}


def served(connection: Connection) -> dict[str, tuple[str | None, str | None]]:
    """Champion and shadow by plant."""
    return {plant: (row.champion, row.shadow) for plant, row in serving(connection).items()}


def told(connection: Connection) -> list[tuple[str, str | None, str | None]]:
    """Change, ensemble and who, in their order."""
    return [(one.change, one.ensemble_version, one.who) for one in model_changes(connection)]


def everything(connection: Connection) -> tuple[object, ...]:
    """All that a change may touch."""
    rows = connection.execute("select name, version, state from coilflow.models order by 1, 2").fetchall()
    outbox = connection.execute("select count(*) as n from coilflow.outbox").fetchone()
    return (ensembles(connection), serving(connection), model_changes(connection), automation(connection), rows, outbox)
