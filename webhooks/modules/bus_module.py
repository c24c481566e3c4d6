"""Modules for buses that are not Kazoo's, made of a few plain values (`[[modules]]` tables)."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event
from callboard.webhooks.modules.protocol import EventExchange, Firing
from callboard.webhooks.values.json_values import same, value_at

WHOLE = "*"
"""The path of the whole message."""


def _lower(id: str) -> str:
    return id.lower()


@frozen
class BusModule:
    """Fires for messages of one exchange. The id is taken in lower case, as hooks are.

    A path leads into a message: keys with dots between them, numbers for the members of lists.
    `keys`: routing keys, or patterns of them, to bind. `only`: what must lie at some paths for a
    message to count. The account's id lies at the path `account`, or is always `account_id`; it
    need be in no database. `fields`: payload keys and the paths of their values; without any, the
    payload is the whole message.
    """

    id: str = field(converter=_lower)
    exchange: EventExchange
    keys: tuple[str, ...]
    name: str = ""
    description: str = ""
    account: str = ""
    account_id: str = ""
    only: Mapping[str, Any] = field(factory=dict)
    fields: Mapping[str, str] = field(factory=dict)

    @property
    def events(self) -> tuple[str, ...]:
        """The event its hooks are matched by."""
        return (self.id,)

    @property
    def exchanges(self) -> tuple[EventExchange, ...]:
        """Its one exchange."""
        return (self.exchange,)

    @property
    def bindings(self) -> tuple[tuple[str, str], ...]:
        """Its keys, on its exchange."""
        return tuple((self.exchange.name, key) for key in self.keys)

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """None: a hook's `modifiers` may look at any field of the payload."""
        return {}

    def responds_to(self, event: Event) -> bool:
        """Messages that hold what they must."""
        return all(
            same(wanted, _found(event.body, path, _Absent)) for path, wanted in self.only.items()
        )

    def firing(self, event: Event, _directory: Directory) -> Firing | None:
        """The chosen fields, those that are there; None if the message names no account."""
        account_id = self.account_id or _as_id(_found(event.body, self.account, None))
        if not account_id:
            return None
        payload: Mapping[str, Any] = event.body
        if self.fields:
            found = {key: _found(event.body, path, _Absent) for key, path in self.fields.items()}
            payload = {key: value for key, value in found.items() if value is not _Absent}
        return Firing(account_id, self.id, payload, any_account=True)


class _Absent:
    """Stands for what is not there, since null may be."""


def _found(body: Mapping[str, Any], path: str, default: Any) -> Any:
    return body if path == WHOLE else value_at(body, path.split("."), default)


def _as_id(value: Any) -> str:
    """Other buses may count their accounts."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
