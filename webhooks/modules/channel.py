"""Shared by the channel modules: the call's account, and its payload (webhooks_channel_util)."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.modules.protocol import EventExchange, Firing, every_hook
from callboard.webhooks.values.e164 import CONVERTERS, e164
from callboard.webhooks.values.json_values import as_int, as_object, as_text, is_true

CALL_EXCHANGES = (EventExchange("callevt"), EventExchange("callmgr"))
"""Kazoo declares both together (kapi_call); the events use the first."""

Read = tuple[str, str]
"""A payload key and the header or channel variable it is read from."""

_CCV_TEXTS: tuple[Read, ...] = (
    ("account_id", "Account-ID"),
    ("authorizing_id", "Authorizing-ID"),
    ("authorizing_type", "Authorizing-Type"),
    ("owner_id", "Owner-ID"),
)
_HEADER_TEXTS: tuple[Read, ...] = (
    ("call_direction", "Call-Direction"),
    ("call_id", "Call-ID"),
    ("callee_id_name", "Callee-ID-Name"),
    ("callee_id_number", "Callee-ID-Number"),
    ("caller_id_name", "Caller-ID-Name"),
    ("caller_id_number", "Caller-ID-Number"),
    ("other_leg_call_id", "Other-Leg-Call-ID"),
)
_HEADERS_AS_THEY_ARE: tuple[Read, ...] = (
    ("from", "From"),
    ("to", "To"),
    ("inception", "Inception"),
)


@frozen
class ChannelModule:
    """A module for one call event. The extra fields occur in this event only.

    `event_name` is bound; `alike` are names that count as the same event if they arrive.
    """

    id: str
    name: str
    description: str
    event_name: str
    alike: tuple[str, ...] = ()
    extra_texts: tuple[Read, ...] = ()
    extra_ccv_texts: tuple[Read, ...] = ()
    extra_integers: tuple[Read, ...] = ()
    exchanges: tuple[EventExchange, ...] = CALL_EXCHANGES

    @property
    def events(self) -> tuple[str, ...]:
        """The event that its hooks match."""
        return (self.event_name,)

    @property
    def bindings(self) -> tuple[tuple[str, str], ...]:
        """The event of any call; the call id is the last word."""
        return (("callevt", f"call.{self.event_name}.*"),)

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """None: custom_data selects no calls."""
        return {}

    def responds_to(self, event: Event) -> bool:
        """Whether it is a call event with its name, or with one of `alike`."""
        return event.category == "call_event" and event.name in (self.event_name, *self.alike)

    def firing(self, event: Event, directory: Directory) -> Firing | None:
        """The call's account and its payload; None if the call belongs to no account."""
        ccvs = as_object(event.body.get("Custom-Channel-Vars"))
        account_id = ccvs.get("Account-ID")
        if not isinstance(account_id, str) or not account_id:
            account_id = _account_by_called_number(event.body, directory)
            if account_id is None:
                return None
            ccvs = {**ccvs, "Account-ID": account_id}
        payload = self._payload(event.body, ccvs, account_id, directory)
        return Firing(account_id, self.event_name, payload, selects=_legs_wanted(event.body))

    def _payload(
        self,
        headers: Mapping[str, Any],
        ccvs: Mapping[str, Any],
        account_id: str,
        directory: Directory,
    ) -> dict[str, Any]:
        payload: dict[str, Any] = {}
        _add_texts(payload, ccvs, _CCV_TEXTS + self.extra_ccv_texts)
        _add_texts(payload, headers, _HEADER_TEXTS + self.extra_texts)
        for key, header in _HEADERS_AS_THEY_ARE:
            if header in headers:
                payload[key] = headers[header]
        # Kazoo passes on objects only, but switches send text; hook owners expect the text.
        if isinstance(headers.get("Request"), str | dict):
            payload["request"] = headers["Request"]
        if "Call-Forward" in ccvs and (forward := as_text(ccvs["Call-Forward"])) is not None:
            payload["call_forwarded"] = forward == "true"
        # Kazoo counts an empty list as unset.
        reserved = directory.setting("call_command", "reserved_ccv_keys", None)
        if isinstance(reserved, list) and reserved:
            kept = {key: value for key, value in ccvs.items() if key not in reserved}
            payload["custom_channel_vars"] = kept
        if isinstance(headers.get("Custom-Application-Vars"), dict):
            payload["custom_application_vars"] = headers["Custom-Application-Vars"]
        payload["emergency_resource_used"] = is_true(ccvs.get("Emergency-Resource"))
        payload["is_internal_leg"] = is_true(headers.get("Channel-Is-Loopback"))
        local = not is_true(ccvs.get("Global-Resource"))
        payload["local_resource_used"] = local
        if local:
            _add_texts(payload, ccvs, (("local_resource_id", "Resource-ID"),))
        reseller_id = directory.reseller_id(account_id)
        if reseller_id:
            payload["reseller_id"] = reseller_id
        for key, header in (("timestamp", "Timestamp"), *self.extra_integers):
            number = as_int(headers.get(header))
            if number is not None:
                payload[key] = number
        payload["hook_event"] = self.id
        return payload


def _add_texts(payload: dict[str, Any], source: Mapping[str, Any], reads: tuple[Read, ...]) -> None:
    for key, name in reads:
        if name in source:
            text = as_text(source[name])
            if text is not None:
                payload[key] = text


def _legs_wanted(headers: Mapping[str, Any]) -> Callable[[Hook], bool]:
    """Excludes hooks that do not want internal (loopback) legs from events of such legs."""
    internal = str(headers.get("Channel-Name", "")).startswith("loopback/") or is_true(
        headers.get("Channel-Is-Loopback")
    )
    return _wants_internal_legs if internal else every_hook


def _wants_internal_legs(hook: Hook) -> bool:
    return hook.include_internal_legs


def _account_by_called_number(headers: Mapping[str, Any], directory: Directory) -> str | None:
    number = _called_number(headers, directory)
    return directory.account_by_number(_normalized(number, directory)) if number else None


def _normalized(number: str, directory: Directory) -> str:
    if is_true(directory.setting("stepswitch", "assume_inbound_e164", False)):
        return number if number.startswith("+") else f"+{number}"
    return e164(number, directory.setting("number_manager", "e164_converters", CONVERTERS))


def _called_number(headers: Mapping[str, Any], directory: Directory) -> str | None:
    """The user part of `Request` (or `To` first, by setting), else `To-DID`."""
    order = ["Request", "To"]
    if directory.setting("stepswitch", "inbound_user_field", "Request") == "To":
        order.reverse()
    for header in order:
        address = headers.get(header)
        if isinstance(address, str) and address and not address.startswith("nouser@"):
            user, at, _realm = address.partition("@")
            return user or None if at else None
    did = headers.get("To-DID")
    return did if isinstance(did, str) and did else None
