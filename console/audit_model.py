"""The audit report of an ensemble or a model version in Markdown."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from console.audit_coil import from_tables, origin_facts
from console.markdown import code, facts, heading, plain, said, table
from console.metric_rows import metric_rows
from schemas.audit_model import AuditedMember, ModelReport

_RATES = ("agreement", "recall", "false_alarms", "precision", "calibration_error")


def model_markdown(report: ModelReport, *, sha256: str, json_name: str | None) -> str:
    """A report for people.

    Args:
        report: of the model.
        sha256: of its JSON.
        json_name: of the file of the JSON, None where there is none.
    """
    return "\n".join(_parts(report, sha256, json_name))


def _parts(report: ModelReport, sha256: str, json_name: str | None) -> Iterator[str]:
    name = f"ensemble {report.version}" if report.kind == "ensemble" else f"model {report.model} {report.version}"
    yield heading(1, f"Audit of {name}")
    yield origin_facts(report.origin, sha256=sha256, json_name=json_name)
    yield from _ensembles(report)
    for member in report.members:
        yield from _member(report, member)
    yield from _verification(report)
    yield from _approvals(report)
    yield from _ran(report)
    yield from _scores(report)
    yield from _drift(report)


def _ensembles(report: ModelReport) -> Iterator[str]:
    yield heading(2, "The ensemble and its parents" if report.kind == "ensemble" else "Ensembles that hold it")
    yield from_tables(report.sources, "ensembles")
    if not report.ensembles:
        yield said("None.")
        return
    columns = ("version", "name", "state", "registered", "parent", "combines by", "limits, g/m²", "digest")
    yield table(
        columns,
        (
            [
                e.version,
                e.name,
                e.state,
                e.registered_at,
                e.parent,
                e.combine,
                f"{e.limits.low:g} to {e.limits.high:g}",
                e.digest,
            ]
            for e in report.ensembles
        ),
    )
    for one in report.ensembles:
        if one.snapshot is not None:
            found = one.snapshot
            yield said(
                f"Ensemble {one.version} was trained on snapshot {found.digest}: {found.coils} coils, {found.nok} NOK, "
                f"of them {found.holdout_coils} ({found.holdout_nok} NOK) only to judge it; labels until "
                f"{plain(found.labels_until)}."
            )
    if report.manifest is not None:
        shown = {
            name: report.manifest[name] for name in ("combine", "thresholds", "weights", "members", "guard", "limits")
        }
        yield code(json.dumps(shown, indent=2, ensure_ascii=False), "json")


def _member(report: ModelReport, member: AuditedMember) -> Iterator[str]:
    manifest, training = member.manifest, member.manifest.training
    yield heading(2, f"Member {member.model} {member.version}")
    yield from_tables(report.sources, "members")
    yield heading(3, "What it is")
    yield facts(
        [
            ("state", member.state),
            ("registered", member.registered_at),
            ("kind of network", manifest.kind),
            ("scale", manifest.scale),
            ("input", manifest.input_form),
            ("limits version", manifest.limits_version),
            ("threshold", manifest.threshold),
            ("threshold chosen by", manifest.threshold_rule),
            ("trained from", manifest.parent),
            (
                "held by ensembles",
                ", ".join(f"{e.version}{'' if e.votes else ' (as guard)'}" for e in member.ensembles),
            ),
        ]
    )
    yield heading(3, "Training data")
    held = member.snapshot
    yield facts(
        [
            ("source", training.source),
            ("coils", training.coils),
            ("of them NOK", training.nok),
            ("digest over revisions and labels", training.data_digest),
            (
                "snapshot in the database",
                None if held is None else f"{held.location}, labels until {plain(held.labels_until)}",
            ),
            ("coils that only judged", None if held is None else held.holdout_coils),
            *((f"unlabelled {name}", digest) for name, digest in training.unlabelled.items()),
        ]
    )
    yield heading(3, "Settings and environment")
    yield facts(
        [
            ("seed", training.seed),
            ("initial weights", training.weights),
            ("trained on device", training.device),
            ("coilflow", manifest.code_version),
            *manifest.libraries.items(),
        ]
    )
    yield code(json.dumps(training.spec, indent=2, ensure_ascii=False), "json")
    yield heading(3, "Metrics on its holdout")
    yield from _metrics(manifest.metrics)
    yield heading(3, "Files")
    yield table(("file", "SHA-256"), manifest.files.items())


def _metrics(metrics: Mapping[str, Any]) -> Iterator[str]:
    if not metrics:
        yield said("Its manifest tells none.")
        return
    rows = [[row.name, _shown(row.value), _interval(row.ci95)] for row in metric_rows(metrics)]
    yield table(("metric", "value", "95% interval"), rows)


def _shown(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def _verification(report: ModelReport) -> Iterator[str]:
    yield heading(2, "Its files and canaries, when this report was made")
    yield from_tables(report.sources, "verification")
    columns = ("ensemble", "good", "canaries off by", "ms a coil", "what was found")
    yield table(
        columns,
        (
            [v.ensemble_version, "yes" if v.good else "NO", v.canaries_off_by, v.ms_a_coil, v.error]
            for v in report.verification
        ),
    )


def _approvals(report: ModelReport) -> Iterator[str]:
    yield heading(2, "Who or what changed it, and why")
    yield from_tables(report.sources, "changes")
    columns: tuple[str, ...] = ("at", "ensemble", "change", "plant", "who", "why")
    yield table(
        columns, ([c.at, c.ensemble_version, c.change, c.plant or "every plant", c.who, c.why] for c in report.changes)
    )
    yield heading(3, "Decisions on it")
    yield from_tables(report.sources, "decisions")
    acts = sum(decision.act for decision in report.decisions)
    yield said(f"{len(report.decisions)} decisions, {acts} of them to act; those, and the last one of each subject:")
    last = {decision.subject: decision.decision_id for decision in report.decisions}
    shown = [d for d in report.decisions if d.act or last[d.subject] == d.decision_id]
    yield table(
        ("at", "job", "about", "acts", "why"), ([d.at, d.job, d.subject, d.act, "; ".join(d.why)] for d in shown)
    )
    yield heading(3, "Retrainings")
    yield from_tables(report.sources, "retrainings")
    columns = ("id", "begun", "ended", "how", "members", "parent", "successor", "snapshot", "state", "why")
    yield table(
        columns,
        (
            [
                r.retraining_id,
                r.started_at,
                r.ended_at,
                r.how,
                ", ".join(r.members),
                r.parent,
                r.candidate,
                r.snapshot,
                r.state,
                r.why,
            ]
            for r in report.retrainings
        ),
    )
    for one in report.retrainings:
        if one.judged:
            yield said(f"What retraining {one.retraining_id} showed:")
            yield code(json.dumps(one.judged, indent=2, ensure_ascii=False), "json")


def _ran(report: ModelReport) -> Iterator[str]:
    yield heading(2, "Where it ran, and when")
    yield from_tables(report.sources, "judged")
    columns: tuple[str, ...] = ("plant", "role", "ensemble", "verdicts", "OK", "NOK", "undecided", "first", "last")
    yield table(
        columns,
        (
            [j.plant, j.role, j.ensemble_version, j.verdicts, j.ok, j.nok, j.undecided, j.first_at, j.last_at]
            for j in report.judged
        ),
    )
    yield heading(3, "Answers of the workers")
    yield from_tables(report.sources, "answers")
    columns = ("at", "worker", "host", "kind", "plant", "ensemble", "role", "answer", "reason", "last seen")
    yield table(
        columns,
        (
            [
                a.at,
                a.worker,
                a.host,
                a.kind,
                a.plant or "every plant",
                a.ensemble_version,
                a.role,
                a.outcome,
                a.reason,
                a.seen_at,
            ]
            for a in report.answers
        ),
    )


def _scores(report: ModelReport) -> Iterator[str]:
    yield heading(2, "Scores over its life")
    yield from_tables(report.sources, "scores")
    yield said("The last of each day over all coils, and the newest of each slice; value and 95% interval.")
    columns = ("at", "role", "of", "judged", "labelled", "tp", "fp", "fn", "tn", *(r.replace("_", " ") for r in _RATES))
    rows = []
    for s in sorted(
        report.scores, key=lambda one: (one.role, one.slice_kind != "all", one.slice_kind, one.slice, one.computed_at)
    ):
        of = "all coils" if s.slice_kind == "all" else f"{s.slice_kind} {s.slice}"
        rates = [_rate(s.plain.get(name)) for name in _RATES]
        rows.append([s.computed_at, s.role, of, s.assessed, s.evaluated, s.tp, s.fp, s.fn, s.tn, *rates])
    yield table(columns, rows)


def _rate(figure: object) -> str:
    if not isinstance(figure, list | tuple):
        return ""
    return f"{figure[0]:.3f} ({figure[1]:.3f} to {figure[2]:.3f})"


def _drift(report: ModelReport) -> Iterator[str]:
    yield heading(2, "Drift checks")
    yield from_tables(report.sources, "drift")
    yield said("The last of each day and plant, and every one that found drift.")
    columns = ("at", "plant", "coils", "drifted", "what was found")
    yield table(columns, ([d.checked_at, d.plant, d.coils, d.drifted, d.sentence] for d in report.drift))
