"""Callboard's interface to a message broker: one connection, driven by its owner's event loop.

A `BrokerConnection` never blocks and never starts a thread that calls back. Its owner (an actor)
waits until `fileno()` is readable or `deadline()` has passed, and then calls `poll()`, which does
all that can be done without waiting and returns the events. The connection reports its own loss,
and reopens itself after a growing pause.

Implementations: `callboard.adapters.broker.rabbitmq.connection` (RabbitMQ, through pika) and
`callboard.adapters.broker.embedded.connection` (`memory://`). One contract test suite runs against
both.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import Factory, field, frozen

from callboard.webhooks.values.kazoo_names import gregorian_us

TOPIC = "topic"
DIRECT = "direct"
FANOUT = "fanout"


class BrokerError(Exception):
    """The broker refused a request, or cannot be used as requested."""


@frozen
class Exchange:
    """An exchange to declare. Kazoo's are neither durable nor auto-delete (AMQP 0-9-1, 1.7.2).

    `passive`: it is not declared, but must exist; the embedded broker, at which no other program
    could have declared it, declares it. `optional`: if the broker refuses it or a binding to it,
    the connection comes up without these (`ExchangesRefused`).
    """

    name: str
    type: str = TOPIC
    durable: bool = False
    auto_delete: bool = False
    internal: bool = False
    arguments: Mapping[str, Any] = field(factory=dict, hash=False)
    passive: bool = False
    optional: bool = False


@frozen
class Queue:
    """A queue to declare. The connection completes a name that ends with a dot (exclusive queues).

    So each connection has its own, even while the broker does not know yet that another is lost.
    """

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Mapping[str, Any] = Factory(dict)


@frozen
class DelayQueue:
    """A durable queue without consumers: after `delay_ms` its messages move to queue `to`.

    Publish to it by its name, through the default exchange. On RabbitMQ it is a queue with a
    message TTL that dead-letters to `to` (TTL and dead-letter exchange extensions). `quorum`: a
    replicated queue, which releases a message only once `to` has it.
    """

    name: str
    delay_ms: int
    to: str
    quorum: bool = False


@frozen
class Binding:
    """Messages of `exchange` whose routing key matches `key` are routed to the queue."""

    exchange: str
    key: str
    arguments: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen
class Topology:
    """Declared in this order each time the connection comes up; then `queue` is consumed.

    `queue` None: a connection that only publishes. `prefetch`: unacknowledged messages at most.
    `priority`: consumers with a higher one are served first, up to their prefetch (RabbitMQ's
    consumer priorities; the embedded broker has one consumer a queue). `obsolete`: queues of an
    earlier version that RabbitMQ keeps until its next start; each is deleted if it has no consumer.
    """

    exchanges: tuple[Exchange, ...] = ()
    queue: Queue | None = None
    bindings: tuple[Binding, ...] = ()
    prefetch: int = 50
    delays: tuple[DelayQueue, ...] = ()
    priority: int = 0
    obsolete: tuple[str, ...] = ()


@frozen
class Properties:
    """The AMQP properties that Callboard reads or sets.

    `timestamp` is the publisher's, in any unit.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    timestamp: int | None = None
    delivery_mode: int | None = None
    expiration: str | None = None
    headers: Mapping[str, Any] = Factory(dict)


def json_properties(now_unix_s: float, headers: Mapping[str, Any] | None = None) -> Properties:
    """The properties of a message as Kazoo sends it: JSON, stamped in Gregorian microseconds."""
    return Properties(
        content_type="application/json",
        timestamp=gregorian_us(now_unix_s),
        headers=headers or {},
    )


@frozen
class OutgoingMessage:
    """A message to publish. `mandatory`: report it as `Returned` if no queue takes it."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Properties = Factory(Properties)
    mandatory: bool = False


@frozen
class IncomingMessage:
    """A consumed message. Its texts are text, and its headers are values of JSON (edge.py).

    `tag` identifies it in `ack` and `requeue` until the connection is lost.
    """

    tag: int
    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    properties: Properties = Factory(Properties)
    redelivered: bool = False


@frozen
class UnreadableMessage:
    """A consumed message that has no form in the domain: it must be quarantined.

    `message`: its readable parts; bytes that are not UTF-8 are replaced. `raw`: its properties
    as in their frame, and names that are not UTF-8, in base64.
    """

    message: IncomingMessage
    reason: str
    raw: Mapping[str, str] = field(repr=False)


@frozen
class ConnectionUp:
    """Connected, declared, and (if there is a queue) consuming. All earlier tags are void."""

    queue: str | None


@frozen
class ExchangesRefused:
    """The optional exchanges that the broker refuses now, with its reasons; empty: none any more.

    Reported before a `ConnectionUp`, and later if it changes: RabbitMQ is asked again for them, and
    for those that are not declared, every LOOK_AGAIN_S.
    """

    reasons: Mapping[str, str]


@frozen
class ConnectionDown:
    """The connection was lost or failed; it is attempted again in `retry_in_s` seconds.

    The broker redelivers unacknowledged messages once it is up; publishes that were not confirmed
    yet are reported as `Unconfirmed` before this.
    """

    reason: str
    retry_in_s: float


@frozen
class Blocked:
    """The broker takes no more messages from publishers; it lacks a resource, such as disk space.

    Publishes are `Unconfirmed` from then on, until `Unblocked` or the next `ConnectionUp`;
    receiving and acknowledging go on. Those that were sent before may be confirmed later. `reason`:
    as the broker says it.
    """

    reason: str


@frozen
class Unblocked:
    """The broker takes messages from publishers again."""


@frozen
class Probed:
    """The broker took messages when it received a `probe`; one event for each."""


@frozen
class Received:
    """Messages that arrived, oldest first; never empty."""

    messages: tuple[IncomingMessage, ...]


@frozen
class Unreadable:
    """Messages that arrived and cannot be read, oldest first; never empty."""

    messages: tuple[UnreadableMessage, ...]


@frozen
class Overdue:
    """These messages have not been acknowledged for `overdue_s`; each is reported once.

    RabbitMQ closes the channel of a consumer that keeps one for its consumer_timeout.
    """

    tags: tuple[int, ...]


@frozen
class Confirmed:
    """The broker has taken responsibility for these publishes (publisher confirms)."""

    publish_ids: tuple[int, ...]


@frozen
class Unconfirmed:
    """These publishes were refused, or the connection was lost: publish again or drop them."""

    publish_ids: tuple[int, ...]
    reason: str


@frozen
class Returned:
    """A mandatory message found no queue (it is also confirmed, after this)."""

    publish_id: int
    reason: str


@frozen
class Depths:
    """The number of waiting messages by queue, without those that a consumer holds."""

    messages: Mapping[str, int]


@frozen
class Declared:
    """A queue of `declare` exists. `messages`: those waiting, without those that consumers hold."""

    queue: str
    messages: int


@frozen
class Removed:
    """A queue of `remove` is not consumed any more. `messages`: those that it was kept for."""

    queue: str
    messages: int


BrokerEvent = (
    ConnectionUp
    | ConnectionDown
    | ExchangesRefused
    | Blocked
    | Unblocked
    | Probed
    | Received
    | Unreadable
    | Overdue
    | Confirmed
    | Unconfirmed
    | Returned
    | Depths
    | Declared
    | Removed
)


def received(messages: Iterable[IncomingMessage | UnreadableMessage]) -> list[BrokerEvent]:
    """The events that report these messages; none for no messages."""
    events: list[BrokerEvent] = []
    clean, unreadable = [], []
    for message in messages:
        if isinstance(message, IncomingMessage):
            clean.append(message)
        else:
            unreadable.append(message)
    if clean:
        events.append(Received(tuple(clean)))
    if unreadable:
        events.append(Unreadable(tuple(unreadable)))
    return events


class BrokerConnection(Protocol):
    """One connection to a broker, which consumes its topology's queue and those of `consume`."""

    def open(self) -> None:
        """Start to connect. Returns at once; `poll` reports the result."""

    def fileno(self) -> int:
        """A descriptor that is readable when `poll` has work to do; fixed from `open` on.

        (An epoll descriptor or a pipe will do: it stays valid across reconnects.)
        """

    def deadline(self) -> float | None:
        """When to call `poll` even if nothing is readable, on `time.monotonic`'s scale.

        To be read after each `poll`. A change that makes it earlier makes `fileno()` readable.
        """

    def poll(self) -> Sequence[BrokerEvent]:
        """Do all that can be done without waiting, and report the events in order."""

    def ack(self, tags: Sequence[int]) -> None:
        """Acknowledge these messages. Tags of an earlier connection are ignored."""

    def requeue(self, tags: Sequence[int]) -> None:
        """Give these messages back to the queue; they are redelivered and marked so."""

    def reconnect(self, reason: str) -> None:
        """Close the connection and open it again; nothing is done while it is down.

        So the broker redelivers all unacknowledged messages in order, where `requeue` would put
        some behind later ones that are on their way. Nothing is received until a `ConnectionDown`
        with this reason is reported.
        """

    def publish(self, message: OutgoingMessage) -> int:
        """Publish with confirm; a later `Confirmed` or `Unconfirmed` contains the id.

        While the connection is down, or the broker `Blocked`, nothing is sent: reported as
        `Unconfirmed` by the next `poll`.
        """

    def probe(self) -> None:
        """Find out whether the broker takes messages; a later poll reports `Probed` or `Blocked`.

        RabbitMQ blocks a connection with its first publish, and reads that one later. So a message
        that must not be published after its refusal follows a probe. While the
        connection is down or blocked, nothing is reported.
        """

    def ask_depths(self) -> None:
        """Have the messages counted in the topology's queues; a later `poll` reports `Depths`.

        While the connection is down, or if it is lost in the meantime, nothing is reported. A queue
        that was deleted is declared again by this.
        """

    def declare(self, queue: Queue) -> None:
        """Declare a durable queue besides the topology's; a later `poll` reports `Declared`.

        Nothing is reported while the connection is down. Publish to it by its name, through the
        default exchange.
        """

    def consume(self, queue: str, prefetch: int) -> None:
        """Consume a declared queue, too, until the connection is lost.

        `prefetch`: the most unacknowledged messages of this queue. Their routing key is its name.
        """

    def remove(self, queue: Queue, *, is_obsolete: bool = False) -> None:
        """Stop to consume a queue of `consume`; a later `poll` reports `Removed`.

        The queue is deleted if it has no messages and no other consumer. RabbitMQ does not know
        if-empty for quorum queues: one is deleted only if it `is_obsolete`, so that a message that
        is published into it at this moment is not needed either.
        """

    def stop_consuming(self) -> None:
        """Accept no new messages from now on; outstanding ones can still be acknowledged."""

    def close(self) -> None:
        """Flush acknowledgements, give all other messages back, and release all resources."""
