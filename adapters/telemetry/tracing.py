"""What actors tell of an event's way, as spans of one trace, from its message to the response.

A span is begun in one actor, and its context goes along with what it causes, in the messages
between actors; the span itself never leaves its process. Without tracing the spans are nothing, and
the context goes along unchanged: what a message said of its trace is what the endpoint hears.
"""

from typing import Protocol

from attrs import frozen

from callboard.adapters.broker.protocol import IncomingMessage
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.retries.outcome import Outcome


class Span(Protocol):
    """Something that takes time, until it is ended in one of these ways. Thread-safe."""

    @property
    def context(self) -> TraceContext | None:
        """What is told to all that is caused by it; None: nothing."""

    def end(self, deliveries: int | None = None) -> None:
        """It went well; so many deliveries were made of the event."""

    def fail(self, reason: str) -> None:
        """It did not; `reason` holds no secrets."""

    def answered(self, outcome: Outcome) -> None:
        """A try has ended."""


class Tracing(Protocol):
    """Begins spans. None of it waits for anything, and none of it raises."""

    def consume(self, message: IncomingMessage, queue: str, parent: TraceContext | None) -> Span:
        """A message was taken from a queue, until it is acknowledged or given back."""

    def match(self, module: str, parent: TraceContext | None) -> Span:
        """The hooks of an event are found, and what they are to be sent."""

    def deliver(self, delivery: Delivery, attempts_made: int) -> Span:
        """A try; its context is for the endpoint."""

    def close(self) -> None:
        """Send what has gathered, if that goes quickly."""


@frozen
class PassedOn:
    """The span of nobody: the context is its parent's."""

    context: TraceContext | None

    def end(self, deliveries: int | None = None) -> None:
        """See `Span`."""

    def fail(self, reason: str) -> None:
        """See `Span`."""

    def answered(self, outcome: Outcome) -> None:
        """See `Span`."""


NO_TRACE = PassedOn(None)


@frozen
class NoTracing:
    """`propagate`: whether endpoints hear of the trace that a message belongs to."""

    propagate: bool = True

    def consume(self, message: IncomingMessage, queue: str, parent: TraceContext | None) -> Span:
        """See `Tracing`."""
        return NO_TRACE if parent is None else PassedOn(parent)

    def match(self, module: str, parent: TraceContext | None) -> Span:
        """See `Tracing`."""
        return NO_TRACE if parent is None else PassedOn(parent)

    def deliver(self, delivery: Delivery, attempts_made: int) -> Span:
        """See `Tracing`."""
        return PassedOn(delivery.trace) if delivery.trace and self.propagate else NO_TRACE

    def close(self) -> None:
        """See `Tracing`."""


NO_TRACING = NoTracing()
