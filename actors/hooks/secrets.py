"""Requests of other actors for the signing secrets of stored hooks."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.hooks.changes import AppliedReplies, HookChanges
from callboard.actors.hooks.editing import no_hook
from callboard.actors.messages import (
    AddSecret,
    HookSecrets,
    ListSecrets,
    ReencryptSecrets,
    Refused,
    RetireSecret,
    SecretsReencrypted,
)
from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.adapters.repositories.hooks import Change, HookStore
from callboard.adapters.store.protocol import Document, StoreError, StoreUnavailable
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
"""Hooks to re-encrypt for one message; changes on the bus wait meanwhile."""


class HookSecretEditing:
    """Adds, retires, lists and re-encrypts the secrets of stored hooks."""

    def __init__(
        self,
        store: HookStore,
        box: SecretBox,
        changes: HookChanges,
        replies: AppliedReplies,
        send: Callable[[ActorAddress, Any], None],
    ) -> None:
        self._store, self._box = store, box
        self._changes, self._replies, self._send = changes, replies, send

    def add(self, message: AddSecret, sender: ActorAddress) -> None:
        """Add a secret to a hook."""

        def change(document: Document) -> Mapping[str, Any]:
            secret, now = parse_secret(message.secret), gregorian_s(time.time())
            end_in_s = message.others_end_in_s
            return adding(
                document,
                StoredSecret(
                    fingerprint=secret.fingerprint,
                    kind=secret.kind,
                    since=now,
                    encrypted=self._box.sealed(secret.text, message.hook_id),
                    public_key=secret.public_text,
                ),
                others_until=None if end_in_s is None else now + end_in_s,
            )

        self._edit_secrets(sender, message.hook_id, change)

    def retire(self, message: RetireSecret, sender: ActorAddress) -> None:
        """Remove a secret from a hook."""
        change = partial(retiring, fingerprint=message.fingerprint)
        self._edit_secrets(sender, message.hook_id, change)

    def list(self, message: ListSecrets, sender: ActorAddress) -> None:
        """List the secrets of a hook."""
        self._edit_secrets(sender, message.hook_id, lambda _: {})

    def _edit_secrets(self, sender: ActorAddress, hook_id: str, change: Change) -> None:
        try:
            edited = self._changes.edit(hook_id, "doc_edited", change)
            secrets = stored_secrets(edited.document or {})
        except (StoreError, SecretBoxError, InvalidSecret, SecretsRefused) as problem:
            self._send(sender, Refused(str(problem)))
            return
        if edited.document is None:
            self._send(sender, Refused(no_hook(hook_id)))
        else:
            self._replies.reply(sender, HookSecrets(hook_id, secrets))

    def reencrypt(self, message: ReencryptSecrets, sender: ActorAddress) -> None:
        """Encrypt the secrets of a page of hooks with the newest key; failures are reported."""
        changed, failed = 0, []
        try:
            hooks, more = self._store.after(message.after, PAGE)
        except StoreError as problem:
            self._send(sender, Refused(str(problem)))
            return
        for hook_id in [hook["_id"] for hook in hooks if hook.get(MEMBER)]:
            reencrypted = partial(self._box.resealed, hook_id=hook_id)
            try:
                change = partial(reencrypting, reencrypted=reencrypted)
                changed += self._changes.edit(hook_id, "doc_edited", change).changed
            except StoreUnavailable as problem:
                # Each further hook would wait for the store again.
                self._send(sender, Refused(str(problem)))
                return
            except (StoreError, SecretBoxError, SecretsRefused) as problem:
                failed.append((hook_id, str(problem)))
        self._send(sender, SecretsReencrypted(changed, tuple(failed), more))
