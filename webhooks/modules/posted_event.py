"""Events that clients post over HTTP, and the module that fires hooks for them."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.hooks.hook import ALL, Hook
from callboard.webhooks.modules.hops import hop_headers, hops_in
from callboard.webhooks.modules.protocol import EventExchange, Firing
from callboard.webhooks.values.exact_numbers import json_bytes

CATEGORY = "callboard"
EXCHANGE = EventExchange("callboard", durable=True)
NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
MAX_NAME = 200
"""A routing key holds 255 bytes (AMQP 0-9-1)."""


@frozen
class PostedEvent:
    """An event of an account. `id`: identifies its repeats; `at`: Gregorian seconds.

    `hops`: how often an event before it was posted because of a delivery of ours (hops.py).
    """

    id: str
    name: str
    account_id: str
    at: int
    data: Mapping[str, Any]
    hops: int = 0

    @property
    def routing_key(self) -> str:
        """The event's name, so that other consumers may bind to it."""
        return self.name

    @property
    def body(self) -> bytes:
        """The message, with headers like Kazoo's; the deliveries' ids are derived from `Msg-ID`."""
        headers = {
            "Event-Category": CATEGORY,
            "Event-Name": self.name,
            "Msg-ID": self.id,
            "Account-ID": self.account_id,
            "Timestamp": self.at,
            "Data": self.data,
            **({"Hops": self.hops} if self.hops else {}),
        }
        return json_bytes(headers)


@frozen
class PostedEventModule:
    """Fires for posted events. A hook's `custom_data.type` selects one name of event.

    The payload has the members that the Standard Webhooks specification recommends: `type`,
    `timestamp` and `data`.
    """

    id: str = "event"
    name: str = "Posted Event"
    description: str = "Fires when an event is posted to the API"
    events: tuple[str, ...] = ("event",)
    exchanges: tuple[EventExchange, ...] = (EXCHANGE,)
    bindings: tuple[tuple[str, str], ...] = ((EXCHANGE.name, "#"),)

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """No required modifiers; `type` may be any name."""
        return {}

    def responds_to(self, event: Event) -> bool:
        """Whether it is a posted event."""
        return event.category == CATEGORY

    def firing(self, event: Event, _directory: Directory) -> Firing:
        """The account need be in no database. Raises PoisonEvent."""
        account_id, name, data = event.account_id, event.name, event.body.get("Data")
        if account_id is None or name is None or not isinstance(data, dict):
            raise PoisonEvent("a posted event has Account-ID, Event-Name and an object as Data")
        payload = {
            "id": event.msg_id,
            "type": name,
            "account_id": account_id,
            "timestamp": event.body.get("Timestamp"),
            "data": data,
        }

        def selects(hook: Hook) -> bool:
            return hook.event == ALL or (hook.custom_data or {}).get("type", ALL) in (name, ALL)

        return Firing(
            account_id,
            self.id,
            payload,
            selects=selects,
            any_account=True,
            headers=hop_headers(hops_in(event)),
        )
