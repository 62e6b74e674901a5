"""`coilflow worker`: Kafka consumers that assess coils."""

import signal
import threading
from contextlib import ExitStack
from typing import Annotated

import typer

from flows.kafka.worker import run_worker
from flows.mapping import decoder_of
from flows.observe import configure_logging, serve_metrics
from flows.record import register_members
from flows.serving import serving_ensemble
from schemas.settings import load_settings
from store.connection import connect
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
    serve_metrics(settings.metrics_port)
    ensemble = serving_ensemble(settings)
    stop = threading.Event()
    with ExitStack() as stack:
        dsn = settings.database_dsn or stack.enter_context(embedded_postgres(settings.data_dir))
        migrate(dsn)
        with connect(dsn) as connection:
            register_members(connection, ensemble)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        run_worker(settings, ensemble, decoder_of(settings), dsn=dsn, instance_id=instance_id, stop=stop)
    return 0
