"""The CouchDB views that Callboard reads, and their equivalents for the embedded store.

Names, keys and values are Kazoo's, so that both read the same rows of a cluster. All of them skip
other kinds of documents and softly deleted ones (`pvt_deleted`).

The views of `ACCOUNTS` and `PORT_REQUESTS` belong to Kazoo: never change their design documents on
a cluster.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from callboard.adapters.store.protocol import View

Rows = Iterable[tuple[Any, Any]]


def _is(document: Mapping[str, Any], kind: str) -> bool:
    return document.get("pvt_type") == kind and not document.get("pvt_deleted")


def _members(document: Mapping[str, Any], **members: str) -> dict[str, Any]:
    """Some members under other names; a missing one is omitted, like in JSON.stringify."""
    return {name: document[key] for name, key in members.items() if key in document}


def _webhooks_listing(document: Mapping[str, Any]) -> Rows:
    if _is(document, "webhook") and document.get("enabled") is not False:
        yield (
            [document.get("pvt_account_id"), document["_id"]],
            _members(document, id="_id", hook="hook", name="name", uri="uri"),
        )


def _accounts_listing(document: Mapping[str, Any]) -> Rows:
    if _is(document, "webhook"):
        yield document.get("pvt_account_id"), None


def _hook_listing(document: Mapping[str, Any]) -> Rows:
    if _is(document, "webhook"):
        yield document.get("hook"), document.get("pvt_account_id")


def _crossbar_listing(document: Mapping[str, Any]) -> Rows:
    if _is(document, "webhook"):
        shown = _members(
            document,
            id="_id",
            hook="hook",
            name="name",
            uri="uri",
            group="group",
            enabled="enabled",
            disable_reason="pvt_disabled_message",
        )
        yield [document.get("pvt_account_id"), document["_id"]], {"enabled": True, **shown}


def _attempts_by_hook_listing(document: Mapping[str, Any]) -> Rows:
    if _is(document, "webhook_attempt"):
        yield [document.get("hook_id"), document.get("pvt_created")], None


def _attempts_by_time_listing(document: Mapping[str, Any]) -> Rows:
    if _is(document, "webhook_attempt"):
        yield document.get("pvt_created"), None


def _webhook_meta_listing(document: Mapping[str, Any]) -> Rows:
    if _is(document, "webhook_meta"):
        yield document.get("name"), None


def _listing_by_id(document: Mapping[str, Any]) -> Rows:
    if _is(document, "account"):
        yield document["_id"], _members(document, id="_id", name="name")


def _listing_by_descendants(document: Mapping[str, Any]) -> Rows:
    if _is(document, "account"):
        tree = document.get("pvt_tree")
        for ancestor in tree if isinstance(tree, list) else ():
            yield [ancestor, document["_id"]], _members(document, id="_id", name="name")


def _port_in_numbers(document: Mapping[str, Any]) -> Rows:
    numbers = document.get("numbers")
    finished = document.get("pvt_port_state") in ("completed", "canceled")
    if _is(document, "port_request") and not finished and isinstance(numbers, Mapping):
        for number in numbers:
            yield number, document.get("pvt_account_id")


_LETTER = {
    "kind": "kind",
    "reason": "reason",
    "account_id": "pvt_account_id",
    "hook_id": "hook_id",
    "hook_event": "hook_event",
    "module": "module",
    "uri": "uri",
    "exchange": "exchange",
    "routing_key": "routing_key",
    "tries": "tries",
}
"""The listed fields of a dead letter, so that its body need not be read."""


def _letters(document: Mapping[str, Any], *owner: str) -> Rows:
    if _is(document, "dead_letter"):
        place = [document.get("pvt_created"), document["_id"]]
        yield [*(document[key] for key in owner), *place], _members(document, **_LETTER)


def _letters_by_time(document: Mapping[str, Any]) -> Rows:
    yield from _letters(document)


def _letters_by_account(document: Mapping[str, Any]) -> Rows:
    if "pvt_account_id" in document:
        yield from _letters(document, "pvt_account_id")


def _letters_by_hook(document: Mapping[str, Any]) -> Rows:
    if "hook_id" in document:
        yield from _letters(document, "hook_id")


def _letters_javascript(owner: str = "") -> str:
    condition = f" || doc.{owner} === undefined" if owner else ""
    first = f"doc.{owner}, " if owner else ""
    members = ", ".join(f"{name}: doc.{key}" for name, key in _LETTER.items())
    return f"""function(doc) {{
  if (doc.pvt_type !== 'dead_letter' || doc.pvt_deleted{condition}) return;
  emit([{first}doc.pvt_created, doc._id], {{{members}}});
}}"""


WEBHOOKS = (
    View(
        "webhooks",
        "webhooks_listing",
        """function(doc) {
  if (doc.pvt_type !== 'webhook' || doc.pvt_deleted || doc.enabled === false) return;
  emit([doc.pvt_account_id, doc._id],
       {id: doc._id, hook: doc.hook, name: doc.name, uri: doc.uri});
}""",
        _webhooks_listing,
    ),
    View(
        "webhooks",
        "accounts_listing",
        """function(doc) {
  if (doc.pvt_type !== 'webhook' || doc.pvt_deleted) return;
  emit(doc.pvt_account_id, null);
}""",
        _accounts_listing,
        reduce="_count",
    ),
    View(
        "webhooks",
        "hook_listing",
        """function(doc) {
  if (doc.pvt_type !== 'webhook' || doc.pvt_deleted) return;
  emit(doc.hook, doc.pvt_account_id);
}""",
        _hook_listing,
    ),
    View(
        "webhooks",
        "crossbar_listing",
        """function(doc) {
  if (doc.pvt_type !== 'webhook' || doc.pvt_deleted) return;
  emit([doc.pvt_account_id, doc._id],
       {id: doc._id, hook: doc.hook, name: doc.name, uri: doc.uri, group: doc.group,
        enabled: doc.enabled === undefined ? true : doc.enabled,
        disable_reason: doc.pvt_disabled_message});
}""",
        _crossbar_listing,
    ),
)
"""Views of the database `webhooks`."""

MODB = (
    View(
        "webhooks",
        "attempts_by_hook_listing",
        """function(doc) {
  if (doc.pvt_type !== 'webhook_attempt' || doc.pvt_deleted) return;
  emit([doc.hook_id, doc.pvt_created], null);
}""",
        _attempts_by_hook_listing,
    ),
    View(
        "webhooks",
        "attempts_by_time_listing",
        """function(doc) {
  if (doc.pvt_type !== 'webhook_attempt' || doc.pvt_deleted) return;
  emit(doc.pvt_created, null);
}""",
        _attempts_by_time_listing,
    ),
)
"""Views of an account's monthly database (`account/ab/cd/ef…-YYYYMM`)."""

ACCOUNT = (
    View(
        "webhooks",
        "webhook_meta_listing",
        """function(doc) {
  if (doc.pvt_type !== 'webhook_meta' || doc.pvt_deleted) return;
  emit(doc.name, null);
}""",
        _webhook_meta_listing,
    ),
)
"""Views of an account's database (`account/ab/cd/ef…`)."""

ACCOUNTS = (
    View(
        "accounts",
        "listing_by_id",
        """function(doc) {
  if (doc.pvt_type !== 'account' || doc.pvt_deleted) return;
  emit(doc._id, {id: doc._id, name: doc.name});
}""",
        _listing_by_id,
    ),
    View(
        "accounts",
        "listing_by_descendants",
        """function(doc) {
  if (doc.pvt_type !== 'account' || doc.pvt_deleted) return;
  (doc.pvt_tree || []).forEach(function(ancestor) {
    emit([ancestor, doc._id], {id: doc._id, name: doc.name});
  });
}""",
        _listing_by_descendants,
    ),
)
"""Views of the database `accounts`, for a store without a Kazoo."""

PORT_REQUESTS = (
    View(
        "port_requests",
        "port_in_numbers",
        """function(doc) {
  if (doc.pvt_type !== 'port_request' || doc.pvt_deleted) return;
  if (doc.pvt_port_state === 'completed' || doc.pvt_port_state === 'canceled') return;
  if (!doc.numbers || typeof doc.numbers !== 'object' || Array.isArray(doc.numbers)) return;
  Object.keys(doc.numbers).forEach(function(number) { emit(number, doc.pvt_account_id); });
}""",
        _port_in_numbers,
    ),
)
"""Views of the database `port_requests`, for a store without a Kazoo."""

DEAD_LETTERS = (
    View("dead_letters", "by_time", _letters_javascript(), _letters_by_time),
    View("dead_letters", "by_account", _letters_javascript("pvt_account_id"), _letters_by_account),
    View("dead_letters", "by_hook", _letters_javascript("hook_id"), _letters_by_hook),
)
"""Views of the database of dead letters (webhooks/history/dead_letters.py)."""

ALL = (*WEBHOOKS, *MODB, *ACCOUNT, *ACCOUNTS, *PORT_REQUESTS, *DEAD_LETTERS)
