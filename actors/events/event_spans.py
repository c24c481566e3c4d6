"""The spans of a bridge's unsettled events."""

from collections.abc import Iterable

from callboard.adapters.broker.protocol import IncomingMessage
from callboard.adapters.telemetry.tracing import Span, Tracing
from callboard.webhooks.events.trace_context import TraceContext, trace_context


class EventSpans:
    """One span for each event, by delivery tag, from its arrival until it is acknowledged or
    requeued."""

    def __init__(self, tracing: Tracing, queue: str) -> None:
        self._tracing, self._queue = tracing, queue
        self._open: dict[int, Span] = {}

    def begin(self, message: IncomingMessage) -> TraceContext | None:
        """Begin the span of an event; returns its context for the spans that follow from it."""
        parent = trace_context(message.properties.headers)
        span = self._open[message.tag] = self._tracing.consume(message, self._queue, parent)
        return span.context

    def end(self, tags: Iterable[int]) -> None:
        """End the spans of acknowledged events."""
        for tag in tags:
            if (span := self._open.pop(tag, None)) is not None:
                span.end()

    def fail(self, reason: str, tags: Iterable[int] | None = None) -> None:
        """End the spans of events that will be redelivered; None: all."""
        for tag in tuple(self._open) if tags is None else tags:
            if (span := self._open.pop(tag, None)) is not None:
                span.fail(reason)

    def close(self) -> None:
        """End the open spans, whose events return to the broker, and close the tracing."""
        self.fail("stopped")
        self._tracing.close()
