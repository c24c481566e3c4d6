"""RabbitMQ (AMQP 0-9-1) through pika, without threads and without waiting."""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from pika.adapters.utils.selector_ioloop_adapter import (  # type: ignore[import-untyped]
    SelectorIOServicesAdapter,
)

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.properties import encode
from callboard.adapters.broker.protocol import (
    BrokerError,
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    OutgoingMessage,
    Queue,
    Topology,
    Unconfirmed,
)
from callboard.adapters.broker.rabbitmq.flush_markers import Marks
from callboard.adapters.broker.rabbitmq.io_loop import PollableLoop
from callboard.adapters.broker.rabbitmq.servers import Servers
from callboard.adapters.broker.rabbitmq.session import LOOK_AGAIN_S, AmqpSession


class AmqpConnection:
    """The `BrokerConnection` for `amqp://` and `amqps://` URLs (pika's `URLParameters`).

    If there are several URLs, of the brokers of one cluster, it is connected to one of them; when
    it is lost, to the next.

    RabbitMQ stops reading from a connection that publishes while it is short of memory or disk
    space, and would get no acknowledgements from it either. So one that consumes publishes on
    another, which is opened with the first publish. They are one to its owner: if either is lost,
    as by a publish to an exchange that does not exist (404), so is the other.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        *,
        name: str = "callboard",
        backoff: Backoff | None = None,
        set_up_s: float = 60.0,
        close_s: float = 1.0,
        heartbeat_s: int | None = None,
        look_again_s: float = LOOK_AGAIN_S,
        overdue_s: float | None = None,
    ) -> None:
        """`name` is shown in RabbitMQ's list of connections and consumers.

        `set_up_s`: the most seconds for connecting and declaring. RabbitMQ (3.10) never responds to
        a consumer of a quorum queue whose leader is not known yet; the next attempt gets a response
        once there is one. `close_s`: how long `close` waits for the broker's confirmation.
        `heartbeat_s`: the heartbeat interval, unless the URL has one; None: the broker's. A peer
        that is silent for between one and a half and two intervals is lost. `look_again_s`: the
        interval for asking again for exchanges that were refused, or that are not declared.
        `overdue_s`: see `Overdue`; None: no message is. Raises `BrokerError` for an unusable URL.
        """
        self._servers = Servers(url, backoff or Backoff(), name, heartbeat_s)
        self._parameters: Any = None  # of the current session
        self._reconnect_wanted = False
        self._topology = topology
        self._name = name
        self._consuming = topology.queue is not None
        self._set_up_s, self._close_s = set_up_s, close_s
        self._publish_ids = itertools.count(1)
        self._refused: dict[str, list[int]] = {}  # publish ids by reason
        self._down_reason = "not connected yet"
        self._events: list[BrokerEvent] = []
        self._loop: PollableLoop | None = None
        self._io_services: Any = None
        self._session: AmqpSession | None = None
        self._publisher: AmqpSession | None = None  # of a connection that consumes
        self._publisher_lasted_s = math.inf
        self._to_publish: list[tuple[int, OutgoingMessage]] = []  # once the publisher is up
        self._to_probe = 0
        self._marks: Marks | None = None
        self._unusable: dict[str, str] = {}
        self._look_again_s = look_again_s
        self._overdue_s = overdue_s
        self._last_tag = 0

    def open(self) -> None:
        """Start to connect; see `BrokerConnection.open`."""
        self._loop = PollableLoop()
        self._io_services = SelectorIOServicesAdapter(self._loop)
        self._connect()

    def fileno(self) -> int:
        """See `BrokerConnection.fileno`."""
        return self._running_loop().fileno()

    def deadline(self) -> float | None:
        """See `BrokerConnection.deadline`: heartbeats, time limits, the next attempt to connect."""
        return self._running_loop().deadline()

    def poll(self) -> Sequence[BrokerEvent]:
        """See `BrokerConnection.poll`."""
        self._running_loop().run_ready()
        if self._to_publish or self._to_probe:
            self._publish_waiting()
        if self._session is not None:
            self._events += self._session.take_events()
        if self._publisher is not None:
            self._take_publisher_events()
        if self._refused:
            refused, self._refused = self._refused, {}
            self._events += (Unconfirmed(tuple(ids), reason) for reason, ids in refused.items())
        events, self._events = self._events, []
        return events

    def ack(self, tags: Sequence[int]) -> None:
        """See `BrokerConnection.ack`."""
        if (session := self._live_session()) is not None:
            session.ack(tags)
            self._running_loop().write_now()

    def requeue(self, tags: Sequence[int]) -> None:
        """See `BrokerConnection.requeue`."""
        if (session := self._live_session()) is not None:
            session.requeue(tags)

    def reconnect(self, reason: str) -> None:
        """See `BrokerConnection.reconnect`."""
        self._reconnect_wanted = self._restart(reason)

    def _restart(self, reason: str) -> bool:
        session = self._live_session()
        if session is None:
            return False
        session.restart(reason)
        self._running_loop().call_later(self._close_s, session.abort)
        return True

    def publish(self, message: OutgoingMessage) -> int:
        """See `BrokerConnection.publish`; raises `BrokerError` if AMQP cannot carry it."""
        publish_id = next(self._publish_ids)
        publisher = self._publishing_session()
        if publisher is not None and not publisher.blocked:
            if publisher.is_up:
                publisher.publish(publish_id, message)
            else:
                encode(message)
                self._to_publish.append((publish_id, message))
        else:
            reason = f"blocked: {publisher.blocked}" if publisher else self._down_reason
            self._refused.setdefault(reason, []).append(publish_id)
            self._running_loop().wake()
        return publish_id

    def probe(self) -> None:
        """See `BrokerConnection.probe`."""
        publisher = self._publishing_session()
        if publisher is not None and not publisher.blocked:
            if publisher.is_up:
                publisher.probe()
            else:
                self._to_probe += 1

    def _publishing_session(self) -> AmqpSession | None:
        """The session to publish on, which may not be up yet; None while the connection is down."""
        session = self._live_session()
        if session is None or self._topology.queue is None:
            return session
        if self._publisher is None:
            self._publisher = self._begin_session(Topology(), None, self._on_publisher_lost)
            self._running_loop().wake()  # so that the owner learns of its timers
        return self._publisher

    def _publish_waiting(self) -> None:
        """Publish the messages that waited for the publisher, in their order, after the probes."""
        if self._publisher is None or not self._publisher.is_up:
            return
        for _probe in range(self._to_probe):
            self._publisher.probe()
        for publish_id, message in self._to_publish:
            self._publisher.publish(publish_id, message)
        self._to_publish, self._to_probe = [], 0

    def _take_publisher_events(self) -> None:
        """Its `ConnectionUp` is not that of the connection."""
        assert self._publisher is not None
        for event in self._publisher.take_events():
            if not isinstance(event, ConnectionUp):
                self._events.append(event)
            elif self._marks is not None:
                self._marks.go_on()

    def _publish_mark(self) -> bool:
        publisher = self._publishing_session()
        if publisher is None or publisher.blocked or not publisher.is_up:
            return False
        assert self._topology.queue is not None
        publisher.publish_mark(self._topology.queue.name)
        return True

    def ask_depths(self) -> None:
        """See `BrokerConnection.ask_depths`."""
        if (session := self._live_session()) is not None:
            session.ask_depths()

    def declare(self, queue: Queue) -> None:
        """See `BrokerConnection.declare`."""
        if (session := self._live_session()) is not None:
            session.declare(queue)

    def consume(self, queue: str, prefetch: int) -> None:
        """See `BrokerConnection.consume`."""
        if (session := self._live_session()) is not None:
            session.consume(queue, prefetch)

    def remove(self, queue: Queue, *, is_obsolete: bool = False) -> None:
        """See `BrokerConnection.remove`."""
        if (session := self._live_session()) is not None:
            session.remove(queue, is_obsolete=is_obsolete)

    def stop_consuming(self) -> None:
        """See `BrokerConnection.stop_consuming`; a later session will not consume either."""
        if (session := self._live_session()) is not None:
            session.stop_consuming()
        self._consuming = False

    def close(self) -> None:
        """See `BrokerConnection.close`; takes at most `close_s`."""
        if self._loop is None:
            return
        give_up = time.monotonic() + self._close_s
        self._drive(lambda: not self._to_publish, give_up)
        sessions = [each for each in (self._session, self._publisher) if each is not None]
        for session in sessions:
            session.close()
        self._drive(lambda: all(each.is_closed for each in sessions), give_up)
        for session in sessions:
            session.abort()
        self._loop.run_ready()
        if self._session is not None:
            self._last_tag = self._session.last_tag
        self._loop.close()
        self._loop = self._session = self._publisher = None

    def _drive(self, until: Callable[[], bool], give_up: float) -> None:
        loop = self._running_loop()
        while not until() and (left_s := give_up - time.monotonic()) > 0:
            loop.wait(left_s)
            loop.run_ready()
            self._publish_waiting()

    def _running_loop(self) -> PollableLoop:
        if self._loop is None:
            raise BrokerError("this connection is not open")
        return self._loop

    def _live_session(self) -> AmqpSession | None:
        return self._session if self._session is not None and self._session.is_up else None

    def _connect(self) -> None:
        topology = self._topology
        try:
            self._parameters = self._servers.parameters()
        except BrokerError as error:  # a file of TLS may be there later
            self._down(str(error), self._servers.pause_s(0.0))
            return
        dead_letters = any(not delay.quorum for delay in topology.delays)
        later = self._running_loop().call_later
        self._marks = Marks(self._publish_mark, later) if dead_letters else None
        consumer_tag = self._name if self._consuming else None
        self._session = self._begin_session(topology, consumer_tag, self._on_lost)

    def _begin_session(
        self,
        topology: Topology,
        consumer_tag: str | None,
        on_lost: Callable[[AmqpSession, str], None],
    ) -> AmqpSession:
        session = AmqpSession(
            self._parameters,
            self._io_services,
            topology,
            consumer_tag=consumer_tag,
            tag_base=self._last_tag,
            on_lost=on_lost,
            consume_s=self._servers.consume_s(self._set_up_s),
            marks=self._marks,
            unusable=self._unusable,
            look_again_s=self._look_again_s,
            overdue_s=self._overdue_s,
        )
        self._running_loop().call_later(self._set_up_s, session.fail_unless_up)
        return session

    def _on_publisher_lost(self, publisher: AmqpSession, reason: str) -> None:
        """End the other session, too: `_on_lost` reports both."""
        self._take_publisher_events()
        self._publisher, self._publisher_lasted_s = None, publisher.lasted_s()
        self._down_reason = reason
        self._restart(reason)

    def _on_lost(self, session: AmqpSession, reason: str) -> None:
        self._session = None
        self._last_tag = session.last_tag
        self._events += session.take_events()
        if self._publisher is not None:
            self._publisher.abandon(reason)
            self._running_loop().call_later(self._close_s, self._publisher.abort)
            self._take_publisher_events()
            self._publisher = None
        if self._to_publish:
            waiting, self._to_publish = self._to_publish, []
            self._events.append(Unconfirmed(tuple(id for id, _message in waiting), reason))
        self._to_probe = 0
        lasted_s = min(session.lasted_s(), self._publisher_lasted_s)
        pause_s = self._servers.pause_s(lasted_s, wanted=self._reconnect_wanted)
        self._reconnect_wanted = False
        self._publisher_lasted_s = math.inf
        self._down(reason, pause_s)

    def _down(self, reason: str, pause_s: float) -> None:
        self._down_reason = reason
        self._events.append(ConnectionDown(reason, retry_in_s=pause_s))
        self._running_loop().call_later(pause_s, self._connect)
        self._running_loop().wake()
