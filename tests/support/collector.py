"""A collector of OpenTelemetry's spans: accepts OTLP over HTTP and returns the spans."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from attrs import frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from support.patience import patient

STATUS = {Status.STATUS_CODE_UNSET: "unset", Status.STATUS_CODE_ERROR: "error"}


@frozen
class Span:
    """A received span; ids in hex, `parent_id` empty at the root; times in seconds."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    attributes: dict
    status: str
    reason: str
    began: float
    ended: float
    resource: dict


class Collector:
    """A context manager that listens, on a free port unless one is given."""

    def __init__(self, port=0, status=200):
        self.status = status
        self.spans: list[Span] = []
        self.requests = []
        """Path and headers of each request, including refused ones."""
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = collector._take(self.path, dict(self.headers), body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, path, headers, body):
        with self._came:
            self.requests.append((path, headers))
            if self.status == 200:
                self.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self._came.notify_all()
            return self.status

    def wait_for(self, condition, timeout_s=20.0):
        """Wait until `condition(spans)` is true; returns its value."""
        timeout_s = patient(timeout_s)
        end = time.monotonic() + timeout_s
        with self._came:
            while not (result := condition(self.spans)):
                left = end - time.monotonic()
                assert left > 0, f"not within {timeout_s} s: {[s.name for s in self.spans]}"
                self._came.wait(left)
            return result

    def wait_for_spans(self, count, timeout_s=20.0):
        return self.wait_for(lambda spans: len(spans) >= count and list(spans), timeout_s)


def _spans(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    Sent.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.trace_state,
                    _attributes(span.attributes),
                    STATUS[span.status.code],
                    span.status.message,
                    span.start_time_unix_nano / 1e9,
                    span.end_time_unix_nano / 1e9,
                    _attributes(resource.resource.attributes),
                )


def _attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
