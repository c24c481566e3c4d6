"""Shared by the modules of inbound messages (webhooks_sms, webhooks_mms)."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event
from callboard.webhooks.events.validation import OBJECT, STRING, one_of, validate
from callboard.webhooks.modules.protocol import EventExchange, Firing
from callboard.webhooks.values.json_values import as_number

_REQUIRED = ("Message-ID", "Body", "From", "To")
_KINDS = {
    **dict.fromkeys(("To", "From", "Request", "Message-ID", "System-ID", "Body"), STRING),
    "Custom-Vars": OBJECT,
    "Route-Type": one_of("onnet", "offnet"),
}
_READS = (
    ("id", "Message-ID"),
    ("account_id", "Account-ID"),
    ("type", "Event-Category"),
    ("from", "From"),
    ("to", "To"),
    ("body", "Body"),
    ("origin", "Route-Type"),
)


@frozen
class InboundMessageModule:
    """A module for one kind of message from a carrier; its id is the Event-Category."""

    id: str
    name: str
    description: str
    exchanges: tuple[EventExchange, ...] = (EventExchange("im"),)

    @property
    def events(self) -> tuple[str, ...]:
        """The event that its hooks match."""
        return (self.id,)

    @property
    def bindings(self) -> tuple[tuple[str, str], ...]:
        """Messages from outside only: those between the cluster's own devices are `onnet`."""
        return (("im", f"{self.id}.inbound.offnet.*"),)

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """None: custom_data selects no messages."""
        return {}

    def responds_to(self, event: Event) -> bool:
        """Whether it is an inbound message of its kind."""
        return (event.category, event.name) == (self.id, "inbound")

    def firing(self, event: Event, _directory: Directory) -> Firing | None:
        """The message in the form for its receiver; None if it was routed to no account."""
        validate(event, _REQUIRED, _KINDS)
        account_id = event.account_id
        if account_id is None:
            return None
        payload = {key: event.body[header] for key, header in _READS if header in event.body}
        if not payload["body"]:
            del payload["body"]
        charges = as_number(event.body.get("Charges"))
        if charges is not None:
            payload["charges"] = charges
        return Firing(account_id, self.id, payload)
