"""Changes of what serves: each one step in one transaction, done wholly or refused with the reason.

Every step first locks the one row of `automation` and only then reads or writes anything else: two steps follow each
other, none deadlocks, and after a freeze nothing that coilflow decided by itself gets through. Inside the caller's own
transaction a step joins it.
"""

from dataclasses import dataclass

import orjson

from schemas.bundles import BundleManifest, EnsembleManifest
from schemas.errors import RegistryError
from store.connection import Connection
from store.models import ModelState, register_models
from store.queries import query
from store.registered import EVERY_PLANT, ChangeKind, StoredEnsemble, champion_of, champions_before, ensemble, serving
from store.registry_steps import LIST, Actor, known_ensemble, note_change, note_row, settle_state, step


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEnsemble:
    """An ensemble that is to be registered; its files are where `location` says already."""

    manifest: EnsembleManifest
    members: tuple[BundleManifest, ...]
    guard: BundleManifest | None
    location: str  # URI, or a path below the data folder of each machine
    plant: str = EVERY_PLANT  # that it was made for
    parent: str | None = None  # version of the ensemble that it succeeds
    snapshot_digest: str | None = None  # of the coils that its new member learnt from


def register_ensemble(connection: Connection, new: NewEnsemble, actor: Actor) -> bool:
    """Register an ensemble and its members as candidates, also while automatic change is frozen.

    Returns:
        Whether it is new; the same one again changes nothing.

    Raises:
        RegistryError: the version is registered with other files, or the parent is unknown.
        StoreError: a member's version is registered with another manifest, or the database refused.
    """
    with step(connection, f"register ensemble {new.manifest.version!r}"):
        return _register(connection, new, actor)


def start_registry(connection: Connection, new: NewEnsemble, actor: Actor) -> bool:
    """Register and promote the first ensemble for every plant, unless one serves already.

    Returns:
        Whether it serves now by this call; several processes that start together agree on one.

    Raises:
        RegistryError: as `register_ensemble` and `promote`.
        StoreError: the database refused.
    """
    with step(connection, "promote the first ensemble"):
        if EVERY_PLANT in serving(connection):
            return False
        _register(connection, new, actor)
        _promote(connection, new.manifest.version, EVERY_PLANT, actor)
        return True


def promote(connection: Connection, version: str, actor: Actor, *, plant: str = EVERY_PLANT) -> None:
    """Let an ensemble give a plant's verdicts; the champion before it retires unless it serves another plant.

    Raises:
        RegistryError: the version is unknown, retired, rejected or the champion already, was made for another plant or
            has other limits than the champion, or automatic change is frozen.
        StoreError: the database refused.
    """
    with step(connection, f"promote ensemble {version!r}", actor):
        _promote(connection, version, plant, actor)


def shadow(connection: Connection, version: str, actor: Actor, *, plant: str = EVERY_PLANT) -> None:
    """Let an ensemble judge a plant's coils beside its champion.

    Raises:
        RegistryError: as `promote`, or the plant has another shadow.
        StoreError: the database refused.
    """
    with step(connection, f"let ensemble {version!r} shadow", actor):
        rows = serving(connection)
        found = known_ensemble(connection, version)
        champion = champion_of(rows, plant)
        if champion is None:
            raise RegistryError("nothing serves yet", remedy="promote an ensemble first, or start a worker")
        _refuse_unfit(connection, found, plant, champion, verb="shadow")
        own = rows.get(plant)
        if own is not None and own.shadow is not None:
            raise RegistryError(
                f"{_of(plant)} has the shadow {own.shadow} already", remedy="promote or reject that one first"
            )
        _serve(connection, plant, own.champion if own else None, version, actor)
        note_change(connection, found, "shadowed", plant, actor, champion=own.champion if own else None, shadow=None)
        settle_state(connection, found.version, "shadow", actor)


def withdraw(connection: Connection, version: str, actor: Actor, *, plant: str = EVERY_PLANT) -> None:
    """End an ensemble's shadow of a plant: it is a candidate again, and the place is free for another.

    Raises:
        RegistryError: it is unknown or does not shadow the plant, or automatic change is frozen.
        StoreError: the database refused.
    """
    with step(connection, f"end the shadow of ensemble {version!r}", actor):
        found = known_ensemble(connection, version)
        own = serving(connection).get(plant)
        if own is None or own.shadow != version:
            raise RegistryError(f"ensemble {version} does not shadow {_of(plant)}", remedy=LIST)
        _serve(connection, plant, own.champion, None, actor)
        note_change(connection, found, "withdrawn", plant, actor, champion=own.champion, shadow=version)
        settle_state(connection, version, "candidate", actor)


def reject(connection: Connection, version: str, actor: Actor) -> None:
    """Give a candidate or a shadow up for good; it judges nowhere any more.

    Raises:
        RegistryError: it is unknown, or neither candidate nor shadow, or automatic change is frozen.
        StoreError: the database refused.
    """
    with step(connection, f"reject ensemble {version!r}", actor):
        found = known_ensemble(connection, version)
        if found.state not in ("candidate", "shadow"):
            advice = "roll it back with `coilflow models rollback`" if found.state == "champion" else LIST
            raise RegistryError(f"ensemble {version} is {_a(found.state)} and cannot be rejected", remedy=advice)
        for row in serving(connection).values():
            if row.shadow == version:
                _serve(connection, row.plant, row.champion, None, actor)
        note_change(connection, found, "rejected", found.plant, actor)
        settle_state(connection, version, "rejected", actor)


def rollback(connection: Connection, actor: Actor, *, plant: str = EVERY_PLANT, to: str | None = None) -> str | None:
    """Put a champion before in the place of a plant's champion, which is rejected.

    One that serves another plant, or that another can go back to, is not rejected.

    Args:
        connection: on a database of this version.
        actor: who does it, and why.
        plant: whose champion goes.
        to: version that gave the plant's verdicts before; None: the latest.

    Returns:
        The version that gives the verdicts now; None where the plant is served as every plant is again.

    Raises:
        RegistryError: the plant has no champion of its own, or none before it, or not that one, or automatic change is
            frozen.
        StoreError: the database refused.
    """
    with step(connection, f"roll {_of(plant)} back", actor):
        own = serving(connection).get(plant)
        if own is None or own.champion is None:
            raise RegistryError(f"{_of(plant)} has no champion of its own to roll back", remedy=LIST)
        ways = champions_before(connection, plant)
        if to is not None and to not in ways:
            raise RegistryError(
                f"{_of(plant)} cannot go back to {to}: it was no champion there before, or was rolled back",
                remedy=f"give one of {', '.join(ways)}" if ways else LIST,
            )
        back = to or next(iter(ways), None)
        if back is None and plant == EVERY_PLANT:
            raise RegistryError(
                f"there is no champion before {own.champion} to go back to", remedy="promote another, " + LIST
            )
        gone = known_ensemble(connection, own.champion)
        before = {"champion": own.champion, "shadow": own.shadow}
        _serve(connection, plant, back, None if own.shadow == back else own.shadow, actor)
        note_change(connection, gone, "rolled_back", plant, actor, **before)
        if back is not None:
            note_change(connection, known_ensemble(connection, back), "promoted", plant, actor, **before)
            settle_state(connection, back, "champion", actor)
            _end_shadows(connection, back, actor)
        others = [row.plant for row in serving(connection).values() if row.plant != plant]
        kept = any(gone.version in champions_before(connection, other) for other in others)
        settle_state(connection, gone.version, "retired" if kept else "rejected", actor)
        return back


def freeze(connection: Connection, actor: Actor) -> bool:
    """Stop all automatic change at once; returns whether it was going on, raises StoreError."""
    return _set_frozen(connection, actor, frozen=True)


def unfreeze(connection: Connection, actor: Actor) -> bool:
    """Let automatic change go on; returns whether it was frozen.

    Raises:
        RegistryError: coilflow itself asks for it.
        StoreError: the database refused.
    """
    return _set_frozen(connection, actor, frozen=False)


def _register(connection: Connection, new: NewEnsemble, actor: Actor) -> bool:
    manifest = new.manifest
    known = ensemble(connection, manifest.version)
    if known is not None:
        if known.digest != manifest.own_digest():
            raise RegistryError(
                f"ensemble {manifest.version} is registered with other files",
                remedy="a version never changes: give the new ensemble a new version",
            )
        return False
    if new.parent is not None:
        known_ensemble(connection, new.parent)
    models = [(one, True) for one in new.members] + ([(new.guard, False)] if new.guard else [])
    register_models(connection, [one for one, _ in models], registered_at=actor.at)
    connection.execute(
        query("insert_ensemble"),
        {
            "version": manifest.version,
            "name": manifest.name,
            "plant": new.plant,
            "manifest": manifest.model_dump_json(exclude_none=True),
            "digest": manifest.own_digest(),
            "limits_version": manifest.limits.version,
            "location": new.location,
            "parent": new.parent,
            "snapshot_digest": new.snapshot_digest,
            "at": actor.at,
        },
    )
    members = [{"model": one.name, "version": one.version, "votes": votes} for one, votes in models]
    parameters = {"ensemble_version": manifest.version, "members": orjson.dumps(members).decode()}
    connection.execute(query("insert_ensemble_members"), parameters)
    note_change(connection, known_ensemble(connection, manifest.version), "registered", new.plant, actor)
    settle_state(connection, manifest.version, "candidate", actor)
    return True


def _promote(connection: Connection, version: str, plant: str, actor: Actor) -> None:
    rows = serving(connection)
    found = known_ensemble(connection, version)
    champion, own = champion_of(rows, plant), rows.get(plant)
    if champion is not None:
        _refuse_unfit(connection, found, plant, champion, verb="be promoted")
    else:
        _refuse_state(found, plant, verb="be promoted")
        _refuse_limits(connection, found, verb="be promoted")
    before = {"champion": own.champion if own else None, "shadow": own.shadow if own else None}
    _serve(connection, plant, version, None if before["shadow"] == version else before["shadow"], actor)
    _end_shadows(connection, version, actor)
    note_change(connection, found, "promoted", plant, actor, **before)
    settle_state(connection, version, "champion", actor)
    gone = before["champion"]
    if gone is not None and settle_state(connection, gone, "retired", actor) == "retired":
        note_change(connection, known_ensemble(connection, gone), "retired", plant, actor, state="champion")


def _end_shadows(connection: Connection, version: str, actor: Actor) -> None:
    """What gives a plant's verdicts does not shadow there too: nothing would ever take it from that place."""
    rows = serving(connection)
    for row in rows.values():
        if row.shadow == version and champion_of(rows, row.plant) == version:
            _serve(connection, row.plant, row.champion, None, actor)


def _refuse_unfit(connection: Connection, found: StoredEnsemble, plant: str, champion: str, *, verb: str) -> None:
    if champion == found.version:
        raise RegistryError(f"ensemble {found.version} is the champion of {_of(plant)} already", remedy=LIST)
    _refuse_state(found, plant, verb=verb)
    _refuse_limits(connection, found, verb=verb)


def _refuse_limits(connection: Connection, found: StoredEnsemble, *, verb: str) -> None:
    """What serves has the same limits at every plant, in whatever order it came to serve."""
    champions = [row.champion for row in serving(connection).values() if row.champion is not None]
    for champion in champions:
        limits = known_ensemble(connection, champion).limits_version
        if found.limits_version != limits:
            raise RegistryError(
                f"ensemble {found.version} cannot {verb}: its limits are {found.limits_version}, those of the champion "
                f"{champion} are {limits}",
                remedy="train a successor with the champion's limits",
            )


def _refuse_state(found: StoredEnsemble, plant: str, *, verb: str) -> None:
    if found.state in ("retired", "rejected"):
        advice = "go back with `coilflow models rollback`" if found.state == "retired" else LIST
        raise RegistryError(f"ensemble {found.version} is {found.state} and cannot {verb}", remedy=advice)
    if found.plant not in (EVERY_PLANT, plant):
        raise RegistryError(
            f"ensemble {found.version} was made for plant {found.plant} and cannot {verb} for {_of(plant)}",
            remedy=f"give --plant {found.plant}",
        )


def _serve(connection: Connection, plant: str, champion: str | None, shadowing: str | None, actor: Actor) -> None:
    parameters = {"plant": plant, "champion": champion, "shadow": shadowing, "at": actor.at}
    connection.execute(query("set_serving"), parameters)


def _set_frozen(connection: Connection, actor: Actor, *, frozen: bool) -> bool:
    with step(connection, f"{'freeze' if frozen else 'unfreeze'} automatic change", None if frozen else actor) as row:
        if row["frozen"] == frozen:
            return False
        parameters = {"frozen": frozen, "who": actor.who, "why": actor.why, "at": actor.at}
        connection.execute(query("set_frozen"), parameters)
        kind: ChangeKind = "frozen" if frozen else "unfrozen"
        note_row(connection, kind, EVERY_PLANT, actor, version=None, before={"frozen": row["frozen"]})
        return True


def _of(plant: str) -> str:
    return f"plant {plant}" if plant else "every plant"


def _a(state: ModelState) -> str:
    return state if state in ("retired", "rejected") else f"a {state}"
