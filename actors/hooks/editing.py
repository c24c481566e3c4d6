"""The part of the hook listener that shows, edits and removes stored hooks for whoever asks."""

from collections.abc import Mapping
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.role import BrokerRole
from callboard.actors.messages import EditHook, GetHook, HookSaved, HookSecrets, Refused, RemoveHook
from callboard.adapters.repositories.hooks import Change, Edited, HookStore
from callboard.adapters.store.protocol import Document, StoreError
from callboard.webhooks.hooks.hook import InvalidHook, edited, is_deleted, is_enabled, with_changes
from callboard.webhooks.hooks.secrets import without_secrets


class HookEditing(BrokerRole):
    """Shows, edits and removes stored hooks; the listener is one."""

    _store: HookStore

    def _check(self, document: Document) -> None:
        """Raises InvalidHook for a hook that could never fire, or never be sent."""
        raise NotImplementedError

    def _edit(self, hook_id: str, event_name: str, change: Change) -> Edited:
        """Change a stored hook and let everybody know. Raises StoreError."""
        raise NotImplementedError

    def _answer_when_applied(self, sender: ActorAddress, reply: HookSaved | HookSecrets) -> None:
        """Answer once the change is in effect."""
        raise NotImplementedError

    def receiveMsg_GetHook(self, message: GetHook, sender: ActorAddress) -> None:
        """Show a stored hook."""
        try:
            document = self._store.get(message.hook_id)
        except StoreError as problem:
            self.send(sender, Refused(str(problem)))
            return
        if document is None or is_deleted(document):
            self.send(sender, Refused(no_hook(message.hook_id)))
        else:
            self.send(sender, HookSaved(without_secrets(document)))

    def receiveMsg_EditHook(self, message: EditHook, sender: ActorAddress) -> None:
        """Change a stored hook; refuse what an enabled one could not fire with, or not be sent."""

        def change(document: Document) -> Mapping[str, Any]:
            changes = edited(document, message.changes)
            wanted = with_changes(document, changes)
            if changes and is_enabled(wanted):
                self._check(wanted)
            return changes

        self._edit_for(sender, message.hook_id, "doc_edited", change)

    def receiveMsg_RemoveHook(self, message: RemoveHook, sender: ActorAddress) -> None:
        """Mark a hook as deleted."""
        self._edit_for(sender, message.hook_id, "doc_deleted", lambda _: {"pvt_deleted": True})

    def _edit_for(
        self, sender: ActorAddress, hook_id: str, event_name: str, change: Change
    ) -> None:
        try:
            edit = self._edit(hook_id, event_name, change)
        except (InvalidHook, StoreError) as problem:
            self.send(sender, Refused(str(problem)))
            return
        if edit.document is None:
            self.send(sender, Refused(no_hook(hook_id)))
        else:
            self._answer_when_applied(sender, HookSaved(without_secrets(edit.document)))


def no_hook(hook_id: str) -> str:
    """What is said of a hook that is not stored."""
    return f"there is no hook {hook_id}: `callboard hooks list` shows those there are"
