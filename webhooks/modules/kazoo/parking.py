"""Call Parking: a call was parked, retrieved or abandoned there (Kazoo: webhooks_parking)."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event
from callboard.webhooks.events.validation import OBJECT, validate
from callboard.webhooks.modules.channel import CALL_EXCHANGES
from callboard.webhooks.modules.payload import normalize_keys
from callboard.webhooks.modules.protocol import EventExchange, Firing
from callboard.webhooks.values.json_values import as_object

EVENTS = ("PARK_PARKED", "PARK_RETRIEVED", "PARK_ABANDONED")

_OBJECTS = dict.fromkeys(
    ("Custom-Channel-Vars", "Custom-Application-Vars", "Custom-SIP-Headers", "Fax-Info"), OBJECT
)
_NOT_SENT = frozenset(
    ("Node", "Msg-ID", "App-Version", "App-Name", "Event-Category", "Custom-Channel-Vars")
)


@frozen
class Parking:
    """Fires for the account named in the channel variables; calls without one are ignored.

    Internal legs are not distinguished here.
    """

    id: str = "parking"
    name: str = "Call Parking"
    description: str = "Fires when a call is parked, fetched, or hung up while it is parked."
    events: tuple[str, ...] = ("parking",)
    exchanges: tuple[EventExchange, ...] = CALL_EXCHANGES
    bindings: tuple[tuple[str, str], ...] = tuple(("callevt", f"call.{name}.*") for name in EVENTS)

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """None: custom_data selects no parked calls."""
        return {}

    def responds_to(self, event: Event) -> bool:
        """Whether it is one of the three call events of parking."""
        return event.category == "call_event" and event.name in EVENTS

    def firing(self, event: Event, _directory: Directory) -> Firing | None:
        """The message without its envelope, with normalised keys, and its account."""
        validate(event, ("Call-ID",), _OBJECTS)
        account_id = as_object(event.body.get("Custom-Channel-Vars")).get("Account-ID")
        if not isinstance(account_id, str) or not account_id:
            return None
        told = {key: value for key, value in event.body.items() if key not in _NOT_SENT}
        return Firing(account_id, "parking", normalize_keys({**told, "Account-ID": account_id}))


MODULE = Parking()
