"""A successor: the champion's ensemble with members trained anew, its threshold fitted again, judged on the holdout."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from pydantic import ValidationError

from flows.retrain_head import retrain_head
from flows.retrain_order import Order
from flows.snapshot import Snapshot, read_snapshot
from flows.split import split
from models.bundle import SPREAD, WEIGHTS, load_bundle, read_file, sha256
from models.combine import Rule
from models.ensemble import ENSEMBLE, Ensemble, load_ensemble, parse_ensemble, write_ensemble
from models.objectives_spec import Threshold
from models.scales import to_self_scale, to_self_spread
from models.spec import TrainSpec
from models.thresholds import chosen_threshold
from models.weighted_pairs import Compared, Pairs, compare
from schemas.bundles import EnsembleManifest
from schemas.coils import IntArray
from schemas.errors import BundleError, CoilflowError, SpecError
from schemas.faults import first_fault
from schemas.matrices import MATRIX_BATCH, Scale, tensor_column, tensor_values

MEMBERS, SUCCESSOR = "members", "successor"  # below the folder of an attempt
_VERSION_DIGITS = 12
_THREADS = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What came of it."""

    folder: Path  # of the successor
    trained: tuple[str, ...]  # names of the members
    kept: tuple[str, ...]  # why others stayed as they are, a sentence each
    compared: Compared | None  # on the holdout; None: no coil of it says anything of the line


def make_successor(order: Order) -> Made:
    """Train members anew, put the ensemble together, and judge it beside the champion on the holdout.

    What is not trained stays as it is, and so do limits, guard and the way to combine. The ensemble's thresholds are
    chosen again on the validation coils, by the rule of the members' specifications.

    Raises:
        CoilflowError: coils are too few, a member cannot be trained so, or something cannot be written.
    """
    champion = load_ensemble(order.champion, threads=_THREADS)
    snapshot = read_snapshot(order.snapshot, champion.limits)
    trained, kept = _trained(order, champion, snapshot)
    folder = _assembled(order, champion, snapshot, trained)
    served = load_ensemble(order.champion, threads=_THREADS, how=order.combine)
    successor = load_ensemble(folder, threads=_THREADS, how=order.combine)
    return Made(
        folder=folder,
        trained=tuple(sorted(trained)),
        kept=kept,
        compared=_compared(order, served, successor, snapshot),
    )


def _trained(order: Order, champion: Ensemble, snapshot: Snapshot) -> tuple[dict[str, Path], tuple[str, ...]]:
    trained, kept = {}, []
    for member in champion.members:
        name = member.manifest.name
        if name not in order.members:
            continue
        out = order.out / MEMBERS / member.folder.name
        try:
            trained[name] = _train(order, member.folder, snapshot, out)
        except CoilflowError as error:
            if order.must:
                raise
            kept.append(f"{name} stays as it is: {error}")
    if not trained:
        raise SpecError(
            "no member can be trained: " + ("; ".join(kept) or "the ensemble has none of them"),
            remedy="set COILFLOW_RETRAIN__HOW=full where torch is installed, or label more coils",
        )
    return trained, tuple(kept)


def _train(order: Order, parent: Path, snapshot: Snapshot, out: Path) -> Path:
    if order.how == "head":
        return retrain_head(
            parent,
            snapshot.population,
            out,
            seed=order.seed,
            holdout_share=order.holdout_share,
            threads=_THREADS,
            cache=order.cache,
            profiles=order.profiles,
        )
    if importlib.util.find_spec("torch") is None:
        raise SpecError(
            "full training needs torch, which is not installed",
            remedy="install coilflow[train], or set COILFLOW_RETRAIN__HOW=head",
        )
    from flows.train import train_on  # noqa: PLC0415 - needs torch

    before = load_bundle(parent, threads=_THREADS).manifest
    changes: dict[str, Any] = {
        "holdout_share": order.holdout_share,
        "seed": order.seed,
        "data": {"source": str(order.snapshot)},
    }
    if WEIGHTS in before.files:
        changes["parent"] = str(parent)
    try:
        spec = TrainSpec.model_validate({**before.training.spec, **changes})
    except ValidationError as error:
        raise BundleError(
            f"{parent}: its manifest's training.spec is none of ours ({first_fault(error).sentence()})",
            remedy="take a bundle that `coilflow train` wrote",
        ) from error
    return train_on(spec, snapshot.population, out, profiles=order.profiles)


def _assembled(order: Order, champion: Ensemble, snapshot: Snapshot, trained: Mapping[str, Path]) -> Path:
    """Write the ensemble with the champion's thresholds, choose its own, and write it with those."""
    folders = [trained.get(member.manifest.name, member.folder) for member in champion.members]
    before = parse_ensemble(read_file(order.champion / ENSEMBLE), order.champion)
    draft = _write(order.out / "draft", before, champion, folders, before.thresholds, version="draft")
    thresholds = _thresholds(order, load_ensemble(draft, threads=_THREADS), snapshot, before.thresholds, trained)
    content = [sha256(read_file(folder / "manifest.json")) for folder in folders]
    told = orjson.dumps([before.version, content, thresholds], option=orjson.OPT_SORT_KEYS)
    return _write(order.out / SUCCESSOR, before, champion, folders, thresholds, version=sha256(told)[:_VERSION_DIGITS])


def _write(
    out: Path,
    before: EnsembleManifest,
    champion: Ensemble,
    folders: Sequence[Path],
    thresholds: Mapping[Scale, float],
    *,
    version: str,
) -> Path:
    own = tuple(load_bundle(folder, threads=_THREADS).manifest.threshold for folder in folders)
    how = Rule(
        how=before.combine,
        weights=before.weights or (),
        intercept=before.intercept or 0.0,
        thresholds=own if before.member_thresholds else (),
    )
    write_ensemble(
        out,
        name=before.name,
        version=version,
        members=folders,
        thresholds=thresholds,
        limits=before.limits,
        how=how,
        guard=None if champion.guard is None else champion.guard.folder,
    )
    return out


def _thresholds(
    order: Order,
    draft: Ensemble,
    snapshot: Snapshot,
    before: Mapping[Scale, float],
    trained: Mapping[str, Path],
) -> dict[Scale, float]:
    """For each scale, by the rule of the first trained member that votes on it; a union keeps its own."""
    if draft.manifest.combine == "union":
        return dict(before)
    population, found = snapshot.population, dict(before)
    for scale in before:
        rules = [m.manifest for m in draft.members if scale == "limits" or m.manifest.scale == "self"]
        mine = [manifest for manifest in rules if manifest.name in trained]
        if not mine:
            continue
        recorded = mine[0].training.spec
        parts = split(
            population, validation_share=recorded["validation_share"], holdout_share=order.holdout_share
        ).validation
        rule = Threshold.model_validate(recorded.get("threshold", {}))
        p_nok = draft.score(_on_scale(population.batch, parts, scale)).p_nok
        found[scale] = chosen_threshold(rule, p_nok, population.is_nok[parts], profiles=order.profiles)
    return found


def _on_scale(batch: pa.RecordBatch, places: IntArray, scale: Scale) -> pa.RecordBatch:
    taken = batch.take(pa.array(places))
    if scale == "limits":
        return taken
    matrix, spread = tensor_values(taken), tensor_values(taken, SPREAD)
    changed = {
        "matrix": tensor_column(to_self_scale(matrix)),
        "spread": tensor_column(to_self_spread(spread, matrix)),
        "scale": pa.array([scale] * len(matrix)),
        "limits_version": pa.array([None] * len(matrix), pa.string()),
    }
    columns = [changed.get(field.name, taken.column(field.name)) for field in MATRIX_BATCH]
    return pa.RecordBatch.from_arrays(columns, schema=MATRIX_BATCH)


def _compared(order: Order, champion: Ensemble, successor: Ensemble, snapshot: Snapshot) -> Compared | None:
    """Both on the coils of the holdout that say something of the line."""
    population = snapshot.population
    weight = np.ones(len(snapshot.weight)) if order.regardless else snapshot.weight
    recorded = champion.members[0].manifest.training.spec
    parts = split(population, validation_share=recorded["validation_share"], holdout_share=order.holdout_share)
    places = parts.holdout[~np.isnan(weight[parts.holdout])]
    if not len(places):
        return None
    coils = population.batch.take(pa.array(places))
    called = [
        scored.p_nok >= scored.threshold for scored in (ensemble.score(coils) for ensemble in (champion, successor))
    ]
    return compare(
        Pairs(is_nok=population.is_nok[places], champion_nok=called[0], successor_nok=called[1], weight=weight[places])
    )
