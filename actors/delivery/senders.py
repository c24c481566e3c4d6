"""HTTP senders. They signal completed requests to the actor through a file descriptor."""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from attrs import define, frozen

from callboard.actors.base.thread_pool import ThreadPool
from callboard.adapters.http.threaded import RequestsTransport
from callboard.adapters.keys.signer import REFUSED, Headers, Signer, SigningRefused
from callboard.adapters.telemetry.tracing import NO_TRACING, Span, Tracing
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.trace_context import TraceContext, with_context
from callboard.webhooks.retries.outcome import ClientError, Outcome, Unsent
from callboard.webhooks.values.endpoint_options import EndpointOptions

if TYPE_CHECKING:  # pycurl is an extra.
    from callboard.adapters.http.curl import CurlTransport


SIGNAL_AFTER = 8
"""While requests wait for a thread, the actor is signalled once this number have ended."""


class ToSend(Protocol):
    """A delivery and its number of earlier attempts."""

    @property
    def delivery(self) -> Delivery:
        """The delivery to send."""

    @property
    def attempts_made(self) -> int:
        """The number of earlier attempts."""


W = TypeVar("W", bound=ToSend)


class SendingFailed(Exception):
    """A defect over this delivery, in a sender thread; the cause is the exception."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(f"while the delivery {delivery.id} was sent")
        self.delivery = delivery


@frozen
class Sent(Generic[W]):
    """A request that has ended. `headers`: as sent; `took_s`: None if it was not sent.

    Only in a dry run is the outcome `Unsent`.
    """

    work: W
    outcome: Outcome | Unsent
    headers: Headers
    took_s: float | None = None


class Sending(Protocol[W]):
    """Sends up to `count` requests at a time. `fileno()` is readable when some may have ended."""

    @property
    def free(self) -> int:
        """How many more may be sent now."""

    def fileno(self) -> int:
        """The descriptor to watch."""

    def send(self, work: W) -> None:
        """Send it; requires `free` > 0."""

    def ended(self) -> Iterator[Sent[W]]:
        """Requests that have ended. Raises SendingFailed for a defect in a sender."""

    def connect_within(self, seconds: float) -> None:
        """Set the connect time-out of later requests."""

    def close(self) -> None:
        """Close idle connections and stop signalling; requests in flight may end."""


@define
class _InFlight(Generic[W]):
    """A request in flight. `began`: monotonic seconds; None if it was refused and not sent."""

    work: W
    span: Span
    headers: Headers
    began: float | None


def request_of(
    delivery: Delivery, headers: Headers
) -> tuple[str, str, Headers, bytes, str | None, str, EndpointOptions | None]:
    """The arguments for a transport, from method to endpoint options."""
    options = delivery.options
    url, body = delivery.request_url, delivery.request_body
    account_id = delivery.account_id
    return delivery.method, url, headers, body, options.certificate, account_id, options.endpoint


class SendingLoop(Generic[W]):
    """Sends without threads: the transport's event loop runs in the actor that watches it."""

    def __init__(
        self,
        count: int,
        transport: "CurlTransport[_InFlight[W]]",
        signer: Signer,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.count = self.free = count
        self._transport, self._signer, self._tracing = transport, signer, tracing

    def fileno(self) -> int:
        """See `Sending`."""
        return self._transport.fileno()

    def send(self, work: W) -> None:
        """See `Sending`."""
        self.free -= 1
        delivery = work.delivery
        span = self._tracing.deliver(delivery, work.attempts_made)
        try:
            headers = with_context(self._signer.signed(delivery, time.time()), span.context)
        except SigningRefused as refused:
            request = _InFlight(work, span, delivery.headers, None)
            self._transport.refuse(request, ClientError(REFUSED, str(refused)))
            return
        request = _InFlight(work, span, headers, time.monotonic())
        self._transport.begin(request, *request_of(delivery, headers))

    def ended(self) -> Iterator[Sent[W]]:
        """See `Sending`."""
        for request, outcome in self._transport.ended():
            self.free += 1
            request.span.answered(outcome)
            began = request.began
            took_s = None if began is None else time.monotonic() - began
            yield Sent(request.work, outcome, request.headers, took_s)

    def connect_within(self, seconds: float) -> None:
        """See `Sending`."""
        self._transport.connect_within(seconds)

    def close(self) -> None:
        """See `Sending`."""
        self._transport.close()


class SendingThreads(Generic[W]):
    """Sends with a fixed number of threads."""

    def __init__(
        self,
        count: int,
        transport: RequestsTransport,
        signer: Signer,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.count = self.free = count
        self._transport, self._signer, self._tracing = transport, signer, tracing
        self._ended: deque[Sent[W] | SendingFailed] = deque()
        self._signalled = False
        self._waking = threading.Lock()
        self._closed = False
        self._pipe_out, self._pipe_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pool: ThreadPool[W] = ThreadPool(count, self._send, "send")
        transport.on_wait = self._waits

    def fileno(self) -> int:
        """See `Sending`."""
        return self._pipe_out

    def send(self, work: W) -> None:
        """See `Sending`."""
        self.free -= 1
        self._pool.add(work)

    def ended(self) -> Iterator[Sent[W]]:
        """See `Sending`."""
        os.read(self._pipe_out, 65536)
        self._signalled = False
        while self._ended:
            sent = self._ended.popleft()
            if isinstance(sent, SendingFailed):
                raise sent
            self.free += 1
            yield sent

    def connect_within(self, seconds: float) -> None:
        """See `Sending`."""
        self._transport.connect_within(seconds)

    def close(self) -> None:
        """See `Sending`."""
        self._pool.close()
        self._transport.close()
        with self._waking:
            if not self._closed:
                self._closed = True
                os.close(self._pipe_in)
                os.close(self._pipe_out)

    def _send(self, work: W) -> None:
        """Send it and signal the actor, once for several quick requests."""
        sent: Sent[W] | SendingFailed
        try:
            sent = self._sent(work)
        except Exception as defect:  # noqa: BLE001 - raised again in the actor, which ends
            sent = SendingFailed(work.delivery)
            sent.__cause__ = defect
        self._ended.append(sent)
        if not self._pool or len(self._ended) >= SIGNAL_AFTER:
            self._signal()

    def _waits(self) -> None:
        """This thread's request takes longer: signal those that have ended."""
        self._pool.waits()
        if self._ended:
            self._signal()

    def _signal(self) -> None:
        if not self._signalled:
            self._signalled = True
            self._wake()

    def _sent(self, work: W) -> Sent[W]:
        span = self._tracing.deliver(work.delivery, work.attempts_made)
        sent = self._attempt(work, span.context)
        assert not isinstance(sent.outcome, Unsent)
        span.answered(sent.outcome)
        return sent

    def _attempt(self, work: W, trace: TraceContext | None) -> Sent[W]:
        delivery = work.delivery
        try:
            headers = with_context(self._signer.signed(delivery, time.time()), trace)
        except SigningRefused as refused:
            return Sent(work, ClientError(REFUSED, str(refused)), delivery.headers)
        began = time.monotonic()
        outcome = self._transport.send(*request_of(delivery, headers))
        return Sent(work, outcome, headers, time.monotonic() - began)

    def _wake(self) -> None:
        with self._waking:
            if not self._closed:
                with suppress(BlockingIOError):  # The pipe is full of signals already.
                    os.write(self._pipe_in, b"!")
