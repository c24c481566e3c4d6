"""Operational events: facts about hooks, deliveries, endpoints and accounts, for their owners.

They travel over the broker like other events, to an exchange of their own, and fire hooks on
`callboard`. A hook gets none about itself, its own endpoint, or a failure of another hook on
`callboard`, so that no event causes another one of its kind (ADR 55).
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.hooks.hook import ALL, Hook
from callboard.webhooks.hooks.uris import endpoint_of, without_user
from callboard.webhooks.modules.hops import hop_headers, hops_in
from callboard.webhooks.modules.protocol import EventExchange, Firing
from callboard.webhooks.values.json_values import as_int

ID = "callboard"
"""The module's id, which its hooks name."""
CATEGORY = "callboard_operational"
EXCHANGE = EventExchange("callboard.operational", durable=True)

HOOK_DISABLED = "hook.disabled"
HOOK_FAILING = "hook.failing"
DELIVERY_EXHAUSTED = "delivery.exhausted"
ENDPOINT_DOWN = "endpoint.down"
ENDPOINT_UP = "endpoint.up"
ACCOUNT_QUOTA = "account.quota"

NAMES = (
    HOOK_DISABLED,
    HOOK_FAILING,
    DELIVERY_EXHAUSTED,
    ENDPOINT_DOWN,
    ENDPOINT_UP,
    ACCOUNT_QUOTA,
)

OF_ENDPOINTS = (ENDPOINT_DOWN, ENDPOINT_UP)
"""One fact makes an event for each affected account, and one of their own for the operators."""


@frozen
class OperationalEvent:
    """A fact about an account. `at`: Gregorian seconds.

    `key`: what identifies the fact beside its name and account. If a fact is reported again, by
    another process or after a restart, the event has the same id, and so has each of its
    deliveries. `hops`: those of the delivery that it is about (hops.py).
    """

    name: str
    account_id: str
    at: int
    data: Mapping[str, Any]
    key: tuple[str | int, ...]
    hops: int = 0

    @property
    def id(self) -> str:
        """32 hex digits, the same whenever the fact is reported."""
        text = json.dumps([self.name, self.account_id, *self.key])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def routing_key(self) -> str:
        """The event's name, so that other consumers may bind to it."""
        return self.name

    def message(self, node: str) -> dict[str, Any]:
        """The message, with headers like Kazoo's. `node`: the one that reports it."""
        return {
            "Event-Category": CATEGORY,
            "Event-Name": self.name,
            "Msg-ID": self.id,
            "Account-ID": self.account_id,
            "Timestamp": self.at,
            "Node": node,
            "Data": dict(self.data),
            **({"Hops": self.hops} if self.hops else {}),
        }


@frozen
class OperationalModule:
    """Fires for operational events. A hook's `custom_data.type` selects one name of event.

    `operators`: accounts whose hooks with `include_subaccounts` get those of all accounts.
    """

    operators: tuple[str, ...] = ()
    id: str = ID
    name: str = "Operational event"
    description: str = (
        "Fires when a hook fails or is disabled, a delivery is exhausted, an endpoint is down or "
        "up again, or an account reaches a quota"
    )
    events: tuple[str, ...] = (ID,)
    exchanges: tuple[EventExchange, ...] = (EXCHANGE,)
    bindings: tuple[tuple[str, str], ...] = ((EXCHANGE.name, "#"),)

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """No required modifiers; without `type` a hook receives all events."""
        return {}

    def responds_to(self, event: Event) -> bool:
        """Whether it is an operational event."""
        return event.category == CATEGORY

    def firing(self, event: Event, _directory: Directory) -> Firing:
        """The account need be in no database. Raises PoisonEvent."""
        account_id, name, data = event.account_id, event.name, event.body.get("Data")
        if account_id is None or name is None or not isinstance(data, dict):
            raise PoisonEvent(
                "an operational event has Account-ID, Event-Name and an object as Data"
            )
        payload = {
            "id": event.msg_id,
            "type": name,
            "account_id": account_id,
            "timestamp": event.body.get("Timestamp"),
            "node": event.body.get("Node"),
            "data": data,
        }
        return Firing(
            account_id,
            self.id,
            payload,
            selects=_Selection(name, data.get("hook_id"), data.get("endpoint")).selects,
            any_account=True,
            above=() if name in OF_ENDPOINTS else self.operators,
            headers=hop_headers(hops_in(event)),
        )


@frozen
class _Selection:
    """Which hooks an event fires. Hooks on all events get those of the bus alone."""

    name: str
    hook_id: Any
    endpoint: Any

    def selects(self, hook: Hook) -> bool:
        if hook.event != ID or hook.id == self.hook_id:
            return False
        if self.endpoint is not None and endpoint_of(hook.uri) == self.endpoint:
            return False
        return (hook.custom_data or {}).get("type", ALL) in (self.name, ALL)


def is_reported(hook_event: Any) -> bool:
    """Whether failures of a hook on this event are reported: those of `callboard` are not."""
    return bool(hook_event != ID)


def hook_disabled(document: Mapping[str, Any], reason: str, at: int) -> OperationalEvent:
    """A hook was disabled for its failures, or because its endpoint is gone.

    `document`: as it was saved, disabled.
    """
    return OperationalEvent(
        HOOK_DISABLED,
        str(document.get("pvt_account_id")),
        at,
        {**_hook_facts(document), "reason": reason},
        (str(document["_id"]), str(document.get("_rev"))),
    )


def hook_failing(
    document: Mapping[str, Any], failures: int, limit: int, window_ms: int, first_ms: int, at: int
) -> OperationalEvent:
    """A hook has half of the failures that disable it. `first_ms`: the time of the first."""
    facts = {"failures": failures, "limit": limit, "window_s": window_ms / 1000}
    return OperationalEvent(
        HOOK_FAILING,
        str(document.get("pvt_account_id")),
        at,
        {**_hook_facts(document), **facts},
        (str(document["_id"]), first_ms),
    )


def delivery_exhausted(letter: Mapping[str, Any]) -> OperationalEvent | None:
    """A delivery was exhausted, and this is its dead letter; None if that is not reported."""
    if letter.get("kind") != "delivery" or not is_reported(letter.get("hook_event")):
        return None
    names = ("hook_id", "hook_event", "delivery_id", "webhook_id", "event_id", "uri", "reason")
    facts = {name: letter.get(name) for name in (*names, "tries")}
    return OperationalEvent(
        DELIVERY_EXHAUSTED,
        str(letter.get("pvt_account_id")),
        int(letter.get("pvt_created") or 0),
        {**facts, "dead_letter_id": letter.get("_id")},
        (str(letter.get("_id")),),
        as_int(letter.get("pvt_hops")) or 0,
    )


def endpoint_down(
    node: str, endpoint: str, account_id: str, since_ms: int, at: int
) -> OperationalEvent:
    """An endpoint cannot be reached: its circuit is open. `since_ms`: Unix."""
    facts = {"endpoint": endpoint, "since_ms": since_ms}
    return OperationalEvent(ENDPOINT_DOWN, account_id, at, facts, (node, endpoint, since_ms))


def endpoint_up(
    node: str, endpoint: str, account_id: str, since_ms: int, at: int, down_s: float
) -> OperationalEvent:
    """An endpoint that was down since `since_ms` can be reached again."""
    facts = {"endpoint": endpoint, "since_ms": since_ms, "down_s": round(max(down_s, 0.0), 1)}
    return OperationalEvent(ENDPOINT_UP, account_id, at, facts, (node, endpoint, since_ms))


def account_quota(
    account_id: str, setting: str, reason: str, at: int, period_s: int
) -> OperationalEvent:
    """An account has reached a quota; the event is the same within each `period_s`."""
    facts = {"setting": setting, "reason": reason}
    return OperationalEvent(ACCOUNT_QUOTA, account_id, at, facts, (setting, at // period_s))


def _hook_facts(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "hook_id": document["_id"],
        "hook_event": document.get("hook"),
        "name": document.get("name"),
        "uri": without_user(str(document.get("uri"))),
    }
