"""The memory of failed tries."""

import time
from collections.abc import Mapping
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.messages import (
    CountFailures,
    FailedTries,
    FailingListed,
    FailuresCounted,
    FailuresForgotten,
    FailuresSeen,
    FlushFailures,
    FlushHooks,
    GetFailures,
    ListFailing,
)
from callboard.actors.role import Role, Setup
from callboard.webhooks.failures import FailureWindow
from callboard.webhooks.names import gregorian_ms

KEEP_MS = 24 * 3600 * 1000
"""No longer than this is a failure remembered, whatever an account's window."""
PRUNE_S = 60.0

_PRUNE = "callboard: forget old failures"


class FailureCache(Role):
    """Failed tries by (account, hook, time) (Kazoo: webhooks_cache)."""

    def begin(self, setup: Setup) -> None:
        """Empty: failures do not survive the process that remembers them."""
        self._failures = FailureWindow()
        self.after(PRUNE_S, _PRUNE)

    def stats(self) -> Mapping[str, Any]:
        """How many failures are remembered."""
        return {"failures": len(self._failures)}

    def receiveMsg_FailedTries(self, message: FailedTries, _sender: ActorAddress) -> None:
        """Tries that failed just now."""
        for account_id, hook_id, at_ms in message.failures:
            self._failures.record(account_id, hook_id, at_ms)

    def receiveMsg_GetFailures(self, _message: GetFailures, sender: ActorAddress) -> None:
        """The disabler counts."""
        self.send(sender, FailuresSeen(self._failures.times()))

    def receiveMsg_FlushFailures(self, message: FlushFailures, sender: ActorAddress) -> None:
        """A hook was edited, re-enabled or disabled, or its account is gone."""
        count = self._failures.flush(message.account_id, message.hook_id)
        if message.ask is not None:
            self.send(sender, FailuresForgotten(message.ask, count))

    def receiveMsg_FlushHooks(self, message: FlushHooks, _sender: ActorAddress) -> None:
        """Hooks were enabled again."""
        for account_id, hook_id in message.hooks:
            self._failures.flush(account_id, hook_id)

    def receiveMsg_ListFailing(self, message: ListFailing, sender: ActorAddress) -> None:
        """Somebody wants to see which hooks fail, page by page."""
        hooks = self._failures.keys(message.account_id, message.after, message.limit + 1)
        more = len(hooks) > message.limit
        self.send(sender, FailingListed(message.ask, tuple(hooks[: message.limit]), more))

    def receiveMsg_CountFailures(self, message: CountFailures, sender: ActorAddress) -> None:
        """Somebody wants to see how often they fail."""
        counts = (
            self._failures.count(account_id, hook_id, message.since_ms[account_id])
            for account_id, hook_id in message.hooks
        )
        self.send(sender, FailuresCounted(message.ask, tuple(counts)))

    def on_timer(self, payload: Any) -> None:
        """Forget what no window reaches."""
        if payload == _PRUNE:
            self._failures.prune(gregorian_ms(time.time()) - KEEP_MS)
            self.after(PRUNE_S, _PRUNE)
