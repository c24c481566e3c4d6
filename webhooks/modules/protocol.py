"""What an event module is: its metadata, its bindings and responders, its handling of an event."""

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
    """An exchange that a module's messages come from. It is declared, and a broker refuses one
    that exists otherwise (406): Kazoo's are not durable, those of other buses usually are.
    """

    name: str
    type: str = "topic"
    durable: bool = False


EXCHANGE_TYPES = ("topic", "direct", "fanout")

BRIDGE_EXCHANGES = (EventExchange("configuration"), EventExchange("targeted", "direct"))
"""Declared whatever modules there are, since Kazoo's requests and replies go through them."""


@frozen
class Firing:
    """What an event amounts to: whose it is, which hooks may fire, and what they send.

    `event`: matched against `Hook.event`. `selects`: a further condition on hooks. `hooks`: those
    that fire instead of the account's, where the event itself says so (a callflow's webhook).
    `any_account`: the account need not be in the directory, as accounts of other buses are not;
    it then has no ancestors.
    """

    account_id: str
    event: str
    payload: Mapping[str, Any] = field(repr=False)
    selects: Callable[[Hook], bool] = every_hook
    hooks: tuple[Hook, ...] | None = None
    any_account: bool = False


class EventModule(Protocol):
    """One kind of event (Kazoo: a `webhooks_{id}` module). Each file in modules/ holds one.

    `id`, `name`, `description` and `modifiers` make its metadata document; `events` are the
    `Hook.event`s it may fire, so in lower case but for the channel events; `exchanges` are
    declared, `bindings` are (exchange, routing key) pairs.
    """

    @property
    def id(self) -> str:
        """What hooks name it by: `channel_create`."""

    @property
    def name(self) -> str:
        """For people: `Channel Create`."""

    @property
    def description(self) -> str:
        """One sentence for people."""

    @property
    def events(self) -> tuple[str, ...]:
        """The events it may fire."""

    @property
    def exchanges(self) -> tuple[EventExchange, ...]:
        """Exchanges to declare."""

    @property
    def bindings(self) -> tuple[tuple[str, str], ...]:
        """Where its messages come from."""

    def modifiers(self, directory: Directory) -> Mapping[str, Any]:
        """What a hook's custom_data may select by, for people; empty for most."""

    def responds_to(self, event: Event) -> bool:
        """Whether the event's category and name are this module's (gen_listener's responders)."""

    def firing(self, event: Event, directory: Directory) -> Firing | None:
        """What the event fires; None if nothing, as when it belongs to no account.

        Raises PoisonEvent for a message that is not valid: it is set aside.
        """
