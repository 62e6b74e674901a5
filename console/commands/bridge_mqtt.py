"""`coilflow bridge mqtt`: the plant's MQTT topics."""

import asyncio
import signal
from contextlib import ExitStack

from flows.inbox import InboxJudge
from flows.mapping import decoder_of
from flows.observe import configure_logging, serve_metrics
from flows.serving import following
from flows.tracing import tracing_of
from schemas.errors import UsageError
from schemas.settings import load_settings
from store.embedded import embedded_postgres
from store.migrations import migrate


def mqtt() -> int:
    """Assess coils and keep feedback as the plant's MQTT topics ask, until SIGTERM; one bridge a client id."""
    from flows.mqtt.bridge import Bridge  # noqa: PLC0415 - other commands need no broker's client
    from flows.mqtt.desk import Desk  # noqa: PLC0415

    settings = load_settings()
    if settings.mqtt.host is None:
        raise UsageError("mqtt.host is not set", remedy="set COILFLOW_MQTT__HOST to the plant's MQTT broker")
    decode = decoder_of(settings)
    configure_logging()
    serve_metrics(settings.metrics_port, service="bridge mqtt")
    with ExitStack() as stack:
        dsn = settings.database_dsn or stack.enter_context(embedded_postgres(settings.data_dir))
        migrate(dsn)
        current = stack.enter_context(following(dsn, settings, kind="mqtt")).current
        tracing = stack.enter_context(tracing_of(settings, service="bridge mqtt"))
        judge = InboxJudge(dsn, current, settings, decode=decode, tracing=tracing)
        judge.start()
        stack.callback(judge.stop)
        desk = Desk(settings=settings, current=current, decode=decode, judge=judge)

        async def serve() -> None:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            await Bridge(desk, dsn).run(stop)

        asyncio.run(serve())
    return 0
