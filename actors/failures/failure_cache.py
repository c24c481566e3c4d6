"""Recent failed attempts, shared by all nodes of the bus."""

import json
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.messages import (
    CountFailures,
    FailedAttempts,
    FailingListed,
    FailuresCounted,
    FailuresForgotten,
    FailuresSeen,
    FlushFailures,
    FlushHooks,
    GetFailures,
    ListFailing,
)
from callboard.adapters.broker.protocol import (
    FANOUT,
    Binding,
    BrokerEvent,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Exchange,
    OutgoingMessage,
    Properties,
    Received,
    Topology,
    Unblocked,
    Unconfirmed,
)
from callboard.adapters.broker.queues import own_queue
from callboard.config.settings import Settings
from callboard.webhooks.hooks.failure_window import (
    FailedAttempt,
    FailureWindow,
    Flush,
    HookKey,
    NotShared,
    read_shared,
    shared_body,
)
from callboard.webhooks.metrics.catalog import FAILURES
from callboard.webhooks.values.kazoo_names import gregorian_ms

KEEP_MS = 24 * 3600 * 1000
"""Failures older than this are forgotten, even if an account's window is longer."""
PRUNE_S = 60.0
GATHER_S = 0.5
"""Failures are collected for this time and sent to the other nodes in one message."""
MAX_UNSHARED = 50_000
"""Failures kept for the other nodes while the broker is down; the oldest are dropped first."""


class FailureCache(BrokerRole):
    """Failed attempts by (account, hook, time) (Kazoo: webhooks_cache).

    In Kazoo each node counts only its own failures, so that a hook used by n nodes can fail n times
    as often. Here the nodes share their failures over a fanout exchange, and each counts all.
    """

    def begin(self, setup: Setup) -> None:
        """Begin empty; failures are not stored."""
        self._failures = FailureWindow()
        self._here: set[HookKey] = set()
        self._origin = uuid.uuid4().hex
        self._unshared: deque[FailedAttempt] = deque(maxlen=MAX_UNSHARED)
        self._flushes: list[Flush] = []
        self._unconfirmed: dict[int, tuple[tuple[FailedAttempt, ...], tuple[Flush, ...]]] = {}
        self._share_due = self.timer(self._share)
        self._connected = False
        self._exchange = _exchange(self.settings)
        self.connect_broker(topology(self.settings))
        self.every(PRUNE_S, self._prune)

    def stats(self) -> Mapping[str, Any]:
        """The number of failures."""
        return {"failures": len(self._failures), "unshared": len(self._unshared)}

    def measure(self) -> None:
        """Count failures."""
        self.tally.set(FAILURES, len(self._failures))

    def receiveMsg_FailedAttempts(self, message: FailedAttempts, _sender: ActorAddress) -> None:
        """Record failed attempts of this node, and share them."""
        self._record(message.failures)
        self._here.update((account_id, hook_id) for account_id, hook_id, _at in message.failures)
        self._unshared.extend(message.failures)
        self._share_soon()

    def receiveMsg_GetFailures(self, _message: GetFailures, sender: ActorAddress) -> None:
        """Send the disabler all failures."""
        times = self._failures.times()
        self._here &= times.keys()
        self.send(sender, FailuresSeen(times, frozenset(self._here)))

    def receiveMsg_FlushFailures(self, message: FlushFailures, sender: ActorAddress) -> None:
        """Forget the failures of a hook or an account, after an edit or removal."""
        count = self._flush(message.account_id, message.hook_id)
        if message.everywhere:
            self._flushes.append((message.account_id, message.hook_id))
            self._share_soon()
        if message.ask is not None:
            self.send(sender, FailuresForgotten(message.ask, count))

    def receiveMsg_FlushHooks(self, message: FlushHooks, _sender: ActorAddress) -> None:
        """Forget the failures of re-enabled hooks. Other nodes do so when the change arrives."""
        for account_id, hook_id in message.hooks:
            self._flush(account_id, hook_id)

    def receiveMsg_ListFailing(self, message: ListFailing, sender: ActorAddress) -> None:
        """Send a page of the hooks with failures."""
        hooks = self._failures.keys(message.account_id, message.after, message.limit + 1)
        more = len(hooks) > message.limit
        self.send(sender, FailingListed(message.ask, tuple(hooks[: message.limit]), more))

    def receiveMsg_CountFailures(self, message: CountFailures, sender: ActorAddress) -> None:
        """Send the numbers of failures of hooks."""
        counts = (
            self._failures.count(account_id, hook_id, message.since_ms[account_id])
            for account_id, hook_id in message.hooks
        )
        self.send(sender, FailuresCounted(message.ask, tuple(counts)))

    def _prune(self) -> None:
        """Forget failures older than KEEP_MS."""
        self._failures.prune(gregorian_ms(time.time()) - KEEP_MS)

    def _record(self, failures: Iterable[FailedAttempt]) -> None:
        for account_id, hook_id, at_ms in failures:
            self._failures.record(account_id, hook_id, at_ms)

    def _flush(self, account_id: str, hook_id: str | None) -> int:
        """Forget failures, also those not shared yet: sent later, they would outlive the flush."""
        kept = [f for f in self._unshared if f[0] != account_id or hook_id not in (None, f[1])]
        self._unshared = deque(kept, MAX_UNSHARED)
        return self._failures.flush(account_id, hook_id)

    # Other nodes

    def on_broker(self, event: BrokerEvent) -> None:
        """Record the failures of other nodes; share unconfirmed ones again."""
        match event:
            case Received(messages):
                for message in messages:
                    self._record_shared(message.body)
                self.broker.ack([message.tag for message in messages])
            case ConnectionUp():
                self._connected = True
                self._share_soon()
            case Unblocked():
                self._share_soon()
            case ConnectionDown():
                self._connected = False
            case Confirmed(ids):
                for id in ids:
                    self._unconfirmed.pop(id, None)
            case Unconfirmed(ids):
                for id in ids:
                    failures, flushes = self._unconfirmed.pop(id, ((), ()))
                    self._unshared.extend(failures)
                    self._flushes.extend(flushes)
                self._share_soon()

    def _share_soon(self) -> None:
        if self._connected:
            self._share_due.within(GATHER_S)

    def _share(self) -> None:
        if not self._connected or self.blocked or not (self._unshared or self._flushes):
            return
        failures, flushes = tuple(self._unshared), tuple(self._flushes)
        self._unshared.clear()
        self._flushes.clear()
        body = json.dumps(shared_body(self._origin, failures, flushes)).encode()
        properties = Properties(content_type="application/json")
        id = self.broker.publish(OutgoingMessage(self._exchange, "", body, properties))
        self._unconfirmed[id] = failures, flushes

    def _record_shared(self, body: bytes) -> None:
        try:
            shared = read_shared(body)
        except NotShared as problem:
            self.log.warning("failures_unreadable", reason=str(problem))
            return
        if shared.origin != self._origin:
            for account_id, hook_id in shared.flushes:
                self._failures.flush(account_id, hook_id)
            self._record(shared.failures)
            self._here -= {(account_id, hook_id) for account_id, hook_id, _at in shared.failures}


def topology(settings: Settings) -> Topology:
    """The exchange by which the nodes share their failures, and this node's own queue."""
    exchange = _exchange(settings)
    return Topology(
        exchanges=(Exchange(exchange, FANOUT),),
        queue=own_queue(settings.amqp.queue, "failures"),
        bindings=(Binding(exchange, ""),),
        prefetch=50,
    )


def _exchange(settings: Settings) -> str:
    return f"{settings.amqp.queue}.failures"
