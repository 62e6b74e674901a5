"""Changes of what serves with what they need of the files: kept, whole and tried before the registry hears of it."""

import threading
from dataclasses import replace
from pathlib import Path

from flows.bundle_store import keep, local_copy, read_folder
from flows.trial import Trial, try_out
from schemas.errors import BundleError
from schemas.settings import Settings
from store import registry
from store.connection import Connection
from store.registered import EVERY_PLANT, StoredEnsemble, champion_of, champions_before, ensemble, serving
from store.registry import NewEnsemble
from store.registry_steps import Actor, known_ensemble

_OVER = ("retired", "rejected")  # the registry refuses these whatever their files are


def model_destinations(settings: Settings) -> tuple[str, ...]:
    """Where `model.changed` is announced: on Kafka's topic of models, where verdicts are announced on Kafka."""
    on_kafka = settings.mode == "announce" and any(one.startswith("kafka:") for one in settings.destinations)
    return (f"kafka:{settings.kafka.models_topic}",) if on_kafka else ()


def register_folder(
    connection: Connection,
    folder: Path,
    settings: Settings,
    actor: Actor,
    *,
    plant: str = EVERY_PLANT,
    parent: str | None = None,
    snapshot_digest: str | None = None,
) -> StoredEnsemble:
    """Keep an ensemble's folder where the workers find it, and register it as a candidate.

    Args:
        connection: on a database of this version.
        folder: of the ensemble.
        settings: where ensembles are kept.
        actor: who registers it, and why.
        plant: that it was made for.
        parent: version of the ensemble that it succeeds.
        snapshot_digest: of the coils that its new member learnt from.

    Raises:
        BundleError: a file is missing or altered, or it cannot be kept.
        RegistryError: its version is registered with other files.
        StoreError: the database refused.
    """
    new = new_ensemble(folder, settings, plant=plant, parent=parent, snapshot_digest=snapshot_digest)
    registry.register_ensemble(connection, new, actor)
    return known_ensemble(connection, new.manifest.version)


def new_ensemble(
    folder: Path,
    settings: Settings,
    *,
    plant: str = EVERY_PLANT,
    parent: str | None = None,
    snapshot_digest: str | None = None,
) -> NewEnsemble:
    """Keep an ensemble's folder, and say of it what the registry asks; raises BundleError."""
    whole = read_folder(folder)
    return NewEnsemble(
        manifest=whole.manifest,
        members=whole.members,
        guard=whole.guard,
        location=keep(whole, settings),
        plant=plant,
        parent=parent,
        snapshot_digest=snapshot_digest,
    )


def promote(
    connection: Connection, version: str, settings: Settings, actor: Actor, *, plant: str = EVERY_PLANT
) -> None:
    """Promote an ensemble after a trial here: the workers try it again, each on its own machine.

    Raises:
        BundleError: it is damaged, off on its canaries, crashes or is too slow.
        RegistryError: the registry refuses it.
        StoreError: the database refused.
    """
    try_unless_over(connection, version, settings, plant)
    registry.promote(connection, version, actor, plant=plant)


def shadow(connection: Connection, version: str, settings: Settings, actor: Actor, *, plant: str = EVERY_PLANT) -> None:
    """Let an ensemble shadow after a trial here; raises as `promote`."""
    try_unless_over(connection, version, settings, plant)
    registry.shadow(connection, version, actor, plant=plant)


def rollback(
    connection: Connection, settings: Settings, actor: Actor, *, plant: str = EVERY_PLANT, to: str | None = None
) -> str | None:
    """Go back to the latest champion before that passes a trial here; as `store.registry.rollback`.

    Those that do not pass are noted with the change.

    Raises:
        BundleError: none does, or not the one that `to` names.
        RegistryError: the registry refuses it.
        StoreError: the database refused.
    """
    back, noted = way_back(connection, settings, actor, plant=plant, to=to)
    return registry.rollback(connection, noted, plant=plant, to=back)


def way_back(
    connection: Connection, settings: Settings, actor: Actor, *, plant: str, to: str | None
) -> tuple[str | None, Actor]:
    """Find the latest champion before that passes a trial here.

    Returns:
        Its version, None where the registry is to say why there is none; and the actor, whose reason names those that
        were passed over.

    Raises:
        BundleError: none passes, or not the one that `to` names.
        RegistryError: a champion before is not in the registry any more.
        StoreError: the database refused.
    """
    ways = champions_before(connection, plant)
    if to is not None:
        ways = tuple(version for version in ways if version == to)
    failures = []
    for version in ways:
        try:
            verify(known_ensemble(connection, version), settings)
        except BundleError as error:
            failures.append(error)
        else:
            over = [f"passed over {one}" for one in failures]
            noted = replace(actor, why="; ".join(filter(None, (actor.why, *over))))
            return version, noted
    if failures:
        raise failures[0]
    return to, actor


def verify(
    stored: StoredEnsemble,
    settings: Settings,
    *,
    against: StoredEnsemble | None = None,
    stop: threading.Event | None = None,
) -> Trial:
    """Check an ensemble's digests, and try it in a process of its own, its canaries too.

    Args:
        stored: the ensemble.
        settings: as of `flows.trial.try_out`.
        against: the champion whose milliseconds a coil it is held to.
        stop: set where the run that asks is given up.

    Raises:
        BundleError: it is damaged, off on its canaries, crashes or is too slow.
        TrialStoppedError: `stop` was set before it was done.
    """
    folder = local_copy(stored, settings)
    return try_out(folder, folder_to_beat(against, settings), settings, stop or threading.Event())


def folder_to_beat(champion: StoredEnsemble | None, settings: Settings) -> Path | None:
    """Folder of the champion that a new ensemble is timed against; None where its files are gone or damaged."""
    try:
        return None if champion is None else local_copy(champion, settings)
    except BundleError:  # what comes after a damaged one must not fail for it
        return None


def try_unless_over(connection: Connection, version: str, settings: Settings, plant: str) -> None:
    """Try an ensemble, unless the registry refuses it whatever its files are: that says the better reason.

    Raises:
        BundleError: it is damaged, off on its canaries, crashes or is too slow.
        RegistryError: there is no such ensemble as the registry names champion.
        StoreError: the database refused.
    """
    found = ensemble(connection, version)
    name = champion_of(serving(connection), plant)
    champion = None if name is None else known_ensemble(connection, name)
    if found is None or found.state in _OVER or found.plant not in (EVERY_PLANT, plant):
        return
    if champion is not None and (champion.version == version or champion.limits_version != found.limits_version):
        return
    verify(found, settings, against=champion)
