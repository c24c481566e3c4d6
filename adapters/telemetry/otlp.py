"""Spans by OpenTelemetry, sent to a collector by OTLP over HTTP.

Only this module imports OpenTelemetry, and it is imported only if tracing is configured. It does
not set OpenTelemetry's global providers: they belong to a host application.

Names and attributes follow the semantic conventions (messaging spans of RabbitMQ, HTTP client
spans). Of a URL only scheme, host and port are recorded: the path and the query of a webhook often
contain its secret, and the payload where the method is GET.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from attrs import field, frozen
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as OpenTelemetrySpan

from callboard.adapters.broker.protocol import IncomingMessage
from callboard.adapters.http.target import UrlRefusedError, target_of
from callboard.adapters.telemetry.tracing import Span
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.retries.outcome import Outcome, Response

QUEUE_SPANS = 2048
"""The most spans that wait to be sent; more are dropped. Some megabytes at most."""
BATCH_SPANS = 512
INTERVAL_MS = 1000
"""How long spans are batched; a killed process loses its batch."""
EXPORT_S = 5.0
"""The time for the collector to accept a batch, all attempts together, in seconds."""
PAUSE_S = 10.0
"""The pause after the collector has refused a batch, in seconds; spans are dropped meanwhile."""
CLOSE_S = 0.5
"""How long a process waits at its end for the last batch; not at all while batches fail."""

_LIBRARY = "opentelemetry"
_NOTHING = Context()  # not the current context: a host's work is not our parent

Report = Callable[..., None]
Attributes = dict[str, str | int]


@frozen
class Collector:
    """The destination of spans. `report(event, **facts)` logs a change once, not each time.

    `export_s`, `pause_s`: see EXPORT_S and PAUSE_S.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    report: Report = field(repr=False)
    own_process: bool = True
    export_s: float = EXPORT_S
    pause_s: float = PAUSE_S


class OtlpTracing:
    """`Tracing` by OpenTelemetry.

    `resource`: the process's attributes on every span, beside its version. `sample_ratio`: the part
    of new traces that is recorded; for others their parent has decided. `system`: the name of the
    messaging system. `propagate`: whether endpoints receive the trace context. `interval_ms`,
    `close_s`: see INTERVAL_MS and CLOSE_S.
    """

    def __init__(
        self,
        collector: Collector,
        resource: Mapping[str, str],
        *,
        sample_ratio: float = 1.0,
        system: str = "rabbitmq",
        propagate: bool = True,
        interval_ms: int = INTERVAL_MS,
        close_s: float = CLOSE_S,
    ) -> None:
        self._system, self._propagate = system, propagate
        self._close_s = close_s
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource.create({"service.version": version("callboard"), **resource}),
            shutdown_on_exit=False,
        )
        self._export = _Export(collector)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._export,
                max_queue_size=QUEUE_SPANS,
                max_export_batch_size=BATCH_SPANS,
                schedule_delay_millis=interval_ms,
            )
        )
        self._tracer = self._provider.get_tracer("callboard", version("callboard"))

    def consume(self, message: IncomingMessage, queue: str, parent: TraceContext | None) -> Span:
        """See `Tracing`."""
        span = self._begin(f"consume {queue}", SpanKind.CONSUMER, parent)
        if span.recorded:
            span.tell(
                {
                    "messaging.system": self._system,
                    "messaging.operation.type": "process",
                    "messaging.operation.name": "consume",
                    "messaging.destination.name": (
                        f"{message.exchange}:{message.routing_key}:{queue}"
                    ),
                    "messaging.rabbitmq.destination.routing_key": message.routing_key,
                    "messaging.rabbitmq.message.delivery_tag": message.tag,
                    "messaging.message.body.size": len(message.body),
                    "callboard.redelivered": message.redelivered,
                }
            )
            if message.properties.message_id:
                span.tell({"messaging.message.id": message.properties.message_id})
        return span

    def match(self, module: str, parent: TraceContext | None) -> Span:
        """See `Tracing`."""
        span = self._begin(f"match {module}", SpanKind.INTERNAL, parent)
        span.tell({"callboard.module": module})
        return span

    def deliver(self, delivery: Delivery, attempts_made: int) -> Span:
        """See `Tracing`."""
        span = self._begin(delivery.method, SpanKind.CLIENT, delivery.trace)
        if span.recorded:
            span.tell(_request(delivery, attempts_made))
        if not self._propagate:
            span.context = None
        return span

    def close(self) -> None:
        """See `Tracing`. Spans that the collector does not accept within `close_s` are dropped."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(0 if self._export.failing else self._close_s)

    def _begin(self, name: str, kind: SpanKind, parent: TraceContext | None) -> "_Span":
        context = _NOTHING
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(_span_context(parent)), _NOTHING)
        return _Span(self._tracer.start_span(name, context, kind), parent)


class _Span:
    """One of Callboard's spans, recorded or not."""

    def __init__(self, span: OpenTelemetrySpan, parent: TraceContext | None) -> None:
        self._span = span
        self.recorded = span.is_recording()
        self.context = parent
        own = span.get_span_context()
        if own.is_valid:  # Not if a variable of OpenTelemetry has disabled it.
            self.context = TraceContext(
                f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}",
                parent.tracestate if parent else "",
            )

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes({name: _sendable(value) for name, value in attributes.items()})

    # See `callboard.adapters.telemetry.tracing.Span`.

    def end(self, deliveries: int | None = None) -> None:
        if deliveries is not None:
            self.tell({"callboard.deliveries": deliveries})
        self._span.end()

    def fail(self, reason: str) -> None:
        self._span.set_status(StatusCode.ERROR, reason)
        self._span.end()

    def answered(self, outcome: Outcome) -> None:
        # Only an error's kind is recorded: its details may contain secrets.
        if not isinstance(outcome, Response):
            self.tell({"error.type": outcome.kind})
            self.fail(outcome.kind)
            return
        self.tell({"http.response.status_code": outcome.status})
        if outcome.status >= 400:
            self.tell({"error.type": str(outcome.status)})
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _span_context(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header([context.tracestate]) if context.tracestate else None,
    )


def _request(delivery: Delivery, attempts_made: int) -> Attributes:
    attributes: Attributes = {
        "http.request.method": delivery.method,
        "http.request.body.size": len(delivery.request_body),
        "callboard.account.id": delivery.account_id,
        "callboard.delivery.id": delivery.id,
        "callboard.hook.id": delivery.hook_id,
        "callboard.hook.event": delivery.hook_event,
    }
    if attempts_made:
        attributes["http.request.resend_count"] = attempts_made
    try:
        target = target_of(delivery.url)
    except UrlRefusedError:
        return attributes  # It will not be called.
    return attributes | {
        "server.address": target.address,
        "server.port": target.origin[2],
        "url.full": f"{target.scheme}://{target.authority}/REDACTED",
    }


def _sendable(value: str | int) -> str | int:
    """The value without lone surrogates, which JSON allows and protobuf does not."""
    if isinstance(value, int) or value.isascii():
        return value
    return value.encode(errors="replace").decode()


class _Export(SpanExporter):
    """OpenTelemetry's exporter, which pauses when the collector fails, and reports that once.

    Called in a thread of its own, so that only spans wait for it.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._said = _Said(collector)
        self._exporter = OTLPSpanExporter(
            collector.url, headers=dict(collector.headers), timeout=collector.export_s
        )
        self.failing = False
        self._again_at = 0.0
        self._dropped = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, or drop it during the pause after a failure."""
        result = SpanExportResult.FAILURE
        if time.monotonic() >= self._again_at:
            self._said.of_export = ""
            result = self._exporter.export(spans)
            if result is SpanExportResult.SUCCESS:
                self._works()
            else:
                self._fails()
        if result is not SpanExportResult.SUCCESS:
            self._dropped += len(spans)
        return result

    def _works(self) -> None:
        if self.failing:
            self._collector.report("collector_up", spans_dropped=self._dropped)
        self.failing, self._dropped = False, 0

    def _fails(self) -> None:
        self._again_at = time.monotonic() + self._collector.pause_s
        if not self.failing:
            self.failing = True
            reason = self._said.of_export or "it takes no spans"
            self._collector.report("collector_down", url=self._collector.url, reason=reason)

    def shutdown(self) -> None:
        """Release the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
        self._said.forget()


class _Said(logging.Handler):
    """Captures the library's log, which would have a line for each batch.

    The first message of an export is kept as the reason for its failure; each other message is
    reported once. In a process shared with a host application, the host's loggers receive all
    messages as well.
    """

    def __init__(self, collector: Collector) -> None:
        super().__init__(logging.WARNING)
        self.of_export = ""
        self._report = collector.report
        self._reported: set[str] = set()
        self._library = logging.getLogger(_LIBRARY)
        self._library.addHandler(self)
        if collector.own_process:
            self._library.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take a log record."""
        if record.name.startswith(f"{_LIBRARY}.exporter"):
            self.of_export = self.of_export or record.getMessage()
        elif record.msg not in self._reported:
            self._reported.add(record.msg)
            self._report("tracing_trouble", reason=record.getMessage())

    def forget(self) -> None:
        """Stop capturing."""
        self._library.removeHandler(self)
