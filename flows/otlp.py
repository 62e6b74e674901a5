"""Spans go to an OpenTelemetry collector by OTLP over HTTP; imported only where `tracing.endpoint` is set."""

import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from flows.tracing import Span, first_span_id_of, ids_of_traceparent, trace_id_of
from schemas.coils import CoilKey
from schemas.stream_settings import TracingSettings

_TIMEOUT_S = 5.0  # of one request to the collector
_LAST_S = 3.0  # for what waits when the service stops
_MOST_WAITING = 16_384  # spans: what comes beyond is dropped
_LOW_BITS = 2**64


class _Ids(RandomIdGenerator):
    """Ids by chance, but for the first span of a coil's trace."""

    def __init__(self) -> None:
        self._given = threading.local()

    @contextmanager
    def given(self, trace_id: int, span_id: int) -> Iterator[None]:
        """The next span of this thread gets these."""
        self._given.ids = trace_id, span_id
        try:
            yield
        finally:
            self._given.ids = None

    def generate_trace_id(self) -> int:
        """Return the given id, else one by chance."""
        ids: tuple[int, int] | None = getattr(self._given, "ids", None)
        return super().generate_trace_id() if ids is None else ids[0]

    def generate_span_id(self) -> int:
        """Return the given id, else one by chance."""
        ids: tuple[int, int] | None = getattr(self._given, "ids", None)
        return super().generate_span_id() if ids is None else ids[1]


class _Sender:
    """`flows.tracing.Tracing` to a collector."""

    def __init__(self, tracer: Tracer, ids: _Ids, *, share: float) -> None:
        self._tracer = tracer
        self._ids = ids
        self._below = round(share * _LOW_BITS)  # of the trace's id, as OpenTelemetry's TraceIdRatioBased has it

    def follows(self, key: CoilKey) -> bool:
        """Whether the coil is of the share that is traced."""
        return trace_id_of(key) % _LOW_BITS < self._below

    def add(self, key: CoilKey, spans: Sequence[Span], *, first: Span | None = None, sender: str | None = None) -> None:
        """Add to a coil's trace."""
        trace_id, first_id = trace_id_of(key), first_span_id_of(key)
        if first is not None:
            ids = None if sender is None else ids_of_traceparent(sender)
            with self._ids.given(trace_id, first_id):
                self._tell(first, Context(), [] if ids is None else [Link(_context(*ids))])
        below = set_span_in_context(NonRecordingSpan(_context(trace_id, first_id)), Context())
        for span in spans:
            self._tell(span, below)

    def _tell(self, span: Span, below: Context, links: Sequence[Link] = ()) -> None:
        told = self._tracer.start_span(
            span.name, below, attributes=dict(span.attributes), links=links, start_time=span.began_ns
        )
        if span.error is not None:
            told.set_status(Status(StatusCode.ERROR, span.error))
        for part in span.parts:
            self._tell(part, set_span_in_context(told, below))
        told.end(span.ended_ns)


@contextmanager
def sending_spans(settings: TracingSettings, *, service: str) -> Iterator[_Sender]:
    """Send spans while the block lasts; a collector that is away costs spans and nothing else.

    Args:
        settings: the collector, and the share of coils.
        service: named by the spans.
    """
    ids = _Ids()
    named = {
        "service.name": f"coilflow {service}",
        "service.version": version("coilflow"),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # each request that is tried again would be a line
    exporter = OTLPSpanExporter(endpoint=f"{(settings.endpoint or '').rstrip('/')}/v1/traces", timeout=_TIMEOUT_S)
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=Resource.create(named), id_generator=ids, shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_MOST_WAITING, schedule_delay_millis=1000))
    try:
        yield _Sender(provider.get_tracer("coilflow"), ids, share=settings.share)
    finally:
        late = threading.Timer(_LAST_S, exporter.shutdown)
        late.start()
        provider.shutdown()
        late.cancel()


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
