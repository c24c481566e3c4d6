"""Changes of stored hooks, and the replies to the requests for them."""

import itertools
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.hooks.change_publisher import NOTIFICATIONS, ChangePublisher
from callboard.actors.messages import DisableHook, HooksApplied, HookSaved, HookSecrets
from callboard.actors.messages.bulk import HooksPut
from callboard.adapters.repositories.hooks import DATABASE, Change, Edited, HookStore
from callboard.adapters.repositories.maintenance import Change as Saved
from callboard.adapters.store.protocol import Document
from callboard.config.time_limits import APPLY_S
from callboard.supervision import Call
from callboard.webhooks.events.changes import webhook_disabled
from callboard.webhooks.values.kazoo_names import gregorian_s

Reply = HooksApplied | HookSaved | HookSecrets | HooksPut


class HookChanges:
    """Changes stored hooks and publishes each change.

    `changed` is called with the ids of the account of a saved hook, and of the hook.
    """

    def __init__(
        self,
        store: HookStore,
        publisher: ChangePublisher,
        node: str,
        changed: Callable[[Collection[tuple[str | None, str]]], None],
    ) -> None:
        self._store, self._publisher, self._node, self._changed = store, publisher, node, changed

    def add(self, document: Document) -> Document:
        """Store a new hook; returns its document with the revision. Raises StoreError."""
        document = self._store.add(document)
        self._saved("doc_created", document)
        return document

    def edit(self, hook_id: str, event_name: str, change: Change) -> Edited:
        """Change a stored hook. Raises StoreError and the exceptions of `change`."""
        edited = self._store.edit(hook_id, change, gregorian_s(time.time()))
        if edited.changed and edited.document is not None:
            self._saved(event_name, edited.document)
        return edited

    def publish_disabled(self, disabled: DisableHook) -> None:
        """Publish the notification that a hook was disabled."""
        key, body = webhook_disabled(disabled.account_id, disabled.hook_id, self._node)
        self._publisher.send([(NOTIFICATIONS, key, body)])

    def _saved(self, event_name: str, document: Document) -> None:
        self._publisher.publish([Saved(event_name, DATABASE, document)])
        self._changed([(document.get("pvt_account_id"), document["_id"])])


class AppliedReplies:
    """Delays replies until all responders have applied a change, so that it affects the next event.

    `barrier(ticket)` causes a call of `applied(ticket)` once all earlier changes are in effect.
    It costs messages to all responders and deliverers, so one is out at a time: the changes that
    come meanwhile share the next.
    """

    def __init__(
        self,
        send: Callable[[ActorAddress, Any], None],
        after: Callable[[float, Call], None],
        barrier: Callable[[int], None],
    ) -> None:
        self._send, self._after, self._barrier = send, after, barrier
        self._numbers = itertools.count(1)
        self._replies: dict[int, tuple[ActorAddress, Reply]] = {}
        self._ticket = 0
        """The barrier that is out, which is the number of the last reply that it is for; else 0."""

    def reply(self, to: ActorAddress, reply: Reply) -> None:
        """Send the reply when the changes made so far are in effect."""
        number = next(self._numbers)
        self._replies[number] = to, reply
        # If it takes longer, the table or a responder is restarting, and will load the change.
        self._after(APPLY_S, partial(self.applied, number))
        if not self._ticket:
            self._begin()

    def applied(self, ticket: int) -> None:
        """The changes before this ticket are in effect."""
        for number in [number for number in self._replies if number <= ticket]:
            self._send(*self._replies.pop(number))
        if ticket >= self._ticket:
            self._ticket = 0
            if self._replies:
                self._begin()

    def _begin(self) -> None:
        self._ticket = max(self._replies)
        self._barrier(self._ticket)
