"""What speaks against the addresses of hooks' hosts, looked up for the API."""

import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from urllib.parse import urlsplit

from callboard.adapters.http.endpoint_rules import EndpointRules

RESOLVE_S = 1.0
"""How long a look-up may keep clients waiting, in seconds."""
RESOLVERS = 2
KEPT_S = 30.0
"""How long the result for a host is used again, in seconds, also if it never came."""
MAX_KEPT = 1000

_Found = Future[str | None]
_Host = tuple[str, str, EndpointRules]


class Doubts:
    """Shares look-ups: many hooks point to one host, and a resolver may be slow or away.

    `doubt` returns an objection to a URL, by the address of its name.
    """

    def __init__(self, doubt: Callable[[str, EndpointRules], str | None]) -> None:
        self._doubt = doubt
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="api-resolve")
        self._lock = Lock()
        self._kept: OrderedDict[_Host, tuple[float, _Found]] = OrderedDict()

    def of(self, uri: str, rules: EndpointRules) -> str | None:
        """The objection, if it is known within `RESOLVE_S` of the look-up's beginning."""
        parts = urlsplit(uri)
        began, found = self._found((parts.scheme, parts.netloc, rules), uri)
        with suppress(TimeoutError, CancelledError):
            return found.result(max(0.0, began + RESOLVE_S - time.monotonic()))
        return None

    def _found(self, host: _Host, uri: str) -> tuple[float, _Found]:
        now = time.monotonic()
        with self._lock:
            while self._kept:
                oldest, (began, found) = next(iter(self._kept.items()))
                if began + KEPT_S > now and len(self._kept) <= MAX_KEPT:
                    break
                found.cancel()
                del self._kept[oldest]
            if host not in self._kept:
                self._kept[host] = now, self._threads.submit(self._doubt, uri, host[2])
            return self._kept[host]
