"""The spans of the events that a bridge has in hand."""

from collections.abc import Iterable

from callboard.adapters.broker.protocol import IncomingMessage
from callboard.adapters.telemetry.tracing import Span, Tracing
from callboard.webhooks.events.trace_context import TraceContext, trace_context


class EventSpans:
    """From the arrival of each event until it is acknowledged or given back, by delivery tag."""

    def __init__(self, tracing: Tracing, queue: str) -> None:
        self._tracing, self._queue = tracing, queue
        self._open: dict[int, Span] = {}

    def begin(self, message: IncomingMessage) -> TraceContext | None:
        """An event has come; what is caused by it is told this."""
        parent = trace_context(message.properties.headers)
        span = self._open[message.tag] = self._tracing.consume(message, self._queue, parent)
        return span.context

    def end(self, tags: Iterable[int]) -> None:
        """These are acknowledged."""
        for tag in tags:
            if (span := self._open.pop(tag, None)) is not None:
                span.end()

    def fail(self, reason: str, tags: Iterable[int] | None = None) -> None:
        """These, or all, come again."""
        for tag in tuple(self._open) if tags is None else tags:
            if (span := self._open.pop(tag, None)) is not None:
                span.fail(reason)

    def close(self) -> None:
        """What is in hand goes back to the broker; the rest is told if that goes quickly."""
        self.fail("stopped")
        self._tracing.close()
