"""One connection to RabbitMQ and its channel, from the attempt to connect until its loss."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import pika  # type: ignore[import-untyped]
from pika import exceptions as pika_errors
from pika.adapters.utils.connection_workflow import (  # type: ignore[import-untyped]
    AMQPConnectionWorkflowFailed,
    AMQPConnectorPhaseErrorBase,
)

from callboard.adapters.broker.properties import UNENCODABLE, carried, to_pika, unencodable
from callboard.adapters.broker.protocol import (
    Blocked,
    BrokerEvent,
    Confirmed,
    ConnectionUp,
    Declared,
    DelayQueue,
    Depths,
    Exchange,
    ExchangesRefused,
    IncomingMessage,
    OutgoingMessage,
    Overdue,
    Probed,
    Queue,
    Removed,
    Returned,
    Topology,
    Unblocked,
    Unconfirmed,
    UnreadableMessage,
    received,
)
from callboard.adapters.broker.queues import delay_arguments, own_name
from callboard.adapters.broker.rabbitmq import flush_markers
from callboard.adapters.broker.rabbitmq.exchange_trial import ExchangeTrial
from callboard.adapters.broker.rabbitmq.flush_markers import Marks
from callboard.adapters.keys.tls import tls_problem

MARK_ID, PROBE_ID = 0, -1
"""The publish ids of markers (flush_markers.py) and of probes; those of the owner start at 1."""

NO_QUEUE = "amq.callboard.probe"
"""The routing key of probes. RabbitMQ lets no client declare a queue of such a name."""

PROBE = b"?"
"""A broker that blocks a connection at the header of a message confirms one without a body."""

SILENT_HALVES = 3
"""A peer sends something within each heartbeat interval. One that sends nothing in so many halves
of it in a row is lost; fewer may be only late."""

LOOK_AGAIN_S = 30.0
"""The interval for asking again for exchanges that were refused, or that are not declared."""

NOTES = 20
"""Parts of `overdue_s`, which is exceeded by less than one."""

ACK_LINGER_S = 0.1
"""How long an acknowledgement may wait for those of earlier messages, in seconds."""


class _Connection(pika.SelectConnection):  # type: ignore[misc]
    """Sends a message in one piece: pika hands each of its three frames to the kernel by itself.

    Should pika name the method otherwise, it does so again, and nothing else changes. Closing while
    it connects ends it, too: pika (1.4) raises AssertionError then, since it reports the end by the
    class of the exception.
    """

    def _on_connection_workflow_done(self, conn_or_exc: Any) -> None:
        is_class = isinstance(conn_or_exc, type)
        super()._on_connection_workflow_done(conn_or_exc() if is_class else conn_or_exc)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        super()._output_marshaled_frames([b"".join(marshaled_frames)])


class AmqpSession:
    """Connects, declares the topology, consumes, and tracks tags and confirms.

    A session is never reused: its owner creates another one when `on_lost(session, reason)` is
    called. Tags are the channel's delivery tags plus `tag_base`, so that they differ between
    sessions. Without a `consumer_tag` it declares everything but does not consume. The consumer
    gets its response within `consume_s` seconds, or the session ends. `marks`: the markers of the
    messages that it receives, or that it publishes. `unusable`: the optional exchanges for which
    the broker ends the connection, and its reasons; all sessions share them. `overdue_s`: see
    `Overdue`.
    """

    def __init__(
        self,
        parameters: Any,
        io_services: Any,
        topology: Topology,
        *,
        consumer_tag: str | None,
        tag_base: int,
        on_lost: Callable[["AmqpSession", str], None],
        consume_s: float,
        marks: Marks | None,
        unusable: dict[str, str],
        look_again_s: float,
        overdue_s: float | None,
    ) -> None:
        self.up_since: float | None = None
        self.blocked = ""
        self.last_tag = tag_base
        self._topology = topology
        self._tag_base = tag_base
        self._consumer_tag = consumer_tag
        self._on_lost = on_lost
        self._consume_s = consume_s
        self._consume_due: Any = None
        self._ending = False
        self._failure: str | None = None
        self._address = f"{parameters.host}:{parameters.port}"
        self._doing = f"connect to {self._address}"
        self._queue: str | None = None
        self._events: list[BrokerEvent] = []
        self._received: list[IncomingMessage | UnreadableMessage] = []
        self._confirmed: list[int] = []
        # The consumers' tags by delivery tag, in order of delivery.
        self._unsettled: OrderedDict[int, str] = OrderedDict()
        self._acked: set[int] = set()  # those to be acknowledged to the broker
        self._consumer_tags = {} if consumer_tag is None else {"": consumer_tag}  # by queue
        self._rest_due = False
        self._io_services = io_services
        self._unconfirmed: OrderedDict[int, int] = OrderedDict()  # publish ids, by sequence number
        self._mandatory: dict[int, OutgoingMessage] = {}  # by sequence number
        self._published = 0
        self._marks = marks
        self._unusable = unusable
        self._look_again_s = look_again_s
        self._overdue_s = overdue_s
        # The latest tags at the ends of the last parts of `overdue_s`: a note costs nothing for
        # each message. Those up to `_overdue` were reported.
        self._notes: deque[int] = deque()
        self._overdue = tag_base
        self._refused: Mapping[str, str] = {}
        self._trial: ExchangeTrial | None = None
        self._bytes_received, self._silent_halves = 0, 0
        self._channel: Any = None
        self._connection = _Connection(
            parameters,
            on_open_callback=self._on_connection_open,
            on_open_error_callback=self._on_connection_over,
            on_close_callback=self._on_connection_over,
            custom_ioloop=io_services,
        )
        self._connection.add_on_connection_blocked_callback(self._on_blocked)
        self._connection.add_on_connection_unblocked_callback(self._on_unblocked)

    @property
    def is_up(self) -> bool:
        """Declared, consuming, and not closing."""
        return self.up_since is not None and not self._ending

    @property
    def is_closed(self) -> bool:
        """Whether the socket is closed too."""
        return bool(self._connection.is_closed)

    def lasted_s(self) -> float:
        """How long it has been up, in seconds; 0 if it never was."""
        return 0.0 if self.up_since is None else time.monotonic() - self.up_since

    def take_events(self) -> list[BrokerEvent]:
        """The events since the last call."""
        events, self._events = self._events, []
        if self._received:
            events += received(self._received)
            self._received = []
        if self._confirmed:
            events.append(Confirmed(tuple(self._confirmed)))
            self._confirmed = []
        return events

    def ack(self, tags: Sequence[int]) -> None:
        """Acknowledge; tags that are not outstanding are ignored.

        One frame acknowledges all messages before the first open one. Acknowledgements after it
        wait for a moment: each would need its own frame, and for each frame the broker would send a
        single message.
        """
        self._acked.update(tag for tag in tags if tag in self._unsettled)
        self._settle_first(self._acked, self._channel.basic_ack)
        if len(self._acked) * 2 > self._topology.prefetch:
            self._ack_rest()
        elif self._acked and not self._rest_due:
            self._rest_due = True
            # In a callback, so that the owner polls and learns the new deadline.
            self._io_services.add_callback_threadsafe(self._linger)

    def _linger(self) -> None:
        self._io_services.call_later(ACK_LINGER_S, self._ack_rest)

    def _ack_rest(self) -> None:
        self._rest_due = False
        if self.is_up:
            self._settle_each(self._acked, self._channel.basic_ack)

    def requeue(self, tags: Sequence[int]) -> None:
        """Give back; tags that are not outstanding are ignored."""
        left = {tag for tag in tags if tag in self._unsettled and tag not in self._acked}
        self._settle_first(left, self._channel.basic_nack)
        self._settle_each(left, self._channel.basic_nack)

    def publish(self, publish_id: int, message: OutgoingMessage) -> None:
        """Publish; raises `BrokerError` for a message that AMQP cannot carry."""
        try:
            self._channel.basic_publish(
                message.exchange,
                message.routing_key,
                message.body,
                to_pika(message.properties),
                mandatory=message.mandatory,
            )
        except UNENCODABLE as error:
            raise unencodable(message, error) from error
        self._await_confirm(publish_id)
        if message.mandatory:
            self._mandatory[self._published] = message

    def _await_confirm(self, publish_id: int) -> None:
        self._published += 1
        self._unconfirmed[self._published] = publish_id

    def publish_mark(self, queue: str) -> None:
        """Publish a marker into a queue."""
        properties = pika.BasicProperties(type=flush_markers.TYPE, delivery_mode=2)
        self._channel.basic_publish("", queue, b"", properties)
        self._await_confirm(MARK_ID)

    def probe(self) -> None:
        """Publish a message that no queue takes."""
        self._channel.basic_publish("", NO_QUEUE, PROBE)
        self._await_confirm(PROBE_ID)

    def ask_depths(self) -> None:
        """Declare the queues again: the response contains their numbers of messages.

        A passive declaration would close the channel if a queue was deleted.
        """
        depths: dict[str, int] = {}
        asked = [(delay.name, self._declare_delay(delay)) for delay in self._topology.delays]
        if self._topology.queue is not None and self._queue is not None:
            asked.append((self._queue, self._declare_queue(self._topology.queue, self._queue)))
        for name, declare in asked:
            last = name == asked[-1][0]
            declare(callback=partial(self._on_depth, depths, name, last))

    def _on_depth(self, depths: dict[str, int], name: str, last: bool, reply: Any) -> None:
        depths[name] = reply.method.message_count
        if last:
            self._events.append(Depths(depths))

    def declare(self, queue: Queue) -> None:
        """Declare a queue; the reply has its number of messages."""
        self._declare_queue(queue, queue.name)(callback=self._on_declared)

    def _on_declared(self, reply: Any) -> None:
        self._events.append(Declared(reply.method.queue, reply.method.message_count))

    def consume(self, queue: str, prefetch: int) -> None:
        """Consume another queue; the prefetch of AMQP's basic.qos is that of later consumers."""
        self._channel.basic_qos(prefetch_count=prefetch)
        self._consumer_tags[queue] = self._channel.basic_consume(queue, self._on_message)

    def remove(self, queue: Queue, *, is_obsolete: bool) -> None:
        """Cancel the consumer, count its messages, and delete the queue if it is unneeded."""
        consumer = self._consumer_tags.pop(queue.name)
        self._channel.basic_cancel(consumer, callback=lambda _frame: None)
        self._declare_queue(queue, queue.name)(
            callback=partial(self._delete_unneeded, queue, consumer, is_obsolete)
        )

    def _delete_unneeded(self, queue: Queue, consumer: str, is_obsolete: bool, reply: Any) -> None:
        messages, consumers = reply.method.message_count, reply.method.consumer_count
        messages += sum(each == consumer for each in self._unsettled.values())
        removed = partial(self._on_removed, Removed(queue.name, messages))
        is_quorum = queue.arguments.get("x-queue-type") == "quorum"
        if messages or consumers or (is_quorum and not is_obsolete):
            removed()
        else:
            # If another node publishes or consumes at this moment, the broker closes the channel.
            # It refuses both conditions for a quorum queue.
            safe = not is_quorum
            self._channel.queue_delete(queue.name, if_unused=safe, if_empty=safe, callback=removed)

    def _on_removed(self, event: Removed, _reply: Any = None) -> None:
        self._events.append(event)

    def fail_unless_up(self) -> None:
        """End the connection if it is not set up in time."""
        if self.up_since is None:
            self._fail(f"cannot {self._doing}: no response")
            self.abort()  # such a peer would not respond to `close` either

    def stop_consuming(self) -> None:
        """Cancel the consumers; pika gives back messages that are still on their way."""
        for tag in self._consumer_tags.values():
            self._channel.basic_cancel(tag, callback=lambda _frame: None)

    def restart(self, reason: str) -> None:
        """Start a graceful close, and drop received messages; `on_lost` reports its end."""
        self._received.clear()
        self._leave()
        self._fail(reason)

    def close(self) -> None:
        """Start a graceful close; `is_closed` reports its end. `on_lost` is not called."""
        self._leave()
        self._on_lost = lambda _session, _reason: None
        self._end()

    def abandon(self, reason: str) -> None:
        """The same, with a last event: the broker will confirm nothing more."""
        self.close()
        self._report_unconfirmed(reason)

    def _report_unconfirmed(self, reason: str) -> None:
        unconfirmed = tuple(id for id in self._unconfirmed.values() if id > MARK_ID)
        if unconfirmed:
            self._events.append(Unconfirmed(unconfirmed, reason))

    def _leave(self) -> None:
        self._ack_rest()
        if self._channel is not None:
            # pika cancels the consumers before it closes the channel. A queue would then give its
            # next consumer later messages before it has those that were given back.
            self._channel._consumers.clear()

    def abort(self) -> None:
        """Close the socket without a handshake."""
        # pika has no public way to leave a peer that does not respond to `close`.
        if self._connection._transport is not None:
            self._connection._transport.abort()

    def _settle_first(self, tags: set[int], send: Callable[[int, bool], None]) -> None:
        """Settle the tags before the first open one, by one frame."""
        newest = None
        while self._unsettled and (oldest := next(iter(self._unsettled))) in tags:
            newest = oldest
            tags.remove(oldest)
            del self._unsettled[oldest]
        if newest is not None:
            send(newest - self._tag_base, True)

    def _settle_each(self, tags: set[int], send: Callable[[int, bool], None]) -> None:
        """Settle the tags after the first open one, by a frame each."""
        for tag in sorted(tags):
            del self._unsettled[tag]
            send(tag - self._tag_base, False)
        tags.clear()

    def _set_up(self) -> Iterator[tuple[str, Callable[..., object]]]:
        """The requests to the broker, in order: a description, and a call with a callback."""
        channel, topology = self._channel, self._topology
        yield "turn on publisher confirms", partial(channel.confirm_delivery, self._on_confirm)
        for exchange in topology.exchanges:
            if exchange.optional:
                continue
            yield (
                f"declare {exchange.type} exchange {exchange.name!r}",
                partial(
                    channel.exchange_declare,
                    exchange.name,
                    exchange.type,
                    durable=exchange.durable,
                ),
            )
        optional = {exchange.name for exchange in topology.exchanges if exchange.optional}
        for delay in topology.delays:
            yield (
                f"declare queue {delay.name!r}",
                self._declare_delay(delay),
            )
        if topology.queue is None:
            return
        queue, name = topology.queue, own_name(topology.queue.name)
        yield (
            f"declare queue {name!r}",
            self._declare_queue(queue, name),
        )
        for binding in topology.bindings:
            if binding.exchange in optional:
                continue
            yield (
                f"bind queue {self._queue!r} to exchange {binding.exchange!r} by {binding.key!r}",
                partial(channel.queue_bind, self._queue, binding.exchange, binding.key),
            )
        if optional:
            yield "declare the exchanges of events", self._try_exchanges
        yield (
            f"set the prefetch to {topology.prefetch}",
            partial(channel.basic_qos, prefetch_count=topology.prefetch),
        )
        if self._consumer_tag is None:
            return
        self._consume_due = self._io_services.call_later(self._consume_s, self.fail_unless_up)
        yield (
            f"consume from queue {self._queue!r}",
            partial(
                channel.basic_consume,
                self._queue,
                self._on_message,
                consumer_tag=self._consumer_tag,
                arguments={"x-priority": topology.priority} if topology.priority else None,
            ),
        )

    def _try_exchanges(self, callback: Callable[[], None]) -> None:
        """Declare the optional exchanges, and bind the queue to them."""

        def done(refused: Mapping[str, str]) -> None:
            self._note_refused(refused)
            if any(each.passive or each.name in refused for each in exchanges):
                self._io_services.call_later(self._look_again_s, self._look_again)
            callback()

        exchanges = [each for each in self._topology.exchanges if each.optional]
        self._begin_trial(exchanges, done)

    def _begin_trial(
        self, exchanges: Sequence[Exchange], done: Callable[[Mapping[str, str]], None]
    ) -> None:
        usable = [each for each in exchanges if each.name not in self._unusable]
        bindings = self._topology.bindings
        self._trial = ExchangeTrial(self._connection, self._queue, usable, bindings, done)
        self._trial.start()

    def _look_again(self) -> None:
        """Ask again for the exchanges that were refused, or that others may have deleted."""

        def done(refused: Mapping[str, str]) -> None:
            self._note_refused(refused)
            self._io_services.call_later(self._look_again_s, self._look_again)

        if self.is_up:
            exchanges = [
                each
                for each in self._topology.exchanges
                if each.optional and (each.passive or each.name in self._refused)
            ]
            self._begin_trial(exchanges, done)

    def _note_refused(self, refused: Mapping[str, str]) -> None:
        refused = {**self._unusable, **refused}
        if refused != self._refused or self.up_since is None:
            self._events.append(ExchangesRefused(refused))
        self._refused = refused

    def _declare_delay(self, delay: DelayQueue) -> Callable[..., object]:
        return partial(
            self._channel.queue_declare,
            delay.name,
            durable=True,
            arguments=delay_arguments(delay),
        )

    def _declare_queue(self, queue: Queue, name: str) -> Callable[..., object]:
        return partial(
            self._channel.queue_declare,
            name,
            durable=queue.durable,
            exclusive=queue.exclusive,
            auto_delete=queue.auto_delete,
            arguments=dict(queue.arguments),
        )

    def _next_step(self, reply: Any = None) -> None:
        if reply is not None and isinstance(reply.method, pika.spec.Queue.DeclareOk):
            self._queue = reply.method.queue
        step = next(self._steps, None)
        if step is not None:
            self._doing, request = step
            request(callback=self._next_step)
        else:
            if self._consume_due is not None:
                self._consume_due.cancel()
            self.up_since = time.monotonic()
            self._events.append(ConnectionUp(self._queue))
            if self._overdue_s is not None:
                self._find_overdue_after(self._overdue_s / NOTES)
            for name in self._topology.obsolete:
                self._connection.channel(on_open_callback=partial(self._delete_unused, name))

    def _find_overdue_after(self, seconds: float) -> None:
        self._io_services.call_later(seconds, partial(self._find_overdue, seconds))

    def _find_overdue(self, again_s: float) -> None:
        """Report the messages that are unacknowledged for `overdue_s`."""
        if not self.is_up:
            return
        self._find_overdue_after(again_s)
        self._notes.append(self.last_tag)
        if len(self._notes) <= NOTES:
            return
        reported, self._overdue = self._overdue, self._notes.popleft()
        old = takewhile(lambda tag: tag <= self._overdue, self._unsettled)
        tags = tuple(tag for tag in old if tag > reported and tag not in self._acked)
        if tags:
            self._events.append(Overdue(tags))

    def _delete_unused(self, name: str, channel: Any) -> None:
        """Delete a queue, on a channel of its own: the broker closes it if there is a consumer."""
        channel.queue_delete(name, if_unused=True, callback=lambda _frame: channel.close())

    def _on_connection_open(self, _connection: Any) -> None:
        self._connection.channel(on_open_callback=self._on_channel_open)
        self._half_s = (self._connection.params.heartbeat or 0) / 2  # of the heartbeat interval
        if self._half_s:
            self._io_services.call_later(self._half_s, self._listen)

    def _listen(self) -> None:
        """End the connection if the broker is silent for too long.

        pika does so too, but only after up to twice the heartbeat interval and 10 seconds.
        """
        if self._connection.is_closed:
            return
        received = self._connection.bytes_received
        self._silent_halves = self._silent_halves + 1 if received == self._bytes_received else 0
        self._bytes_received = received
        if self._silent_halves < SILENT_HALVES:
            self._io_services.call_later(self._half_s, self._listen)
            return
        silent_s = SILENT_HALVES * self._half_s
        self._fail(f"connection to {self._address} lost: silent for {silent_s:g} s")
        self.abort()

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self.blocked = frame.method.reason or "the broker says no reason"
        self._events.append(Blocked(self.blocked))

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.blocked = ""
        self._events.append(Unblocked())
        if self._marks is not None:
            self._marks.go_on()

    def _on_channel_open(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_close)
        channel.add_on_return_callback(self._on_return)
        channel.add_on_cancel_callback(self._on_cancelled_by_broker)
        self._steps = self._set_up()
        self._next_step()

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self.last_tag = self._tag_base + method.delivery_tag
        self._unsettled[self.last_tag] = method.consumer_tag
        if self._topology.delays and properties.type == flush_markers.TYPE and not body:
            ack = partial(self._ack_mark, self.last_tag)
            self._io_services.call_later(flush_markers.KEPT_S, ack)
            return
        if self._marks is not None:
            self._marks.arrived(properties.headers)
        self._received.append(
            carried(
                self.last_tag,
                method.exchange,
                method.routing_key,
                body,
                properties,
                redelivered=method.redelivered,
            )
        )

    def _ack_mark(self, tag: int) -> None:
        if self.is_up:
            self.ack([tag])

    def _on_confirm(self, frame: Any) -> None:
        confirm = frame.method
        if confirm.multiple:
            numbers = []
            for number in self._unconfirmed:  # ascending
                if number > confirm.delivery_tag:
                    break
                numbers.append(number)
        else:
            numbers = [confirm.delivery_tag]
        publish_ids = [self._unconfirmed.pop(number) for number in numbers]
        for number in numbers:
            self._mandatory.pop(number, None)
        if min(publish_ids, default=1) <= MARK_ID:
            publish_ids = self._confirm_own(publish_ids)
        if isinstance(confirm, pika.spec.Basic.Ack):
            self._confirmed += publish_ids
        else:
            reason = "refused by the broker (basic.nack)"
            if publish_ids:
                self._events.append(Unconfirmed(tuple(publish_ids), reason))

    def _confirm_own(self, publish_ids: list[int]) -> list[int]:
        """Handle the confirms of markers and probes; returns the others."""
        self._events += [Probed()] * publish_ids.count(PROBE_ID)
        if MARK_ID in publish_ids and self._marks is not None:
            self._marks.confirmed()
        return [id for id in publish_ids if id > MARK_ID]

    def _on_return(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        """Find the returned message: basic.return does not identify it.

        Returns arrive in the order of publishing, and before the message's confirm.
        """
        for number, message in self._mandatory.items():
            if (message.exchange, message.routing_key, message.body) == (
                method.exchange,
                method.routing_key,
                body,
            ):
                reason = f"{method.reply_code} {method.reply_text}"
                self._events.append(Returned(self._unconfirmed[number], reason))
                del self._mandatory[number]
                return

    def _on_cancelled_by_broker(self, _frame: Any) -> None:
        self._fail(f"the broker ended the consumer: queue {self._queue!r} is gone")

    def _on_channel_close(self, _channel: Any, error: Exception) -> None:
        self._fail(self._in_words(error))

    def _on_connection_over(self, _connection: Any, error: Exception) -> None:
        asked = None if self._trial is None else self._trial.doing
        if asked is not None and isinstance(error, pika_errors.ConnectionClosedByBroker):
            self._unusable[asked.name] = describe(error)
        self._fail(self._in_words(error))
        reason = self._failure or "closed by its owner"
        # The received messages are void: they will be redelivered with new tags.
        self._received.clear()
        self._events = self.take_events()
        self._report_unconfirmed(reason)
        self._on_lost(self, reason)

    def _in_words(self, error: BaseException) -> str:
        if self.up_since is None:
            return f"cannot {self._doing}: {describe(error)}{_advice(error)}"
        return f"connection to {self._address} lost: {describe(error)}{_advice(error)}"

    def _fail(self, reason: str) -> None:
        """End the connection because of an error; only the first reason is reported."""
        if not self._ending:
            self._failure = reason
            self._end()

    def _end(self) -> None:
        self._ending = True
        if not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()


def _advice(error: BaseException) -> str:
    """Advice for the error, if there is any."""
    if not isinstance(error, pika_errors.ChannelClosedByBroker):
        return ""
    if "x-queue-type" in error.reply_text:
        return (
            "; it exists as another kind of queue: set amqp.queue_type to that kind, or amqp.queue "
            "to another name (docs/nodes.md)"
        )
    if "acknowledgement on channel" in error.reply_text:
        return "; set amqp.consumer_timeout_s to the broker's consumer_timeout (docs/rabbitmq.md)"
    return ""


def describe(error: BaseException) -> str:
    """The error in words, extracted from pika's nested exceptions."""
    text = _described(error)
    return tls_problem(text) or text


def _described(error: BaseException) -> str:
    match error:
        case AMQPConnectionWorkflowFailed(exceptions=(*_, last)):
            return _described(last)
        case AMQPConnectorPhaseErrorBase(exception=inner):
            return _described(inner)
        case pika_errors.AMQPConnectionError(args=(BaseException() as inner,)):
            return _described(inner)
        case pika_errors.IncompatibleProtocolError(args=(str(text), *_)) if (
            "ConnectionResetError" in text
        ):
            return f"IncompatibleProtocolError: {text[text.index('ConnectionResetError') :]}"
        case pika_errors.ConnectionClosed() | pika_errors.ChannelClosed():
            return f"{error.reply_code} {error.reply_text}"
        case pika_errors.ProbableAuthenticationError(args=(why,)):
            return f"login refused: {why}"
        case pika_errors.ProbableAccessDeniedError(args=(why,)):
            return f"virtual host refused: {why}"
        case OSError(strerror=str(text)):
            return text
        case pika_errors.AMQPError(args=(str(text), *_)):
            return text
        case _:
            return repr(error)
