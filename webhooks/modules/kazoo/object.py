"""Object: a document or a database of an account changed (Kazoo: webhooks_object)."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event
from callboard.webhooks.events.validation import BOOLEAN, STRING, validate
from callboard.webhooks.hooks.selection import ABSENT, by_custom_data
from callboard.webhooks.modules.protocol import EventExchange, Firing
from callboard.webhooks.values.kazoo_names import account_of_database

TYPES = (
    *("account", "callflow", "device", "faxbox", "media", "user", "vmbox"),
    *("fax", "mailbox_message", "call_recording"),
)
"""The types that hooks may select by default, without `system_config/webhooks` `object_types`."""

_DOCUMENT_ACTIONS = ("doc_created", "doc_edited", "doc_deleted")
_ACTIONS = (*_DOCUMENT_ACTIONS, "db_created", "db_edited", "db_deleted", "db_views_updated")
_KINDS = {"ID": STRING, "Rev": STRING, "Is-Soft-Deleted": BOOLEAN}


@frozen
class ObjectChange:
    """Fires for the account whose database has changed.

    An account's document is stored in the account's own database and, as a copy, in `accounts`; so
    its change may fire twice.
    """

    id: str = "object"
    name: str = "Object"
    description: str = "Fires when a document of the account is created, edited or deleted."
    events: tuple[str, ...] = ("object",)
    exchanges: tuple[EventExchange, ...] = (EventExchange("configuration"),)
    # Kazoo binds `#`. The exchange's other messages are not changes, and must not go to a durable
    # queue: a doc_type_update that no node takes must be returned to its publisher.
    bindings: tuple[tuple[str, str], ...] = tuple(
        ("configuration", f"{action}.#") for action in _ACTIONS
    )

    def modifiers(self, directory: Directory) -> Mapping[str, Any]:
        """The configured types of documents, and the kinds of changes."""
        types = directory.setting("webhooks", "object_types", list(TYPES))
        return {
            "type": {
                "type": "array",
                "description": "Types of documents to fire for",
                "items": ["all", *(types if isinstance(types, list) else TYPES)],
            },
            "action": {
                "type": "array",
                "description": "Changes to fire for",
                "items": ["all", *_DOCUMENT_ACTIONS],
            },
        }

    def responds_to(self, event: Event) -> bool:
        """Whether it is a change, unlike the exchange's other messages (doc_type_update)."""
        return event.category == "configuration" and event.name in _ACTIONS

    def firing(self, event: Event, _directory: Directory) -> Firing | None:
        """The changed document and the kind of change; None for a database without an account."""
        validate(event, ("ID", "Database"), _KINDS)
        account_id = _account(event)
        if account_id is None:
            return None
        action, type = event.name, event.body.get("Type", ABSENT)
        payload = {"id": event.body["ID"], "account_id": account_id, "action": action}
        if type is not ABSENT:
            payload["type"] = type
        return Firing(account_id, "object", payload, by_custom_data(action=action, type=type))


def _account(event: Event) -> str | None:
    """The account of a database or monthly database; in `accounts`, the changed account itself."""
    if event.database == "accounts":
        return event.document_id
    return account_of_database(event.database) if event.database else None


MODULE = ObjectChange()
