"""Applies changes of the configuration to the hook table, and publishes our own changes."""

import time
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.node_quotas import node_quotas
from callboard.actors.base.notification_publisher import NotificationPublisher
from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.delivery.transports import check_hook, grants
from callboard.actors.hooks.bulk import BulkEditing
from callboard.actors.hooks.change_exchange import change_topology
from callboard.actors.hooks.change_publisher import NOTIFICATIONS, change_publisher
from callboard.actors.hooks.changes import AppliedReplies, HookChanges
from callboard.actors.hooks.editing import HookEditing
from callboard.actors.hooks.loading import CHECK, LOAD_STALLS_S, RETRY_S, HookLoading
from callboard.actors.hooks.operational import OperationalEvents, operational_exchanges
from callboard.actors.hooks.parser import HookParser
from callboard.actors.hooks.refreshing import GONE, HookRefreshing
from callboard.actors.hooks.secrets import HookSecretEditing
from callboard.actors.messages import (
    AddHook,
    AddSecret,
    Applied,
    ApplyHooks,
    CancelDeliveries,
    ConfigurationChanged,
    DisableHook,
    EditHook,
    FlushFailures,
    GetHook,
    HookProblems,
    HooksApplied,
    HooksLoaded,
    ListHookProblems,
    ListHooks,
    ListSecrets,
    ReencryptSecrets,
    RefreshHooks,
    RemoveHook,
    RetireSecret,
    ZoneChanges,
)
from callboard.actors.messages.bulk import MAX_PUT, GetQuotas, PutHooks
from callboard.actors.messages.notifications import HookDisabled, NoticesSeen
from callboard.actors.messages.operational import EndpointsDown, EventsReported, ReportEvents
from callboard.actors.messages.paths import (
    ALL_RESPONDERS,
    ATTEMPT_LOG,
    DISABLER,
    FAILURE_CACHE,
    HOOK_TABLE,
    MAINTENANCE,
    REDELIVERY,
    RETRY_QUEUE,
)
from callboard.adapters.broker.protocol import (
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    Exchange,
    IncomingMessage,
    Received,
    Topology,
)
from callboard.adapters.broker.publications import event_in
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.repositories.account_quotas import account_config, endpoint_config
from callboard.adapters.repositories.hooks import DATABASE, HookStore
from callboard.adapters.store.protocol import Document, StoreError, StoreUnavailable
from callboard.config.settings import Settings
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.outbox import cut
from callboard.webhooks.events.changes import (
    AccountGone,
    HookGone,
    HookWritten,
    changed_document,
    hook_change,
)
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.hooks.failure_window import HookKey
from callboard.webhooks.hooks.hook import (
    Hook,
    defaults_of,
    disabling,
    is_deleted,
    is_enabled,
    size_of,
)
from callboard.webhooks.metrics.catalog import HOOK_PROBLEMS
from callboard.webhooks.modules.operational import hook_disabled
from callboard.webhooks.values.kazoo_names import gregorian_s

DOCUMENT_READERS = (
    DISABLER,
    MAINTENANCE,
    REDELIVERY,
    ALL_RESPONDERS,
    ATTEMPT_LOG,
    RETRY_QUEUE,
)
"""Actors with a directory; they receive `ConfigurationChanged`."""

BROKER_S = 1.0
"""A load waits this long for the broker, since each connection restarts the load."""


class HookListener(BrokerRole):
    """Keeps the hook table consistent with the store (Kazoo: webhooks_listener).

    All hooks are loaded once, in pages, and changes that arrive in between are applied at once.
    After a sleep, after each connection to the bus, and every `couchdb.compare_s`, it reads the
    changes from the store, since the bus may not have brought it.
    """

    waits_for_store = True

    def begin(self, setup: Setup) -> None:
        """Listen for changes; the connection to the broker starts the load."""
        settings, table = self.settings, partial(self.peer, HOOK_TABLE)
        self._store = HookStore(
            self.connect_store(), node_quotas(settings), migrates=not settings.is_trial
        )
        modules = event_modules(settings)
        self._usual_events = modules.usual_events
        self._parser = HookParser(modules.known_events, self.log)
        self._loading = HookLoading(
            self._store, self._parser, table, self.send, self.timer, self.log, self.incarnation
        )
        self._refreshing = HookRefreshing(
            self._store,
            self._loading,
            self._apply_stored,
            self._load,
            self.send,
            self.timer,
            self.log,
        )
        self._connected = False
        self.connect_broker(topology(settings))
        self._replies = AppliedReplies(self.send, self.after, self._loading.barrier)
        self._publisher = change_publisher(self)
        self._operational = OperationalEvents(self)
        self._changes = HookChanges(self._store, self._publisher, settings.node.name, self._refresh)
        self._editor = HookEditing(
            self._store,
            self._changes,
            self._replies,
            self.send,
            self._check,
            self._defaults,
            self._ensure_accounts,
            settings.node.name,
        )
        box = SecretBox(settings.secrets.key, settings.secrets_key_file)
        self._secrets = HookSecretEditing(self._store, box, self._changes, self._replies, self.send)
        self._bulk = BulkEditing(
            self._store,
            box,
            self._publisher,
            self._replies,
            self.send,
            self._check_with,
            self._ensure_accounts,
            self._put_many,
            settings,
        )
        self._notifications = NotificationPublisher(lambda: self.peers, self.send, self.timer)
        self._loading.begin_within(BROKER_S)
        self.every(LOAD_STALLS_S, self._loading.check)
        self.every(settings.couchdb.compare_s, self._refreshing.compare)

    def stats(self) -> Mapping[str, Any]:
        """Loaded hooks and invalid hooks."""
        return {
            "broker": "up" if self._connected else "down",
            "loaded": self._loading.total,
            "problems": len(self._parser.problems),
            "loading": self._loading.under_way,
            "missed": self._refreshing.missed,
            "unpublished": len(self._publisher),
            "unpublished_events": len(self._operational),
        }

    def measure(self) -> None:
        """Count hooks that cannot fire."""
        self.tally.set(HOOK_PROBLEMS, len(self._parser.problems))
        self.set_progress(self._loading.incomplete_since)

    # Loading

    def receiveMsg_HooksLoaded(self, message: HooksLoaded, _sender: ActorAddress) -> None:
        """The table has the page; send the next."""
        self._loading.loaded(message)
        if self._loading.complete:
            self._refreshing.soon()

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Load the hooks into a new table."""
        if HOOK_TABLE in self.peers and self.peers[HOOK_TABLE] != before.get(HOOK_TABLE):
            self._load()

    def receiveMsg_ListHookProblems(self, _message: ListHookProblems, sender: ActorAddress) -> None:
        """Report the hooks that cannot fire, with the reasons."""
        self.send(sender, HookProblems(self._parser.problems, self._loading.under_way))

    def on_wake(self) -> None:
        """The bus may still have changes for this process, or have dropped them."""
        self._catch_up()

    def receiveMsg_RefreshHooks(self, message: RefreshHooks, sender: ActorAddress) -> None:
        """An actor that slept, or that has a new connection, waits for this."""
        self._refreshing.ask(sender, message.ask)

    def _catch_up(self) -> None:
        """Changes may have been missed."""
        self._notify_readers(ConfigurationChanged(None))
        if self._loading.complete:
            self._refreshing.soon()
        else:
            self._load()

    def _apply_stored(self, documents: list[Document]) -> None:
        for document in documents:
            self._put(document, None)
            if isinstance(account_id := document.get("pvt_account_id"), str):
                self._flush(account_id, document["_id"])

    def _load(self) -> None:
        self._loading.begin_within(0 if self._connected else BROKER_S)

    # Changes on the bus

    def on_broker(self, event: BrokerEvent) -> None:
        """Apply changes; catch up after every connection."""
        self._publisher.on_broker(event)
        self._operational.on_broker(event)
        match event:
            case Received(messages):
                self._apply(messages)
                self.broker.ack([message.tag for message in messages])
            case ConnectionUp():
                self._connected = True
                self.log.info("broker_up")
                self._catch_up()
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))

    def receiveMsg_ZoneChanges(self, message: ZoneChanges, _sender: ActorAddress) -> None:
        """Apply changes of another zone; catch up if some may have been missed."""
        if message.messages is None:
            self._catch_up()
        else:
            self._apply(message.messages)

    def _apply(self, messages: Iterable[IncomingMessage]) -> None:
        events = [event for message in messages if (event := self._parsed(message))]
        changed = {changed_document(event) for event in events}
        # Nobody looks up hooks in a directory, and they change by the thousand.
        documents = tuple(d for d in changed if d is not None and d[0] != DATABASE)
        self._notify_readers(ConfigurationChanged(documents))
        for event in events:
            match hook_change(event):
                case AccountGone(account_id):
                    self._flush(account_id, None)
                    self._loading.change(remove_account=account_id)
                case HookGone(account_id, hook_id):
                    self._refreshing.saw(hook_id, GONE)
                    self._gone(account_id, hook_id)
                case HookWritten(hook_id, account_id, True, document) if document:
                    self._put({**document, "_id": hook_id}, account_id)
                case HookWritten(hook_id, account_id, created):
                    if not self._is_known(event, hook_id):
                        self._refresh([(account_id, hook_id)])
                    if not created and account_id is not None:
                        self._flush(account_id, hook_id)

    def _is_known(self, event: Event, hook_id: str) -> bool:
        """Whether it announces a change of this node that is already in effect here.

        After another node's announcement the store is read even then: the hook may be gone since.
        """
        own = event.body.get("Node") == self.settings.node.name
        return own and self._refreshing.has_seen(hook_id, event.body.get("Rev"))

    def _parsed(self, message: IncomingMessage) -> Event | None:
        try:
            return event_in(message)
        except PoisonEvent as problem:
            self.log.warning(
                "change_unreadable", routing_key=message.routing_key, reason=str(problem)
            )
            return None

    def _notify_readers(self, changed: ConfigurationChanged) -> None:
        if changed.documents is None or changed.documents:
            for path, peer in self.peers.items():
                if any(fnmatchcase(path, reader) for reader in DOCUMENT_READERS):
                    self.send(peer.address, changed)

    def _refresh(self, hooks: Collection[tuple[str | None, str]]) -> None:
        """Update these hooks, by the ids of the account and the hook, from the store."""
        ids = [hook_id for _account_id, hook_id in hooks]
        try:
            documents = self._store.get_many(ids)
        except StoreUnavailable as problem:
            self.log.warning("store_unavailable", reason=str(problem), hooks=ids)
            self.after(RETRY_S, partial(self._refresh, hooks))
            return
        except StoreError as problem:  # Such as an id that no store has.
            if len(hooks) > 1:  # The others are to be applied.
                for hook in hooks:
                    self._refresh([hook])
            else:
                self.log.warning("hook_unreadable", reason=str(problem), hooks=ids)
            return
        found: list[Hook] = []
        for account_id, hook_id in hooks:
            if (document := documents.get(hook_id)) is not None:
                found += self._seen(document, account_id)
            elif account_id is not None:
                self._refreshing.saw(hook_id, GONE)
                self._gone(account_id, hook_id)
        for batch in cut(found, MAX_PUT, size_of):
            self._loading.change(put=batch)

    def _put(self, document: Document, account_id: str | None) -> None:
        """Put the document's hook into the table if it is enabled, else remove it."""
        if found := self._seen(document, account_id):
            self._loading.change(put=found)

    def _seen(self, document: Document, account_id: str | None) -> tuple[Hook, ...]:
        """The document's hook, to be put into the table; none, and removed, if it is disabled."""
        its = document.get("pvt_account_id")
        account_id = its if isinstance(its, str) else account_id
        hook_id = document["_id"]
        if isinstance(revision := document.get("_rev"), str):
            self._refreshing.saw(hook_id, revision)
        if not is_enabled(document) or is_deleted(document):
            if account_id is not None:
                self._gone(account_id, hook_id)
            return ()
        hook = self._parser.stored(document)
        return () if hook is None else (hook,)

    def _put_many(self, documents: Iterable[Document], new: Collection[str]) -> None:
        """Put the documents' hooks into the table or remove them, with few messages to it.

        `new`: the ids of those that have no failures to forget.
        """
        hooks: list[Hook] = []
        gone: list[HookKey] = []
        for document in documents:
            account_id, hook_id = document["pvt_account_id"], document["_id"]
            self._refreshing.saw(hook_id, document["_rev"])
            if hook_id not in new:
                self._flush(account_id, hook_id)
            if not is_enabled(document) or is_deleted(document):
                self._parser.forget(hook_id)
                gone.append((account_id, hook_id))
            elif (hook := self._parser.stored(document)) is not None:
                hooks.append(hook)
        if gone:
            self._loading.change(remove=tuple(gone))
        for batch in cut(hooks, MAX_PUT, size_of):
            self._loading.change(put=batch)

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
        """List the stored hooks, including disabled ones."""
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

    def receiveMsg_PutHooks(self, message: PutHooks, sender: ActorAddress) -> None:
        """Store, change and remove many hooks."""
        self._bulk.change(message, sender)

    def receiveMsg_GetQuotas(self, message: GetQuotas, sender: ActorAddress) -> None:
        """Send the quotas of accounts."""
        self._bulk.quotas(message, sender)

    def receiveMsg_CancelDeliveries(self, message: CancelDeliveries, sender: ActorAddress) -> None:
        """Cancel a hook's deliveries that have not ended yet."""
        self._editor.cancel(message, sender)

    def receiveMsg_AddSecret(self, message: AddSecret, sender: ActorAddress) -> None:
        """Add a secret to a hook."""
        self._secrets.add(message, sender)

    def receiveMsg_RetireSecret(self, message: RetireSecret, sender: ActorAddress) -> None:
        """Remove a secret from a hook."""
        self._secrets.retire(message, sender)

    def receiveMsg_ListSecrets(self, message: ListSecrets, sender: ActorAddress) -> None:
        """List the secrets of a hook."""
        self._secrets.list(message, sender)

    def receiveMsg_ReencryptSecrets(self, message: ReencryptSecrets, sender: ActorAddress) -> None:
        """Encrypt the secrets of a page of hooks with the newest key."""
        self._secrets.reencrypt(message, sender)

    def receiveMsg_ApplyHooks(self, message: ApplyHooks, sender: ActorAddress) -> None:
        """Apply hooks that another actor saved, without waiting for their changes on the bus."""
        self._refresh(message.hooks)
        self._replies.reply(sender, HooksApplied())

    def receiveMsg_Applied(self, message: Applied, _sender: ActorAddress) -> None:
        """A change is in effect."""
        if message.ticket == CHECK:
            self._loading.checked()
        self._refreshing.applied(message.ticket)
        self._replies.applied(message.ticket)

    def receiveMsg_NoticesSeen(self, message: NoticesSeen, _sender: ActorAddress) -> None:
        """A subscriber has confirmed a batch of notifications."""
        self._notifications.seen(message)

    def receiveMsg_DisableHook(self, message: DisableHook, _sender: ActorAddress) -> None:
        """Disable a stored hook.

        If several nodes do so, one changes the document and publishes it; the others only flush
        its failures. The failures of a hook that is not stored, such as a callflow's, expire.
        """
        if not self.settings.disables_hooks:
            about = {"account": message.account_id, "hook": message.hook_id}
            self.log.warning("hook_would_be_disabled", reason=message.reason, **about)
            self._flush(message.account_id, message.hook_id)
            return
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
            now = gregorian_s(time.time())
            self._operational.publish([hook_disabled(edited.document, message.reason, now)])
            disabled = HookDisabled(message.account_id, message.hook_id, message.reason)
            self._notifications.notify(disabled)

    def _defaults(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises StoreError."""
        account_id = document.get("pvt_account_id")
        account = partial(account_config, self._store.documents, str(account_id))
        return defaults_of(document, self._usual_events, account)

    def receiveMsg_ReportEvents(self, message: ReportEvents, sender: ActorAddress) -> None:
        """Publish operational events of other actors."""
        self._operational.publish(message.events)
        if message.number:
            self.send(sender, EventsReported(message.number))

    def receiveMsg_EndpointsDown(self, message: EndpointsDown, _sender: ActorAddress) -> None:
        """Publish which endpoints are down or up again."""
        self._operational.endpoints_down(message.deliverer, message.down)

    def _check(self, document: Document) -> None:
        granted, account_id = grants(self.settings), str(document.get("pvt_account_id"))
        self._check_with(document, endpoint_config(self._store.documents, account_id, granted))

    def _check_with(self, document: Document, account: Mapping[str, Any]) -> None:
        check_hook(self._parser.parse(document), self.settings, account)

    def _ensure_accounts(self, account_ids: Collection[str]) -> None:
        if self.settings.couchdb.url.startswith("sqlite:"):
            created = self._store.ensure_accounts(account_ids, gregorian_s(time.time()))
            self._notify_readers(ConfigurationChanged(tuple(("accounts", id) for id in created)))


def topology(settings: Settings) -> Topology:
    """The changes, the exchange of operational events, and with a Kazoo that of notifications."""
    notifications = (Exchange(NOTIFICATIONS),) if settings.has_kazoo else ()
    return change_topology(settings, *notifications, *operational_exchanges(settings))
