"""Ensembles of the registry, what was done with them and what workers answered, as tables and JSON objects."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from console.model_scores import score_cells, score_object, score_of
from store.registered import Automation, ModelChange, ServingRow, StoredEnsemble
from store.scores import ModelScore
from store.swaps import SwapAnswer

_WHOLE = ("version", "state")  # never broken: they are what people type and look for


def as_object(
    one: StoredEnsemble, rows: dict[str, ServingRow], last: ModelChange, scores: Sequence[ModelScore]
) -> dict[str, Any]:
    """What `models list --json` prints of an ensemble; plant '' is every plant without a row of its own."""
    return {
        "version": one.version,
        "name": one.name,
        "state": one.state,
        "made_for": one.plant or None,
        "champion_of": [row.plant for row in rows.values() if row.champion == one.version],
        "shadow_of": [row.plant for row in rows.values() if row.shadow == one.version],
        "parent": one.parent,
        "snapshot_digest": one.snapshot_digest,
        "limits_version": one.limits_version,
        "digest": one.digest,
        "location": one.location,
        "members": [{"model": member.model, "version": member.version} for member in one.members],
        "score": score_object(score_of(one.version, scores)),
        "registered_at": one.registered_at,
        "changed_at": last.at,
        "change": last.change,
        "who": last.who,
        "why": last.why,
    }


def ensembles_table(
    found: Sequence[StoredEnsemble],
    rows: dict[str, ServingRow],
    last: dict[str | None, ModelChange],
    scores: Sequence[ModelScore],
) -> Table:
    """Ensembles in few columns, for 80 characters; `models show` has the rest."""
    table = _table("ensembles", "version", "state", "plant", "agreement", "recall", "changed")
    for one in found:
        change = last[one.version]
        where = [row.plant for row in rows.values() if one.version in (row.champion, row.shadow)]
        plants = _plants(where) or one.plant
        score = score_cells(score_of(one.version, scores))
        cells = (one.version, one.state, plants, *score, f"{time_of(change.at)} by {change.who}")
        table.add_row(*(Text(cell) for cell in cells))
    return table


def facts_table(one: StoredEnsemble, rows: dict[str, ServingRow], score: ModelScore | None) -> Table:
    """One ensemble, fact by fact; what is not known of it is left out."""
    agreement, recall = score_cells(score)
    facts = {
        "version": one.version,
        "name": one.name,
        "state": one.state,
        "made for": one.plant,
        "champion of": _plants([row.plant for row in rows.values() if row.champion == one.version]),
        "shadow of": _plants([row.plant for row in rows.values() if row.shadow == one.version]),
        "agreement": agreement,
        "NOK recall": recall,
        "parent": one.parent,
        "learnt from": one.snapshot_digest,
        "limits": one.limits_version,
        "digest": one.digest,
        "kept in": one.location,
        "registered": time_of(one.registered_at),
        "members": "\n".join(f"{member.model} {member.version}" for member in one.members),
    }
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(value, overflow="fold"))
    return table


def changes_table(changes: Sequence[ModelChange]) -> Table:
    """What was done with an ensemble, by whom and why."""
    table = _table("changes", "when", "change", "plant", "who", "why")
    for change in changes:
        done = change.change.replace("_", " ")
        cells = (time_of(change.at), done, plant_of(change.plant), change.who, change.why)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def answers_table(said: Sequence[SwapAnswer]) -> Table:
    """What workers answered a change."""
    table = _table("answers of the workers", "when", "worker", "plant", "as", "answer", "reason")
    for each in said:
        cells = (time_of(each.at), each.worker, plant_of(each.plant), each.role, each.outcome, each.reason)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def frozen_sentence(frozen: Automation) -> str:
    """Since when, by whom and why automatic change is frozen."""
    return f"since {time_of(frozen.at)} by {frozen.who}" + (f": {frozen.why}" if frozen.why else "")


def plant_of(plant: str) -> str:
    """A plant's name; '' is every plant that has no row of its own."""
    return plant or "every plant"


def time_of(moment: datetime | None) -> str:
    """To the minute, by this machine's clock."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _plants(plants: Sequence[str]) -> str:
    return ", ".join(map(plant_of, plants))


def _table(title: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in _WHOLE)
    return table
