"""The job `drift`: whether the latest coils of each plant look like those that its champion was made for."""

from datetime import timedelta

from flows.bundle_store import local_copy
from flows.drift import check_drift
from models.ensemble import load_ensemble
from scheduler.gather import scopes
from scheduler.jobs import JobContext
from store.alarms import clear_alarm, raise_alarm
from store.connection import connect
from store.drift import DriftCheck, plants_with_coils
from store.leadership import fenced
from store.registry_steps import known_ensemble
from store.requests import request_pending

DRIFTED = "drift"


def drift(context: JobContext) -> str:
    """Check every plant with coils; one that has drifted is an alarm, and a reason to look at what serves at once.

    Whether a successor is trained is not decided by it: that is for the job `retrain`, by what people say.

    Raises:
        BundleError: a champion's files are missing or damaged here.
        NotLeaderError: the run was given up; what was checked before stays.
        StoreError: the database refused.
    """
    settings, now = context.settings, context.now
    checks: list[DriftCheck] = []
    with connect(context.dsn) as connection:
        after = now - timedelta(days=settings.score.window_days)
        seen = plants_with_coils(connection, after=after, until=now)
        for scope, version in scopes(connection):
            plants = [plant for plant in seen if plant not in scope.others and scope.plant in ("", plant)]
            if not plants or context.stop.is_set():
                continue
            folder = local_copy(known_ensemble(connection, version), settings)
            champion = load_ensemble(folder, threads=settings.threads, how=settings.combine)
            with fenced(connection, context.attempt_id):
                found = check_drift(connection, settings, champion, now, plants=plants)
                for one in found:
                    if not one.drifted:
                        clear_alarm(connection, DRIFTED, one.plant, now=now)
                    elif raise_alarm(connection, DRIFTED, one.plant, text=one.sentence, now=now):
                        request_pending(connection, "retrain", who="drift", why=one.sentence, now=now)
            checks += found
    drifted = [one.plant for one in checks if one.drifted]
    return f"{len(checks)} plants checked, drifted: {', '.join(drifted) or 'none'}"
