"""Audit reports put together: of a coil, or of an ensemble or model version."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel

from flows.change_models import verify
from models.installed import installed_version
from processors.revisions import UNREADABLE, check_revision, sound_rows
from schemas.audit import CoilReport, DeadLetter, FaceSummary, Origin
from schemas.audit_model import ModelReport, Verification
from schemas.coils import CoilKey, Order
from schemas.errors import BundleError, NotFoundError
from schemas.layout import FACES
from schemas.settings import Settings
from schemas.verdicts import MemberId
from store import audit as store
from store.connection import Connection, describe
from store.deadletters import Wanted, list_dead_letters
from store.registered import ensemble as registered_ensemble
from store.registry_steps import known_ensemble
from store.training import spellings

_NO_PICTURE = "it was not asked for"


def coil_report(connection: Connection, key: CoilKey, *, now: datetime) -> CoilReport:
    """All that the database knows of a coil, read at one moment.

    Args:
        connection: on a database of this version.
        key: the coil.
        now: the report's date, with a time zone.

    Raises:
        NotFoundError: neither a coil, nor a word, nor a dead letter has that key.
        StoreError: the database refused.
    """
    with store.one_moment(connection):
        verdicts = store.lineage(connection, store.verdicts_of_coil(connection, key), _check)
        letters = list_dead_letters(connection, Wanted(plant=key.plant, coil_id=key.coil_id))
        report = CoilReport(
            origin=_origin(connection, now),
            sources=_sources(CoilReport),
            plant=key.plant,
            coil_id=key.coil_id,
            coil=store.coil_facts(connection, key),
            verdicts=verdicts,
            announcements=store.announcements_of(connection, key),
            feedback=store.feedback_on(connection, key),
            coil_label=store.label_on(connection, key),
            dead_letters=tuple(
                DeadLetter(
                    **{name: getattr(one, name) for name in DeadLetter.model_fields if name != "bytes"},
                    bytes=one.size_bytes,
                )
                for one in reversed(letters)
            ),
            picture=None,
            picture_sha256=None,
            no_picture=_NO_PICTURE,
        )
    if report.coil is None and not report.feedback and not report.dead_letters:
        raise NotFoundError(
            f"nothing is known of coil {key.coil_id!r} of plant {key.plant}",
            remedy="check its id, and give --plant where the coil is of another one",
        )
    return report


def key_of_coil(connection: Connection, coil_id: str, plant: str | None) -> CoilKey:
    """The coil that is meant: of the plant given, else of the only one that knows its id.

    Raises:
        NotFoundError: no plant knows it, or several do.
        StoreError: the database refused.
    """
    if plant is not None:
        return CoilKey(plant=plant, coil_id=coil_id)
    plants = store.plants_of_coil(connection, coil_id)
    if len(plants) == 1:
        return CoilKey(plant=plants[0], coil_id=coil_id)
    if plants:
        raise NotFoundError(
            f"coil {coil_id!r} is one of the plants {', '.join(plants)}", remedy="say which one with --plant"
        )
    raise NotFoundError(
        f"nothing is known of coil {coil_id!r}", remedy="check its id, and which database COILFLOW_DATABASE_DSN names"
    )


def model_report(
    connection: Connection, version: str, settings: Settings, *, now: datetime, tries: bool = True
) -> ModelReport:
    """All that the database knows of an ensemble or model version, and whether its files are whole now.

    Args:
        connection: on a database of this version.
        version: of an ensemble; else of a model, or NAME@VERSION where several have that version.
        settings: where ensembles are kept, for the canaries.
        now: the report's date, with a time zone.
        tries: whether its files are tried, which takes seconds; else the report says nothing of them.

    Raises:
        NotFoundError: nothing has that version, or several models have.
        StoreError: the database refused.
    """
    found = registered_ensemble(connection, version)
    if found is None:
        return _member_report(connection, _member(connection, version), settings, now, tries=tries)
    tried = (_verification(connection, version, settings),) if tries else ()
    with store.one_moment(connection):
        guards = [one for one in store.guards_of(connection, version) if one not in found.members]
        subjects = [f"{kind} {version}" for kind in ("ensemble", "successor")]
        return _model_report(
            connection,
            now,
            verification=tried,
            kind="ensemble",
            model="",
            version=version,
            ensembles=store.ancestors(connection, version),
            manifest=found.manifest.model_dump(mode="json"),
            members=store.audited_members(connection, [*found.members, *guards]),
            holders=[version],
            subjects=subjects,
            judged=store.judged_by(connection, spellings(version)),
            scores=store.scores_of(connection, spellings(version)),
        )


def _member(connection: Connection, version: str) -> MemberId:
    found = store.models_of_version(connection, version)
    if len(found) > 1:
        names = ", ".join(f"{one.model}@{one.version}" for one in found)
        raise NotFoundError(f"several models have the version {version!r}", remedy=f"name one of {names}")
    if not found:
        raise NotFoundError(
            f"there is no ensemble and no model of version {version!r} in the registry",
            remedy="see `coilflow models list`; a model is named as NAME@VERSION",
        )
    return found[0]


def _member_report(
    connection: Connection, member: MemberId, settings: Settings, now: datetime, *, tries: bool
) -> ModelReport:
    holders = _holders(connection, member)
    chosen = _to_try(connection, holders) if tries else ()
    tried = tuple(_verification(connection, one, settings) for one in chosen)
    with store.one_moment(connection):
        return _model_report(
            connection,
            now,
            verification=tried,
            kind="member",
            model=member.model,
            version=member.version,
            ensembles=tuple(store.ancestors(connection, one)[0] for one in holders),
            manifest=None,
            members=store.audited_members(connection, [member]),
            holders=holders,
            subjects=[f"{member.model} {member.version}", *(f"successor {one}" for one in holders)],
            judged=store.judged_by(connection, (), member),
            scores=store.scores_of(connection, [member.version], member.model),
        )


def _model_report(
    connection: Connection,
    now: datetime,
    *,
    holders: Sequence[str],
    subjects: Sequence[str],
    **facts: Any,  # noqa: ANN401 - what differs between an ensemble and a member
) -> ModelReport:
    return ModelReport(
        origin=_origin(connection, now),
        sources=_sources(ModelReport),
        changes=store.changes_of(connection, holders),
        decisions=store.decisions_on(connection, subjects),
        retrainings=store.retrainings_of(connection, holders),
        answers=store.answers_on(connection, holders),
        drift=store.drift_of(connection, [spelled for one in holders for spelled in spellings(one)]),
        **facts,
    )


def _holders(connection: Connection, member: MemberId) -> list[str]:
    [found] = store.audited_members(connection, [member])
    return [holder.version for holder in found.ensembles]


def _to_try(connection: Connection, versions: Sequence[str]) -> list[str]:
    """Of the ensembles that hold a member, those that serve, else the newest: its files are the same in all."""
    serve = [one for one in versions if known_ensemble(connection, one).state in ("champion", "shadow")]
    return serve or list(versions[-1:])


def _verification(connection: Connection, version: str, settings: Settings) -> Verification:
    facts: dict[str, Any] = {"canaries_off_by": None, "ms_a_coil": None, "error": None}
    try:
        trial = verify(known_ensemble(connection, version), settings)
    except BundleError as error:
        facts |= {"good": False, "error": str(error)}
    else:
        facts |= {"good": True, "canaries_off_by": trial.off, "ms_a_coil": trial.ms}
    return Verification(ensemble_version=version, **facts)


def _check(readings: bytes, row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["zn_min_g_m2"], row["zn_max_g_m2"]
    order = Order(zn_min_g_m2=low, zn_max_g_m2=high) if low is not None and high is not None else None
    fits, found = check_revision(readings, row["revision"], order)
    return {
        "digest": {True: "fits", False: "differs", None: "unknown"}[fits],
        "found": found,
        "faces": _faces(readings),
    }


def _faces(readings: bytes) -> tuple[FaceSummary, ...]:
    """Rows and range of each face; nothing where rows of the gauge cannot be read."""
    try:
        rows = sound_rows(readings)
    except UNREADABLE:
        rows = None
    if rows is None:
        return ()
    face = rows.column("face").to_numpy()
    values = rows.column("mean_g_m2").flatten().to_numpy().reshape(len(face), -1)
    summaries = []
    for number, name in enumerate(FACES):
        own = values[face == number]
        told = own[np.isfinite(own)]
        known = {
            f"{what}_g_m2": float(reckon(told)) if len(told) else None
            for what, reckon in (("least", np.min), ("mean", np.mean), ("most", np.max))
        }
        summaries.append(FaceSummary(face=name, rows=len(own), **known))
    return tuple(summaries)


def _origin(connection: Connection, now: datetime) -> Origin:
    return Origin(
        generated_at=now,
        coilflow=installed_version("coilflow"),
        database=describe(connection.info.dsn),
        postgresql=store.server_version(connection),
    )


def _sources(report: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """The tables of each part, by its path in the JSON."""
    found: dict[str, tuple[str, ...]] = {}
    for name, field in report.model_fields.items():
        for part in _parts(field.annotation):
            tables = getattr(part, "FROM", None)
            if tables is None:
                continue
            found[name] = tuple(tables)
            inner = _sources(part)
            found |= {f"{name}.{path}": tables for path, tables in inner.items()}
    return found


def _parts(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - an annotation is anything
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in get_args(annotation) for part in _parts(argument)]
