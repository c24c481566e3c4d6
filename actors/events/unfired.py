"""Events of a module that fire no hook: counted by outcome, and sampled into the log."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from callboard.supervision import Call, Timer
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.event_outcomes import FILTERED, NO_ACCOUNT, NO_HOOK

LOG_S = 60.0
"""The interval of the log lines."""


class UnfiredEvents:
    """The counts since the start. `counts`: by outcome, each a value of the metric's label.

    Only tables of the configuration are logged: a mistake in their paths shows in this way, while
    most events of other modules concern no hook.
    """

    def __init__(self, module: EventModule, timer: Callable[[Call], Timer], log: Any) -> None:
        self._module, self._log = module.id, log
        self._is_logged = isinstance(module, BusModule)
        self._log_due = timer(self._write_log)
        self._logged_at = float("-inf")
        self._last_key = ""
        self.counts = dict.fromkeys((NO_HOOK, NO_ACCOUNT, FILTERED), 0)
        self._logged = dict(self.counts)

    def stats(self) -> Mapping[str, int]:
        """The counts, as the tree shows them."""
        return self.counts

    def add(self, counts: Mapping[str, int], last_key: str) -> None:
        """Add events. `last_key`: the routing key of the last one."""
        if not counts:
            return
        for outcome, count in counts.items():
            self.counts[outcome] += count
        self._last_key = last_key
        if self._is_logged and not self._log_due.is_set:
            self._log_due.within(max(0.0, self._logged_at + LOG_S - time.monotonic()))

    def _write_log(self) -> None:
        """Log the counts since the last line."""
        self._logged_at = time.monotonic()
        new = {name: count - self._logged[name] for name, count in self.counts.items()}
        self._logged = dict(self.counts)
        self._log.info("events_not_fired", module=self._module, routing_key=self._last_key, **new)
