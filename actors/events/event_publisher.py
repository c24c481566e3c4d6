"""Publishes clients' events: each request is answered once the broker has all of its events."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import define

from callboard.actors.base.confirmed_publisher import Batch, ConfirmedPublisher
from callboard.actors.messages import Published, Refused
from callboard.adapters.broker.gate import PublishGate, why_blocked
from callboard.adapters.broker.protocol import (
    Blocked,
    BrokerConnection,
    BrokerEvent,
    OutgoingMessage,
    Properties,
)

MAX_BYTES = 32 * 2**20
"""The most bytes of events that the broker has not confirmed; a single request may have more."""

ClientEvent = tuple[str, str, bytes, str]
"""Exchange, routing key, body, content type."""
Reply = Callable[[Published | Refused], None]


@define(eq=False)
class _Request:
    """Events to publish together."""

    events: Sequence[ClientEvent]
    size: int
    reply: Reply


class EventPublisher:
    """Publishes durable events by an actor's connection, and reports what became of them.

    If the broker cannot accept one of a request's events, those before it are still published.
    While it is blocked, none is, neither now nor later. Events that wait for one confirmation of
    the broker share it, so many small requests cost little more than a large one.
    """

    def __init__(self, broker: BrokerConnection, log: Any) -> None:
        self.gate = PublishGate(broker)
        self._log = log
        self._publisher = ConfirmedPublisher(broker)
        self._open: set[_Request] = set()
        self._bytes = 0
        self._held: list[_Request] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the broker has not confirmed all events of its requests."""
        return bool(self._open)

    @property
    def refuses(self) -> str:
        """Why the broker takes no events, in words for a client; empty if it does."""
        return why_blocked(self.gate.blocked) if self.gate.blocked else ""

    def publish(self, events: Sequence[ClientEvent], reply: Reply) -> None:
        """Publish these, and call `reply` once: now, or when the broker has answered."""
        size = sum(len(body) for _exchange, _key, body, _type in events)
        if self._bytes and self._bytes + size > MAX_BYTES:
            reply(Refused("too many events wait for the broker: try again later", "busy"))
            return
        self._bytes += size
        self._enter(_Request(events, size, reply))

    def hold(self) -> None:
        """Keep further requests until `go_on`: the connection is about to be opened again."""
        if self._held is None:
            self._held = []

    def go_on(self) -> None:
        """Publish the held requests, and hold no more."""
        held, self._held = self._held or [], None
        for request in held:
            self._enter(request)

    def on_broker(self, event: BrokerEvent) -> None:
        """Handle all events of the connection."""
        self.gate.on_broker(event)
        self._publisher.on_broker(event)
        match event:
            case Blocked(reason):
                may = f"it may still take it once it is no longer blocked: {reason}"
                for request in tuple(self._open):
                    self._answer(request, Refused(f"the broker did not take it: {may}"))

    def _enter(self, request: _Request) -> None:
        refuse = partial(self._refuse, request)
        self.gate.enter(partial(self._publish, request), refuse)

    def _refuse(self, request: _Request, reason: str) -> None:
        self._end(request, Refused(why_blocked(reason), "blocked"))

    def _publish(self, request: _Request) -> None:
        if self._held is not None:
            self._held.append(request)
            return
        self._open.add(request)
        batch = Batch(partial(self._settled, request))
        for number, event in enumerate(request.events):
            self._publisher.publish(batch, str(number), _outgoing(*event))
            if batch.refused:
                break
        request.events = ()
        self._publisher.complete(batch)

    def _settled(self, request: _Request, batch: Batch) -> None:
        if batch.refused:
            _id, reason = batch.refused[0]
            self._answer(request, Refused(reason))
        else:
            for _id, reason in batch.unroutable:
                self._log.warning("event_unroutable", reason=reason)
            unroutable = len(batch.unroutable)
            self._answer(request, Published(len(batch.taken) + unroutable, unroutable))

    def _answer(self, request: _Request, reply: Published | Refused) -> None:
        if request in self._open:  # Not if a block has ended it.
            self._open.remove(request)
            self._end(request, reply)

    def _end(self, request: _Request, reply: Published | Refused) -> None:
        self._bytes -= request.size
        request.reply(reply)


def _outgoing(exchange: str, key: str, body: bytes, content_type: str) -> OutgoingMessage:
    properties = Properties(content_type=content_type, delivery_mode=2)
    return OutgoingMessage(exchange, key, body, properties, mandatory=True)
