"""Configuration changes: from the store and the bus into the hook table, and the other way."""

import itertools
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.event_publisher import Noticing
from callboard.actors.base.role import Setup
from callboard.actors.delivery.transports import check_hook
from callboard.actors.hooks.editing import HookEditor
from callboard.actors.hooks.secrets import SecretKeeper
from callboard.actors.messages import (
    AddHook,
    Applied,
    ApplyHook,
    Barrier,
    ChangeHooks,
    ChangesElsewhere,
    ConfigurationChanged,
    DisableHook,
    FlushFailures,
    HookApplied,
    HookList,
    HookProblem,
    HookProblems,
    HookSaved,
    HookSecrets,
    HooksLoaded,
    ListHookProblems,
    ListHooks,
    LoadHooks,
    Refused,
)
from callboard.actors.messages.notifications import HookDisabled
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
    json_properties,
)
from callboard.adapters.broker.publications import event_in
from callboard.adapters.repositories.hooks import DATABASE, Change, Edited, HookStore
from callboard.adapters.store.protocol import Document, StoreError
from callboard.supervision import Peer
from callboard.webhooks.events.changes import (
    AccountGone,
    HookGone,
    HookWritten,
    changed_document,
    document_change,
    hook_change,
    webhook_disabled,
)
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.hooks.hook import (
    Hook,
    InvalidHook,
    disabling,
    is_deleted,
    is_enabled,
    new_hook,
    parse_hook,
)
from callboard.webhooks.hooks.secrets import without_secrets
from callboard.webhooks.metrics.catalog import HOOK_PROBLEMS
from callboard.webhooks.values.kazoo_names import gregorian_s

HOOK_TABLE = "hook_table"
FAILURE_CACHE = "failure_cache"
DOCUMENT_READERS = (
    "disabler",
    "maintenance",
    "redelivery",
    "responders/*",
    "deliveries/attempt_log",
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
RETRY_S = 2.0
NOT_YET_S = 0.1
APPLY_S = 3.0
"""How long a change may take to reach every responder before its author is answered anyway."""
MISSES_AT_ONCE = 20
PAGES_ON_THE_WAY = 2
"""So that the next page is read while the table takes in the one before."""
LOAD_STALLS_S = 30.0
"""A load that makes no progress for so long begins anew: a message was lost."""
MAX_PROBLEMS = 1000
"""Hooks that cannot be loaded, kept with the reason; more are only counted."""


class HookListener(Noticing, HookEditor, SecretKeeper):
    """Keeps the hook table in step with the store (Kazoo: webhooks_listener).

    Every (re)connection to the bus begins with a load, since changes may have been missed; the
    load streams, page by page, and changes that come meanwhile are not held up by it.
    """

    def begin(self, setup: Setup) -> None:
        """Listen for changes; the connection's coming up starts the load."""
        self._store = HookStore(self.connect_store())
        self.keep_secrets()
        modules = event_modules(self.settings).modules
        self._known_events = frozenset(e for m in modules for e in (m.id, *m.events))
        self._pages: Iterator[tuple[Hook, ...]] | None = None
        self._load = 0
        self._numbers = itertools.count()
        self._load_due = self.timer(self._go_on_loading)
        self._loaded_to: Any = None
        self._total = 0
        self._problems: dict[str, HookProblem] = {}
        self._misses = 0
        self._unanswered = 0
        self._tickets = itertools.count(1)
        self._replies: dict[int, tuple[ActorAddress, HookApplied | HookSaved | HookSecrets]] = {}
        self._progress_at = time.monotonic()
        self.every(LOAD_STALLS_S, self._look_for_stall)
        self._connected = False
        self.connect_broker(
            Topology(
                exchanges=(Exchange("configuration"), Exchange("notifications")),
                queue=CHANGES.queue,
                bindings=CHANGES.bindings,
                prefetch=CHANGES.prefetch,
            )
        )
        self._load_due.within(BROKER_S)

    def stats(self) -> Mapping[str, Any]:
        """Hooks loaded, and those that could not be understood."""
        return {
            "broker": "up" if self._connected else "down",
            "loaded": self._total,
            "problems": len(self._problems),
            "loading": self._pages is not None,
        }

    def measure(self) -> None:
        """Hooks that cannot fire."""
        self.tally.set(HOOK_PROBLEMS, len(self._problems))

    # Loading

    def _go_on_loading(self) -> None:
        """Begin a load, or go on with one."""
        if self._pages is not None:
            self._send_pages()
        elif self.peer(HOOK_TABLE):
            self._begin_load()

    def _look_for_stall(self) -> None:
        if self._unanswered and time.monotonic() - self._progress_at > LOAD_STALLS_S:
            self._pages = None
            self._load_due.within(0)

    def _begin_load(self) -> None:
        self._load = max(self._load + 1, time.time_ns())
        self._numbers = itertools.count()
        self._progress_at = time.monotonic()
        self._problems.clear()
        self._loaded_to = None
        self._unanswered = 0
        self._pages = self._stored_pages()
        self._send_pages()

    def _stored_pages(self) -> Iterator[tuple[Hook, ...]]:
        for page in self._store.pages(gregorian_s(time.time()), after=self._loaded_to):
            enabled = (document for document in page.documents if is_enabled(document))
            understood = (self._understood(document) for document in enabled)
            hooks = tuple(hook for hook in understood if hook is not None)
            self._loaded_to = page.end
            yield hooks

    def _send_pages(self) -> None:
        while self._pages is not None and self._unanswered < PAGES_ON_THE_WAY:
            if not self._send_page():
                return

    def _send_page(self) -> bool:
        """Send the next page to the table; whether it could be read."""
        table = self.peer(HOOK_TABLE)
        if self._pages is None or table is None:
            return False
        try:
            page = next(self._pages, None)
        except StoreError as problem:
            # Database and views are missing until the initializer has made them.
            self.log.info("hooks_not_loaded", reason=str(problem))
            self._pages = None if self._loaded_to is None else self._stored_pages()
            self._misses += 1
            self._load_due.within(NOT_YET_S if self._misses < MISSES_AT_ONCE else RETRY_S)
            return False
        self._misses = 0
        last = page is None
        if last:
            self._pages = None
        self._unanswered += 1
        self.send(table, LoadHooks(self._load, next(self._numbers), page or (), last))
        return True

    def receiveMsg_HooksLoaded(self, message: HooksLoaded, _sender: ActorAddress) -> None:
        """The table has the page; send the next."""
        if message.stream != self._load:
            return
        self._total, self._progress_at = message.total, time.monotonic()
        self._unanswered -= 1
        if self._pages is not None:
            self._send_pages()
        elif not self._unanswered:
            self.log.info("hooks_loaded", hooks=message.total, problems=len(self._problems))

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """A new table is empty: load."""
        if HOOK_TABLE in self.peers and self.peers[HOOK_TABLE] != before.get(HOOK_TABLE):
            self._pages = None
            self._load_due.within(0 if self._connected else BROKER_S)

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
                self._pages = None
                self._load_due.within(0)
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))
            case Unconfirmed(ids, reason):
                self.log.warning("change_not_published", changes=len(ids), reason=reason)

    def receiveMsg_ChangesElsewhere(self, message: ChangesElsewhere, _sender: ActorAddress) -> None:
        """Changes in another zone; load all anew where some may have been missed."""
        if message.messages is None:
            self._tell_everyone(ConfigurationChanged(None))
            self._pages = None
            self._load_due.within(0 if self._connected else BROKER_S)
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
                    self._tell_table(remove_account=account_id)
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
        hook = self._understood(document)
        if hook is not None:
            self._tell_table(put=(hook,))

    def _gone(self, account_id: str, hook_id: str) -> None:
        self._problems.pop(hook_id, None)
        self._flush(account_id, hook_id)
        self._tell_table(remove=((account_id, hook_id),))

    def _understood(self, document: Document) -> Hook | None:
        """The hook of a document; one that cannot fire is remembered among the problems."""
        hook_id = str(document.get("_id"))
        self._problems.pop(hook_id, None)
        try:
            return parse_hook(document, self._known_events)
        except InvalidHook as invalid:
            self.log.warning("hook_skipped", hook=hook_id, reason=str(invalid))
            if len(self._problems) < MAX_PROBLEMS:
                account_id = str(document.get("pvt_account_id") or "")
                self._problems[hook_id] = HookProblem(account_id, hook_id, invalid.reason)
            return None

    def receiveMsg_ListHookProblems(self, _message: ListHookProblems, sender: ActorAddress) -> None:
        """Somebody wants to know which hooks cannot fire, and why."""
        self.send(sender, HookProblems(tuple(self._problems.values()), self._pages is not None))

    def _tell_table(self, **change: Any) -> None:
        # Without a table there is nothing to change: the next one is loaded from the store.
        if table := self.peer(HOOK_TABLE):
            self.send(table, ChangeHooks(self._load, next(self._numbers), **change))

    def _flush(self, account_id: str, hook_id: str | None) -> None:
        if cache := self.peer(FAILURE_CACHE):
            self.send(cache, FlushFailures(account_id, hook_id))

    # Changes of our own

    def receiveMsg_AddHook(self, message: AddHook, sender: ActorAddress) -> None:
        """Store a new hook; refuse one that could never fire, or never be sent."""
        document = new_hook(
            message.document, gregorian_s(time.time()), uuid.uuid4().hex, self.settings.node.name
        )
        try:
            self._check(document)
            self._ensure_account(document["pvt_account_id"])
            document = self._store.add(document)
        except InvalidHook as invalid:
            self.send(sender, Refused(invalid.reason))  # its id is nobody's yet
            return
        except StoreError as problem:
            self.send(sender, Refused(str(problem)))
            return
        self._publish_change("doc_created", DATABASE, document)
        self._refresh(document["_id"], document["pvt_account_id"])
        self._answer_when_applied(sender, HookSaved(document))

    def _ensure_account(self, account_id: str) -> None:
        embedded = self.settings.couchdb.url.startswith("sqlite:")
        if embedded and self._store.ensure_account(account_id, gregorian_s(time.time())):
            self._tell_everyone(ConfigurationChanged((("accounts", account_id),)))

    def receiveMsg_ApplyHook(self, message: ApplyHook, sender: ActorAddress) -> None:
        """Another actor saved a hook, and has told every node; this one need not wait for that."""
        self._refresh(message.hook_id, message.account_id)
        self._answer_when_applied(sender, HookApplied(message.hook_id))

    def _check(self, document: Document) -> None:
        """See `HookEditor._check`."""
        check_hook(parse_hook(document, self._known_events), self.settings.delivery)

    def receiveMsg_DisableHook(self, message: DisableHook, _sender: ActorAddress) -> None:
        """Stop a hook that failed too often; never create it.

        Of several nodes that find so, one changes the document and tells; the others only forget
        the failures. A hook that is not stored, as a callflow's, keeps its own until they age.
        """
        try:
            edited = self._edit(
                message.hook_id, "doc_edited", partial(disabling, reason=message.reason)
            )
        except StoreError as problem:
            self.log.warning("hook_not_disabled", hook=message.hook_id, reason=str(problem))
            return
        if edited.document is None:
            self.log.warning("hook_not_disabled", hook=message.hook_id, reason="it is not stored")
            return
        self._flush(message.account_id, message.hook_id)
        if edited.changed:
            self.log.warning("hook_disabled", account=message.account_id, hook=message.hook_id)
            self._publish_disabled(message)
            self.notify(HookDisabled(message.account_id, message.hook_id, message.reason))

    def _edit(self, hook_id: str, event_name: str, change: Change) -> Edited:
        """Change a stored hook and let everybody know."""
        edited = self._store.edit(hook_id, change, gregorian_s(time.time()))
        if edited.changed and edited.document is not None:
            self._publish_change(event_name, DATABASE, edited.document)
            self._refresh(hook_id, edited.document.get("pvt_account_id"))
        return edited

    def _answer_when_applied(
        self, sender: ActorAddress, reply: HookApplied | HookSaved | HookSecrets
    ) -> None:
        """Answer once every responder knows: the next event finds the change in effect."""
        ticket = next(self._tickets)
        self._replies[ticket] = sender, reply
        # By then the table or a responder is being restarted: it will load what is stored.
        self.after(APPLY_S, partial(self._answer, ticket))
        if table := self.peer(HOOK_TABLE):
            self.send(table, Barrier(self._load, next(self._numbers), ticket))

    def receiveMsg_Applied(self, message: Applied, _sender: ActorAddress) -> None:
        """A change is in effect."""
        self._answer(message.ticket)

    def _answer(self, ticket: int) -> None:
        if ticket in self._replies:
            self.send(*self._replies.pop(ticket))

    def receiveMsg_ListHooks(self, message: ListHooks, sender: ActorAddress) -> None:
        """Show the stored hooks, disabled ones too."""
        try:
            documents, more = self._store.listed(message.account_id, message.limit, message.after)
        except StoreError as problem:
            self.send(sender, Refused(str(problem)))
        else:
            self.send(sender, HookList(tuple(map(without_secrets, documents)), more))

    def _publish_change(self, event_name: str, database: str, document: Document) -> None:
        """What Kazoo's data layer would publish for this save."""
        key, body = document_change(event_name, database, document, self.settings.node.name)
        self._publish("configuration", key, body)

    def _publish_disabled(self, disabled: DisableHook) -> None:
        key, body = webhook_disabled(disabled.account_id, disabled.hook_id, self.settings.node.name)
        self._publish("notifications", key, body)

    def _publish(self, exchange: str, key: str, body: Mapping[str, Any]) -> None:
        properties = json_properties(time.time())
        self.broker.publish(OutgoingMessage(exchange, key, json.dumps(body).encode(), properties))
