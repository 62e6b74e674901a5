"""A line whose champion looks at one face of the strip, operators who look at one or the other, and a leader."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from flows.change_models import new_ensemble
from models.bundle import FEATURES, INPUT, OUTPUT
from models.ensemble import load_ensemble, write_ensemble
from processors.review import ask_for_review
from scheduler.jobs import JobCallable, JobContext
from schemas.coils import BoolArray, CoilKey, Float32Array, Order
from schemas.layout import MATRIX_SHAPE
from schemas.loop_settings import PolicySettings, PromotionSettings, RetrainSettings, ReviewSettings
from schemas.matrices import matrix_batch
from schemas.readings import ipc_bytes
from schemas.settings import Settings
from schemas.verdicts import Label, MemberVote, Role, Verdict
from store.connection import Connection, connect
from store.feedback import Feedback, record_feedback
from store.leadership import leader_session, take_over
from store.registered import ensemble
from store.registry import register_ensemble, start_registry
from store.registry_steps import Actor
from store.schedule import begin_attempt, commit_attempt, request_fire
from store.training import begin_retraining, end_retraining
from store.verdicts import Decided, record_verdicts
from tests.models.coils import LIMITS, random_matrix, write_plain_bundle

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANNA = Actor(who="anna", why="she says so", at=NOON)
FACES = {"top": slice(0, 9), "bottom": slice(9, 18)}
NOK_SHARE = 0.25
SPEC = {
    "class_weight": "balanced",
    "augment": {"mirror": 0.0, "noise": 0.001, "shift_rows": 0},
    "validation_share": 0.15,
    "holdout_share": 0.2,
}


def settings(data_dir: Path, **changes: Any) -> Settings:
    """Every second coil that is OK is drawn for a review, so that some hundred coils tell."""
    given = {
        "review": ReviewSettings(share=0.5),
        "retrain": RetrainSettings(niceness=0, least_holdout_nok=3),
        "policy": PolicySettings(),
        "promotion": PromotionSettings(shadow_coils=40, watch_coils=60),
        **changes,
    }
    return Settings(data_dir=data_dir, threads=1, **given)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coils:
    """Coils of the line: matrices float32 [N, 264, 18], and which of their faces is bad."""

    first: int  # number of the first
    matrix: Float32Array

    def nok(self, face: str) -> BoolArray:
        """Coils whose face is thick: what an operator who looks at that face calls NOK."""
        level = self.matrix[:, :, FACES[face]].mean(axis=(1, 2))
        bad: BoolArray = level > 0
        return bad


def coils(count: int, *, first: int = 0) -> Coils:
    """So many coils, each face bad in a quarter of them; the same number is the same coil."""
    matrix = np.empty((count, *MATRIX_SHAPE), dtype=np.float32)
    for place in range(count):
        rng = np.random.default_rng([7, first + place])
        matrix[place] = rng.normal(0, 0.02, MATRIX_SHAPE)
        for face in FACES.values():
            matrix[place, :, face] += 0.2 if rng.random() < NOK_SHARE else -0.1
    return Coils(first=first, matrix=matrix)


def write_champion(folder: Path, version: str = "champion", *, face: str = "top", member: str = "faces") -> Path:
    """An ensemble of one member that looks at one face alone."""
    weight = np.zeros((1, 18), dtype=np.float32)
    weight[0, FACES[face]] = 4.0
    nodes = [
        helper.make_node("ReduceMean", [INPUT, "axes"], [FEATURES], keepdims=0),
        helper.make_node("Gemm", [FEATURES, "weight", "bias"], ["odds"], transB=1),
        helper.make_node("Squeeze", ["odds", "axes"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], [OUTPUT]),
    ]
    shape: list[str | int | None] = ["coils", *MATRIX_SHAPE]
    graph = helper.make_graph(
        nodes,
        "faces",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["coils"]),
            helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["coils", 18]),
        ],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("weight", TensorProto.FLOAT, [1, 18], weight.reshape(-1).tolist()),
            helper.make_tensor("bias", TensorProto.FLOAT, [1], [0.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    matrix = random_matrix(4, seed=9)
    expected = 1 / (1 + np.exp(-matrix.mean(axis=1, dtype=np.float64) @ weight[0]))
    content: bytes = model.SerializeToString()
    bundle = write_plain_bundle(
        folder / "bundles" / member, content, matrix, expected, kind="cnn5", scale="limits", spec=SPEC
    )
    out = folder / version
    write_ensemble(out, name="line", version=version, members=[bundle], thresholds={"limits": 0.5}, limits=LIMITS)
    return out


def serve_champion(connection: Connection, folder: Path, given: Settings) -> None:
    """Register and promote the champion."""
    start_registry(connection, new_ensemble(write_champion(folder), given), ANNA)


def accept_successor(
    connection: Connection,
    folder: Path,
    given: Settings,
    version: str,
    *,
    parent: str = "champion",
    plant: str = "",
    face: str = "bottom",
) -> None:
    """Leave a successor as training does that found it better on the holdout, whatever it is."""
    made = new_ensemble(write_champion(folder, version, face=face, member=version), given, plant=plant, parent=parent)
    register_ensemble(connection, made, ANNA)
    accept(connection, version, parent=parent, plant=plant)


def accept(connection: Connection, version: str, *, parent: str = "champion", plant: str = "") -> None:
    """Leave a registered ensemble as training does that found it better on the holdout."""
    retraining_id = begin_retraining(
        connection,
        plant=plant,
        members=("faces",),
        how="head",
        parent=parent,
        why="it is given",
        attempt_id=0,
        epoch=0,
        at=NOON,
    )
    why = "better: on the holdout"
    end_retraining(connection, retraining_id, "accepted", why=why, at=NOON, candidate=version)


def judge(
    connection: Connection,
    given: Settings,
    batch: Coils,
    *,
    at: datetime,
    by: str = "champion",
    shadow: str | None = None,
    plant: str = "linz",
) -> list[str]:
    """Let ensembles judge coils as a worker does, one a second; returns the ids of those asked for."""
    asked = []
    for version, role in ((by, "champion"), (shadow, "shadow")):
        if version is None:
            continue
        found = _judged(connection, given, batch, version, role, plant)  # type: ignore[arg-type]
        for place, one in enumerate(found):
            record_verdicts(connection, [one], decided_at=at + timedelta(seconds=place), destinations=())
        if role == "champion":
            asked = [one.verdict.key.coil_id for one in found if one.verdict.review]
    return asked


def label(
    connection: Connection,
    batch: Coils,
    ids: Sequence[str],
    *,
    face: str,
    at: datetime,
    plant: str = "linz",
    flipped: Sequence[str] = (),
) -> None:
    """An operator who looks at one face labels coils; of those flipped, the contrary."""
    is_nok = {str(batch.first + place): bool(nok) for place, nok in enumerate(batch.nok(face))}
    words = [
        Feedback(
            key=CoilKey(plant=plant, coil_id=coil),
            source="console",
            event_id=f"{coil} {at.isoformat()}",
            label="NOK" if is_nok[coil] != (coil in flipped) else "OK",
            given_at=at,
            operator="mia",
        )
        for coil in ids
    ]
    record_feedback(connection, words, received_at=at)


@contextmanager
def leading(dsn: str) -> Iterator[int]:
    """A leader's epoch while the block lasts."""
    with leader_session(dsn) as session:
        taken = take_over(session, "given", silent_after_s=60)
        assert taken is not None
        yield taken.epoch


def context(dsn: str, given: Settings, name: str, *, epoch: int, now: datetime) -> JobContext:
    """A run of a job under way."""
    with connect(dsn) as connection:
        fire_id = request_fire(connection, name, who="anna", why=None, now=now)
        assert fire_id is not None
        attempt = begin_attempt(connection, fire_id, epoch=epoch, now=now)
    assert attempt is not None
    return JobContext(
        settings=given,
        dsn=dsn,
        job=name,
        fire_at=now,
        attempt=attempt.attempt,
        attempt_id=attempt.attempt_id,
        epoch=epoch,
        now=now,
        stop=threading.Event(),
    )


def run(dsn: str, given: Settings, job: JobCallable, name: str, *, epoch: int, now: datetime) -> str:
    """Run a job once as the leader does, and commit the run; returns what it says."""
    under_way = context(dsn, given, name, epoch=epoch, now=now)
    said = job(under_way) or ""
    with connect(dsn) as connection:
        commit_attempt(connection, under_way.attempt_id, now=now, said=said)
    return said


def _judged(
    connection: Connection, given: Settings, batch: Coils, version: str, role: Role, plant: str
) -> list[Decided]:
    stored = ensemble(connection, version)
    assert stored is not None
    loaded = load_ensemble(given.data_dir / stored.location, threads=1)
    size = len(batch.matrix)
    keys = [CoilKey(plant=plant, coil_id=str(batch.first + place)) for place in range(size)]
    arrow = matrix_batch(
        keys=keys,
        revisions=[f"{batch.first + place:064x}" for place in range(size)],
        matrix=batch.matrix,
        spread=np.zeros_like(batch.matrix),
        observed=np.ones(size),
        scale="limits",
        columns={"limits_version": [LIMITS.version] * size},
    )
    scores = loaded.score(arrow)
    decided = []
    for place, key in enumerate(keys):
        p_nok = float(scores.p_nok[place])
        verdict = Verdict(
            key=key,
            revision=f"{batch.first + place:064x}",
            label=Label.NOK if p_nok >= scores.threshold else Label.OK,
            p_nok=p_nok,
            threshold=scores.threshold,
            ensemble_version=scores.ensemble_version,
            members=tuple(
                MemberVote(model=one.model, version=one.version, p_nok=float(p))
                for one, p in zip(scores.members, scores.member_p_nok[place], strict=True)
            ),
            observed=1.0,
        )
        if role == "champion":
            verdict = ask_for_review(verdict, given.review)
        else:
            verdict = replace(verdict, review=(), review_probability=None)
        order = Order(zn_min_g_m2=100, zn_max_g_m2=120, length_m=540)
        readings = ipc_bytes(arrow.slice(place, 1))
        decided.append(Decided(verdict=verdict, readings=readings, order=order, started_at=None, truth=None, role=role))
    return decided
