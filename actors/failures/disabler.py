"""Disables hooks that keep failing."""

import time
from collections.abc import Mapping
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.role import Role, Setup
from callboard.actors.messages import DisableHook, FailuresSeen, GetFailures
from callboard.actors.messages.paths import FAILURE_CACHE, HOOK_LISTENER
from callboard.adapters.store.protocol import StoreError
from callboard.webhooks.hooks.failure_window import (
    DEFAULT_EXPIRY_MS,
    TOO_MANY_FAILURES,
    counting_pause_s,
    overdue,
)
from callboard.webhooks.metrics.catalog import HOOKS_DISABLED
from callboard.webhooks.values.json_values import is_true
from callboard.webhooks.values.kazoo_names import gregorian_ms

RETRY_S = 5.0
FIRST_S = 1.0


class Disabler(Role):
    """Disables hooks with too many recent failures (Kazoo: webhooks_disabler).

    Counts four times in every failure window, and sends `DisableHook` to the hook listener.
    """

    waits_for_store = True

    def begin(self, setup: Setup) -> None:
        """Schedule the first count soon, since failures may be older than this process."""
        self._directory = self.directory(self.connect_store())
        self._asked = 0
        self.after(FIRST_S, self._count)

    def stats(self) -> Mapping[str, Any]:
        """The number of requests to disable a hook."""
        return {"asked": self._asked}

    def measure(self) -> None:
        """Count requests to disable a hook."""
        self.tally.set(HOOKS_DISABLED, self._asked)

    def _count(self) -> None:
        """Request the failures, unless an operator has switched the disabler off."""
        pause_s = RETRY_S
        try:
            expiry_ms = self._directory.setting(
                "webhooks", "attempt_failure_expiry_ms", DEFAULT_EXPIRY_MS
            )
            off = is_true(self._directory.setting("webhooks", "disable_disabler", False))
            pause_s = counting_pause_s(expiry_ms)
            if not off and self.settings.disabler.enabled and (cache := self.peer(FAILURE_CACHE)):
                self.send(cache, GetFailures())
        except StoreError as problem:
            self.log.warning("store_unavailable", reason=str(problem))
        self.after(pause_s, self._count)

    def receiveMsg_FailuresSeen(self, message: FailuresSeen, _sender: ActorAddress) -> None:
        """Disable every hook that has reached its account's limit of failures."""
        try:
            limits = self._directory.failure_limits({a for a, _hook in message.failures})
        except StoreError as problem:
            self.log.warning("store_unavailable", reason=str(problem))
            return
        listener = self.peer(HOOK_LISTENER)
        if listener is None:
            return
        for account_id, hook_id in overdue(message.failures, limits, gregorian_ms(time.time())):
            self._asked += 1
            self.send(listener, DisableHook(account_id, hook_id, TOO_MANY_FAILURES))
