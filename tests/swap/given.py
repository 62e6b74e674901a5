"""Small ensembles whose verdicts tell which of them gave it, and what became of a change."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from flows.change_models import register_folder
from flows.serving import Serving
from models.bundle import INPUT, OUTPUT
from models.ensemble import Ensemble, write_ensemble
from schemas.coils import Limits
from schemas.layout import MATRIX_SHAPE
from schemas.settings import Settings
from store.connection import Connection, connect
from store.registry_steps import Actor
from store.swaps import SwapAnswer, answers
from tests.models.coils import LIMITS, random_matrix, write_mean_bundle, write_plain_bundle
from tests.waiting import wait_until

ANNA = Actor(who="anna", why="it is better", at=datetime(2026, 11, 20, 12, tzinfo=UTC))
JOB = replace(ANNA, who="promotion", automatic=True)


def write_version(folder: Path, version: str, *, factor: float = -20.0, off_by: float = 0.0) -> Path:
    """An ensemble of one member, which has the ensemble's version in its name."""
    member = write_mean_bundle(folder / "members" / f"mean-{version}", factor=factor, off_by=off_by)
    return _ensemble(folder, version, member)


def write_no_model(folder: Path, version: str, model: bytes) -> Path:
    """An ensemble whose every digest is right, and whose graph is none."""
    matrix = random_matrix(4, seed=9)
    place = folder / "members" / f"mean-{version}"
    return _ensemble(
        folder, version, write_plain_bundle(place, model, matrix, np.full(4, 0.5), kind="mean", scale="limits")
    )


def write_slow(folder: Path, version: str) -> Path:
    """An ensemble that says what the first one says, after six billion multiplications."""
    matrix = random_matrix(4, seed=9)
    expected = 1 / (1 + np.exp(20.0 * matrix.mean(axis=(1, 2), dtype=np.float64)))
    place = folder / "members" / f"mean-{version}"
    return _ensemble(
        folder, version, write_plain_bundle(place, _slow_model(-20.0), matrix, expected, kind="mean", scale="limits")
    )


def _slow_model(factor: float) -> bytes:
    square = [1000, 1000]
    nodes = [
        helper.make_node("ReduceMean", [INPUT, "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "factor"], ["odds"]),
        helper.make_node("ReduceMean", [INPUT], ["one"], keepdims=0),  # of all coils, so that nothing is known before
        helper.make_node("Expand", ["one", "square"], ["a"]),
        helper.make_node("MatMul", ["a", "a"], ["b"]),
        helper.make_node("MatMul", ["b", "a"], ["c"]),
        helper.make_node("MatMul", ["c", "a"], ["d"]),
        helper.make_node("ReduceMean", ["d"], ["e"], keepdims=0),
        helper.make_node("Mul", ["e", "zero"], ["nothing"]),
        helper.make_node("Add", ["odds", "nothing"], ["all"]),
        helper.make_node("Sigmoid", ["all"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["coils", *MATRIX_SHAPE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["coils"])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("square", TensorProto.INT64, [2], square),
            helper.make_tensor("factor", TensorProto.FLOAT, [], [factor]),
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def write_other_limits(folder: Path, version: str, limits: Limits) -> Path:
    """An ensemble on scale self, so that it can have any limits."""
    member = write_mean_bundle(folder / "members" / f"mean-{version}", scale="self", factor=0.0)
    return _ensemble(folder, version, member, limits=limits)


def _ensemble(folder: Path, version: str, member: Path, limits: Limits = LIMITS) -> Path:
    write_ensemble(
        folder / version, name="line", version=version, members=[member], thresholds={"limits": 0.6}, limits=limits
    )
    return folder / version


def settings_in(folder: Path, first: Path, **given: Any) -> Settings:
    """Settings of a machine with its own data folder, whose first ensemble is `first`."""
    return Settings(**{"data_dir": folder / "data", "ensemble": first, "threads": 1, **given})


def registered(dsn: str, settings: Settings, *folders: Path) -> None:
    """Register ensembles as candidates."""
    with connect(dsn) as connection:
        for folder in folders:
            register_folder(connection, folder, settings, ANNA)


def version_of(serving: Serving, plant: str = "linz") -> tuple[str, str | None]:
    """Versions of champion and shadow that judge a plant's coils now."""
    served = serving.current().of(plant)
    assert isinstance(served.champion, Ensemble)
    assert served.shadow is None or isinstance(served.shadow, Ensemble)
    return served.champion.version, served.shadow.version if served.shadow else None


def answered(connection: Connection, version: str, number: int = 1) -> list[SwapAnswer]:
    """Wait for so many answers on an ensemble."""
    wait_until(lambda: len(answers(connection, version)) >= number, 120.0)
    return list(answers(connection, version))


Start = Callable[..., Serving]  # starts a worker


def kept(settings: Settings, version: str) -> Path:
    """The model of an ensemble in the data folder."""
    return settings.data_dir / "ensembles" / version / f"mean-{version}" / "model.onnx"


def truncate(settings: Settings) -> None:
    """Damage e2 in the data folder."""
    file = kept(settings, "e2")
    file.write_bytes(file.read_bytes()[:-20])
