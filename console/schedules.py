"""The schedule, runs and decisions as tables and as JSON objects."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from scheduler.overview import JobOverview, Overview
from store.decisions import StoredDecision
from store.leadership import Leader
from store.schedule import PastFire

_STYLE = {"committed": "green", "failed": "bold red", "missed": "bold red", "begun": "yellow", "due": "yellow"}


def job_object(one: JobOverview) -> dict[str, Any]:
    """What `scheduler list --json` prints of a job."""
    return {
        "job": one.job,
        "cron": one.cron,
        "own_cron": one.own_cron,
        "settings_cron": one.settings_cron,
        "next": _utc(one.next_at),
        "paused": None
        if one.paused_at is None
        else {"at": _utc(one.paused_at), "by": one.paused_by, "why": one.paused_why},
        "last": None if one.last is None else fire_object(one.last),
    }


def fire_object(fire: PastFire) -> dict[str, Any]:
    """A fire and its last attempt."""
    return {
        "job": fire.job,
        "fire_at": _utc(fire.fire_at),
        "state": fire.state,
        "requested_by": fire.requested_by,
        "why": fire.why,
        "attempts": fire.attempts,
        "next_attempt": _utc(fire.next_attempt_at),
        "epoch": fire.epoch,
        "holder": fire.holder,
        "started": _utc(fire.started_at),
        "ended": _utc(fire.ended_at),
        "outcome": fire.outcome,
        "said": fire.said,
        "error": fire.error,
    }


def decision_object(decision: StoredDecision) -> dict[str, Any]:
    """A decision with its reasons and evidence."""
    return {
        "job": decision.job,
        "at": _utc(decision.at),
        "subject": decision.subject,
        "act": decision.act,
        "why": list(decision.why),
        "evidence": decision.evidence,
    }


def leader_object(leader: Leader | None) -> dict[str, Any] | None:
    """Who led last, and whether it leads."""
    if leader is None:
        return None
    return {
        "holder": leader.holder,
        "epoch": leader.epoch,
        "leads": leader.leads,
        "since": _utc(leader.began_at),
        "heartbeat": _utc(leader.heartbeat_at),
    }


def schedule_table(found: Overview) -> Group:
    """Jobs for people, who leads, and what is wrong."""
    table = Table(title="jobs", title_justify="left", caption=_leads(found.leader), caption_justify="left")
    for column in ("job", "crontab", "next", "last", "outcome"):
        table.add_column(column, overflow="fold", no_wrap=column in ("job", "crontab"))
    for one in found.jobs:
        table.add_row(
            one.job,
            Text(one.cron + (" (set)" if one.own_cron else "")),
            _paused(one) if one.paused_at else Text(_said(one.next_at)),
            Text(_said(one.last.fire_at if one.last else None)),
            _outcome(one.last),
        )
    alarms = [Text(f"{alarm.kind} ({alarm.subject}): {alarm.text}", style="red") for alarm in found.alarms]
    differ = [Text(_differs(one), style="yellow") for one in found.jobs if one.settings_cron is not None]
    return Group(table, *differ, *alarms)


def runs_table(one: JobOverview, fires: Sequence[PastFire], decisions: Sequence[StoredDecision]) -> Group:
    """What a job did and decided, newest first."""
    due = _paused(one) if one.paused_at else Text(f"next at {_said(one.next_at)}")
    runs = Table(title=Text(f"{one.job} at `{one.cron}`: ") + due, title_justify="left")
    for column in ("fire", "state", "attempts", "by", "what it said"):
        runs.add_column(column, overflow="fold")
    for fire in fires:
        asked = f"asked for by {fire.requested_by}" + (f": {fire.why}" if fire.why else "") if fire.requested_by else ""
        said = "; ".join(filter(None, (fire.said or fire.error, asked)))
        runs.add_row(_said(fire.fire_at), _outcome(fire), str(fire.attempts), fire.holder or "", Text(said))
    if not decisions:
        return Group(runs)
    decided = Table(title="decisions", title_justify="left")
    for column in ("at", "about", "act", "why"):
        decided.add_column(column, overflow="fold")
    for decision in decisions:
        act = Text("yes", style="yellow") if decision.act else Text("no")
        decided.add_row(_said(decision.at), Text(decision.subject), act, Text("; ".join(decision.why)))
    return Group(runs, decided)


def _differs(one: JobOverview) -> str:
    until = (
        f"`coilflow scheduler set {one.job}` goes back to that"
        if one.own_cron
        else "it counts once a scheduler with these settings begins to lead: restart those that run"
    )
    return f"{one.job}: the settings say `{one.settings_cron}`; {until}"


def _leads(leader: Leader | None) -> str:
    if leader is None:
        return "no scheduler has ever led: start `coilflow scheduler run`"
    if leader.leads:
        return f"{leader.holder} leads since {_said(leader.began_at)} (epoch {leader.epoch})"
    ended_at = leader.ended_at or leader.heartbeat_at
    return f"no scheduler leads since {_said(ended_at)}: start `coilflow scheduler run`"


def _paused(one: JobOverview) -> Text:
    why = f": {one.paused_why}" if one.paused_why else ""
    return Text(f"paused by {one.paused_by} since {_said(one.paused_at)}{why}", style="yellow")


def _outcome(fire: PastFire | None) -> Text:
    return Text("" if fire is None else fire.state, style=_STYLE.get(fire.state if fire else "", ""))


def _said(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S %Z}"


def _utc(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
