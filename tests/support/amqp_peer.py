"""A broker at the other end of a socket, in the test's own thread: it does what the test says.

Pika encodes its frames; what it asks and answers is AMQP 0-9-1 with RabbitMQ's extensions. Each
request is answered by its `-Ok` method, unless `answers` has another answer.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pika import frame, spec

from callboard.adapters.broker.protocol import Topology
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from services.driver import Driver

CAPABILITIES = {
    "publisher_confirms": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
}
ABOUT = {"product": "RabbitMQ", "version": "3.10.8", "capabilities": CAPABILITIES}
Answer = Callable[[Any], Sequence[Any] | None]


class Link:
    """One connection of a client. `asked`: its requests on channels, but for its messages."""

    def __init__(
        self, connection: socket.socket, answers: dict[str, Answer], about: dict[str, Any]
    ) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection, self._answers, self._about = connection, answers, about
        self._received = b""
        self.asked: list[tuple[int, Any]] = []
        self.published: list[tuple[Any, Any, bytes]] = []
        self._content: list[Any] = []
        self.is_over = self.said_goodbye = False

    def names(self) -> list[str]:
        """The names of the requests."""
        return [method.NAME for _channel, method in self.asked]

    def of(self, name: str) -> list[Any]:
        """The requests of this name."""
        return [method for _channel, method in self.asked if name == method.NAME]

    def run(self) -> None:
        """Read and answer the frames that have arrived."""
        try:
            while data := self._connection.recv(2**20):
                self._received += data
                self._take()
            self.is_over = True
        except BlockingIOError:
            return
        except OSError:
            self.is_over = True

    def _take(self) -> None:
        while True:
            size, found = frame.decode_frame(self._received)
            if not size:
                return
            self._received = self._received[size:]
            if isinstance(found, frame.ProtocolHeader):
                self.send(spec.Connection.Start(0, 9, self._about, "PLAIN", "en_US"))
            elif isinstance(found, frame.Method):
                self._asked(found.channel_number, found.method)
            elif isinstance(found, frame.Header | frame.Body):
                self._take_content(found)

    def _take_content(self, found: Any) -> None:
        self._content.append(found)
        head, *parts = self._content
        body = b"".join(part.fragment for part in parts)
        if len(body) == head.body_size:
            method = self.published[-1][0]
            self.published[-1] = (method, head.properties, body)
            self._content = []
            if method.NAME in self._answers:
                self.send(*self._answers[method.NAME](method) or (), channel=found.channel_number)

    def _asked(self, channel: int, method: Any) -> None:
        if isinstance(method, spec.Basic.Publish):
            self.published.append((method, None, b""))
            return
        self.said_goodbye |= isinstance(method, spec.Connection.Close)
        if channel:
            self.asked.append((channel, method))
        answers = self._answers.get(method.NAME, lambda _method: None)(method)
        self.send(*(usual(method) if answers is None else answers), channel=channel)

    def send(self, *methods: Any, channel: int = 1) -> None:
        """Send methods on a channel; a connection's own are sent on channel 0."""
        for method in methods:
            number = 0 if method.NAME.startswith("Connection.") else channel
            self._connection.sendall(frame.Method(number, method).marshal())

    def deliver(
        self, *bodies: bytes, tag: int = 1, consumer: str = "callboard", **properties: Any
    ) -> None:
        """Send messages to the consumer of this tag, with delivery tags from `tag` on."""
        for number, body in enumerate(bodies, tag):
            self.send(spec.Basic.Deliver(consumer, number, False, "callevt", f"key.{number}"))
            self._send_content(body, properties)

    def send_back(self, method: Any, body: bytes) -> None:
        """Return a message (basic.return)."""
        self.send(method)
        self._send_content(body, {})

    def _send_content(self, body: bytes, properties: dict[str, Any]) -> None:
        head = frame.Header(1, len(body), spec.BasicProperties(**properties))
        parts = [head, frame.Body(1, body)] if body else [head]
        self._connection.sendall(b"".join(part.marshal() for part in parts))

    def close(self) -> None:
        """End the connection without a word."""
        self._connection.close()
        self.is_over = True


def usual(method: Any) -> Sequence[Any]:
    """The answer to a request, if it has one."""
    match method:
        case spec.Connection.StartOk():
            return [spec.Connection.Tune(2047, 131072, 60)]
        case spec.Queue.Declare():
            return [spec.Queue.DeclareOk(method.queue, 0, 0)]
        case spec.Queue.Delete():
            return [] if method.nowait else [spec.Queue.DeleteOk(0)]
        case spec.Basic.Consume():
            return [spec.Basic.ConsumeOk(method.consumer_tag)]
        case spec.Basic.Cancel():
            return [] if method.nowait else [spec.Basic.CancelOk(method.consumer_tag)]
    group, _, name = method.NAME.partition(".")
    ok = getattr(getattr(spec, group), f"{name}Ok", None)
    return [] if ok is None else [ok()]


class AmqpPeer:
    """The broker. `links`: its connections, oldest first; `answers`: by the request's name.

    `about`: how it describes itself.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self.url = f"amqp://127.0.0.1:{self.port}/v"
        self.links: list[Link] = []
        self.answers: dict[str, Answer] = {}
        self.about: dict[str, Any] = ABOUT

    def run(self) -> None:
        """Accept waiting connections, and answer all."""
        try:
            while True:
                self.links.append(Link(self._listener.accept()[0], self.answers, self.about))
        except BlockingIOError:
            pass
        for link in self.links:
            if not link.is_over:
                link.run()

    @contextmanager
    def in_a_thread(self) -> Iterator["AmqpPeer"]:
        """For a client that waits for its responses."""
        over = threading.Event()

        def serve() -> None:
            while not over.wait(0.0005):
                self.run()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()

    def close(self) -> None:
        for link in self.links:
            link.close()
        self._listener.close()


class Peered(Driver):
    """A connection to such a broker, which gets a turn after each of its own."""

    def __init__(self, peer: AmqpPeer, topology: Topology, url: str = "", **options: Any) -> None:
        self.peer = peer
        super().__init__(AmqpConnection(url or peer.url, topology, **options))

    def step(self, at_most_s: float) -> None:
        super().step(min(at_most_s, 0.005))
        self.peer.run()

    @property
    def link(self) -> Link:
        """The latest connection."""
        return self.peer.links[-1]

    def settle(self, turns: int = 3) -> None:
        """Let frames arrive on both sides, and the answers to them."""
        for _turn in range(turns):
            self.step(0)

    def after(self, seconds: float) -> None:
        """Drive on for this time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step(0.01)

    def asked(self, name: str, times: int = 1) -> Any:
        """Wait for so many requests of this name in all; the last one."""
        self.until(lambda: self.peer.links and len(self.link.of(name)) >= times)
        return self.link.of(name)[-1]
