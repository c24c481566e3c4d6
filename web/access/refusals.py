"""Counts requests and connections that were refused, for one log line a minute."""

import threading
from collections import Counter
from typing import Any

REFUSALS_S = 60.0
"""The time between two log lines."""
MAX_SUBJECTS = 1000
"""The most different reasons and clients to count in that time; others count as "others"."""


class Refusals:
    """The refusals since the last log line. Threads may share it."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self.total = 0
        """Refusals since the start."""

    def count(self, reason: str, client: str) -> None:
        """One was refused. `client`: an account's id, or an address."""
        with self._lock:
            self.total += 1
            known = (reason, client) in self._counts
            full = len(self._counts) >= MAX_SUBJECTS
            self._counts[(reason, client if known or not full else "others")] += 1

    def log(self, log: Any) -> None:
        """Write one line for all of them, with the client of the most; none if there were none."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        reasons: Counter[str] = Counter()
        clients: Counter[str] = Counter()
        for (reason, client), count in counts.items():
            reasons[reason] += count
            clients[client] += count
        ((most, by_most),) = clients.most_common(1)
        log.warning(
            "api_refused",
            count=counts.total(),
            reasons=", ".join(f"{reason}: {count}" for reason, count in reasons.most_common()),
            client=most,
            by_client=by_most,
        )
