"""The part of the hook listener that keeps the secrets which deliveries are signed with."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.role import BrokerRole
from callboard.actors.hooks.editing import no_hook
from callboard.actors.messages import (
    AddSecret,
    HookSaved,
    HookSecrets,
    ListSecrets,
    ReencryptSecrets,
    Refused,
    RetireSecret,
    SecretsReencrypted,
)
from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.adapters.repositories.hooks import Change, Edited, HookStore
from callboard.adapters.store.protocol import Document, StoreError
from callboard.webhooks.deliveries.signing import InvalidSecret, parse_secret
from callboard.webhooks.hooks.secrets import (
    MEMBER,
    SecretsRefused,
    StoredSecret,
    adding,
    reencrypting,
    retiring,
    stored_secrets,
)
from callboard.webhooks.values.kazoo_names import gregorian_s

PAGE = 200
"""Hooks whose secrets are encrypted anew at a time: changes on the bus wait meanwhile."""


class HookSecretEditing(BrokerRole):
    """Adds, retires and lists the secrets of stored hooks; the listener is one."""

    _store: HookStore

    def keep_secrets(self) -> None:
        """Begin; the keys are read when they are needed."""
        self._box = SecretBox(self.settings.secrets.key, self.settings.secrets_key_file)

    def _edit(self, hook_id: str, event_name: str, change: Change) -> Edited:
        """Change a stored hook and let everybody know. Raises StoreError."""
        raise NotImplementedError

    def _answer_when_applied(self, sender: ActorAddress, reply: HookSaved | HookSecrets) -> None:
        """Answer once the change is in effect."""
        raise NotImplementedError

    def receiveMsg_AddSecret(self, message: AddSecret, sender: ActorAddress) -> None:
        """Have a hook's deliveries signed with one more secret."""

        def change(document: Document) -> Mapping[str, Any]:
            secret = parse_secret(message.secret)
            return adding(
                document,
                StoredSecret(
                    fingerprint=secret.fingerprint,
                    kind=secret.kind,
                    since=gregorian_s(time.time()),
                    encrypted=self._box.sealed(secret.text, message.hook_id),
                    public_key=secret.public_text,
                ),
            )

        self._edit_secrets(sender, message.hook_id, change)

    def receiveMsg_RetireSecret(self, message: RetireSecret, sender: ActorAddress) -> None:
        """Have a hook's deliveries signed with one secret less."""
        change = partial(retiring, fingerprint=message.fingerprint)
        self._edit_secrets(sender, message.hook_id, change)

    def receiveMsg_ListSecrets(self, message: ListSecrets, sender: ActorAddress) -> None:
        """Tell which secrets a hook has."""
        self._edit_secrets(sender, message.hook_id, lambda _: {})

    def _edit_secrets(self, sender: ActorAddress, hook_id: str, change: Change) -> None:
        try:
            edited = self._edit(hook_id, "doc_edited", change)
            secrets = stored_secrets(edited.document or {})
        except (StoreError, SecretBoxError, InvalidSecret, SecretsRefused) as problem:
            self.send(sender, Refused(str(problem)))
            return
        if edited.document is None:
            self.send(sender, Refused(no_hook(hook_id)))
        else:
            self._answer_when_applied(sender, HookSecrets(hook_id, secrets))

    def receiveMsg_ReencryptSecrets(self, message: ReencryptSecrets, sender: ActorAddress) -> None:
        """Bring a page of hooks under the newest key; one that cannot be is passed over."""
        changed, failed = 0, []
        try:
            hooks, more = self._store.after(message.after, PAGE)
        except StoreError as problem:
            self.send(sender, Refused(str(problem)))
            return
        for hook_id in [hook["_id"] for hook in hooks if hook.get(MEMBER)]:
            reencrypted = partial(self._box.resealed, hook_id=hook_id)
            try:
                change = partial(reencrypting, reencrypted=reencrypted)
                changed += self._edit(hook_id, "doc_edited", change).changed
            except (StoreError, SecretBoxError, SecretsRefused) as problem:
                failed.append((hook_id, str(problem)))
        self.send(sender, SecretsReencrypted(changed, tuple(failed), more))
