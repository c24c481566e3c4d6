"""Requests of other actors to change many hooks at once."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, partial
from typing import Any

from attrs import evolve
from thespian.actors import ActorAddress

from callboard.actors.delivery.transports import grants
from callboard.actors.hooks.change_publisher import ChangePublisher
from callboard.actors.hooks.changes import AppliedReplies
from callboard.actors.messages import Refused
from callboard.actors.messages.bulk import GetQuotas, HooksPut, PutHooks, QuotasFound
from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.adapters.repositories.account_quotas import endpoint_config, own_quotas
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.hooks import DATABASE, HookStore
from callboard.adapters.repositories.maintenance import CREATED, DELETED, EDITED, Change
from callboard.adapters.repositories.system_config import set_account_setting
from callboard.adapters.store.protocol import DatabaseMissing, Document, StoreError
from callboard.config.settings import Settings
from callboard.webhooks.declarations.plan import GivenSecret, PutHook
from callboard.webhooks.deliveries.signing import InvalidSecret, parse_secret
from callboard.webhooks.hooks.hook import (
    InvalidHook,
    edited,
    is_deleted,
    is_enabled,
    new_hook,
    with_changes,
    with_plain_name,
)
from callboard.webhooks.hooks.quotas import (
    SECTION,
    QuotaExceeded,
    Quotas,
    check_count,
    check_document,
)
from callboard.webhooks.hooks.secrets import (
    SecretsRefused,
    StoredSecret,
    replacing,
    stored_secrets,
)
from callboard.webhooks.values.documents import public_fields
from callboard.webhooks.values.endpoint_options import Grants
from callboard.webhooks.values.kazoo_names import account_database, gregorian_s

OUTDATED = "it was changed or removed meanwhile: apply again"
EXISTS = "there is a hook with this id already: apply again"

_Ready = tuple[Document, str]
"""A document to save, and the event of its change."""


class BulkEditing:
    """Stores, changes and removes many hooks, with few requests to the store.

    `check` raises InvalidHook for a hook with these settings of its account. `ensure_accounts` is
    called before hooks are added to accounts. `put` brings documents into effect on this node;
    it gets the ids of those that are new.
    """

    def __init__(
        self,
        store: HookStore,
        box: SecretBox,
        publisher: ChangePublisher,
        replies: AppliedReplies,
        send: Callable[[ActorAddress, Any], None],
        check: Callable[[Document, Mapping[str, Any]], None],
        ensure_accounts: Callable[[Collection[str]], None],
        put: Callable[[Iterable[Document], Collection[str]], None],
        settings: Settings,
    ) -> None:
        self._store, self._box, self._publisher = store, box, publisher
        self._replies, self._send, self._check = replies, send, check
        self._ensure_accounts, self._put, self._node = ensure_accounts, put, settings.node
        self._grants = grants(settings)

    def quotas(self, message: GetQuotas, sender: ActorAddress) -> None:
        """Send the accounts' own quotas."""
        try:
            found = {id: own_quotas(self._store.documents, id) for id in message.accounts}
        except StoreError as problem:
            self._send(sender, Refused(str(problem)))
        else:
            self._send(sender, QuotasFound({id: own for id, own in found.items() if own}))

    def change(self, message: PutHooks, sender: ActorAddress) -> None:
        """Carry out a request."""
        refused: dict[str, str] = {}
        try:
            self._set_quotas(message.quotas, refused)
            done = self._change(message, refused)
        except StoreError as problem:
            self._send(sender, Refused(str(problem)))
        else:
            self._replies.reply(sender, HooksPut(done, refused))

    def _set_quotas(self, quotas: Mapping[str, Mapping[str, int]], refused: dict[str, str]) -> None:
        store, node, changes = self._store.documents, self._node, []
        directory = StoreDirectory(store, node.name, node.zone, write_defaults=False)
        self._ensure_accounts(quotas)
        for account_id, own in quotas.items():
            try:
                saved = set_account_setting(store, directory, account_id, SECTION, dict(own))
            except DatabaseMissing:
                refused[account_id] = "there is no such account"
            else:
                changes.append(Change(EDITED, account_database(account_id), saved))
        self._publisher.publish(changes)

    def _change(self, message: PutHooks, refused: dict[str, str]) -> tuple[str, ...]:
        ids = [*(put.id for put in message.puts), *(removed.id for removed in message.removed)]
        stored = self._store.get_many(ids)
        ready: list[_Ready] = []
        growing = {put.account_id for put in message.puts if put.rev is None}
        accounts = _Accounts(self._store, self._grants, growing)
        done = []
        for put in message.puts:
            if _is_done(put, stored.get(put.id)):
                done.append(put.id)
                continue
            try:
                ready.append(self._document(put, stored.get(put.id), accounts))
            except InvalidHook as invalid:
                refused[put.id] = invalid.reason
            except (QuotaExceeded, SecretBoxError, InvalidSecret, SecretsRefused) as problem:
                refused[put.id] = str(problem)
            except _Outdated as problem:
                refused[put.id] = str(problem)
        for removed in message.removed:
            document = stored.get(removed.id)
            if document is not None and is_deleted(document):
                done.append(removed.id)
            elif document is None or document.get("_rev") != removed.rev:
                refused[removed.id] = OUTDATED
            else:
                ready.append(({**document, "pvt_deleted": True}, DELETED))
        return (*done, *self._save(ready, refused))

    def _document(self, put: PutHook, stored: Document | None, accounts: "_Accounts") -> _Ready:
        """The document of a hook to store. Raises InvalidHook, and why it is refused otherwise."""
        now = gregorian_s(time.time())
        there = stored is not None and not is_deleted(stored)
        if stored is None or not there:
            if put.rev is not None:
                raise _Outdated(OUTDATED)
            accounts.check_room(put.account_id)
            members = {**put.members, "pvt_account_id": put.account_id}
            document, event = new_hook(members, now, put.id, self._node.name), CREATED
            if stored is not None:  # It was deleted, and is stored again.
                document["_rev"] = stored["_rev"]
        else:
            if stored.get("pvt_account_id") != put.account_id:
                raise _Outdated("its id is taken: give it another")
            if put.rev != stored["_rev"]:
                raise _Outdated(OUTDATED if put.rev else EXISTS)
            changes = _changes(put, stored)
            changes["pvt_modified"] = now
            document, event = with_plain_name(with_changes(stored, changes)), EDITED
        if put.secrets is not None:
            secrets = replacing(self._secrets(put, stored if there else None, now))
            document = with_changes(document, secrets)
        if is_enabled(document):
            self._check(document, accounts.config(put.account_id))
        check_document(document, accounts.quotas(put.account_id), stored if there else None)
        if not there:
            accounts.added[put.account_id] += 1
        return document, event

    def _secrets(self, put: PutHook, stored: Document | None, now: int) -> list[StoredSecret]:
        known = {secret.fingerprint: secret for secret in stored_secrets(stored or {})}
        return [self._secret(one, put.id, known, now) for one in put.secrets or ()]

    def _secret(
        self, given: GivenSecret, hook_id: str, known: Mapping[str, StoredSecret], now: int
    ) -> StoredSecret:
        if (secret := known.get(given.fingerprint)) is not None:
            return secret if given.text is None else evolve(secret, reference=given.reference)
        if given.text is None:
            raise _Outdated(OUTDATED)
        parsed = parse_secret(given.text)
        return StoredSecret(
            fingerprint=parsed.fingerprint,
            kind=parsed.kind,
            since=now,
            encrypted=self._box.sealed(parsed.text, hook_id),
            public_key=parsed.public_text,
            reference=given.reference,
        )

    def _save(self, ready: list[_Ready], refused: dict[str, str]) -> tuple[str, ...]:
        new = {document["pvt_account_id"] for document, event in ready if event == CREATED}
        self._ensure_accounts(new)
        results = self._store.save_many([document for document, _event in ready])
        saved, changes = [], []
        for (document, event), result in zip(ready, results, strict=True):
            if result.rev is None:
                refused[result.id] = OUTDATED if not result.is_refused else str(result.error)
                continue
            document = {**document, "_rev": result.rev}
            saved.append(document)
            changes.append(Change(event, DATABASE, document))
        self._publisher.publish(changes)
        self._put(saved, {one.document["_id"] for one in changes if one.event == CREATED})
        return tuple(document["_id"] for document in saved)


def _changes(put: PutHook, stored: Document) -> dict[str, Any]:
    """What gives a stored hook the declared members, and no others."""
    gone = dict.fromkeys(set(public_fields(stored)) - set(put.members) - {"enabled"})
    return edited(stored, {**gone, **put.members})


def _is_done(put: PutHook, stored: Document | None) -> bool:
    """Whether a hook that was stored meanwhile is as it is to be.

    The request was carried out, and returns since its reply was lost.
    """
    if stored is None or is_deleted(stored) or put.rev == stored["_rev"]:
        return False
    if stored.get("pvt_account_id") != put.account_id or _changes(put, stored):
        return False
    has = [secret.fingerprint for secret in stored_secrets(stored)]
    return put.secrets is None or [given.fingerprint for given in put.secrets] == has


class _Accounts:
    """What a request needs of the accounts, read once for each. May raise StoreError.

    `growing`: the accounts that may get further hooks. `added`: hooks that it adds.
    """

    def __init__(self, store: HookStore, grants: Grants, growing: Collection[str]) -> None:
        self.added: Counter[str] = Counter()
        self.quotas: Callable[[str], Quotas] = cache(store.quotas_of)
        self._counts = store.counts(sorted(growing))
        self.config = cache(partial(endpoint_config, store.documents, grants=grants))

    def check_room(self, account_id: str) -> None:
        """Raise QuotaExceeded if the account may have no further hook."""
        stored = self._counts.get(account_id, 0) + self.added[account_id]
        check_count(stored, self.quotas(account_id), account_id)


class _Outdated(Exception):
    """A hook is not as the request expects it; the text says how."""
