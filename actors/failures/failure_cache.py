"""The memory of failed tries, shared by all nodes of the bus."""

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
    Queue,
    Received,
    Topology,
    Unconfirmed,
)
from callboard.webhooks.hooks.failure_window import (
    FailedAttempt,
    FailureWindow,
    Flush,
    NotShared,
    read_shared,
    shared_body,
)
from callboard.webhooks.metrics.catalog import FAILURES
from callboard.webhooks.values.kazoo_names import gregorian_ms

KEEP_MS = 24 * 3600 * 1000
"""No longer than this is a failure remembered, whatever an account's window."""
PRUNE_S = 60.0
GATHER_S = 0.5
"""How long news for the other nodes gathers: one message for many failures."""
MAX_UNSHARED = 50_000
"""Failures kept for the other nodes while the broker is away; the oldest go first."""


class FailureCache(BrokerRole):
    """Failed tries by (account, hook, time) (Kazoo: webhooks_cache).

    Kazoo counts on each node for itself, so that a hook behind n nodes may fail n times as often.
    Here every node tells the others, over a fanout exchange of our own: each counts them all.
    """

    def begin(self, setup: Setup) -> None:
        """Empty: failures do not survive the process that remembers them."""
        self._failures = FailureWindow()
        self._origin = uuid.uuid4().hex
        self._unshared: deque[FailedAttempt] = deque(maxlen=MAX_UNSHARED)
        self._flushes: list[Flush] = []
        self._under_way: dict[int, tuple[tuple[FailedAttempt, ...], tuple[Flush, ...]]] = {}
        self._share_due = self.timer(self._share)
        self._connected = False
        self._exchange = f"{self.settings.amqp.queue}.failures"
        self.connect_broker(
            Topology(
                exchanges=(Exchange(self._exchange, FANOUT),),
                queue=Queue("", durable=False, exclusive=True, auto_delete=True),
                bindings=(Binding(self._exchange, ""),),
                prefetch=50,
            )
        )
        self.every(PRUNE_S, self._prune)

    def stats(self) -> Mapping[str, Any]:
        """How many failures are remembered."""
        return {"failures": len(self._failures), "unshared": len(self._unshared)}

    def measure(self) -> None:
        """How many failures are remembered."""
        self.tally.set(FAILURES, len(self._failures))

    def receiveMsg_FailedAttempts(self, message: FailedAttempts, _sender: ActorAddress) -> None:
        """Tries that failed just now, on this node."""
        self._record(message.failures)
        self._unshared.extend(message.failures)
        self._share_soon()

    def receiveMsg_GetFailures(self, _message: GetFailures, sender: ActorAddress) -> None:
        """The disabler counts."""
        self.send(sender, FailuresSeen(self._failures.times()))

    def receiveMsg_FlushFailures(self, message: FlushFailures, sender: ActorAddress) -> None:
        """A hook was edited, re-enabled or disabled, or its account is gone."""
        count = self._failures.flush(message.account_id, message.hook_id)
        if message.everywhere:
            self._flushes.append((message.account_id, message.hook_id))
            self._share_soon()
        if message.ask is not None:
            self.send(sender, FailuresForgotten(message.ask, count))

    def receiveMsg_FlushHooks(self, message: FlushHooks, _sender: ActorAddress) -> None:
        """Hooks were enabled again; the other nodes hear of it by their listeners."""
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

    def _prune(self) -> None:
        """Forget the failures that no window reaches."""
        self._failures.prune(gregorian_ms(time.time()) - KEEP_MS)

    def _record(self, failures: Iterable[FailedAttempt]) -> None:
        for account_id, hook_id, at_ms in failures:
            self._failures.record(account_id, hook_id, at_ms)

    # The other nodes

    def on_broker(self, event: BrokerEvent) -> None:
        """Count what the others tell; tell again what the broker did not take."""
        match event:
            case Received(messages):
                for message in messages:
                    self._take_in(message.body)
                self.broker.ack([message.tag for message in messages])
            case ConnectionUp():
                self._connected = True
                self._share_soon()
            case ConnectionDown():
                self._connected = False
            case Confirmed(ids):
                for id in ids:
                    self._under_way.pop(id, None)
            case Unconfirmed(ids):
                for id in ids:
                    failures, flushes = self._under_way.pop(id, ((), ()))
                    self._unshared.extend(failures)
                    self._flushes.extend(flushes)
                self._share_soon()

    def _share_soon(self) -> None:
        if self._connected:
            self._share_due.within(GATHER_S)

    def _share(self) -> None:
        if not self._connected or not (self._unshared or self._flushes):
            return
        failures, flushes = tuple(self._unshared), tuple(self._flushes)
        self._unshared.clear()
        self._flushes.clear()
        body = json.dumps(shared_body(self._origin, failures, flushes)).encode()
        properties = Properties(content_type="application/json")
        id = self.broker.publish(OutgoingMessage(self._exchange, "", body, properties))
        self._under_way[id] = failures, flushes

    def _take_in(self, body: bytes) -> None:
        try:
            shared = read_shared(body)
        except NotShared as problem:
            self.log.warning("failures_unreadable", reason=str(problem))
            return
        if shared.origin != self._origin:
            for account_id, hook_id in shared.flushes:
                self._failures.flush(account_id, hook_id)
            self._record(shared.failures)
