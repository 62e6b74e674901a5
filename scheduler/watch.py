"""Alarms that no other job raises: nobody labels coils, or too few are labelled."""

from collections.abc import Mapping
from datetime import timedelta

from scheduler.jobs import JobContext
from store.alarms import clear_alarm, labels_by_plant, open_alarms, raise_alarm, unheard_plants
from store.connection import Connection, connect
from store.leadership import fenced

NO_FEEDBACK, FEW_LABELS, NO_LEADER = "no_feedback", "few_labels", "no_leader"


def alarm_watch(context: JobContext) -> str:
    """Raise an alarm for each plant without feedback or with too few labels to score a model, and clear those over.

    Raises:
        NotLeaderError: the run was given up; nothing was stored.
        StoreError: the database refused.
    """
    settings, now = context.settings, context.now
    quiet_days, window_days = settings.alarms.no_feedback_days, settings.score.window_days
    least = settings.policy.more_than_coils
    with connect(context.dsn) as connection, fenced(connection, context.attempt_id):
        unheard = unheard_plants(connection, since=now - timedelta(days=quiet_days), now=now)
        labelled = labels_by_plant(connection, since=now - timedelta(days=window_days), now=now)
        quiet = {
            plant: f"coils of {plant} are judged, and nobody has said anything of any for {quiet_days:g} days; "
            "see that operators can and do give feedback"
            for plant in unheard
        }
        few = {
            one.plant: f"of {one.judged} coils of {one.plant} in {window_days:g} days {one.labelled} have a label; "
            f"its models are scored from more than {least} on"
            for one in labelled
            if one.judged > least >= one.labelled and one.plant not in quiet
        }
        _settle(connection, NO_FEEDBACK, quiet, context)
        _settle(connection, FEW_LABELS, few, context)
        # One leads now, else this would not run.
        _settle(connection, NO_LEADER, {}, context)
        wrong = len(open_alarms(connection))
    return f"{wrong} alarms stand" if wrong != 1 else "1 alarm stands"


def _settle(connection: Connection, kind: str, found: Mapping[str, str], context: JobContext) -> None:
    """Make the alarms of a kind those found, by subject."""
    for alarm in open_alarms(connection):
        if alarm.kind == kind and alarm.subject not in found:
            clear_alarm(connection, kind, alarm.subject, now=context.now)
    for subject, text in found.items():
        raise_alarm(connection, kind, subject, text=text, now=context.now)
