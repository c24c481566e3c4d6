"""The protocol of event modules: metadata, bindings, responders, and the handling of an event."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from callboard.webhooks.events.directory import Directory
from callboard.webhooks.events.event import Event
from callboard.webhooks.hooks.hook import Hook


def every_hook(_hook: Hook) -> bool:
    """Selects all hooks."""
    return True


@frozen
class EventExchange:
    """An exchange that a module's messages come from.

    It is declared, and a broker refuses a declaration that differs from the existing exchange
    (406): Kazoo's are not durable, those of other buses usually are. `declare`: if not, it is only
    checked that it exists. The others are AMQP's; types other than topic, direct, fanout and
    headers are those of a broker's plug-ins.
    """

    name: str
    type: str = "topic"
    durable: bool = False
    declare: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Mapping[str, Any] = field(factory=dict, hash=False)


HEADERS = "headers"

BRIDGE_EXCHANGES = (EventExchange("configuration"), EventExchange("targeted", "direct"))
"""Declared with any of Kazoo's modules, since Kazoo's requests and replies use them."""


MAX_REFERENCE = 256
"""The most characters of a reference."""


def _as_reference(value: Any) -> str:
    """A text or number as text; empty if it is too long or anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value).encode(errors="replace").decode()  # No store accepts a lone surrogate.
    return text if len(text) <= MAX_REFERENCE else ""


@frozen
class Firing:
    """The result of an event: its account, the hooks that may fire, and their payload.

    `event`: matched against `Hook.event`. `selects`: a further condition on hooks. `hooks`: those
    that fire instead of the account's, if the event itself contains them (a callflow's webhook).
    `any_account`: the account need not be in the directory, as accounts of other buses are not; it
    then has no ancestors. `raw`: the content type and the bytes that hooks send in the body in
    place of the payload; a get sends the payload. `fault`: of the payload by its module's schema,
    which its deliveries are marked with. `above`: accounts that count as ancestors of the account;
    `headers`: sent with each delivery. `reference`: what its account knows it by, such as the
    number of an order: attempts and dead letters store it, and are found by it. Empty: none.
    """

    account_id: str
    event: str
    payload: Mapping[str, Any] = field(repr=False)
    selects: Callable[[Hook], bool] = every_hook
    hooks: tuple[Hook, ...] | None = None
    any_account: bool = False
    raw: tuple[str, bytes] | None = field(default=None, repr=False)
    fault: str = ""
    above: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    reference: str = field(default="", converter=_as_reference)


NO_ARGUMENTS: tuple[Mapping[str, Any], ...] = ({},)


class EventModule(Protocol):
    """One kind of event (Kazoo: a `webhooks_{id}` module). Each file in modules/kazoo/ holds one.

    `id`, `name`, `description` and `modifiers` make its metadata document; `events` are the
    `Hook.event`s it may fire, in lower case except the channel events; `exchanges` are declared,
    `bindings` are (exchange, routing key) pairs. A module for a headers exchange also has
    `binding_headers`: the arguments with each of which it is bound.
    """

    @property
    def id(self) -> str:
        """The name that hooks use: `channel_create`."""

    @property
    def name(self) -> str:
        """The display name: `Channel Create`."""

    @property
    def description(self) -> str:
        """One sentence for display."""

    @property
    def events(self) -> tuple[str, ...]:
        """The events it may fire."""

    @property
    def exchanges(self) -> tuple[EventExchange, ...]:
        """Exchanges to declare."""

    @property
    def bindings(self) -> tuple[tuple[str, str], ...]:
        """The (exchange, routing key) pairs to bind."""

    def modifiers(self, directory: Directory) -> Mapping[str, Any]:
        """Values by which a hook's custom_data may select, for display; mostly empty."""

    def responds_to(self, event: Event) -> bool:
        """Whether the event's category and name are this module's (gen_listener's responders)."""

    def firing(self, event: Event, directory: Directory) -> Firing | None:
        """The event's firing; None if there is none, for example because it belongs to no account.

        Raises PoisonEvent for an invalid message, which is then quarantined.
        """


def arguments_of(module: EventModule) -> tuple[Mapping[str, Any], ...]:
    """The arguments with each of which the module's bindings are made."""
    return getattr(module, "binding_headers", ()) or NO_ARGUMENTS
