"""Shared by tests of the transports: resolvers with fixed results, and servers' certificates."""

import itertools
import os
import select
import socket
import ssl
import threading
from queue import SimpleQueue

from callboard.adapters.http.curl import CurlTransport
from callboard.adapters.http.threaded import RequestsTransport

LOOPBACK = ("127.0.0.0/8", "::1/128")


def answer(address, port):
    """An entry of getaddrinfo's result."""
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 0, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))


def resolves_to(*addresses):
    """A resolver whose n-th look-up returns the n-th list of addresses; the last one repeats."""
    answers = itertools.chain(addresses, itertools.repeat(addresses[-1]))

    def resolve(_host, port, *_args):
        return [answer(address, port) for address in next(answers)]

    return resolve


def server_context(authority, *names, **arguments):
    """A TLS context with a server certificate for these names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, **arguments).configure_cert(context)
    return context


class DrivenCurl:
    """A `CurlTransport` in a thread of its own, so that any thread may wait for a response."""

    def __init__(self, *args, pool_size=None, endpoints=None, **arguments):
        self._transport = CurlTransport(*args, **arguments)
        self._begun = SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._drive, daemon=True)
        self._thread.start()

    def send(self, method, url, headers, body, certificate=None, account_id="", endpoint=None):
        answer = SimpleQueue()
        self._tell((answer, method, url, headers, body, certificate, account_id, endpoint))
        return answer.get()

    def close(self):
        if self._thread.is_alive():
            self._tell(None)
            self._thread.join()
            os.close(self._bell)

    def _tell(self, request):
        self._begun.put(request)
        os.eventfd_write(self._bell, 1)

    def _drive(self):
        """Ended by an exception; threads that wait for a response then hit the time-out."""
        while True:
            ready, _, _ = select.select((self._bell, self._transport), (), ())
            if self._bell in ready:
                os.eventfd_read(self._bell)
            while not self._begun.empty():
                request = self._begun.get()
                if request is None:
                    self._transport.close()
                    return
                self._transport.begin(*request)
            for answer, outcome in self._transport.ended():
                answer.put(outcome)


TRANSPORTS = {"requests": RequestsTransport, "curl": DrivenCurl}
"""The transports, behind one protocol: all of them pass the same contract tests."""
