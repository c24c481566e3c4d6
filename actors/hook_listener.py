"""Configuration changes: from the store and the bus into the hook table, and the other way."""

import itertools
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.event_modules import event_modules
from callboard.actors.messages import (
    AddHook,
    Applied,
    Barrier,
    ChangeHooks,
    DisableHook,
    FlushFailures,
    HookList,
    HookSaved,
    HooksLoaded,
    ListHooks,
    LoadHooks,
    Refused,
    RemoveHook,
)
from callboard.actors.role import BrokerRole, Setup
from callboard.adapters.broker import (
    Binding,
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    Exchange,
    IncomingMessage,
    OutgoingMessage,
    Properties,
    Queue,
    Received,
    Topology,
    Unconfirmed,
)
from callboard.adapters.store import (
    Conflict,
    Document,
    StoreError,
)
from callboard.supervision import Peer
from callboard.webhooks.changes import document_change
from callboard.webhooks.event import PoisonEvent, parse_event
from callboard.webhooks.hook import Hook, InvalidHook, is_deleted, is_enabled, new_hook, parse_hook
from callboard.webhooks.names import gregorian_s

HOOK_TABLE = "hook_table"
FAILURE_CACHE = "failure_cache"
DATABASE = "webhooks"
LISTING = "webhooks/webhooks_listing"
EVERY_HOOK = "webhooks/crossbar_listing"
"""Lists disabled hooks, too."""

PAGE = 500
RETRY_S = 2.0
NOT_YET_S = 0.1
APPLY_S = 3.0
"""How long a change may take to reach every responder before its author is answered anyway."""
MISSES_AT_ONCE = 20
LOAD_STALLS_S = 30.0
"""A load that makes no progress for so long begins anew: a message was lost."""
SAVES = 5
"""How often a save is tried again when somebody else saved in between."""

_LOAD = "callboard: load the hooks"
_AGAIN = "callboard: look at a hook again"
_APPLIED = "callboard: a change should be in effect by now"
_STALLED = "callboard: has the load stalled?"


class HookListener(BrokerRole):
    """Keeps the hook table in step with the store (Kazoo: webhooks_listener).

    Every (re)connection to the bus begins with a load, since changes may have been missed; the
    load streams, page by page, and changes that come meanwhile are not held up by it.
    """

    def begin(self, setup: Setup) -> None:
        """Listen for changes; the connection's coming up starts the load."""
        self._store = self.connect_store()
        modules = event_modules(self.settings).modules
        self._known_events = frozenset(e for m in modules for e in (m.id, *m.events))
        self._pages: Iterator[tuple[Hook, ...]] | None = None
        self._load = 0
        self._numbers = itertools.count()
        self._loading_timer = False
        self._total = 0
        self._skipped = 0
        self._misses = 0
        self._unanswered = False
        self._tickets = itertools.count(1)
        self._replies: dict[int, tuple[ActorAddress, HookSaved | Refused]] = {}
        self._progress_at = time.monotonic()
        self.after(LOAD_STALLS_S, _STALLED)
        self._connected = False
        self.connect_broker(
            Topology(
                exchanges=(Exchange("configuration"),),
                queue=Queue("", durable=False, exclusive=True, auto_delete=True),
                bindings=(
                    Binding("configuration", "*.webhooks.webhook.*"),
                    Binding("configuration", "doc_deleted.*.account.*"),
                ),
                prefetch=50,
            )
        )
        self._load_soon(0)

    def stats(self) -> Mapping[str, Any]:
        """Hooks loaded, and those that could not be understood."""
        return {
            "broker": "up" if self._connected else "down",
            "hooks": self._total,
            "skipped": self._skipped,
            "loading": self._pages is not None,
        }

    # Loading

    def _load_soon(self, seconds: float) -> None:
        if not self._loading_timer:
            self._loading_timer = True
            self.after(seconds, _LOAD)

    def _begin_load(self) -> None:
        self._load = max(self._load + 1, time.time_ns())
        self._numbers = itertools.count()
        self._progress_at = time.monotonic()
        self._skipped = 0
        self._pages = self._stored_pages()
        self._send_page()

    def _stored_pages(self) -> Iterator[tuple[Hook, ...]]:
        # As many rows a page as the store reads at once: none of them is older than its page.
        rows = self._store.view(DATABASE, LISTING, include_documents=True, page_size=PAGE)
        while page := list(itertools.islice(rows, PAGE)):
            understood = (self._understood(row.document) for row in page if row.document)
            yield tuple(hook for hook in understood if hook is not None)

    def _send_page(self) -> None:
        table = self.peer(HOOK_TABLE)
        if self._pages is None or table is None:
            return
        try:
            page = next(self._pages, None)
        except StoreError as problem:
            # Database and views are missing until the initializer has made them.
            self.log.info("hooks_not_loaded", reason=str(problem))
            self._pages = None
            self._misses += 1
            self._load_soon(NOT_YET_S if self._misses < MISSES_AT_ONCE else RETRY_S)
            return
        last = page is None
        if last:
            self._pages = None
            self._misses = 0
        self._unanswered = True
        self.send(table, LoadHooks(self._load, next(self._numbers), page or (), last))

    def receiveMsg_HooksLoaded(self, message: HooksLoaded, _sender: ActorAddress) -> None:
        """The table has the page; send the next."""
        if message.stream != self._load:
            return
        self._total, self._progress_at = message.total, time.monotonic()
        self._unanswered = False
        if self._pages is None:
            self.log.info("hooks_loaded", hooks=message.total, skipped=self._skipped)
        else:
            self._send_page()

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """A new table is empty: load."""
        if HOOK_TABLE in self.peers and self.peers[HOOK_TABLE] != before.get(HOOK_TABLE):
            self._load_soon(0)

    # Changes on the bus

    def on_broker(self, event: BrokerEvent) -> None:
        """Take in changes; load after every reconnection."""
        match event:
            case Received(messages):
                for message in messages:
                    self._changed(message)
                self.broker.ack([message.tag for message in messages])
            case ConnectionUp():
                self._connected = True
                self.log.info("broker_up")
                self._load_soon(0)
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))
            case Unconfirmed(ids, reason):
                self.log.warning("change_not_published", changes=len(ids), reason=reason)

    def _changed(self, message: IncomingMessage) -> None:
        properties = message.properties
        try:
            event = parse_event(
                message.body,
                properties.content_type,
                properties.content_encoding,
                message.exchange,
                message.routing_key,
            )
        except PoisonEvent as problem:
            self.log.warning("change_unreadable", key=message.routing_key, reason=str(problem))
            return
        id, account_id = event.body.get("ID"), event.body.get("Account-ID")
        if event.name == "doc_deleted" and event.body.get("Type") == "account" and account_id:
            self._flush(account_id, None)
            self._tell_table(remove_account=account_id)
        elif event.name == "doc_deleted" and account_id and id:
            self._flush(account_id, id)
            self._tell_table(remove=((account_id, id),))
        elif event.name in ("doc_created", "doc_edited") and id:
            self._refresh(id, account_id)

    def _refresh(self, id: str, account_id: str | None) -> None:
        """Make the table say of this hook what the store says."""
        try:
            document = self._store.get(DATABASE, id)
        except StoreError as problem:
            self.log.warning("store_unavailable", reason=str(problem), hook=id)
            self.after(RETRY_S, (_AGAIN, id, account_id))
            return
        account_id = (document or {}).get("pvt_account_id", account_id)
        if not account_id:
            return
        fires = document is not None and is_enabled(document) and not is_deleted(document)
        hook = self._understood(document) if document is not None and fires else None
        self._flush(account_id, id)
        if hook is not None:
            self._tell_table(put=(hook,))
        elif not fires:
            self._tell_table(remove=((account_id, id),))

    def _understood(self, document: Document) -> Hook | None:
        try:
            return parse_hook(document, self._known_events)
        except InvalidHook as problem:
            self._skipped += 1
            self.log.warning("hook_skipped", hook=document.get("_id"), reason=str(problem))
            return None

    def _tell_table(self, **change: Any) -> None:
        # Without a table there is nothing to change: the next one is loaded from the store.
        if table := self.peer(HOOK_TABLE):
            self.send(table, ChangeHooks(self._load, next(self._numbers), **change))

    def _flush(self, account_id: str, hook_id: str | None) -> None:
        if cache := self.peer(FAILURE_CACHE):
            self.send(cache, FlushFailures(account_id, hook_id))

    def on_timer(self, payload: Any) -> None:
        """Load, or look again at a hook that could not be read."""
        if payload == _LOAD:
            self._loading_timer = False
            if self.peer(HOOK_TABLE):
                self._begin_load()
        elif isinstance(payload, tuple) and payload[0] == _APPLIED:
            # The table or a responder is being restarted: it will load what is stored.
            self.receiveMsg_Applied(Applied(payload[1]), self.myAddress)
        elif payload == _STALLED:
            if self._unanswered and time.monotonic() - self._progress_at > LOAD_STALLS_S:
                self._load_soon(0)
            self.after(LOAD_STALLS_S, _STALLED)
        elif isinstance(payload, tuple) and payload[0] == _AGAIN:
            self._refresh(*payload[1:])
        else:
            super().on_timer(payload)

    # Changes of our own

    def receiveMsg_AddHook(self, message: AddHook, sender: ActorAddress) -> None:
        """Store a new hook; refuse one that could never fire."""
        document = new_hook(
            message.document, gregorian_s(time.time()), uuid.uuid4().hex, self.settings.node.name
        )
        try:
            parse_hook(document, self._known_events)
            self._ensure_account(document["pvt_account_id"])
            document["_rev"] = self._store.save(DATABASE, document)
        except (InvalidHook, StoreError) as problem:
            self.send(sender, Refused(str(problem)))
            return
        self._publish_change("doc_created", document)
        self._refresh(document["_id"], document["pvt_account_id"])
        self._answer_when_applied(sender, HookSaved(document))

    def _ensure_account(self, account_id: str) -> None:
        """On the embedded store accounts come with their first hook; Kazoo makes its own."""
        if self.settings.couchdb.url.startswith("sqlite:"):
            self._store.ensure_database("accounts")
            if self._store.get("accounts", account_id) is None:
                account = {"_id": account_id, "pvt_type": "account", "pvt_tree": []}
                self._store.save("accounts", account)

    def receiveMsg_RemoveHook(self, message: RemoveHook, sender: ActorAddress) -> None:
        """Mark a hook as deleted."""
        self._answer(sender, message.hook_id, "doc_deleted", {"pvt_deleted": True})

    def receiveMsg_DisableHook(self, message: DisableHook, sender: ActorAddress) -> None:
        """Stop a hook that failed too often; never create it."""
        changes = {"enabled": False, "pvt_disabled_message": message.reason}
        saved = self._answer(None, message.hook_id, "doc_edited", changes)
        if saved is not None:
            self._flush(message.account_id, message.hook_id)
            self._publish_disabled(message)

    def _answer(
        self, sender: ActorAddress | None, hook_id: str, change: str, fields: Mapping[str, Any]
    ) -> Document | None:
        """Change a stored hook, let everybody know, and answer whoever asked."""
        try:
            document = self._edit(hook_id, fields)
        except StoreError as problem:
            self.log.warning("hook_not_changed", hook=hook_id, reason=str(problem))
            reply: HookSaved | Refused = Refused(str(problem))
            document = None
        else:
            reply = HookSaved(document) if document else Refused(f"there is no hook {hook_id}")
        if document is not None:
            self._publish_change(change, document)
            self._refresh(hook_id, document.get("pvt_account_id"))
        if sender is not None and document is not None:
            self._answer_when_applied(sender, reply)
        elif sender is not None:
            self.send(sender, reply)
        return document

    def _answer_when_applied(self, sender: ActorAddress, reply: HookSaved | Refused) -> None:
        """Answer once every responder knows: the next event finds the change in effect."""
        ticket = next(self._tickets)
        self._replies[ticket] = sender, reply
        self.after(APPLY_S, (_APPLIED, ticket))
        if table := self.peer(HOOK_TABLE):
            self.send(table, Barrier(self._load, next(self._numbers), ticket))

    def receiveMsg_Applied(self, message: Applied, _sender: ActorAddress) -> None:
        """A change is in effect."""
        if message.ticket in self._replies:
            self.send(*self._replies.pop(message.ticket))

    def _edit(self, hook_id: str, fields: Mapping[str, Any]) -> Document | None:
        for attempt in range(SAVES):
            document = self._store.get(DATABASE, hook_id)
            if document is None or document.get("pvt_type") != "webhook" or is_deleted(document):
                return None
            document = {**document, **fields, "pvt_modified": gregorian_s(time.time())}
            try:
                document["_rev"] = self._store.save(DATABASE, document)
            except Conflict:
                if attempt == SAVES - 1:
                    raise
            else:
                return document
        return None

    def receiveMsg_ListHooks(self, message: ListHooks, sender: ActorAddress) -> None:
        """Show the stored hooks, disabled ones too."""
        account_id = message.account_id
        keys: dict[str, Any] = {}
        if account_id is not None:
            keys = {"start": [account_id], "end": [account_id, {}]}
        try:
            rows = self._store.view(
                DATABASE,
                EVERY_HOOK,
                include_documents=True,
                limit=message.limit + 1,
                **keys,
            )
            documents = [row.document for row in rows if row.document is not None]
        except StoreError as problem:
            self.send(sender, Refused(str(problem)))
            return
        more = len(documents) > message.limit
        self.send(sender, HookList(tuple(documents[: message.limit]), more))

    def _publish_change(self, event_name: str, document: Document) -> None:
        """What Kazoo's data layer would publish for this save."""
        key, body = document_change(event_name, DATABASE, document, self.settings.node.name)
        self._publish("configuration", key, body)

    def _publish_disabled(self, disabled: DisableHook) -> None:
        self._publish(
            "notifications",
            "notifications.webhook.disabled",
            {
                "Account-ID": disabled.account_id,
                "Hook-ID": disabled.hook_id,
                "App-Name": "webhooks",
                "App-Version": "4.0.0",
                "Event-Category": "notification",
                "Event-Name": "webhook_disabled",
                "Node": self.settings.node.name,
                "Msg-ID": uuid.uuid4().hex,
            },
        )

    def _publish(self, exchange: str, key: str, body: Mapping[str, Any]) -> None:
        properties = Properties(content_type="application/json")
        self.broker.publish(OutgoingMessage(exchange, key, json.dumps(body).encode(), properties))
