"""What a worker shows of the log and its coils; messaging metrics with OpenTelemetry's names are in `flows.observe`."""

from prometheus_client import Counter, Gauge, Histogram

from flows.observe import SECONDS

_PARTITION = ("topic", "partition")

MESSAGES = Counter("coilflow_messages", "Messages by what became of them: applied, duplicate, dead", ("topic", "fate"))
COILS = Counter("coilflow_coils", "Coils done with, by verdict or rejected", ("label",))
SUPERSEDED = Counter("coilflow_verdicts_superseding", "Verdicts on a later revision of a coil")
OPEN_COILS = Gauge("coilflow_open_coils", "Coils whose end has not come", _PARTITION)
LAG_MESSAGES = Gauge("coilflow_lag_messages", "Messages of the partition that were not read yet", _PARTITION)
HELD_BACK_MESSAGES = Gauge("coilflow_held_back_messages", "Messages that a restart would read again", _PARTITION)
UNACCOUNTED_MESSAGES = Gauge(
    "coilflow_unaccounted_messages", "Consumed less applied, duplicate and dead-lettered messages: always 0", _PARTITION
)
UNACCOUNTED_COILS = Gauge(
    "coilflow_unaccounted_coils", "Coils seen less those open, decided or dead-lettered: always 0", _PARTITION
)
VERDICT_SECONDS = Histogram(
    "coilflow_verdict_seconds",
    "From the time of a coil's last message, by the broker's clock or the inbox's, to the commit of its verdict, s",
    buckets=SECONDS,
)
STEP_SECONDS = Histogram("coilflow_step_seconds", "One batch through a step, s", ("step",), buckets=SECONDS)
COMMIT_FAILURES = Counter(
    "coilflow_commit_failures",
    "What failed and is tried again: by database, models, broker, or within inbox, mqtt",
    ("why",),
)
EARLY_WARNINGS = Counter("coilflow_early_warnings", "Open coils warned of")


def forget_partition(topic: str, partition: int) -> None:
    """Show nothing more of a partition that another worker has now; of one never shown there is nothing to forget."""
    for gauge in (OPEN_COILS, LAG_MESSAGES, HELD_BACK_MESSAGES, UNACCOUNTED_MESSAGES, UNACCOUNTED_COILS):
        gauge.remove(topic, str(partition))
