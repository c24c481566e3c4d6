"""RabbitMQ (AMQP 0-9-1) through pika, without threads and without waiting."""

import itertools
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pika  # type: ignore[import-untyped]
from pika.adapters.utils.selector_ioloop_adapter import (  # type: ignore[import-untyped]
    SelectorIOServicesAdapter,
)

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import (
    BrokerError,
    BrokerEvent,
    ConnectionDown,
    OutgoingMessage,
    Queue,
    Topology,
    Unconfirmed,
)
from callboard.adapters.broker.rabbitmq.io_loop import PollableLoop
from callboard.adapters.broker.rabbitmq.session import AmqpSession

SET_UP_S = 60.0
"""The most seconds for connecting and declaring.

RabbitMQ (3.10) never responds to a consumer of a quorum queue whose leader is not known yet; the
next attempt gets a response once there is one.
"""
CLOSE_S = 1.0
"""How long `close` waits for the broker's confirmation, in seconds."""


class AmqpConnection:
    """The `BrokerConnection` for `amqp://` and `amqps://` URLs (pika's `URLParameters`).

    Publishing and consuming share one channel. So a publish to an exchange that does not exist
    (404) ends the consumer's connection too. A broker short of memory stops reading from
    connections that publish, so it gets no acknowledgements from them either: publishes stay
    unconfirmed until it has recovered. Where that matters, use two connections.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        *,
        name: str = "callboard",
        backoff: Backoff | None = None,
        set_up_s: float = SET_UP_S,
    ) -> None:
        """`name` is shown in RabbitMQ's list of connections and consumers.

        Raises `BrokerError` for an unusable URL.
        """
        self._parameters = _parameters(url, name)
        self._topology = topology
        self._name = name
        self._consuming = False
        self._backoff = backoff or Backoff()
        self._set_up_s = set_up_s
        self._publish_ids = itertools.count(1)
        self._refused: list[int] = []
        self._down_reason = "not connected yet"
        self._events: list[BrokerEvent] = []
        self._loop: PollableLoop | None = None
        self._io_services: Any = None
        self._session: AmqpSession | None = None
        self._last_tag = 0

    def open(self) -> None:
        """Start to connect; see `BrokerConnection.open`."""
        self._loop = PollableLoop()
        self._io_services = SelectorIOServicesAdapter(self._loop)
        self._consuming = self._topology.queue is not None
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
        if self._session is not None:
            self._events += self._session.take_events()
        if self._refused:
            self._events.append(Unconfirmed(tuple(self._refused), self._down_reason))
            self._refused = []
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
        if (session := self._live_session()) is not None:
            session.restart(reason)
            self._running_loop().call_later(CLOSE_S, session.abort)

    def publish(self, message: OutgoingMessage) -> int:
        """See `BrokerConnection.publish`; raises `BrokerError` if AMQP cannot carry it."""
        publish_id = next(self._publish_ids)
        if (session := self._live_session()) is not None:
            session.publish(publish_id, message)
        else:
            self._refused.append(publish_id)
            self._running_loop().wake()
        return publish_id

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
        """See `BrokerConnection.close`; takes at most `CLOSE_S`."""
        if self._loop is None:
            return
        if self._session is not None:
            give_up = time.monotonic() + CLOSE_S
            with suppress(AssertionError):  # pika's, if an attempt to connect ends meanwhile.
                self._session.close()
                while not self._session.is_closed and (left_s := give_up - time.monotonic()) > 0:
                    self._loop.wait(left_s)
                    self._loop.run_ready()
                self._session.abort()
                self._loop.run_ready()
            self._last_tag = self._session.last_tag
        self._loop.close()
        self._loop = self._session = None

    def _running_loop(self) -> PollableLoop:
        if self._loop is None:
            raise BrokerError("this connection is not open")
        return self._loop

    def _live_session(self) -> AmqpSession | None:
        return self._session if self._session is not None and self._session.is_up else None

    def _connect(self) -> None:
        self._session = AmqpSession(
            self._parameters,
            self._io_services,
            self._topology,
            consumer_tag=self._name if self._consuming else None,
            tag_base=self._last_tag,
            on_lost=self._on_lost,
        )
        self._running_loop().call_later(self._set_up_s, self._session.fail_unless_up)

    def _on_lost(self, session: AmqpSession, reason: str) -> None:
        self._session = None
        self._last_tag = session.last_tag
        self._down_reason = reason
        pause_s = self._backoff.pause_s(session.lasted_s())
        self._events += [*session.take_events(), ConnectionDown(reason, retry_in_s=pause_s)]
        self._running_loop().call_later(pause_s, self._connect)


def _parameters(url: str, name: str) -> Any:
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError):
        # The error's text may contain a part of the password.
        expected = "amqp://user:password@host:port/vhost?option=value"
        raise BrokerError(f"not a usable AMQP URL (expected {expected})") from None
    parameters.client_properties = {
        **(parameters.client_properties or {}),
        "connection_name": name,
        "product": "Callboard",
    }
    return parameters
