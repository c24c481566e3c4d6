"""Callboard's administration, as messages that any Thespian actor can send.

Send a request to Callboard's top supervisor, or to the actor `maintenance` of its tree; whoever
sent it hears the answer named in its docstring, or `Refused`, which says why and means that
nothing was changed. An account is named by its id, or by its database in either form
(`account/ab/cd/ef…`, `account%2Fab%2Fcd%2Fef…`). The rules behind the commands are Kazoo's
(webhooks_maintenance); `callboard maintenance` is made of these messages.

Pages: an answer holds a bounded number of things. Where its `more` is not None, there is more to
see, or to do: send the same request again with `after=answer.more`. Nothing goes on by itself, so
whoever stops asking stops the work between two pages, and may take it up again later.

Versions: every message carries the `version` it was written for. Fields are only ever added, with
defaults, and a message that arrives from an older or a newer Callboard loses what is not known
here and takes the defaults for what it lacks; so a host built against an older version keeps
working. What would change a meaning gets a new class and raises `VERSION`; the old class stays. A
request of a version that is newer than this Callboard is refused. `ref` is any text of the
sender's; the answer carries it back.
"""

from typing import Any, TypeVar

from attrs import field, fields_dict, frozen

VERSION = 1
"""The version of these messages."""

PAGE_LIMIT = 5000
"""No page holds more, whatever its request says."""

Cursor = tuple[str, ...]
"""Where a page ends; its inside is nobody's business but Callboard's."""


class Message:
    """A message pickles by the names of its fields: unknown ones are dropped, missing ones are
    their defaults."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), {name: getattr(self, name) for name in _names(type(self))})


AnyMessage = TypeVar("AnyMessage", bound=Message)


def _rebuilt(kind: type[AnyMessage], values: dict[str, Any]) -> AnyMessage:
    known = _names(kind)
    return kind(**{name: value for name, value in values.items() if name in known})


def _names(kind: type[Any]) -> dict[str, Any]:
    return fields_dict(kind)


@frozen
class AdminRequest(Message):
    """What all requests have."""

    version: int = field(default=VERSION, kw_only=True)
    ref: str = field(default="", kw_only=True)


@frozen
class AdminAnswer(Message):
    """What all answers have; `ref` is the request's."""

    version: int = field(default=VERSION, kw_only=True)
    ref: str = field(default="", kw_only=True)


@frozen
class Refused(AdminAnswer):
    """A request could not be carried out; nothing was changed by it."""

    reason: str


# What is in memory


@frozen
class HooksConfigured(AdminRequest):
    """Which hooks may fire, of one account or of all? -> `ConfiguredHooks`, by account and id."""

    account: str | None = None
    after: Cursor = ()
    limit: int = 1000


@frozen
class ConfiguredHook(Message):
    """A hook in memory. `event`: as it is matched (`CHANNEL_CREATE`, `all`); `tries`: in all."""

    account_id: str
    hook_id: str
    uri: str
    verb: str
    event: str
    tries: int


@frozen
class ConfiguredHooks(AdminAnswer):
    """One page of the hooks of this node."""

    hooks: tuple[ConfiguredHook, ...]
    more: Cursor | None = None


@frozen
class FailureStatus(AdminRequest):
    """Which hooks fail, of one account or of all? -> `FailingHooks`, by account and id."""

    account: str | None = None
    after: Cursor = ()
    limit: int = 1000


@frozen
class FailingHook(Message):
    """A hook, and how many of its tries failed within its account's failure window."""

    account_id: str
    hook_id: str
    count: int


@frozen
class FailingHooks(AdminAnswer):
    """One page of the hooks that fail; it may be empty and still not the last."""

    hooks: tuple[FailingHook, ...]
    more: Cursor | None = None


@frozen
class FlushAccountFailures(AdminRequest):
    """Forget the failures of an account's hooks. -> `FailuresFlushed`."""

    account: str


@frozen
class FlushHookFailures(AdminRequest):
    """Forget the failures of a hook. -> `FailuresFlushed`."""

    account: str
    hook_id: str


@frozen
class FailuresFlushed(AdminAnswer):
    """So many failed tries are forgotten."""

    count: int


# When hooks are disabled, and enabled again


@frozen
class SetFailureExpiry(AdminRequest):
    """Failures count for so many milliseconds, with an account or by default. -> `SettingSaved`.

    An integer, or a float or text that says one (floats are rounded).
    """

    expiry_ms: int | float | str
    account: str | None = None


@frozen
class SetDisableThreshold(AdminRequest):
    """So many failures disable a hook, with an account or by default. -> `SettingSaved`.

    An integer, or a float or text that says one (floats are rounded).
    """

    count: int | float | str
    account: str | None = None


@frozen
class SettingSaved(AdminAnswer):
    """The setting is stored; `account_id` None: as the default of all accounts."""

    key: str
    value: int
    account_id: str | None = None


@frozen
class EnableAccountHooks(AdminRequest):
    """Enable an account's hooks that were disabled for their failures. -> `HooksEnabled`."""

    account: str
    after: Cursor = ()


@frozen
class EnableDescendantHooks(AdminRequest):
    """The same for an account and all accounts below it. -> `HooksEnabled`."""

    account: str
    after: Cursor = ()


@frozen
class AccountHooks(Message):
    """What became of an account's hooks, or of some of them.

    `seen`: hooks looked at. `enabled`: ids of those that are enabled again. `failed`: (id, reason)
    of those that could not be saved. `problem`: why the hooks could not be read. `complete`: the
    account has no further hooks; else the next `AccountHooks` goes on with it.
    """

    account_id: str
    seen: int = 0
    enabled: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    problem: str = ""
    complete: bool = True


@frozen
class HooksEnabled(AdminAnswer):
    """One page of accounts whose hooks were looked at."""

    accounts: tuple[AccountHooks, ...]
    more: Cursor | None = None


# What is in the store


@frozen
class RegisterViews(AdminRequest):
    """Store the views of Callboard's databases anew. -> `ViewsRegistered`."""

    after: Cursor = ()


@frozen
class ViewsRegistered(AdminAnswer):
    """The views of these databases are up to date."""

    databases: tuple[str, ...]
    more: Cursor | None = None


@frozen
class ResetHookDefinitions(AdminRequest):
    """Make the event modules' metadata documents anew. -> `DefinitionsReset`."""


@frozen
class ResetHookDefinition(AdminRequest):
    """The same for one: `channel_create` or `webhooks_channel_create`. -> `DefinitionsReset`."""

    definition: str


@frozen
class DefinitionsReset(AdminAnswer):
    """Ids of the metadata documents that were deleted and, if modules have them, made anew.

    `failed`: ids of those that could not be deleted.
    """

    reset: tuple[str, ...]
    failed: tuple[str, ...] = ()


@frozen
class CleanUpOrphans(AdminRequest):
    """Delete the hooks of accounts that are gone (Kazoo: kt_webhooks). -> `OrphansCleanedUp`.

    An account is gone when it has neither a database nor a document in `accounts`. `delete`
    False only looks. A page ends with each account; the next one waits some seconds, to spare
    the store.
    """

    after: Cursor = ()
    delete: bool = True


@frozen
class Orphans(Message):
    """An account that is gone, and how many hooks it has left behind."""

    account_id: str
    hooks: int


@frozen
class OrphansCleanedUp(AdminAnswer):
    """The accounts that are gone; their hooks are deleted, unless only a look was asked for."""

    accounts: tuple[Orphans, ...]
    more: Cursor | None = None
