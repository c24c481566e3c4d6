"""Configuration changes: from the store and the bus into the hook table, and the other way."""

import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.notification_publisher import NotificationPublisher
from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.delivery.transports import check_hook
from callboard.actors.hooks.changes import AppliedReplies, HookChanges
from callboard.actors.hooks.editing import HookEditing
from callboard.actors.hooks.loading import LOAD_STALLS_S, RETRY_S, HookLoading
from callboard.actors.hooks.parser import HookParser
from callboard.actors.hooks.secrets import HookSecretEditing
from callboard.actors.messages import (
    AddHook,
    AddSecret,
    Applied,
    ApplyHook,
    ConfigurationChanged,
    DisableHook,
    EditHook,
    FlushFailures,
    GetHook,
    HookApplied,
    HookProblems,
    HooksLoaded,
    ListHookProblems,
    ListHooks,
    ListSecrets,
    ReencryptSecrets,
    RemoveHook,
    RetireSecret,
    ZoneChanges,
)
from callboard.actors.messages.notifications import HookDisabled, NoticesSeen
from callboard.actors.messages.paths import (
    ALL_RESPONDERS,
    ATTEMPT_LOG,
    DISABLER,
    FAILURE_CACHE,
    HOOK_TABLE,
    MAINTENANCE,
    REDELIVERY,
)
from callboard.adapters.broker.protocol import (
    Binding,
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    Exchange,
    IncomingMessage,
    OutgoingMessage,
    Queue,
    Received,
    Topology,
    Unconfirmed,
)
from callboard.adapters.broker.publications import event_in
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import Document, StoreError
from callboard.supervision import Peer
from callboard.webhooks.events.changes import (
    AccountGone,
    HookGone,
    HookWritten,
    changed_document,
    hook_change,
)
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.hooks.hook import disabling, is_deleted, is_enabled
from callboard.webhooks.metrics.catalog import HOOK_PROBLEMS
from callboard.webhooks.values.kazoo_names import gregorian_s

DOCUMENT_READERS = (
    DISABLER,
    MAINTENANCE,
    REDELIVERY,
    ALL_RESPONDERS,
    ATTEMPT_LOG,
)
"""Actors with a directory, which have to hear what has changed in the store."""

BINDINGS = (
    "*.webhooks.webhook.*",
    "doc_deleted.*.account.*",
    # What the directories of our actors have read: Kazoo's data layer drops its caches likewise.
    "*.accounts.account.*",
    "*.services.*.*",
    "*.system_config.*.*",
    "*.*.account_config.*",
    "*.*.number.*",
)
"""Keys of exchange `configuration`."""
CHANGES = Topology(
    exchanges=(Exchange("configuration"),),
    queue=Queue("", durable=False, exclusive=True, auto_delete=True),
    bindings=tuple(Binding("configuration", key) for key in BINDINGS),
    prefetch=50,
)

BROKER_S = 1.0
"""How long a load waits for the broker, whose coming up would begin it anew."""


class HookListener(BrokerRole):
    """Keeps the hook table in step with the store (Kazoo: webhooks_listener).

    Every (re)connection to the bus begins with a load, since changes may have been missed; the
    load streams, page by page, and changes that come meanwhile are not held up by it.
    """

    def begin(self, setup: Setup) -> None:
        """Listen for changes; the connection's coming up starts the load."""
        settings, table = self.settings, partial(self.peer, HOOK_TABLE)
        self._store = HookStore(self.connect_store())
        modules = event_modules(settings).modules
        self._parser = HookParser(
            frozenset(e for m in modules for e in (m.id, *m.events)), self.log
        )
        self._loading = HookLoading(
            self._store, self._parser, table, self.send, self.timer, self.log
        )
        self._replies = AppliedReplies(self.send, self.after, self._loading.barrier)
        self._changes = HookChanges(self._store, self._publish, settings.node.name, self._refresh)
        self._editor = HookEditing(
            self._store,
            self._changes,
            self._replies,
            self.send,
            self._check,
            self._ensure_account,
            settings.node.name,
        )
        box = SecretBox(settings.secrets.key, settings.secrets_key_file)
        self._secrets = HookSecretEditing(self._store, box, self._changes, self._replies, self.send)
        self._notifications = NotificationPublisher(lambda: self.peers, self.send, self.timer)
        self._connected = False
        self.connect_broker(
            Topology(
                exchanges=(Exchange("configuration"), Exchange("notifications")),
                queue=CHANGES.queue,
                bindings=CHANGES.bindings,
                prefetch=CHANGES.prefetch,
            )
        )
        self._loading.begin_within(BROKER_S)
        self.every(LOAD_STALLS_S, self._loading.restart_if_stalled)

    def stats(self) -> Mapping[str, Any]:
        """Hooks loaded, and those that could not be understood."""
        return {
            "broker": "up" if self._connected else "down",
            "loaded": self._loading.total,
            "problems": len(self._parser.problems),
            "loading": self._loading.under_way,
        }

    def measure(self) -> None:
        """Hooks that cannot fire."""
        self.tally.set(HOOK_PROBLEMS, len(self._parser.problems))

    # Loading

    def receiveMsg_HooksLoaded(self, message: HooksLoaded, _sender: ActorAddress) -> None:
        """The table has the page; send the next."""
        self._loading.loaded(message)

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """A new table is empty: load."""
        if HOOK_TABLE in self.peers and self.peers[HOOK_TABLE] != before.get(HOOK_TABLE):
            self._load()

    def receiveMsg_ListHookProblems(self, _message: ListHookProblems, sender: ActorAddress) -> None:
        """Somebody wants to know which hooks cannot fire, and why."""
        self.send(sender, HookProblems(self._parser.problems, self._loading.under_way))

    def _load(self) -> None:
        self._loading.begin_within(0 if self._connected else BROKER_S)

    # Changes on the bus

    def on_broker(self, event: BrokerEvent) -> None:
        """Take in changes; load after every reconnection."""
        match event:
            case Received(messages):
                self._take_in(messages)
                self.broker.ack([message.tag for message in messages])
            case ConnectionUp():
                self._connected = True
                self.log.info("broker_up")
                self._tell_everyone(ConfigurationChanged(None))
                self._load()
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))
            case Unconfirmed(ids, reason):
                self.log.warning("change_not_published", changes=len(ids), reason=reason)

    def receiveMsg_ZoneChanges(self, message: ZoneChanges, _sender: ActorAddress) -> None:
        """Changes in another zone; load all anew where some may have been missed."""
        if message.messages is None:
            self._tell_everyone(ConfigurationChanged(None))
            self._load()
        else:
            self._take_in(message.messages)

    def _take_in(self, messages: Iterable[IncomingMessage]) -> None:
        events = [event for message in messages if (event := self._parsed(message))]
        documents = {changed_document(event) for event in events} - {None}
        self._tell_everyone(ConfigurationChanged(tuple(d for d in documents if d is not None)))
        for event in events:
            match hook_change(event):
                case AccountGone(account_id):
                    self._flush(account_id, None)
                    self._loading.change(remove_account=account_id)
                case HookGone(account_id, hook_id):
                    self._gone(account_id, hook_id)
                case HookWritten(hook_id, account_id, True, document) if document:
                    self._put({**document, "_id": hook_id}, account_id)
                case HookWritten(hook_id, account_id, created):
                    self._refresh(hook_id, account_id)
                    if not created and account_id is not None:
                        self._flush(account_id, hook_id)

    def _parsed(self, message: IncomingMessage) -> Event | None:
        try:
            return event_in(message)
        except PoisonEvent as problem:
            self.log.warning("change_unreadable", key=message.routing_key, reason=str(problem))
            return None

    def _tell_everyone(self, changed: ConfigurationChanged) -> None:
        """Let those know that look documents up; `None`: anything may have changed."""
        if changed.documents is None or changed.documents:
            for path, peer in self.peers.items():
                if any(fnmatchcase(path, reader) for reader in DOCUMENT_READERS):
                    self.send(peer.address, changed)

    def _refresh(self, hook_id: str, account_id: str | None) -> None:
        """Make the table say of this hook what the store says."""
        try:
            document = self._store.get(hook_id)
        except StoreError as problem:
            self.log.warning("store_unavailable", reason=str(problem), hook=hook_id)
            self.after(RETRY_S, partial(self._refresh, hook_id, account_id))
            return
        if document is not None:
            self._put(document, account_id)
        elif account_id is not None:
            self._gone(account_id, hook_id)

    def _put(self, document: Document, account_id: str | None) -> None:
        """What a hook's document asks for: to fire, or not to."""
        account_id = document.get("pvt_account_id", account_id)
        hook_id = document["_id"]
        if not is_enabled(document) or is_deleted(document):
            if account_id is not None:
                self._gone(account_id, hook_id)
            return
        hook = self._parser.stored(document)
        if hook is not None:
            self._loading.change(put=(hook,))

    def _gone(self, account_id: str, hook_id: str) -> None:
        self._parser.forget(hook_id)
        self._flush(account_id, hook_id)
        self._loading.change(remove=((account_id, hook_id),))

    def _flush(self, account_id: str, hook_id: str | None) -> None:
        if cache := self.peer(FAILURE_CACHE):
            self.send(cache, FlushFailures(account_id, hook_id))

    # Changes of our own

    def receiveMsg_GetHook(self, message: GetHook, sender: ActorAddress) -> None:
        """Show a stored hook."""
        self._editor.show(message, sender)

    def receiveMsg_ListHooks(self, message: ListHooks, sender: ActorAddress) -> None:
        """Show the stored hooks, disabled ones too."""
        self._editor.list(message, sender)

    def receiveMsg_AddHook(self, message: AddHook, sender: ActorAddress) -> None:
        """Store a new hook."""
        self._editor.add(message, sender)

    def receiveMsg_EditHook(self, message: EditHook, sender: ActorAddress) -> None:
        """Change a stored hook."""
        self._editor.edit(message, sender)

    def receiveMsg_RemoveHook(self, message: RemoveHook, sender: ActorAddress) -> None:
        """Mark a hook as deleted."""
        self._editor.remove(message, sender)

    def receiveMsg_AddSecret(self, message: AddSecret, sender: ActorAddress) -> None:
        """Have a hook's deliveries signed with one more secret."""
        self._secrets.add(message, sender)

    def receiveMsg_RetireSecret(self, message: RetireSecret, sender: ActorAddress) -> None:
        """Have a hook's deliveries signed with one secret less."""
        self._secrets.retire(message, sender)

    def receiveMsg_ListSecrets(self, message: ListSecrets, sender: ActorAddress) -> None:
        """Show which secrets a hook has."""
        self._secrets.list(message, sender)

    def receiveMsg_ReencryptSecrets(self, message: ReencryptSecrets, sender: ActorAddress) -> None:
        """Bring a page of hooks under the newest key."""
        self._secrets.reencrypt(message, sender)

    def receiveMsg_ApplyHook(self, message: ApplyHook, sender: ActorAddress) -> None:
        """Another actor saved a hook, and has told every node; this one need not wait for that."""
        self._refresh(message.hook_id, message.account_id)
        self._replies.reply(sender, HookApplied(message.hook_id))

    def receiveMsg_Applied(self, message: Applied, _sender: ActorAddress) -> None:
        """A change is in effect."""
        self._replies.applied(message.ticket)

    def receiveMsg_NoticesSeen(self, message: NoticesSeen, _sender: ActorAddress) -> None:
        """A subscriber has a batch of notices."""
        self._notifications.seen(message)

    def receiveMsg_DisableHook(self, message: DisableHook, _sender: ActorAddress) -> None:
        """Stop a hook that failed too often; never create it.

        Of several nodes that find so, one changes the document and tells; the others only forget
        the failures. A hook that is not stored, as a callflow's, keeps its own until they age.
        """
        try:
            change = partial(disabling, reason=message.reason)
            edited = self._changes.edit(message.hook_id, "doc_edited", change)
        except StoreError as problem:
            self.log.warning("hook_not_disabled", hook=message.hook_id, reason=str(problem))
            return
        if edited.document is None:
            self.log.warning("hook_not_disabled", hook=message.hook_id, reason="it is not stored")
            return
        self._flush(message.account_id, message.hook_id)
        if edited.changed:
            self.log.warning("hook_disabled", account=message.account_id, hook=message.hook_id)
            self._changes.publish_disabled(message)
            disabled = HookDisabled(message.account_id, message.hook_id, message.reason)
            self._notifications.notify(disabled)

    def _check(self, document: Document) -> None:
        check_hook(self._parser.parse(document), self.settings.delivery)

    def _ensure_account(self, account_id: str) -> None:
        embedded = self.settings.couchdb.url.startswith("sqlite:")
        if embedded and self._store.ensure_account(account_id, gregorian_s(time.time())):
            self._tell_everyone(ConfigurationChanged((("accounts", account_id),)))

    def _publish(self, message: OutgoingMessage) -> None:
        self.broker.publish(message)
