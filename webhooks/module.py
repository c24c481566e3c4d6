"""What an event module is: its metadata, its bindings and responders, its handling of an event."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from callboard.webhooks.directory import Directory
from callboard.webhooks.event import Event
from callboard.webhooks.hook import Hook


def every_hook(_hook: Hook) -> bool:
    """Selects all hooks."""
    return True


@frozen
class Firing:
    """What an event amounts to: whose it is, which hooks may fire, and what they send.

    `event`: matched against `Hook.event`. `selects`: a further condition on hooks. `hooks`: those
    that fire instead of the account's, where the event itself says so (a callflow's webhook).
    """

    account_id: str
    event: str
    payload: Mapping[str, Any] = field(repr=False)
    selects: Callable[[Hook], bool] = every_hook
    hooks: tuple[Hook, ...] | None = None


class EventModule(Protocol):
    """One kind of event (Kazoo: a `webhooks_{id}` module). Each file in modules/ holds one.

    `id`, `name`, `description` and `modifiers` make its metadata document; `events` are the
    `Hook.event`s it may fire, so in lower case but for the channel events; `exchanges` (name ->
    type) are declared, `bindings` are (exchange, routing key) pairs.
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
    def modifiers(self) -> Mapping[str, Any]:
        """What a hook's custom_data may select by; empty for most."""

    @property
    def events(self) -> tuple[str, ...]:
        """The events it may fire."""

    @property
    def exchanges(self) -> Mapping[str, str]:
        """Exchanges to declare, by name."""

    @property
    def bindings(self) -> tuple[tuple[str, str], ...]:
        """Where its messages come from."""

    def responds_to(self, event: Event) -> bool:
        """Whether the event's category and name are this module's (gen_listener's responders)."""

    def firing(self, event: Event, directory: Directory) -> Firing | None:
        """What the event fires; None if nothing, as when it belongs to no account."""
