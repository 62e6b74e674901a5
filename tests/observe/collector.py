"""A collector of OpenTelemetry: a small HTTP server that decodes what OTLP's exporter sends it."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, kw_only=True)
class Got:
    """A span as it came."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Any]
    links: tuple[tuple[str, str], ...]  # trace and span
    failed: bool
    service: str


@dataclass(kw_only=True)
class Collector:
    """What came, and where."""

    endpoint: str
    refuses: bool = False
    spans: list[Got] = field(default_factory=list)

    def trace(self, trace_id: int) -> list[Got]:
        """Spans of a trace, as they began."""
        found = [span for span in list(self.spans) if span.trace_id == f"{trace_id:032x}"]
        return sorted(found, key=lambda span: (span.began_ns, -span.ended_ns))


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect while the block lasts."""
    collector = Collector(endpoint="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            if not collector.refuses:
                collector.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self.send_response(400 if collector.refuses else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class has it
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Got]:
    for resource in request.resource_spans:
        named = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Got(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    attributes=_attributes(span.attributes),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    service=named["service.name"],
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
