"""What a scheduler shows to Prometheus: of itself, and what it counts in the database for everybody."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Gauge
from prometheus_client.core import GaugeMetricFamily

# The label is not `job`: Prometheus gives that name to what it scrapes.
LEADS = Gauge("coilflow_scheduler_leads", "1 where this scheduler leads, else 0")
RUNS = Counter("coilflow_scheduler_runs", "Runs of jobs by how they ended", ("job_name", "outcome"))
RUN_SECONDS = Gauge("coilflow_scheduler_last_run_seconds", "How long the last run of a job took, s", ("job_name",))
OPEN_ALARMS = Gauge("coilflow_scheduler_open_alarms", "What is wrong now, as the leader knows it")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A figure of the whole database. Every scheduler counts it alike, so take `max by` of its labels, never `sum`."""

    name: str
    what: str
    labels: tuple[str, ...] = ()

    def family(self, values: Iterable[tuple[Sequence[str], float]]) -> GaugeMetricFamily:
        """The figure with its values by labels."""
        found = GaugeMetricFamily(self.name, self.what, labels=self.labels)
        for labels, value in values:
            found.add_metric(labels, value)
        return found


DATABASE_UP = Shown(
    name="coilflow_database_up",
    what="1 where the figures could be counted of late, 0 where not: above all where the database is away",
)
COUNTING_SECONDS = Shown(name="coilflow_figures_counting_seconds", what="How long counting these figures took, s")
UNFINISHED = Shown(
    name="coilflow_unfinished_coils",
    what="Coils without a verdict, by state: open, dead_lettered",
    labels=("plant", "state"),
)
OLDEST_UNFINISHED = Shown(
    name="coilflow_oldest_unfinished_coil_seconds",
    what="How long ago the first of these coils was seen, s",
    labels=("plant", "state"),
)
MISFILED = Shown(
    name="coilflow_misfiled_coils",
    what="Coils whose state is not what became of them: always 0",
    labels=("fault",),
)
VERDICTS = Shown(name="coilflow_last_hour_verdicts", what="Verdicts of the last hour", labels=("plant", "label"))
LAST_VERDICT = Shown(
    name="coilflow_last_verdict_timestamp_seconds",
    what="When the last verdict was given, within a day, s since 1970",
    labels=("plant", "label"),
)
FEEDBACK = Shown(
    name="coilflow_last_hour_feedback", what="Words of people that came in the last hour", labels=("plant",)
)
LAST_FEEDBACK = Shown(
    name="coilflow_last_feedback_timestamp_seconds",
    what="When the last word of a person came, within 30 days, s since 1970",
    labels=("plant",),
)
DRIED_UP = Shown(
    name="coilflow_feedback_dried_up",
    what="1 where coils are judged and nobody said anything of any for alarms.no_feedback_days",
    labels=("plant",),
)
REVIEWS = Shown(
    name="coilflow_reviews_waiting", what="Coils of 30 days that a person is asked to look at", labels=("plant", "why")
)
LETTERS = Shown(
    name="coilflow_dead_letters",
    what="Dead letters that nobody has dealt with, by step; of no plant where it could not be read",
    labels=("plant", "step"),
)
FIRES = Shown(
    name="coilflow_last_day_fires", what="Fires of jobs of the last day by how they ended", labels=("job_name", "state")
)
FIRE_WAITS = Shown(
    name="coilflow_fire_waiting_seconds", what="How long a fire that is due has not begun, s", labels=("job_name",)
)
ALARMS = Shown(name="coilflow_alarms", what="What is wrong now, by the alarm's kind", labels=("kind",))
LEADING = Shown(name="coilflow_leader_leads", what="1 where any scheduler leads, by the lock in the database")
LEADER_SILENCE = Shown(
    name="coilflow_leader_silent_seconds", what="Since the leader last said that it lives, s, by the database's clock"
)
ENSEMBLE_WORKERS = Shown(
    name="coilflow_ensemble_workers",
    what="Live workers by what they made of the ensemble that the registry names: swapped, refused, silent",
    labels=("plant", "role", "ensemble_version", "outcome"),
)
FROZEN = Shown(name="coilflow_frozen", what="1 where automatic change of what serves is frozen")
_OF_A_MODEL = ("plant", "role", "model", "version")
SCORE = Shown(
    name="coilflow_score_ratio",
    what="Score of what serves, by measure: value, low and high of its 95% interval; every plant where plant is empty",
    labels=(*_OF_A_MODEL, "measure", "limit"),
)
SCORED = Shown(
    name="coilflow_score_evaluated_coils", what="Coils with a label that the score is of", labels=_OF_A_MODEL
)
BOUND = Shown(
    name="coilflow_policy_bound_ratio",
    what="Bound of the policy: at least of agreement and recall, at most of false_alarms",
    labels=("measure",),
)
LEAST_SCORED = Shown(
    name="coilflow_policy_more_than_coils", what="Coils of which a score has to have more before the policy looks at it"
)
DRIFT = Shown(
    name="coilflow_drift_psi",
    what="Population stability index of the latest coils, by quantity",
    labels=("plant", "quantity"),
)
DRIFT_BOUND = Shown(
    name="coilflow_drift_bound_psi",
    what="Above it the quantity has drifted: drift.most_psi, or what chance alone does where that is more",
    labels=("plant", "quantity"),
)
DRIFTED = Shown(name="coilflow_drifted", what="1 where the last check of the plant found drift", labels=("plant",))
LAST_DRIFT_CHECK = Shown(
    name="coilflow_last_drift_check_timestamp_seconds",
    what="When the plant was last checked for drift, s since 1970",
    labels=("plant",),
)

SHOWN = tuple(one for one in vars().copy().values() if isinstance(one, Shown))
