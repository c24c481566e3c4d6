"""Senders of a dry run: requests are signed and checked, but not sent."""

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Generic, TypeVar

from callboard.actors.delivery.senders import Sent, ToSend, request_of
from callboard.adapters.http.endpoint_rules import written_addresses
from callboard.adapters.http.policy import Hop, HttpPolicy
from callboard.adapters.http.redirects import HttpRequest
from callboard.adapters.keys.signer import REFUSED, Signer, SigningRefused
from callboard.webhooks.retries.outcome import ClientError, Outcome, Unsent

W = TypeVar("W", bound=ToSend)


class DryRun(Generic[W]):
    """See `Sending`. A request ends at once: refused by the rules that need no network, or unsent.

    Names are not resolved, so that addresses behind names are not checked.
    """

    def __init__(self, count: int, policy: HttpPolicy, signer: Signer) -> None:
        self.count = self.free = count
        self._policy, self._signer = policy, signer
        self._ended: deque[Sent[W]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """See `Sending`."""
        return self._bell

    def send(self, work: W) -> None:
        """See `Sending`."""
        self.free -= 1
        self._ended.append(self._made(work))
        os.eventfd_write(self._bell, 1)

    def ended(self) -> Iterator[Sent[W]]:
        """See `Sending`."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        while self._ended:
            self.free += 1
            yield self._ended.popleft()

    def connect_within(self, _seconds: float) -> None:
        """See `Sending`."""

    def close(self) -> None:
        """See `Sending`."""
        os.close(self._bell)

    def _made(self, work: W) -> Sent[W]:
        delivery = work.delivery
        try:
            headers = self._signer.signed(delivery, time.time())
        except SigningRefused as refused:
            return Sent(work, ClientError(REFUSED, str(refused)), delivery.headers)
        method, url, headers, body, certificate, account_id, endpoint = request_of(
            delivery, headers
        )
        request = HttpRequest(method, url, tuple(headers), body or None)
        hops = self._policy.exchange(request, certificate, account_id, endpoint)
        try:
            return Sent(work, _unless_refused(next(hops)), headers)
        except StopIteration as refused:
            return Sent(work, refused.value, headers)
        finally:
            hops.close()


def _unless_refused(hop: Hop) -> Outcome | Unsent:
    """Unsent, unless the URL contains a refused address."""
    target, guard = hop.target, hop.reach.rules.guard
    for address in written_addresses(target.host, target.origin[2]):
        reason = guard.refusal(ip_address(address))
        if reason is not None:
            return ClientError("refused: address", f"{address} ({reason})")
    return Unsent()
