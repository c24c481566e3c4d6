"""Modules for buses other than Kazoo's, defined by a few plain values (`[[modules]]` tables)."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event, PoisonEvent, WholeEvent
from callboard.webhooks.modules.payload_schema import OFF, REJECT, InvalidSchema, checker
from callboard.webhooks.modules.protocol import EventExchange, Firing
from callboard.webhooks.values.json_values import same, value_at

WHOLE = "*"
"""The path of the whole message."""


def _lower(id: str) -> str:
    return id.lower()


@frozen
class BusModule:
    """Fires for messages of one exchange. The id is converted to lower case, as hooks are.

    A path selects a value in a message: keys separated by dots, numbers for the members of lists.
    `schema` of the payload: checked if `validate` says so. `samples` of it.
    `keys`: routing keys, or patterns of them, to bind; `binding_headers`: the arguments of the
    bindings to a headers exchange. `only`: the values required at some paths;
    other messages are ignored. The account's id is at the path `account`, or is always
    `account_id`; it need be in no database. `fields`: payload keys and the paths of their values;
    without any, the payload is the whole message. `raw`: hooks send the message's bytes with its
    content type; these need not be JSON if nothing else of the module asks for values.
    `reference`: the path in the payload of what the account knows the event by.
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
    raw: bool = False
    binding_headers: tuple[Mapping[str, Any], ...] = ()
    only_if_present: Mapping[str, Any] = field(factory=dict)
    schema: Mapping[str, Any] = field(factory=dict)
    samples: tuple[Mapping[str, Any], ...] = ()
    validate: str = OFF
    reference: str = ""

    @cached_property
    def fault_of(self) -> Callable[[Any], str]:
        """What returns the first fault of a payload by the schema, empty if there is none.

        Raises InvalidSchema.
        """
        return checker(self.schema)

    def check(self) -> None:
        """Raise InvalidSchema if the schema is none, or does not allow a sample."""
        if self.schema:
            for number, sample in enumerate(self.samples or ({},), 1):
                if (fault := self.fault_of(sample)) and self.samples:
                    raise InvalidSchema(f"sample {number} does not match the schema: {fault}")

    @property
    def any_content(self) -> bool:
        """Whether its messages need not be JSON."""
        looks = self.account or self.only or self.only_if_present or self.reference
        return self.raw and not (looks or self.validate != OFF)

    @property
    def events(self) -> tuple[str, ...]:
        """The event that its hooks match."""
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
        """Whether the message has the required values.

        A value that is missing is none in `only`, and is permitted in `only_if_present`.
        """
        for path, wanted in self.only.items():
            if not same(wanted, _found(event.body, path, _Absent)):
                return False
        for path, wanted in self.only_if_present.items():
            if not same(wanted, _found(event.body, path, wanted)):
                return False
        return True

    def firing(self, event: Event, _directory: Directory) -> Firing | None:
        """The chosen fields that are present; None if the message names no account.

        Raises PoisonEvent for a payload that `schema` does not allow, if it is to be rejected.
        """
        account_id = self.account_id or _as_id(_found(event.body, self.account, None))
        if not account_id:
            return None
        payload: Mapping[str, Any] = event.body
        if self.fields:
            found = {key: _found(event.body, path, _Absent) for key, path in self.fields.items()}
            payload = {key: value for key, value in found.items() if value is not _Absent}
        fault = "" if self.validate == OFF else self.fault_of(payload)
        if fault and self.validate == REJECT:
            raise PoisonEvent(f"the payload does not match the schema of {self.id}: {fault}")
        raw = None
        if self.raw and isinstance(event, WholeEvent):
            raw = _content_type(event), event.content
        return Firing(
            account_id,
            self.id,
            payload,
            any_account=True,
            raw=raw,
            fault=fault,
            reference=_found(payload, self.reference, "") if self.reference else "",
        )


def _content_type(event: WholeEvent) -> str:
    """The message's content type, if it is valid in a header."""
    given = event.content_type or ""
    if given and given.isascii() and given.isprintable():
        return given
    return "application/octet-stream" if event.opaque else "application/json"


class _Absent:
    """Marks an absent value, since null may be a present one."""


def _found(body: Mapping[str, Any], path: str, default: Any) -> Any:
    return body if path == WHOLE else value_at(body, path.split("."), default)


def _as_id(value: Any) -> str:
    """The id as text: other buses may number their accounts."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
