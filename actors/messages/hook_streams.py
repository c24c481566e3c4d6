"""Hooks between the listener, the table and the responders, in numbered streams.

The order matters, and Thespian does not keep it. So each message has the number of its stream and
its number in the stream; the receiver holds it back until the earlier ones arrive (`resequencer`).
"""

from attrs import field, frozen

from callboard.webhooks.hooks.hook import Hook


@frozen
class Subscribe:
    """Responder to HookTable: send the hooks of these events, and their changes from now on.

    `path` and `incarnation`: the responder's own.
    """

    events: tuple[str, ...]
    stream: int
    path: str
    incarnation: int


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
    """Confirm once all earlier messages of the stream are in effect. -> `Applied`.

    HookListener sends it to HookTable, which sends it to every Responder.
    """

    stream: int
    number: int
    ticket: int


@frozen
class Applied:
    """The response to a `Barrier`: all earlier messages are in effect."""

    ticket: int


@frozen
class FindHooks:
    """RetryQueue to HookTable: the present state of these hooks, by account and id.

    -> `HooksFound`.
    """

    ask: int
    keys: tuple[tuple[str, str], ...] = field(repr=False)


@frozen
class HooksFound:
    """The hooks of a `FindHooks` that may fire; None: the table is not loaded yet.

    `change`: the number of the latest change in effect. `left`: the last of the keys, to be asked
    for again: their hooks would have made the message too large.
    """

    ask: int
    hooks: tuple[Hook, ...] | None = field(repr=False)
    change: int = 0
    left: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@frozen
class FindOrdered:
    """RetryQueue to HookTable: which hooks are ordered or paused? -> `OrderedFound`."""


@frozen
class OrderedFound:
    """The hooks that are ordered or paused, by account and id, and whether each is paused.

    None: the table is not loaded yet.
    """

    ordered_queues: tuple[tuple[tuple[str, str], bool], ...] | None = field(repr=False)


@frozen
class HooksOutdated:
    """HookTable to RetryQueue and Deliverers: these hooks were changed or removed.

    `change`: the number of that change. `ticket`: to respond with `Applied`, once no delivery of
    theirs waits here in an earlier form; None: no response is expected.
    """

    change: int
    keys: tuple[tuple[str, str], ...] = field(repr=False)
    ticket: int | None = None


@frozen
class LoadHooks:
    """HookListener to HookTable: one page of the stored hooks. -> `HooksLoaded`.

    A load starts a new stream, with number 0. After its last page, the table removes hooks that
    were in no page, since they are no longer stored.
    """

    stream: int
    number: int
    hooks: tuple[Hook, ...] = field(repr=False)
    last: bool


@frozen
class HooksLoaded:
    """HookTable to HookListener: the page is in the table, which has `total` hooks."""

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
