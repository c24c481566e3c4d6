"""A Kazoo cluster in one process: its documents, and its messages up to the requests."""

import gzip
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.hooks import HookStore
from callboard.webhooks.deliveries.delivery import Delivery, deliveries
from callboard.webhooks.events.event import parse_event
from callboard.webhooks.hooks.hook import Hook, InvalidHook, is_enabled, parse_hook
from callboard.webhooks.hooks.matching import HookIndex
from callboard.webhooks.modules.discovery import discover
from callboard.webhooks.retries.policy import KazooPolicy, verdict

TOP = "0123456789abcdef0123456789abcdef"
RESELLER = "11aa22bb33cc44dd55ee66ff77889900"
ACCOUNT = "2f3e4d5c6b7a8990a1b2c3d4e5f60718"
STRANGER = "99887766554433221100ffeeddccbbaa"
CLUSTER = "c1c2c3c4c5c6c7c8c9cacbcccdcecfc0"

NODE, ZONE = "apps@one.example", "west"
NOW = 63_930_000_000
"""Gregorian seconds."""

ENVELOPE = {"App-Name": "an_app", "App-Version": "4.0.0", "Msg-ID": "0a1b2c3d4e5f"}

CALL = {
    "Event-Category": "call_event",
    "Event-Name": "CHANNEL_CREATE",
    "App-Name": "freeswitch",
    "App-Version": "1.0",
    "Msg-ID": "1700000000000001",
    "Node": "freeswitch@switch.example",
    "Timestamp": 63_900_000_001,
    "Call-ID": "leg-1@switch.example",
    "Call-Direction": "inbound",
    "Channel-Name": "sofia/inside/1001@pbx.example",
    "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
}


def call(name: str = "CHANNEL_CREATE", ccvs: Mapping[str, Any] | None = None, **headers: Any):
    """The body of a call event; `_` in a header's name stands for `-`."""
    body = CALL | {"Event-Name": name} | _named(headers)
    if ccvs is not None:
        body["Custom-Channel-Vars"] = CALL["Custom-Channel-Vars"] | ccvs
    return body


def message(category: str, name: str, **headers: Any):
    """The body of a valid message; `_` in a header's name stands for `-`."""
    return {"Event-Category": category, "Event-Name": name} | ENVELOPE | _named(headers)


def without(body: Mapping[str, Any], *headers: str) -> dict[str, Any]:
    """The body lacking these headers."""
    return {header: value for header, value in body.items() if header not in headers}


def change(name: str = "doc_edited", id: str = "doc", database: str | None = None, **headers: Any):
    """A document change in the account's database."""
    database = encoded_database(ACCOUNT) if database is None else database
    return message("configuration", name, ID=id, Database=database, Type="user", **headers)


def encoded_database(account_id: str) -> str:
    """The form in Kazoo's messages."""
    return f"account%2F{account_id[:2]}%2F{account_id[2:4]}%2F{account_id[4:]}"


def database(account_id: str) -> str:
    """The form in CouchDB."""
    return encoded_database(account_id).replace("%2F", "/")


def _named(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {header.replace("_", "-"): value for header, value in headers.items()}


class Cluster:
    """Documents in a store, and events through all modules to the requests they make."""

    def __init__(self, store) -> None:
        self.store = store
        self.directory = StoreDirectory(store, NODE, ZONE)
        self.modules = discover().modules
        self.refused: dict[str, str] = {}
        self._hooks = 0

    def put(self, database: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Store a document, replacing an existing one."""
        self.store.ensure_database(database)
        before = self.store.get(database, document["_id"])
        saved = dict(document) | ({"_rev": before["_rev"]} if before else {})
        saved["_rev"] = self.store.save(database, saved)
        self.directory.forget(database, document["_id"])
        return saved

    def account(self, id: str, *tree: str, **fields: Any) -> None:
        """Store an account with its ancestors."""
        account = {"_id": id, "pvt_type": "account", "pvt_account_id": id, "pvt_tree": list(tree)}
        self.put("accounts", account | fields)

    def number(self, number: str, owner: str = ACCOUNT, **fields: Any) -> None:
        """Store a telephone number in service with its owner."""
        document = {"_id": number, "pvt_assigned_to": owner, "pvt_state": "in_service"} | fields
        self.put(f"numbers/{number[:5]}", document)

    def configure(self, category: str, section: str = "default", **values: Any) -> None:
        """Store values of a section of system_config."""
        document = self.store.get("system_config", category) or {"_id": category}
        section_values = document.get(section, {}) | values
        self.put("system_config", document | {section: section_values})

    def hook(self, hook: str = "channel_create", account: str = ACCOUNT, **fields: Any) -> str:
        """Store a hook's document, with JSON as its default format; returns its id.

        None omits a field.
        """
        self._hooks += 1
        id = fields.pop("_id", f"hook{self._hooks}")
        document = {
            "_id": id,
            "pvt_type": "webhook",
            "pvt_account_id": account,
            "name": id,
            "uri": f"https://endpoint.example/{id}",
            "hook": hook,
            "format": "json",
        } | fields
        self.put("webhooks", {key: value for key, value in document.items() if value is not None})
        return id

    def hooks(self) -> list[Hook]:
        """The hooks that can fire; `refused` has the reasons for the others."""
        known = {event for module in self.modules for event in (module.id, *module.events)}
        found = []
        for page in HookStore(self.store).pages(NOW):
            for document in filter(is_enabled, page.documents):
                try:
                    found.append(parse_hook(document, known))
                except InvalidHook as problem:
                    self.refused[document["_id"]] = problem.reason
        return found

    def fire(self, body: Any, exchange: str = "", key: str = "", zipped: bool = False):
        """The deliveries of a message; raises PoisonEvent for an invalid one."""
        index = HookIndex()
        for hook in self.hooks():
            index.put(hook)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        encoding = "gzip" if zipped else None
        event = parse_event(
            gzip.compress(raw) if zipped else raw, "application/json", encoding, exchange, key
        )
        cluster_id = self.directory.cluster_id()
        return [
            delivery
            for module in self.modules
            for delivery in deliveries(event, module, index, self.directory, cluster_id)
        ]

    def fired(self, body: Any, **how: Any) -> list[str]:
        """Ids of the hooks that a message fires, in order."""
        return [delivery.hook_id for delivery in self.fire(body, **how)]

    def payload(self, body: Any, **how: Any) -> dict[str, Any]:
        """The payload of the only hook, without the cluster's id."""
        (delivery,) = self.fire(body, **how)
        sent: dict[str, Any] = json.loads(delivery.body)
        assert sent.pop("cluster_id") == CLUSTER
        return sent


def pairs(delivery: Delivery) -> list[tuple[str, str]]:
    """The pairs in form data or in a query."""
    text = delivery.body.decode() or delivery.url.partition("?")[2]
    return parse_qsl(text, keep_blank_values=True)


def next_attempt(delivery, attempts_left, outcome):
    """The verdict on an attempt under Kazoo's policy; `attempts_left` includes this attempt."""
    made = delivery.max_attempts - attempts_left + 1
    return verdict(KazooPolicy(), delivery, made, outcome, now_unix_s=0.0, random=lambda: 0.0)
