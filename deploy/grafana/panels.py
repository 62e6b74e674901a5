"""What the dashboard shows: rows of panels, each with its expressions."""

from collections.abc import Sequence
from dataclasses import dataclass

Steps = Sequence[tuple[str, float | None]]  # colours and from which value on


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One picture: its title, what it shows by the names of its lines, and in which unit of Grafana."""

    title: str
    lines: dict[str, str]  # legend -> expression
    unit: str
    what: str  # for people, with where to go on
    kind: str = "timeseries"
    steps: Steps = (("green", None),)  # of a timeseries with more than one, a line at each


def _by(labels: str, metric: str) -> str:
    """A figure that every scheduler shows alike, once."""
    return f"max by ({labels}) ({metric})"


def _score(measure: str) -> dict[str, str]:
    """The champion's score by limit of its interval, and the policy's bound."""
    score = 'coilflow_score_ratio{plant=~"$plant|", role="champion", model="", measure="' + measure + '"}'
    return {
        "{{plant}} {{version}} {{limit}}": _by("plant, version, limit", score),
        "bound": f'max(coilflow_policy_bound_ratio{{measure="{measure}"}})',
    }


def _above(bound: float) -> Steps:
    """Red from a bound on."""
    return (("green", None), ("red", bound))


ALARM = _above(1)
ROWS: dict[str, tuple[Panel, ...]] = {
    "Line": (
        Panel(
            title="Verdicts of the last hour",
            lines={"{{plant}} {{label}}": _by("plant, label", 'coilflow_last_hour_verdicts{plant=~"$plant"}')},
            unit="short",
            what="By label, from the database: of Kafka, HTTP, MQTT and NiFi alike.",
        ),
        Panel(
            title="Coils open or refused",
            lines={"{{plant}} {{state}}": _by("plant, state", 'coilflow_unfinished_coils{plant=~"$plant"}')},
            unit="short",
            what="Without a verdict: still coming in, or a dead letter.",
        ),
        Panel(
            title="From the last message to the verdict",
            lines={
                f"p{q:g}": f"histogram_quantile({q / 100:g}, "
                "sum by (le) (rate(coilflow_verdict_seconds_bucket[$__rate_interval])))"
                for q in (50, 95, 99)
            },
            unit="s",
            what="Until the verdict is stored; p95 above the line is an alert. docs/runbooks/verdicts_late.md",
            steps=_above(5),
        ),
        Panel(
            title="Undecided and NOK",
            lines={
                "{{plant}} {{label}}": _by("plant, label", 'coilflow_last_hour_verdicts{plant=~"$plant", label!="OK"}')
                + " / on (plant) group_left () sum by (plant) "
                + f"({_by('plant, label', 'coilflow_last_hour_verdicts')})"
            },
            unit="percentunit",
            what="Of the verdicts of the last hour.",
        ),
        Panel(
            title="Early warnings",
            lines={"warnings": "sum(increase(coilflow_early_warnings_total[1h]))"},
            unit="short",
            what="Open coils that were out of their band over stream.warn_length_m, in an hour.",
        ),
        Panel(
            title="Services",
            lines={"{{service}} {{version}}": "count by (service, version) (coilflow_build_info)"},
            unit="short",
            what="Processes that answer, by what they are. docs/runbooks/service_gone.md",
        ),
    ),
    "Streams": (
        Panel(
            title="Messages not read yet",
            lines={"{{topic}} {{partition}}": _by("topic, partition", "coilflow_lag_messages")},
            unit="short",
            what="docs/runbooks/lag.md",
        ),
        Panel(
            title="Messages by what became of them",
            lines={"{{fate}}": "sum by (fate) (rate(coilflow_messages_total[$__rate_interval]))"},
            unit="cps",
            what="Applied, duplicate, or dead.",
        ),
        Panel(
            title="Unaccounted for",
            lines={
                "messages": "sum(abs(coilflow_unaccounted_messages))",
                "coils": "sum(abs(coilflow_unaccounted_coils))",
                "filed as {{fault}}": _by("fault", "coilflow_misfiled_coils"),
            },
            unit="short",
            what="Conservation: always 0. docs/runbooks/conservation.md",
            kind="stat",
            steps=ALARM,
        ),
        Panel(
            title="Outbox: age of the oldest row",
            lines={
                "{{messaging_system}}:{{messaging_destination_name}}": _by(
                    "messaging_system, messaging_destination_name", "coilflow_outbox_lag_seconds"
                )
            },
            unit="s",
            what="What the plant has not heard of yet; above the line it is an alert. docs/runbooks/outbox.md",
            steps=_above(120),
        ),
        Panel(
            title="Outbox: rows set aside",
            lines={
                "{{messaging_system}}:{{messaging_destination_name}}": _by(
                    "messaging_system, messaging_destination_name", "coilflow_outbox_refused_rows"
                )
            },
            unit="short",
            what="Refused for good by their destination. docs/runbooks/outbox_refused.md",
            kind="stat",
            steps=ALARM,
        ),
        Panel(
            title="What is tried again",
            lines={
                "{{why}}": "sum by (why) (rate(coilflow_commit_failures_total[$__rate_interval]))",
                "outbox {{messaging_destination_name}}": (
                    "sum by (messaging_destination_name) (rate(coilflow_outbox_retries_total[$__rate_interval]))"
                ),
            },
            unit="cps",
            what="Databases, brokers and models that failed a service. docs/runbooks/tries_again.md",
        ),
        Panel(
            title="A batch through a step",
            lines={
                "{{step}} p95": "histogram_quantile(0.95, "
                "sum by (le, step) (rate(coilflow_step_seconds_bucket[$__rate_interval])))"
            },
            unit="s",
            what="Judging, and committing to PostgreSQL.",
        ),
        Panel(
            title="Console: answers",
            lines={"{{status}}": "sum by (status) (rate(coilflow_http_requests_total[$__rate_interval]))"},
            unit="reqps",
            what="By status; streams of events are one answer each.",
        ),
        Panel(
            title="Console: time to answer",
            lines={
                "p95": "histogram_quantile(0.95, "
                "sum by (le) (rate(coilflow_http_request_seconds_bucket[$__rate_interval])))",
            },
            unit="s",
            what="To the first byte.",
        ),
    ),
    "Models": (
        Panel(
            title="Agreement of the champion",
            lines=_score("agreement"),
            unit="percentunit",
            what="With its 95% interval; an empty plant is all of them. docs/runbooks/score.md",
        ),
        Panel(
            title="Recall of NOK coils",
            lines=_score("recall"),
            unit="percentunit",
            what="With its 95% interval. docs/runbooks/recall.md",
        ),
        Panel(
            title="False alarms",
            lines=_score("false_alarms"),
            unit="percentunit",
            what="Of OK coils, with its 95% interval. docs/runbooks/false_alarms.md",
        ),
        Panel(
            title="Coils that the score is of",
            lines={
                "{{plant}} {{role}} {{model}} {{version}}": _by(
                    "plant, role, model, version", 'coilflow_score_evaluated_coils{plant=~"$plant"}'
                )
            },
            unit="short",
            what="With a label by people, within score.window_days.",
        ),
        Panel(
            title="Workers by what they made of the ensemble",
            lines={
                "{{role}} {{ensemble_version}} {{outcome}}": _by(
                    "plant, role, ensemble_version, outcome", "coilflow_ensemble_workers"
                )
            },
            unit="short",
            what="Swapped, refused, or silent yet. docs/runbooks/swap_refused.md",
        ),
        Panel(
            title="Automatic change is frozen",
            lines={"frozen": "max(coilflow_frozen)"},
            unit="bool_yes_no",
            what="`coilflow models unfreeze` lets it go on.",
            kind="stat",
            steps=(("green", None), ("orange", 1)),
        ),
    ),
    "Schedule": (
        Panel(
            title="A scheduler leads",
            lines={"leads": "max(coilflow_leader_leads)"},
            unit="bool_yes_no",
            what="docs/runbooks/no_leader.md",
            kind="stat",
            steps=(("red", None), ("green", 1)),
        ),
        Panel(
            title="Fires of the last day",
            lines={"{{job_name}} {{state}}": _by("job_name, state", "coilflow_last_day_fires")},
            unit="short",
            what="Committed, failed, missed or coalesced. docs/runbooks/missed_fires.md",
        ),
        Panel(
            title="Alarms that stand",
            lines={"{{kind}}": _by("kind", "coilflow_alarms")},
            unit="short",
            what="As docs/scheduler.md explains each. docs/runbooks/job_failed.md",
        ),
    ),
    "Data": (
        Panel(
            title="Drift, against its bound",
            lines={
                "{{plant}} {{quantity}}": _by("plant, quantity", 'coilflow_drift_psi{plant=~"$plant"}')
                + " / "
                + _by("plant, quantity", "coilflow_drift_bound_psi")
            },
            unit="none",
            what="Population stability index over its bound: above 1 it has drifted. docs/runbooks/drift.md",
            steps=_above(1),
        ),
        Panel(
            title="Dead letters nobody has dealt with",
            lines={
                "{{plant}} {{step}}": _by("plant, step", 'coilflow_dead_letters{plant=~"$plant|"}'),
            },
            unit="short",
            what="docs/runbooks/dead_letters.md",
        ),
        Panel(
            title="What people said in the last hour",
            lines={"{{plant}}": _by("plant", 'coilflow_last_hour_feedback{plant=~"$plant"}')},
            unit="short",
            what="docs/runbooks/feedback.md",
        ),
        Panel(
            title="Since the last word of a person",
            lines={
                "{{plant}}": "time() - " + _by("plant", 'coilflow_last_feedback_timestamp_seconds{plant=~"$plant"}')
            },
            unit="s",
            what="docs/runbooks/feedback.md",
        ),
        Panel(
            title="Coils that wait for a person",
            lines={"{{plant}} {{why}}": _by("plant, why", 'coilflow_reviews_waiting{plant=~"$plant"}')},
            unit="short",
            what="Asked for by their verdict, disputed, or drawn for a second look.",
        ),
        Panel(
            title="Clients that hear of verdicts as they come",
            lines={"{{instance}}": "sum by (instance) (coilflow_event_streams)"},
            unit="short",
            what="Open event streams of each console.",
        ),
    ),
}
