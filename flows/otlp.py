"""Spans go to an OpenTelemetry collector by OTLP over HTTP; imported only where `tracing.endpoint` is set.

A coil's spans are told after the event, with ids and times that are known by then. So they are made as an exporter
reads them (`ReadableSpan`), and not by a tracer, which asks for each span which one runs, whether it is sampled and
what its limits are: eight times the work.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from flows.tracing import Span, first_span_id_of, ids_of_traceparent, trace_id_of
from schemas.coils import CoilKey
from schemas.stream_settings import TracingSettings

_TIMEOUT_S = 5.0  # of one request to the collector
_LAST_S = 3.0  # for what waits when the service stops
_MOST_WAITING = 16_384  # spans: what comes beyond is dropped
_LOW_BITS = 2**64
_log = structlog.stdlib.get_logger(__name__)
_SCOPE = InstrumentationScope("coilflow")
_FINE = Status()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class _Exporter(OTLPSpanExporter):
    """Says once that the collector takes nothing, and once that it does again."""

    _failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        result = super().export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failed:
            remedy = "see that the collector of tracing.endpoint runs and takes OTLP over HTTP"
            _log.warning("the collector takes no spans: they are dropped", remedy=remedy)
        elif self._failed and not failed:
            _log.info("the collector takes spans again")
        self._failed = failed
        return result


class _Sender:
    """`flows.tracing.Tracing` to a collector."""

    def __init__(self, waiting: BatchSpanProcessor, resource: Resource, *, share: float) -> None:
        self._waiting = waiting
        self._resource = resource
        self._below = round(share * _LOW_BITS)  # of the trace's id, as OpenTelemetry's TraceIdRatioBased has it
        self._ids = RandomIdGenerator()

    def follows(self, key: CoilKey) -> bool:
        """Whether the coil is of the share that is traced."""
        return trace_id_of(key) % _LOW_BITS < self._below

    def add(self, key: CoilKey, spans: Sequence[Span], *, first: Span | None = None, sender: str | None = None) -> None:
        """Add to a coil's trace."""
        above = SpanContext(trace_id_of(key), first_span_id_of(key), is_remote=first is None, trace_flags=_SAMPLED)
        for span in spans:
            self._tell(span, above)
        if first is not None:
            ids = None if sender is None else ids_of_traceparent(sender)
            links = () if ids is None else (Link(SpanContext(*ids, is_remote=True, trace_flags=_SAMPLED)),)
            self._hand_over(first, above, None, links)

    def _tell(self, span: Span, above: SpanContext) -> None:
        own = SpanContext(above.trace_id, self._ids.generate_span_id(), is_remote=False, trace_flags=_SAMPLED)
        for part in span.parts:
            self._tell(part, own)
        self._hand_over(span, own, above, ())

    def _hand_over(self, span: Span, own: SpanContext, above: SpanContext | None, links: Sequence[Link]) -> None:
        self._waiting.on_end(
            ReadableSpan(
                span.name,
                own,
                above,
                self._resource,
                span.attributes,
                links=links,
                status=_FINE if span.error is None else Status(StatusCode.ERROR, span.error),
                start_time=span.began_ns,
                end_time=span.ended_ns,
                instrumentation_scope=_SCOPE,
            )
        )


@contextmanager
def sending_spans(settings: TracingSettings, *, service: str) -> Iterator[_Sender]:
    """Send spans while the block lasts; a collector that is away costs spans and nothing else.

    Args:
        settings: the collector, and the share of coils.
        service: named by the spans.
    """
    named = {
        "service.name": f"coilflow {service}",
        "service.version": version("coilflow"),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # each batch that fails would be lines
    exporter = _Exporter(endpoint=f"{(settings.endpoint or '').rstrip('/')}/v1/traces", timeout=_TIMEOUT_S)
    waiting = BatchSpanProcessor(exporter, max_queue_size=_MOST_WAITING, schedule_delay_millis=1000)
    try:
        yield _Sender(waiting, Resource.create(named), share=settings.share)
    finally:
        late = threading.Timer(_LAST_S, exporter.shutdown)
        late.start()
        waiting.shutdown()  # type: ignore[no-untyped-call]
        late.cancel()
