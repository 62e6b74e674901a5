"""`coilflow worker`: Kafka consumers that assess coils, and that take feedback in."""

import signal
import threading
from contextlib import ExitStack
from typing import Annotated

import typer

from flows.kafka.feedback_worker import run_feedback_worker
from flows.kafka.worker import run_worker
from flows.mapping import decoder_of
from flows.observe import configure_logging, serve_metrics
from flows.serving import following
from flows.tracing import tracing_of
from schemas.settings import load_settings
from store.embedded import embedded_postgres
from store.migrations import migrate


def assess(
    *,
    instance_id: Annotated[
        str | None,
        typer.Option(
            "--instance-id",
            help="Name of this worker in the group, each of its own: it keeps its partitions over a quick restart.",
        ),
    ] = None,
) -> int:
    """Assess the coils of the Kafka topic, one verdict each, until SIGTERM; as many workers as partitions."""
    settings = load_settings()
    configure_logging()
    serve_metrics(settings.metrics_port, service="worker assess")
    stop = threading.Event()
    with ExitStack() as stack:
        dsn = settings.database_dsn or stack.enter_context(embedded_postgres(settings.data_dir))
        migrate(dsn)
        serving = stack.enter_context(following(dsn, settings, kind="kafka", worker=instance_id))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        run_worker(
            settings,
            serving.current,
            decoder_of(settings),
            dsn=dsn,
            instance_id=instance_id,
            stop=stop,
            tracing=stack.enter_context(tracing_of(settings, service="worker assess")),
        )
    return 0


def feedback(
    *,
    instance_id: Annotated[
        str | None,
        typer.Option(
            "--instance-id",
            help="Name of this worker in the group, each of its own: it keeps its partitions over a quick restart.",
        ),
    ] = None,
) -> int:
    """Take operators' words in from the Kafka topic, each once, until SIGTERM; as many workers as partitions."""
    settings = load_settings()
    configure_logging()
    serve_metrics(settings.metrics_port, service="worker feedback")
    stop = threading.Event()
    with ExitStack() as stack:
        dsn = settings.database_dsn or stack.enter_context(embedded_postgres(settings.data_dir))
        migrate(dsn)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        tracing = stack.enter_context(tracing_of(settings, service="worker feedback"))
        run_feedback_worker(settings, dsn=dsn, instance_id=instance_id, stop=stop, tracing=tracing)
    return 0
