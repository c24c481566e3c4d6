"""Callboard's administration, as messages that any Thespian actor can send.

Send a request to Callboard's top supervisor, or to the actor of its tree that carries it out
(`redelivery` for each `RedeliveryRequest`, `maintenance` for all others); whoever sent it hears the
answer named in its docstring, or `Refused`, which says why and means that nothing was changed. An
account is named by its id, or by its database in either form
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

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import field, fields_dict, frozen

from callboard.webhooks.history.dead_letters import DELIVERY as DELIVERY
from callboard.webhooks.history.dead_letters import EVENT as EVENT

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


# Deliveries given up and events set aside, and sending once more

IDS_LIMIT = 100
"""No request names more things to retry, replay or purge."""
MONTHS_LIMIT = 120
"""No request looks at the attempts of more months."""


@frozen
class RedeliveryRequest(AdminRequest):
    """What the requests have that the actor `redelivery` of the tree carries out."""


@frozen
class ListDeadLetters(RedeliveryRequest):
    """Which dead letters are there? -> `DeadLettersListed`, the newest first.

    `kind`: `DELIVERY` or `EVENT`. `since_s` and `until_s`: Unix seconds in which they became dead,
    both included. A page looks at so many letters; fewer may be of the kind that is asked for.
    """

    account: str | None = None
    hook_id: str | None = None
    kind: str | None = None
    since_s: float | None = None
    until_s: float | None = None
    after: Cursor = ()
    limit: int = 200


@frozen
class DeadLetter(Message):
    """A dead letter in short. `at_s`: Unix seconds.

    `subject`: the endpoint of a delivery, without its password; exchange and routing key of an
    event. `name`: the hook's event; of an event the module that failed on it. `tries`: requests
    that were made. Account and hook are "" with an event.
    """

    id: str
    kind: str
    at_s: int
    reason: str
    subject: str
    name: str = ""
    account_id: str = ""
    hook_id: str = ""
    tries: int = 0


@frozen
class DeadLettersListed(AdminAnswer):
    """One page of dead letters; it may be empty and still not the last."""

    letters: tuple[DeadLetter, ...]
    more: Cursor | None = None


@frozen
class ShowDeadLetter(RedeliveryRequest):
    """All that is known of a dead letter. -> `DeadLetterShown`, or `Refused` if there is none."""

    id: str


@frozen
class DeadLetterShown(AdminAnswer):
    """The document of a dead letter: request, history, reason; no secrets and no signatures.

    Its private members are those of any document of Kazoo's; `body` is text, or `body_base64`.
    """

    document: Mapping[str, Any] = field(repr=False)


@frozen
class RetryDeadLetters(RedeliveryRequest):
    """Try these once more, `IDS_LIMIT` at most. -> `DeadLettersRetried`.

    A delivery goes to its hook as that is now, with the same `webhook-id`, and has all its tries
    anew. An event goes to the nodes' queue again. A letter leaves once the broker has what was
    made of it.
    """

    ids: tuple[str, ...]


@frozen
class DeadLettersRetried(AdminAnswer):
    """Ids of those on their way again; (id, reason) of the others, which stay."""

    retried: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


@frozen
class PurgeDeadLetters(RedeliveryRequest):
    """Delete these for ever, `IDS_LIMIT` at most. -> `DeadLettersPurged`."""

    ids: tuple[str, ...]


@frozen
class DeadLettersPurged(AdminAnswer):
    """Ids of those that are gone, also those that were; (id, reason) of the others."""

    purged: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


@frozen
class ListAttempts(RedeliveryRequest):
    """Which attempts of a hook are stored? -> `AttemptsListed`, the oldest first.

    Of a window of Unix seconds, both included, which may cover `MONTHS_LIMIT` months. Successful
    attempts are stored only while `log_successful_attempts` is set.
    """

    hook_id: str
    since_s: float
    until_s: float
    after: Cursor = ()
    limit: int = 100


@frozen
class StoredAttempt(Message):
    """A stored attempt in short. `at_s`: Unix seconds.

    `id` names it to `ReplayAttempts`; `event_id` is shared by all attempts of one delivery, and
    `outcome` is the answer's status, or the error. `problem`: why it cannot be replayed, if so.
    """

    id: str
    event_id: str
    at_s: int
    failed: bool
    outcome: str
    problem: str = ""


@frozen
class AttemptsListed(AdminAnswer):
    """One page of a hook's attempts; it may be empty and still not the last."""

    attempts: tuple[StoredAttempt, ...]
    more: Cursor | None = None


@frozen
class ReplayAttempts(RedeliveryRequest):
    """Send once more what these attempts sent, `IDS_LIMIT` at most. -> `AttemptsReplayed`.

    Each goes to the hook as that is now, with the same `webhook-id`. `run`: any text that names
    this replay; within a run an attempt is replayed once, however often it is asked for.
    """

    hook_id: str
    ids: tuple[str, ...]
    run: str


@frozen
class AttemptsReplayed(AdminAnswer):
    """Ids of the attempts on their way again; (id, reason) of the others."""

    replayed: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


@frozen
class TestHook(RedeliveryRequest):
    """Send a sample event to a hook, now and once. -> `HookTested`.

    It is signed and sent as any delivery, with the header `X-Callboard-Test: true`. It counts as no
    failure, is not retried and not recorded. A hook that is disabled may be tested, too.
    """

    hook_id: str


@frozen
class HookTested(AdminAnswer):
    """What was sent, and what came of it; `request_headers` without the transport's own.

    `status` 0: there was no answer, and `error` says why (as attempts do: `timeout`,
    `failed_connect: …`, `refused: …`), `detail` more of it. Bodies are text, what is none
    replaced; `response_cut`: there was more. `duration_s`: from the sending to the last byte.
    """

    hook_id: str
    method: str
    url: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str = field(repr=False)
    status: int
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: str = field(default="", repr=False)
    response_cut: bool = False
    error: str = ""
    detail: str = ""
    succeeded: bool = False
    duration_s: float = 0.0
