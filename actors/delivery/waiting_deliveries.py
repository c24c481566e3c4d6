"""The retry queue's records of deferred deliveries, for listings and for earlier attempts."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from callboard import admin
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import StoreError
from callboard.adapters.store.waiting_index import WaitingIndex
from callboard.config.settings import Settings
from callboard.webhooks.hooks.failure_window import HookKey
from callboard.webhooks.hooks.hook import is_deleted
from callboard.webhooks.hooks.options import cancelled_until
from callboard.webhooks.retries.policy import max_attempts, policy_of
from callboard.webhooks.retries.retry_message import RetryMessage

T = TypeVar("T")


class WaitingDeliveries:
    """Keeps the index of waiting deliveries; without it, deliveries are made as ever.

    If the file cannot be used, waiting deliveries are not listed, and one that was sent early may
    be sent again when it is due.
    """

    def __init__(self, settings: Settings, hooks: HookStore, log: Any) -> None:
        self._index = waiting_index(settings)
        self._hooks, self._log = hooks, log

    def put(self, deferred: Sequence[tuple[RetryMessage, bytes, str]]) -> None:
        """Record deliveries that the broker has, each with its message and the reason."""
        if deferred:
            self._tried(lambda index: index.put(deferred, _now_ms()), None)

    def outdated(self, due: Sequence[tuple[int, RetryMessage]]) -> set[int]:
        """Remove deliveries that are due; the tags of those that were sent early meanwhile."""
        if not due:
            return set()
        retries = [retry for _tag, retry in due]
        older = self._tried(lambda index: index.arrived(retries, _now_ms()), [False] * len(due))
        return {tag for (tag, _retry), is_older in zip(due, older, strict=True) if is_older}

    def hooks_changed(self, keys: Iterable[HookKey]) -> None:
        """Remove deliveries that were cancelled or have lost their hook."""
        ids = {hook_id for _account_id, hook_id in keys}

        def remove(index: WaitingIndex) -> None:
            known = index.hooks_among(ids)
            documents = self._hooks.get_many(known) if known else {}
            for id, document in documents.items():
                gone = is_deleted(document)
                index.cancelled(id, _now_ms() if gone else cancelled_until(document))

        self._tried(remove, None)

    def close(self) -> None:
        """Close the file."""
        if self._index is not None:
            self._index.close()

    def _tried(self, call: Callable[[WaitingIndex], T], otherwise: T) -> T:
        if self._index is None:
            return otherwise
        try:
            return call(self._index)
        except StoreError as problem:
            self._log.warning("waiting_not_indexed", reason=str(problem))
            return otherwise


def waiting_delivery(
    settings: Settings, retry: RetryMessage, due_ms: int, reason: str
) -> admin.WaitingDelivery:
    """A waiting delivery as it is listed."""
    delivery, node = retry.delivery, settings.delivery
    policy = policy_of(delivery.options, node.retry_policy, node.retry_steps_s)
    return admin.WaitingDelivery(
        id=delivery.webhook_id,
        event_id=delivery.event_id,
        event=delivery.hook_event,
        account_id=delivery.account_id,
        hook_id=delivery.hook_id,
        uri=delivery.uri,
        tries=retry.attempts_made,
        due_s=due_ms / 1000,
        reason=reason,
        most_tries=max_attempts(policy, delivery),
        reference=delivery.reference,
    )


def waiting_index(settings: Settings) -> WaitingIndex | None:
    """The node's index; None if `delivery.waiting_index_mb` is 0."""
    most = settings.delivery.waiting_index_mb * 1024 * 1024
    return WaitingIndex(index_file(settings), most) if most else None


def index_file(settings: Settings) -> Path:
    """The index's file."""
    return settings.data.dir / "waiting.sqlite3"


def _now_ms() -> int:
    return int(time.time() * 1000)
