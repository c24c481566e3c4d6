"""Records an event's processing as spans of one trace, from its message to the response.

An actor starts a span, and messages between actors carry its context to the work that follows; the
span itself never leaves its process. Without tracing the spans do nothing, and the context of the
incoming message is passed through to the endpoint.
"""

from typing import Protocol

from attrs import frozen

from callboard.adapters.broker.protocol import IncomingMessage
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.retries.outcome import Outcome


class Span(Protocol):
    """An operation with a duration, ended in one of these ways. Thread-safe."""

    @property
    def context(self) -> TraceContext | None:
        """The context for all work that this operation causes; None: none."""

    def end(self, deliveries: int | None = None) -> None:
        """It succeeded; `deliveries`: the number made from the event."""

    def fail(self, reason: str) -> None:
        """It failed; `reason` contains no secrets."""

    def answered(self, outcome: Outcome) -> None:
        """An attempt has ended."""


class Tracing(Protocol):
    """Starts spans. No method waits or raises."""

    def consume(self, message: IncomingMessage, queue: str, parent: TraceContext | None) -> Span:
        """A message was consumed from a queue; ends when it is acknowledged or given back."""

    def match(self, module: str, parent: TraceContext | None) -> Span:
        """The search for an event's hooks, and the making of their deliveries."""

    def deliver(self, delivery: Delivery, attempts_made: int) -> Span:
        """An attempt; its context is for the endpoint."""

    def close(self) -> None:
        """Send batched spans, if that is quick."""


@frozen
class PassedOn:
    """No-op span; passes the parent's context through."""

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
    """`propagate`: whether endpoints receive the context of the incoming message's trace."""

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
