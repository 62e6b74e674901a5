"""`coilflow bridge outbox`: announce what the database holds."""

import signal
import threading
from contextlib import ExitStack
from functools import partial
from typing import Annotated

import structlog
import typer

from schemas.settings import load_settings

_log = structlog.stdlib.get_logger(__name__)


def outbox(
    *,
    retry_refused: Annotated[
        bool,
        typer.Option("--retry-refused", help="First put rows that were set aside back among those that wait."),
    ] = False,
) -> int:
    """Announce verdicts to Kafka, MQTT and webhooks until stopped; start as many as you like."""
    # Imported here: the other commands need no broker's client.
    from flows.observe import configure_logging, serve_metrics  # noqa: PLC0415
    from flows.outbox.pace import Pace  # noqa: PLC0415
    from flows.outbox.publish import open_publisher  # noqa: PLC0415
    from flows.outbox.relay import Relay  # noqa: PLC0415
    from flows.outbox.traced import traced  # noqa: PLC0415
    from flows.tracing import tracing_of  # noqa: PLC0415
    from store.connection import connect, describe  # noqa: PLC0415
    from store.embedded import embedded_postgres  # noqa: PLC0415
    from store.migrations import migrate  # noqa: PLC0415
    from store.outbox import retry_refused as put_back  # noqa: PLC0415

    settings = load_settings()
    configure_logging()
    serve_metrics(settings.metrics_port, service="bridge outbox")
    stop = threading.Event()
    with ExitStack() as stack:
        dsn = settings.database_dsn or stack.enter_context(embedded_postgres(settings.data_dir))
        migrate(dsn)
        if retry_refused:
            with connect(dsn) as connection:
                _log.info("refused rows wait again", rows=put_back(connection))
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.getsignal(number))
            signal.signal(number, lambda *_: stop.set())
        tracing = stack.enter_context(tracing_of(settings, service="bridge outbox"))
        publisher = partial(open_publisher, settings=settings)
        relay = Relay(
            dsn,
            destinations=frozenset(settings.destinations),
            open_publisher=publisher if tracing is None else traced(publisher, tracing),
            pace=Pace(keep_s=settings.schedule.outbox_days * 86_400),
        )
        _log.info("the relay runs", database=describe(dsn), destinations=settings.destinations, mode=settings.mode)
        relay.run(stop)
        _log.info("the relay has stopped")
    return 0
