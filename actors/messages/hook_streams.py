"""Hooks between the listener, the table and the responders, in numbered streams.

Order matters here, and Thespian does not keep it: each message names its stream and its number
in it, and is held back until the ones before it are there (`resequencer`).
"""

from attrs import field, frozen

from callboard.webhooks.hooks.hook import Hook


@frozen
class Subscribe:
    """Responder to HookTable: send me the hooks of these events, and their changes from now on."""

    events: tuple[str, ...]
    stream: int


@frozen
class HookPage:
    """HookTable to Responder: some of the hooks. `last`: the responder has them all now."""

    stream: int
    number: int
    hooks: tuple[Hook, ...] = field(repr=False)
    last: bool


@frozen
class NextPage:
    """Responder to HookTable: the page is stored, send the next."""


@frozen
class HooksChanged:
    """HookTable to Responders: hooks to put (new or changed) and (account, hook) ids to remove."""

    stream: int
    number: int
    put: tuple[Hook, ...] = field(default=(), repr=False)
    removed: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@frozen
class Barrier:
    """Is everything that came before this in the stream in effect? Answered with `Applied`.

    Goes from HookListener to HookTable, and from there to every Responder.
    """

    stream: int
    number: int
    ticket: int


@frozen
class Applied:
    """The answer to a `Barrier`: everything up to it is in effect."""

    ticket: int


@frozen
class LoadHooks:
    """HookListener to HookTable: one page of the stored hooks. Answered with `HooksLoaded`.

    A load begins a stream, and number 0 the load. What a finished load did not mention is no
    longer stored, and leaves the table.
    """

    stream: int
    number: int
    hooks: tuple[Hook, ...] = field(repr=False)
    last: bool


@frozen
class HooksLoaded:
    """HookTable to HookListener: that page is in the table; `total` hooks are."""

    stream: int
    total: int


@frozen
class ChangeHooks:
    """HookListener to HookTable: put these hooks, remove these (account, hook) ids."""

    stream: int
    number: int
    put: tuple[Hook, ...] = field(default=(), repr=False)
    remove: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    remove_account: str | None = None
