"""Alarms that no other job raises: nobody labels coils, or too few are labelled."""

from collections.abc import Mapping
from datetime import datetime, timedelta

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
            f"no score of its models leads to a retraining until more than {least} do"
            for one in labelled
            if one.judged > least >= one.labelled and one.plant not in quiet
        }
        settle(connection, NO_FEEDBACK, quiet, now=now)
        settle(connection, FEW_LABELS, few, now=now)
        # One leads now, else this would not run.
        settle(connection, NO_LEADER, {}, now=now)
        wrong = len(open_alarms(connection))
    return f"{wrong} alarms stand" if wrong != 1 else "1 alarm stands"


def settle(connection: Connection, kind: str, found: Mapping[str, str], *, now: datetime) -> None:
    """Make the alarms of a kind those found.

    Args:
        connection: within the job's transaction.
        kind: of the alarms.
        found: sentences by subject; an alarm of another subject is over.
        now: the time.

    Raises:
        StoreError: the database refused.
    """
    for alarm in open_alarms(connection):
        if alarm.kind == kind and alarm.subject not in found:
            clear_alarm(connection, kind, alarm.subject, now=now)
    for subject, text in found.items():
        raise_alarm(connection, kind, subject, text=text, now=now)
