"""The tables of a version's page, of its audit report."""

from collections.abc import Mapping, Sequence
from typing import Any

from console.model_tables import plant_of
from console.web.pages import moment
from schemas.audit_model import ModelReport
from store.swaps import SwapAnswer

Rows = list[tuple[Any, ...]]
_DECISIONS = 40  # shown beside those to act
_ANSWERS = 50
_DRIFT = 30


def report_tables(report: ModelReport, answers: Sequence[SwapAnswer]) -> dict[str, Any]:
    """Rows by the name that the template gives each table, the newest first."""
    return {
        "held": [(one.version, one.state, moment(one.registered_at)) for one in report.ensembles],
        "votes": [] if report.manifest is None else votes(report, report.manifest),
        "thresholds": "" if report.manifest is None else _thresholds(report.manifest),
        "parents": [
            (
                one.version,
                one.state,
                moment(one.registered_at),
                "" if one.snapshot is None else f"{one.snapshot.coils} labelled coils",
            )
            for one in report.ensembles[1:]
        ],
        "changes": [
            (moment(one.at), one.ensemble_version, one.change.replace("_", " "), plant_of(one.plant), one.who, one.why)
            for one in reversed(report.changes)
        ],
        "answered": [
            (moment(one.at), one.worker, plant_of(one.plant), one.role, one.outcome, one.reason)
            for one in answers[: -_ANSWERS - 1 : -1]
        ],
        "decisions": _decisions(report),
        "retrainings": [
            (moment(one.started_at), one.how, ", ".join(one.members), one.parent, one.candidate, one.state, one.why)
            for one in reversed(report.retrainings)
        ],
        "ran": [
            (
                one.plant,
                one.role,
                one.verdicts,
                one.ok,
                one.nok,
                one.undecided,
                moment(one.first_at),
                moment(one.last_at),
            )
            for one in report.judged
        ],
        "drift": [
            (moment(one.checked_at), one.plant, one.coils, "yes" if one.drifted else "no", one.sentence)
            for one in report.drift[: -_DRIFT - 1 : -1]
        ],
    }


def votes(report: ModelReport, manifest: Mapping[str, Any]) -> Rows:
    """Members in the order of the manifest, with their weights and thresholds; the guard last."""
    weights = manifest.get("weights") or [None] * len(manifest["members"])
    own = manifest.get("member_thresholds") or [None] * len(manifest["members"])
    by_digest = {one.model: one for one in report.members}
    rows: Rows = []
    for place, weight, threshold in zip(manifest["members"], weights, own, strict=True):
        member = by_digest.get(str(place).rpartition("/")[2])
        if member is None:
            rows.append((place, "", _number(weight), _number(threshold), "", "", ""))
            continue
        found = member.manifest
        shown = found.threshold if threshold is None else threshold
        rows.append(
            (member.model, member.version, _number(weight), _number(shown), found.kind, found.scale, member.state)
        )
    return rows


def _thresholds(manifest: Mapping[str, Any]) -> str:
    return ", ".join(f"{threshold:.4f} on scale {scale}" for scale, threshold in manifest["thresholds"].items())


def _decisions(report: ModelReport) -> Rows:
    newest = {one.decision_id for one in report.decisions[-_DECISIONS:]}
    shown = [one for one in report.decisions if one.act or one.decision_id in newest]
    return [
        (moment(one.at), one.job, one.subject, "yes" if one.act else "no", "; ".join(one.why))
        for one in reversed(shown)
    ]


def _number(value: float | None) -> str:
    return "equal" if value is None else f"{value:.4f}"
