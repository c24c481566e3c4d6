"""Requests of other actors to show, list, add, edit and remove stored hooks."""

import json
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.hooks.changes import AppliedReplies, HookChanges
from callboard.actors.messages import (
    AddHook,
    CancelDeliveries,
    EditHook,
    GetHook,
    HookList,
    HookSaved,
    ListHooks,
    Refused,
    RemoveHook,
)
from callboard.adapters.repositories.hooks import Change, HookStore
from callboard.adapters.store.protocol import Document, StoreError
from callboard.webhooks.acknowledgement.outbox import cut
from callboard.webhooks.declarations.form import secrets_shown
from callboard.webhooks.hooks.hook import (
    InvalidHook,
    edited,
    is_deleted,
    is_enabled,
    new_hook,
    new_hook_id,
    with_changes,
)
from callboard.webhooks.hooks.options import CANCELLED_UNTIL
from callboard.webhooks.hooks.quotas import QuotaExceeded
from callboard.webhooks.hooks.secrets import without_secrets
from callboard.webhooks.values.kazoo_names import gregorian_s


class HookEditing:
    """Carries out requests for stored hooks and replies to each.

    `check` raises InvalidHook for a hook that could never fire or never be sent. `defaults` returns
    members of a new hook that it may lack. `ensure_accounts` is called before a hook is added to an
    account. Both may raise StoreError.
    """

    def __init__(
        self,
        store: HookStore,
        changes: HookChanges,
        replies: AppliedReplies,
        send: Callable[[ActorAddress, Any], None],
        check: Callable[[Document], None],
        defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        ensure_accounts: Callable[[Collection[str]], None],
        node: str,
    ) -> None:
        self._store, self._changes, self._replies, self._send = store, changes, replies, send
        self._check, self._defaults, self._node = check, defaults, node
        self._ensure_accounts = ensure_accounts

    def show(self, message: GetHook, sender: ActorAddress) -> None:
        """Show a stored hook."""
        try:
            document = self._store.get(message.hook_id)
        except StoreError as problem:
            self._send(sender, Refused(str(problem)))
            return
        if document is None or is_deleted(document):
            self._send(sender, Refused(no_hook(message.hook_id)))
        else:
            self._send(sender, HookSaved(without_secrets(document)))

    def list(self, message: ListHooks, sender: ActorAddress) -> None:
        """List the stored hooks, including disabled ones."""
        limit, after = message.limit, message.after
        try:
            if message.accounts:
                documents, more = self._store.listed_of(message.accounts, limit, after)
            else:
                documents, more = self._store.listed(message.account_id, limit, after)
        except StoreError as problem:
            self._send(sender, Refused(str(problem)))
        else:
            shown = map(secrets_shown if message.secrets else without_secrets, documents)
            page = next(cut(shown, limit, lambda shown: len(json.dumps(shown))), ())
            self._send(sender, HookList(page, more or len(page) < len(documents)))

    def add(self, message: AddHook, sender: ActorAddress) -> None:
        """Store a new hook; refuse one that could never fire or never be sent."""
        now_s = time.time()
        try:
            public = {**self._defaults(message.document), **message.document}
            document = new_hook(public, gregorian_s(now_s), new_hook_id(now_s), self._node)
            self._check(document)
            self._ensure_accounts([document["pvt_account_id"]])
            document = self._changes.add(document)
        except InvalidHook as invalid:
            self._send(sender, Refused(invalid.reason))  # without the id, which is new
        except (QuotaExceeded, StoreError) as problem:
            self._send(sender, Refused(str(problem)))
        else:
            self._replies.reply(sender, HookSaved(document))

    def edit(self, message: EditHook, sender: ActorAddress) -> None:
        """Change a stored hook; refuse changes with which an enabled hook could not fire."""

        def change(document: Document) -> Mapping[str, Any]:
            changes = edited(document, message.changes)
            wanted = with_changes(document, changes)
            if changes and is_enabled(wanted):
                self._check(wanted)
            return changes

        self._edit(sender, message.hook_id, "doc_edited", change)

    def remove(self, message: RemoveHook, sender: ActorAddress) -> None:
        """Mark a hook as deleted."""
        self._edit(sender, message.hook_id, "doc_deleted", lambda _: {"pvt_deleted": True})

    def cancel(self, message: CancelDeliveries, sender: ActorAddress) -> None:
        """Cancel a hook's deliveries up to now: the mark in its document reaches all nodes."""
        now_ms = int(time.time() * 1000)
        self._edit(sender, message.hook_id, "doc_edited", lambda _: {CANCELLED_UNTIL: now_ms})

    def _edit(self, sender: ActorAddress, hook_id: str, event_name: str, change: Change) -> None:
        try:
            edit = self._changes.edit(hook_id, event_name, change)
        except (InvalidHook, QuotaExceeded, StoreError) as problem:
            self._send(sender, Refused(str(problem)))
            return
        if edit.document is None:
            self._send(sender, Refused(no_hook(hook_id)))
        else:
            self._replies.reply(sender, HookSaved(without_secrets(edit.document)))


def no_hook(hook_id: str) -> str:
    """The reason for refusing a request for an unknown hook."""
    return f"there is no hook {hook_id}: `callboard hooks list` shows those there are"
