"""Bus messages about changes: documents and databases (kzs_publish), and disabled hooks."""

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from attrs import field, frozen

from callboard.webhooks.events.event import Event
from callboard.webhooks.values.kazoo_names import account_of_database, encode_segment, encoded

MAX_KEY_BYTES = 255
"""AMQP 0-9-1, 4.2.5.3: a routing key is a short string."""


def document_change(
    event_name: str, database: str, document: Mapping[str, Any], node: str
) -> tuple[str, dict[str, Any]]:
    """Routing key and body of a saved document's change; `event_name`: `doc_edited` and so on.

    As on a real cluster, `Date-Created` carries pvt_modified and `Date-Modified` pvt_created, and
    the document itself is not sent. A key that AMQP could not carry is cut: bindings match its
    first words, and the body has the whole id.
    """
    name, id, type = encoded(database), str(document["_id"]), document.get("pvt_type", "")
    body: dict[str, Any] = {
        "App-Name": "datamgr",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": event_name,
        "Msg-ID": uuid.uuid4().hex,
        "Node": node,
        "ID": id,
        "Origin-Cache": "kazoo_data_cache",
        "Type": type,
        "Database": name,
        "Rev": document.get("_rev"),
        "Account-ID": document.get("pvt_account_id"),
        "Date-Created": document.get("pvt_modified"),
        "Date-Modified": document.get("pvt_created"),
        "Is-Soft-Deleted": bool(document.get("pvt_deleted", False)),
    }
    words = f"{event_name}.{name}.{type}.{encode_segment(id)}"
    key = words.encode(errors="replace")[:MAX_KEY_BYTES].decode(errors="ignore")
    return key, {header: value for header, value in body.items() if value is not None}


def webhook_disabled(account_id: str, hook_id: str, node: str) -> tuple[str, dict[str, Any]]:
    """Routing key and body of the notification that a hook was disabled (webhooks_disabler)."""
    body = {
        "Account-ID": account_id,
        "Hook-ID": hook_id,
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "notification",
        "Event-Name": "webhook_disabled",
        "Node": node,
        "Msg-ID": uuid.uuid4().hex,
        # An empty queue: no reply is expected, where Kazoo repeats the message without one.
        "Server-ID": "",
    }
    return "notifications.webhook.disabled", body


@frozen
class HookWritten:
    """A hook's document was created or edited; its stored version is to take effect.

    `document`: the document in the message, rarely present; Kazoo's own data layer never sends it.
    """

    hook_id: str
    account_id: str | None
    created: bool
    document: Mapping[str, Any] | None = field(default=None, repr=False)


@frozen
class HookGone:
    """A hook's document was deleted, softly or not."""

    account_id: str
    hook_id: str


@frozen
class AccountGone:
    """An account was deleted, and its hooks with it."""

    account_id: str


def hook_change(event: Event) -> HookWritten | HookGone | AccountGone | None:
    """The meaning of a document change for hooks (webhooks_listener:handle_config); None: none.

    A change without the necessary ids is ignored, where Kazoo crashes.
    """
    document = event.body.get("Doc")
    document = document if isinstance(document, Mapping) else None
    private = document or {}
    hook_id = event.document_id or _text(private, "_id")
    account_id = _text(private, "pvt_account_id") or event.account_id
    if event.body.get("Type") == "account":
        gone = account_id or event.document_id
        return AccountGone(gone) if event.name == "doc_deleted" and gone else None
    if hook_id is None or event.body.get("Type") not in (None, "webhook"):
        return None
    if event.name in ("doc_created", "doc_edited"):
        return HookWritten(hook_id, account_id, event.name == "doc_created", document)
    if event.name == "doc_deleted" and account_id is not None:
        return HookGone(account_id, hook_id)
    return None


def changed_document(event: Event) -> tuple[str, str] | None:
    """The database, by its CouchDB name, and the id of the changed document."""
    if event.database is None or event.document_id is None:
        return None
    return unquote(event.database), event.document_id


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def tells_of_an_account(event: Event) -> bool:
    """Whether the event may report a new account.

    The account's database or its copy in `accounts` was created. A new hook reports its account,
    too.
    """
    if event.name == "db_created":
        return account_of_database(event.database or "") is not None
    return event.name == "doc_created" and event.database in ("accounts", "webhooks")
