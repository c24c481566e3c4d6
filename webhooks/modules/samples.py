"""Sample payloads, made from invented events, for testing a hook."""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.events.directory import Account, Directory
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.hooks.hook import ALL, Hook
from callboard.webhooks.modules.notification_types import NOTIFICATION_TYPES
from callboard.webhooks.modules.payload import final_payload
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.kazoo_names import account_database, encoded, gregorian_s

ALL_SAMPLED_BY = "CHANNEL_CREATE"
"""A hook on all events gets a sample of this one."""

_VALUES: tuple[Any, ...] = ("sample", {"sample": "sample"}, [{"sample": "sample"}], 1, True)
"""For each kind of header, one of these is a valid value."""


def sample_payload(
    hook: Hook,
    modules: Iterable[EventModule],
    directory: Directory,
    cluster_id: str | None,
    now_unix_s: float,
) -> dict[str, Any]:
    """A payload that this hook could send, made by its event's module.

    It matches the hook's selection (`type` and `action` of its custom_data). Raises the directory's
    errors.
    """
    payload, of_kazoo = sample(hook, modules, directory, now_unix_s)
    return final_payload(hook, payload, cluster_id if of_kazoo else None)


def sample(
    hook: Hook, modules: Iterable[EventModule], directory: Directory, now_unix_s: float
) -> tuple[Mapping[str, Any], bool]:
    """The same without the hook's custom data; and whether it is an event of Kazoo.

    If a module has no sample event, the payload only identifies itself as a sample.
    """
    event = _event(hook, now_unix_s)
    for module in modules:
        if event is not None and module.responds_to(event):
            try:
                firing = module.firing(event, directory)
            except PoisonEvent:
                break
            if firing is not None:
                return firing.payload, not firing.any_account
    plain = {"hook_event": hook.event.lower(), "account_id": hook.account_id, "sample": True}
    return _own(hook, modules) or plain, False


def _own(hook: Hook, modules: Iterable[EventModule]) -> Mapping[str, Any]:
    """The first sample of a module for another bus, or the keys that it was configured to send."""
    module = next((m for m in modules if hook.event in m.events), None)
    if samples := getattr(module, "samples", ()):
        first: Mapping[str, Any] = samples[0]
        return first
    return dict.fromkeys(getattr(module, "fields", {}), "sample")


@frozen
class NoDirectory:
    """A directory without a store, for samples: any account exists, and nothing is configured."""

    def account(self, account_id: str) -> Account | None:
        """An account without ancestors."""
        return Account(account_id)

    def reseller_id(self, _account_id: str) -> str | None:
        """None."""
        return None

    def account_by_number(self, _number: str) -> str | None:
        """None."""
        return None

    def setting(self, _category: str, _key: str, default: Any) -> Any:
        """The default."""
        return default


def _event(hook: Hook, now_unix_s: float) -> Event | None:
    name = ALL_SAMPLED_BY if hook.event == ALL else hook.event
    if name.startswith("CHANNEL_"):
        return Event(_call(hook, name, now_unix_s))
    match name:
        case "parking":
            return Event(_call(hook, "PARK_PARKED", now_unix_s))
        case "sms" | "mms":
            return Event(_message(hook, name))
        case "object":
            return Event(_change(hook))
        case "notifications":
            return Event(_notification(hook))
    return None


def _envelope(category: str, name: str) -> dict[str, Any]:
    return {
        "Event-Category": category,
        "Event-Name": name,
        "App-Name": "callboard",
        "App-Version": "1.0",
        "Msg-ID": "sample",
    }


def _call(hook: Hook, name: str, now_unix_s: float) -> dict[str, Any]:
    ended = {
        "Hangup-Cause": "NORMAL_CLEARING",
        "Hangup-Code": "sip:200",
        "Duration-Seconds": 42,
        "Ringing-Seconds": 5,
        "Billing-Seconds": 37,
    }
    return {
        **_envelope("call_event", name),
        "Timestamp": gregorian_s(now_unix_s),
        "Call-ID": "sample-call@switch.example",
        "Call-Direction": "inbound",
        "Caller-ID-Name": "Ada",
        "Caller-ID-Number": "+15550100001",
        "Callee-ID-Name": "Front desk",
        "Callee-ID-Number": "+15550199999",
        "Other-Leg-Call-ID": "sample-other-leg@switch.example",
        "Request": "+15550199999@sample.example",
        "To": "+15550199999@sample.example",
        "From": "+15550100001@sample.example",
        "Custom-Channel-Vars": {"Account-ID": hook.account_id, "Authorizing-Type": "device"},
        **(ended if name == "CHANNEL_DESTROY" else {}),
    }


def _message(hook: Hook, kind: str) -> dict[str, Any]:
    return {
        **_envelope(kind, "inbound"),
        "Account-ID": hook.account_id,
        "Message-ID": "sample-message",
        "From": "+15550100001",
        "To": "+15550199999",
        "Body": "a sample",
        "Route-Type": "offnet",
    }


def _change(hook: Hook) -> dict[str, Any]:
    database = encoded(account_database(hook.account_id))
    return {
        **_envelope("configuration", _wanted(hook, "action", "doc_edited")),
        "ID": "sample-document",
        "Database": database,
        "Type": _wanted(hook, "type", "device"),
    }


def _notification(hook: Hook) -> dict[str, Any]:
    name = _wanted(hook, "type", "voicemail_new")
    type = NOTIFICATION_TYPES.get(name)
    required = type.required if type else ()
    kinds = type.kinds if type else {}
    headers = {
        header: next(v for v in _VALUES if header not in kinds or kinds[header].holds(v))
        for header in (*required, *kinds)
    }
    return {**_envelope("notification", name), **headers, "Account-ID": hook.account_id}


def _wanted(hook: Hook, key: str, default: str) -> str:
    value = (hook.custom_data or {}).get(key)
    return value if isinstance(value, str) and value != ALL else default
