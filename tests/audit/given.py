"""A small story on a real database: coils judged, people who differ and correct themselves, a successor promoted."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.assess import assess
from flows.change_models import new_ensemble, register_folder
from flows.record import record
from flows.served import only
from flows.snapshot import write_snapshot
from flows.sources.open import open_source
from models.ensemble import Ensemble, load_ensemble
from schemas.coils import Truth
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import Connection, connect
from store.deadletters import record_dead_letters
from store.decisions import record_decision
from store.drift import DriftCheck, store_drift_check
from store.feedback import Feedback, record_feedback
from store.labels import LabelledOnce, store_second_reviews
from store.registered import champion_of, serving
from store.registry import promote, start_registry
from store.registry_steps import Actor
from store.training import (
    Scope,
    begin_retraining,
    end_retraining,
    labelled_coils,
    record_snapshot,
    set_retraining,
)
from tests.flows.given import Given, coil, write_tables
from tests.models.coils import LIMITS
from tests.store.given import key_of
from tests.swap.given import write_version

EVIL = (  # what a note may hold
    "thin | edge\n# Heading\n\n| a | b |\n|---|---|\n```\n<script>alert(1)</script> "
    "[x](http://evil.example) \x1b[31m\u202e **b**"
)
TOPIC = "kafka:coil.verdicts"
LOW = 60.0  # g/m², far below the band: NOK
EVERY = Scope(plant="")
PROMOTION = Actor(who="promotion", why="better in shadow", at=datetime.now(UTC), automatic=True)


def later(hours: float) -> datetime:
    """So long after the verdicts."""
    return datetime.now(UTC) + timedelta(hours=hours)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line with what serves it."""

    dsn: str
    settings: Settings
    folder: Path

    def assess(self, *coils: Given, shadow: str | None = None) -> None:
        """Judge coils of a folder of tables as `coilflow assess --store` does."""
        source = open_source(str(write_tables(coils, self.folder / "line")), plant="linz")
        with connect(self.dsn) as connection:
            version = champion_of(serving(connection), "")
            assert version is not None
            serves = only(self._loaded(version), None if shadow is None else self._loaded(shadow))
            for judged in assess(source, serves, self.settings, records=True):
                record(connection, judged, self.settings)

    def _loaded(self, version: str) -> Ensemble:
        return load_ensemble(self.settings.data_dir / "ensembles" / version, threads=1)


def a_line(dsn: str, folder: Path, **changes: Any) -> Line:
    """A line whose first ensemble, v1, calls what lies below its band NOK."""
    given: dict[str, Any] = {
        "data_dir": folder / "data",
        "ensemble": write_version(folder, "v1", factor=-200.0),
        "threads": 1,
    }
    given |= {"destinations": (TOPIC,), "plant": "linz", **changes}
    made = Line(dsn=dsn, settings=Settings(**given), folder=folder)
    with connect(dsn) as connection:
        first = new_ensemble(folder / "v1", made.settings)
        start_registry(connection, first, Actor(who="start", why="the settings' ensemble", at=later(-1)))
    return made


def say(
    connection: Connection,
    coil_id: str,
    label: Truth,
    *,
    by: str,
    hours: float = 0.0,
    event_id: str | None = None,
    **given: Any,
) -> None:
    """What an operator says of a coil, so many hours after its verdict."""
    at = later(hours)
    word = Feedback(
        key=key_of(coil_id),
        source="/mes",
        event_id=event_id or f"{coil_id} {by} {hours}",
        label=label,
        given_at=at,
        operator=by,
        **given,
    )
    record_feedback(connection, [word], received_at=at)


def candidate(connection: Connection, line: Line, version: str, *, parent: str, snapshot: str | None = None) -> None:
    """Register an ensemble as a candidate."""
    folder = write_version(line.folder, version, factor=-150.0)
    who = replace(PROMOTION, who="retrain", why="trained anew")
    register_folder(connection, folder, line.settings, who, parent=parent, snapshot_digest=snapshot)


def succeed(connection: Connection, line: Line, *, hours: float, version: str = "v2") -> str:
    """Promote a successor of the champion that learnt from what is labelled by then; returns its snapshot's digest."""
    at = later(hours)
    parent = champion_of(serving(connection), "")
    assert parent is not None
    coils = labelled_coils(connection, EVERY, until=at, most=100)
    snapshot = write_snapshot(
        connection, coils, line.settings.data_dir, scope=EVERY, limits=LIMITS, holdout_share=0.5, until=at
    )
    begun = begin_retraining(
        connection,
        plant="",
        members=["mean-v1"],
        how="head",
        parent=parent,
        why="recall fell",
        attempt_id=1,
        epoch=1,
        at=at,
    )
    candidate(connection, line, version, parent=parent, snapshot=snapshot.digest)
    record_snapshot(connection, snapshot)
    told = {"snapshot": snapshot.digest, "candidate": version, "judged": {"compared": {"difference": 0.25}}}
    end_retraining(connection, begun, "accepted", why="better: F1", at=at, **told)  # type: ignore[arg-type]
    for subject, act in ((f"ensemble {parent}", True), (f"mean-{parent} 1", False)):
        record_decision(
            connection, "retrain", at=at, subject=f"every plant: {subject}", act=act, why=("recall: low",), evidence={}
        )
    promote(connection, version, PROMOTION)  # without its trial in a process of its own, which takes seconds
    set_retraining(connection, begun, "promoted", why="no worse in shadow", at=at)
    record_decision(
        connection,
        "promotion",
        at=at,
        subject=f"every plant: successor {version}",
        act=True,
        why=("won: 60 coils",),
        evidence={},
    )
    return snapshot.digest


def look_again(connection: Connection, coil_id: str, revision: str, *, hours: float) -> None:
    """Draw a coil for a second person."""
    drawn = [LabelledOnce(key=key_of(coil_id), revision=revision)]
    store_second_reviews(connection, drawn, probability=0.1, drawn_at=later(hours))


def drifted(connection: Connection, version: str, *, hours: float) -> None:
    """A check that found drift."""
    check = DriftCheck(
        checked_at=later(hours),
        plant="linz",
        ensemble_version=version,
        coils=500,
        drifted=True,
        sentence="the level of the top face has drifted",
        figures={"level": {"psi": 0.4, "at_least": 0.2}},
    )
    store_drift_check(connection, check)


def refuse(connection: Connection, coil_id: str, why: str) -> None:
    """A dead letter of a coil."""
    reject = Reject(
        step="assemble",
        place="coils.jsonl, line 3",
        key=key_of(coil_id),
        error=f"the bottom face is missing: {why}",
        remedy="send the readings of both faces",
        original=b"{}",
    )
    record_dead_letters(connection, [reject])


def bad(coil_id: str) -> Given:
    """A coil that lies far below its band."""
    return coil(coil_id, level=LOW)
