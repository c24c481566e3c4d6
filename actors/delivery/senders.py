"""What makes HTTP requests for an actor, which hears of the answers by a descriptor."""

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
from callboard.webhooks.retries.outcome import ClientError, Outcome

if TYPE_CHECKING:  # pycurl is an extra.
    from callboard.adapters.http.curl import CurlTransport


TOLD_AT_ONCE = 8
"""So many requests may have ended before the actor hears of them while others wait to be sent."""


class ToSend(Protocol):
    """Whatever holds a delivery."""

    @property
    def delivery(self) -> Delivery:
        """What to send."""

    @property
    def attempts_made(self) -> int:
        """How often it was sent before."""


W = TypeVar("W", bound=ToSend)


@frozen
class Sent(Generic[W]):
    """A request that has ended. `headers`: those it was sent with; `took_s`: None if it was not."""

    work: W
    outcome: Outcome
    headers: Headers
    took_s: float | None = None


class Sending(Protocol[W]):
    """Sends so many at once. `fileno()` is readable when requests may have ended."""

    count: int
    free: int

    def fileno(self) -> int:
        """The descriptor to watch."""

    def send(self, work: W) -> None:
        """Send it, while there is one free."""

    def ended(self) -> Iterator[Sent[W]]:
        """Requests that have ended. Raises what a defect of ours raised."""

    def connect_within(self, seconds: float) -> None:
        """From now on wait no longer than this for a connection."""

    def close(self) -> None:
        """Close the connections that are kept, and tell no more; what is under way may end."""


@define
class _UnderWay(Generic[W]):
    """What is being sent, and since when; None if it is not."""

    work: W
    span: Span
    headers: Headers
    began: float | None


def _request(
    delivery: Delivery, headers: Headers
) -> tuple[str, str, Headers, bytes, str | None, str]:
    """What a transport is to send."""
    certificate = delivery.options.certificate
    return delivery.method, delivery.url, headers, delivery.body, certificate, delivery.account_id


class SendingLoop(Generic[W]):
    """A transport that needs no threads, in the actor's own: an actor that watches it drives it."""

    def __init__(
        self,
        count: int,
        transport: "CurlTransport[_UnderWay[W]]",
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
            under_way = _UnderWay(work, span, delivery.headers, None)
            self._transport.refuse(under_way, ClientError(REFUSED, str(refused)))
            return
        under_way = _UnderWay(work, span, headers, time.monotonic())
        self._transport.begin(under_way, *_request(delivery, headers))

    def ended(self) -> Iterator[Sent[W]]:
        """See `Sending`."""
        for under_way, outcome in self._transport.ended():
            self.free += 1
            under_way.span.answered(outcome)
            began = under_way.began
            took_s = None if began is None else time.monotonic() - began
            yield Sent(under_way.work, outcome, under_way.headers, took_s)

    def connect_within(self, seconds: float) -> None:
        """See `Sending`."""
        self._transport.connect_within(seconds)

    def close(self) -> None:
        """See `Sending`."""
        self._transport.close()


class SendingThreads(Generic[W]):
    """A fixed number of threads."""

    def __init__(
        self,
        count: int,
        transport: RequestsTransport,
        signer: Signer,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.count = self.free = count
        self._transport, self._signer, self._tracing = transport, signer, tracing
        self._ended: deque[Sent[W] | Exception] = deque()
        self._told = False
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
        self._told = False
        while self._ended:
            sent = self._ended.popleft()
            if isinstance(sent, Exception):
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
        """Send it, and tell the actor: of several quick ones at once."""
        sent: Sent[W] | Exception
        try:
            sent = self._sent(work)
        except Exception as defect:  # noqa: BLE001 - raised again in the actor, which ends
            sent = defect
        self._ended.append(sent)
        if not self._pool or len(self._ended) >= TOLD_AT_ONCE:
            self._tell()

    def _waits(self) -> None:
        """The request of this thread takes longer: those that ended before do not wait for it."""
        self._pool.waits()
        if self._ended:
            self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._wake()

    def _sent(self, work: W) -> Sent[W]:
        span = self._tracing.deliver(work.delivery, work.attempts_made)
        sent = self._tried(work, span.context)
        span.answered(sent.outcome)
        return sent

    def _tried(self, work: W, trace: TraceContext | None) -> Sent[W]:
        delivery = work.delivery
        try:
            headers = with_context(self._signer.signed(delivery, time.time()), trace)
        except SigningRefused as refused:
            return Sent(work, ClientError(REFUSED, str(refused)), delivery.headers)
        began = time.monotonic()
        outcome = self._transport.send(*_request(delivery, headers))
        return Sent(work, outcome, headers, time.monotonic() - began)

    def _wake(self) -> None:
        with self._waking:
            if not self._closed:
                with suppress(BlockingIOError):  # The pipe is full of wake-ups already.
                    os.write(self._pipe_in, b"!")
