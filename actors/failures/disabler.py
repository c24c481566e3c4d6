"""Disables hooks that keep failing."""

import time
from collections.abc import Mapping
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.role import Role, Setup
from callboard.actors.messages import DisableHook, FailuresSeen, GetFailures
from callboard.actors.messages.operational import ReportEvents
from callboard.actors.messages.paths import FAILURE_CACHE, HOOK_LISTENER
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import StoreError
from callboard.webhooks.hooks.failure_window import (
    DEFAULT_EXPIRY_MS,
    TOO_MANY_FAILURES,
    Failing,
    HookKey,
    counting_pause_s,
    failing,
    overdue,
)
from callboard.webhooks.metrics.catalog import HOOKS_DISABLED
from callboard.webhooks.modules.operational import hook_failing, is_reported
from callboard.webhooks.values.json_values import is_true
from callboard.webhooks.values.kazoo_names import gregorian_ms, gregorian_s

RETRY_S = 5.0
FIRST_S = 1.0


class Disabler(Role):
    """Disables hooks with too many recent failures (Kazoo: webhooks_disabler).

    Counts four times in every failure window, and sends `DisableHook` to the hook listener. A hook
    with half of these failures is reported once, until it has fewer.
    """

    waits_for_store = True

    def begin(self, setup: Setup) -> None:
        """Schedule the first count soon, since failures may be older than this process."""
        store = self.connect_store()
        self._directory, self._hooks = self.directory(store), HookStore(store)
        self._asked = 0
        self._off = False
        self._reported: set[HookKey] = set()
        self.after(FIRST_S, self._count)

    def stats(self) -> Mapping[str, Any]:
        """The number of requests to disable a hook."""
        return {"asked": self._asked}

    def measure(self) -> None:
        """Count requests to disable a hook."""
        self.tally.set(HOOKS_DISABLED, self._asked)

    def _count(self) -> None:
        """Request the failures; none disables a hook if an operator has switched that off."""
        pause_s = RETRY_S
        try:
            expiry_ms = self._directory.setting(
                "webhooks", "attempt_failure_expiry_ms", DEFAULT_EXPIRY_MS
            )
            off = is_true(self._directory.setting("webhooks", "disable_disabler", False))
            pause_s = counting_pause_s(expiry_ms)
            self._off = off or not self.settings.disabler.enabled
            if cache := self.peer(FAILURE_CACHE):
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
        now_ms = gregorian_ms(time.time())
        disabled = [] if self._off else overdue(message.failures, limits, now_ms)
        for account_id, hook_id in disabled:
            self._asked += 1
            self.send(listener, DisableHook(account_id, hook_id, TOO_MANY_FAILURES))
        found = failing(message.failures, limits, now_ms)
        new = found.keys() - self._reported - set(disabled)
        if self._report_failing(listener, {key: found[key] for key in new & message.here}):
            self._reported |= new
        self._reported &= found.keys()

    def _report_failing(self, listener: ActorAddress, found: Mapping[HookKey, Failing]) -> bool:
        """Report failing hooks, but none on `callboard`; whether the store could be read."""
        if not found:
            return True
        try:
            documents = self._hooks.get_many({hook_id for _account, hook_id in found})
        except StoreError as problem:
            self.log.warning("store_unavailable", reason=str(problem))
            return False
        now = gregorian_s(time.time())
        events = tuple(
            hook_failing(
                documents[hook_id],
                state.count,
                state.limit.reached_at,
                state.limit.expiry_ms,
                state.first_ms,
                now,
            )
            for (_account, hook_id), state in sorted(found.items())
            if hook_id in documents and is_reported(documents[hook_id].get("hook"))
        )
        if events:
            self.send(listener, ReportEvents(events))
        return True
