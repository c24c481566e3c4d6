"""Notifications of Kazoo's applications to people (webhooks_notifications)."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.events.validation import validate
from callboard.webhooks.hooks.hook import Hook, InvalidHook, parse_hook
from callboard.webhooks.hooks.selection import ABSENT, by_custom_data
from callboard.webhooks.modules.notification_types import NOTIFICATION_TYPES
from callboard.webhooks.modules.payload import normalize_keys
from callboard.webhooks.modules.protocol import EventExchange, Firing
from callboard.webhooks.values.json_values import as_object, value_at

CALLFLOW = "webhook"
"""The notification by which a callflow fires a hook that it contains itself (cf_webhook)."""

_BOUND = tuple(type for type in NOTIFICATION_TYPES.values() if type.routing_key)

_ACCOUNT_PATHS = (
    ("account_id",),
    ("account", "_id"),
    ("pvt_account_id",),
    ("_id",),
    ("id",),
    ("Account-ID",),
    ("details", "account_id"),
    ("Details", "Account-ID"),
    ("details", "custom_channel_vars", "account_id"),
    ("Details", "Custom-Channel-Vars", "Account-ID"),
)


@frozen
class Notifications:
    """Fires for the account that the notification names; hooks select kinds by custom_data."""

    id: str = "notifications"
    name: str = "Notifications Webhook"
    description: str = "Fires when a notification is published."
    events: tuple[str, ...] = ("notifications",)
    exchanges: tuple[EventExchange, ...] = (EventExchange("notifications"),)
    bindings: tuple[tuple[str, str], ...] = tuple(
        ("notifications", type.routing_key) for type in _BOUND
    )

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """Every kind that is bound, by name."""
        items = {"all": {"friendly_name": "All", "description": "Notifications of every kind."}}
        for type in _BOUND:
            items[type.name] = {
                "friendly_name": type.friendly_name,
                "description": type.description,
            }
        return {"type": {"type": "object", "items": dict(sorted(items.items()))}}

    def responds_to(self, event: Event) -> bool:
        """Whether it is a notification, of any name."""
        return event.category == "notification"

    def firing(self, event: Event, _directory: Directory) -> Firing | None:
        """The whole message with normalised keys; None if it names no account.

        A callflow's webhook fires only the hook that it contains.
        """
        type = NOTIFICATION_TYPES.get(event.name or "")
        if type is None:
            raise PoisonEvent(f"there is no notification {event.name!r}")
        validate(event, type.required, type.kinds)
        if type.name == CALLFLOW:
            return _callflow(event)
        account_id = _account(event.body)
        if account_id is None:
            return None
        selects = by_custom_data(type=type.name)
        return Firing(account_id, "notifications", normalize_keys(event.body), selects)


def _account(body: Mapping[str, Any]) -> str | None:
    """The first defined value decides; if it is not text (also null), there is no account."""
    for path in _ACCOUNT_PATHS:
        found = value_at(body, path, ABSENT)
        if found is not ABSENT:
            return found if isinstance(found, str) and found else None
    return None


def _callflow(event: Event) -> Firing:
    hook = _hook(event.body["Hook"])
    data = normalize_keys(as_object(event.body["Data"]))
    return Firing(hook.account_id, "notifications", data, hooks=(hook,))


def _hook(document: Any) -> Hook:
    if not isinstance(document, dict):
        raise PoisonEvent("Hook of a callflow's webhook is not an object")
    try:
        return parse_hook(document, ("notifications",))
    except InvalidHook as problem:
        raise PoisonEvent(f"Hook of a callflow's webhook: {problem}") from None


MODULE = Notifications()
