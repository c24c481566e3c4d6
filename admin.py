"""Callboard's administration, as messages that any Thespian actor can send.

Send a request to Callboard's top supervisor, or to the actor of its tree that handles it
(`redelivery` for each `RedeliveryRequest`, `maintenance` for all others). The sender receives the
response named in the request's docstring, or `Refused` with a reason, which means that nothing was
changed. Name an account by its id, or by its database in either form (`account/ab/cd/ef…`,
`account%2Fab%2Fcd%2Fef…`). The rules of the commands are Kazoo's (webhooks_maintenance);
`callboard maintenance` sends these messages.

Pages: a response holds a bounded number of items. If its `more` is not None, there is more to read
or to do: send the same request again with `after=response.more`. Each page needs its own request: a
sender that stops asking stops the work between two pages, and may continue it later.

Versions: every message carries the `version` it was written for. Later versions only add fields,
with defaults. A message from an older or a newer Callboard loses unknown fields and gets the
defaults for missing ones, so a host built against an older version keeps working. A change of
meaning gets a new class and raises `VERSION`; the old class stays. Callboard refuses a request
whose version is newer than its own. `ref` is any text; the response carries it back.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from attrs import field, fields_dict, frozen

from callboard.webhooks.history.dead_letters import DELIVERY as DELIVERY
from callboard.webhooks.history.dead_letters import EVENT as EVENT

VERSION = 1
"""The version of these messages."""

PAGE_LIMIT = 5000
"""The maximum number of items of a page; larger limits in requests are reduced to it."""

Cursor = tuple[str, ...]
"""The end of a page; opaque to senders."""


class Message:
    """A message that is pickled by field names: unknown fields are dropped, missing ones get
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
    """The base class of all requests."""

    version: int = field(default=VERSION, kw_only=True)
    ref: str = field(default="", kw_only=True)


@frozen
class AdminAnswer(Message):
    """The base class of all responses; `ref` is the request's."""

    version: int = field(default=VERSION, kw_only=True)
    ref: str = field(default="", kw_only=True)


Cause = Literal["", "quota", "busy", "blocked", "setting"]


@frozen
class Refused(AdminAnswer):
    """A request could not be carried out; nothing was changed by it.

    `cause`: why, if a client may do something about it. The request may succeed later if the
    account's quota is used up, or the node is `busy` at a limit of its own, or the broker is
    `blocked` and takes no messages at present. `setting`: that of the quota, or the one of the node
    that does not permit such requests.
    """

    reason: str
    cause: Cause = ""
    setting: str = ""


# Memory


@frozen
class HooksConfigured(AdminRequest):
    """List hooks that may fire, of one account or all. -> `ConfiguredHooks`, by account and id."""

    account: str | None = None
    after: Cursor = ()
    limit: int = 1000


@frozen
class ConfiguredHook(Message):
    """A hook in memory. `event`: as matched (`CHANNEL_CREATE`, `all`). `tries`: attempt limit."""

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
    """List failing hooks, of one account or of all. -> `FailingHooks`, by account and id."""

    account: str | None = None
    after: Cursor = ()
    limit: int = 1000


@frozen
class FailingHook(Message):
    """A hook, and the number of failed attempts within its account's failure window."""

    account_id: str
    hook_id: str
    count: int


@frozen
class FailingHooks(AdminAnswer):
    """One page of failing hooks; it may be empty and still not the last."""

    hooks: tuple[FailingHook, ...]
    more: Cursor | None = None


@frozen
class FlushAccountFailures(AdminRequest):
    """Clear the failures of an account's hooks. -> `FailuresFlushed`."""

    account: str


@frozen
class FlushHookFailures(AdminRequest):
    """Clear the failures of a hook. -> `FailuresFlushed`."""

    account: str
    hook_id: str


@frozen
class FailuresFlushed(AdminAnswer):
    """The number of failed attempts that were cleared."""

    count: int


# When hooks are disabled, and enabled again


@frozen
class SetFailureExpiry(AdminRequest):
    """Set how many milliseconds failures count, for an account or by default. -> `SettingSaved`.

    An integer, or a float or text with a number (floats are rounded).
    """

    expiry_ms: int | float | str
    account: str | None = None


@frozen
class SetDisableThreshold(AdminRequest):
    """Set how many failures disable a hook, for an account or by default. -> `SettingSaved`.

    An integer, or a float or text with a number (floats are rounded).
    """

    count: int | float | str
    account: str | None = None


@frozen
class SettingSaved(AdminAnswer):
    """The setting is stored; `account_id` None means the default of all accounts."""

    key: str
    value: int
    account_id: str | None = None


@frozen
class EnableAccountHooks(AdminRequest):
    """Enable an account's hooks that were disabled for failures. -> `HooksEnabled`."""

    account: str
    after: Cursor = ()


@frozen
class EnableDescendantHooks(AdminRequest):
    """Enable such hooks of an account and all its descendants. -> `HooksEnabled`."""

    account: str
    after: Cursor = ()


@frozen
class AccountHooks(Message):
    """The result for an account's hooks, or for some of them.

    `seen`: number of hooks read. `enabled`: ids of hooks that were enabled. `failed`: (id, reason)
    of hooks that could not be saved. `problem`: why the hooks could not be read. `complete`: the
    account has no further hooks; otherwise the next `AccountHooks` continues with it.
    """

    account_id: str
    seen: int = 0
    enabled: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    problem: str = ""
    complete: bool = True


@frozen
class HooksEnabled(AdminAnswer):
    """One page of accounts with their results."""

    accounts: tuple[AccountHooks, ...]
    more: Cursor | None = None


# The store


@frozen
class RegisterViews(AdminRequest):
    """Store the views of Callboard's databases again. -> `ViewsRegistered`."""

    after: Cursor = ()


@frozen
class ViewsRegistered(AdminAnswer):
    """The views of these databases are up to date."""

    databases: tuple[str, ...]
    more: Cursor | None = None


@frozen
class ResetHookDefinitions(AdminRequest):
    """Recreate the event modules' metadata documents. -> `DefinitionsReset`."""


@frozen
class ResetHookDefinition(AdminRequest):
    """Recreate one: `channel_create` or `webhooks_channel_create`. -> `DefinitionsReset`."""

    definition: str


@frozen
class DefinitionsReset(AdminAnswer):
    """Ids of the metadata documents that were deleted and, if a module exists, recreated.

    `failed`: ids of documents that could not be deleted.
    """

    reset: tuple[str, ...]
    failed: tuple[str, ...] = ()


@frozen
class CleanUpOrphans(AdminRequest):
    """Delete the hooks of deleted accounts (Kazoo: kt_webhooks). -> `OrphansCleanedUp`.

    A deleted account has neither a database nor a document in `accounts`. With `delete` False,
    hooks are only reported. A page ends with each account; the next one waits some seconds, to
    reduce the load of the store.
    """

    after: Cursor = ()
    delete: bool = True


@frozen
class Orphans(Message):
    """A deleted account, and the number of its remaining hooks."""

    account_id: str
    hooks: int


@frozen
class OrphansCleanedUp(AdminAnswer):
    """The deleted accounts; their hooks are deleted, unless the request set `delete` to False."""

    accounts: tuple[Orphans, ...]
    more: Cursor | None = None


# Dead letters, and sending again

IDS_LIMIT = 100
"""The maximum number of ids in a request to retry, replay or purge."""
MONTHS_LIMIT = 120
"""The maximum number of months whose attempts a request reads."""


@frozen
class RedeliveryRequest(AdminRequest):
    """The base class of the requests that the tree's actor `redelivery` handles."""


@frozen
class ListDeadLetters(RedeliveryRequest):
    """List dead letters. -> `DeadLettersListed`, newest first.

    `kind`: `DELIVERY` or `EVENT`. `since_s` and `until_s`: the period of their creation in Unix
    seconds, both included. A page reads `limit` dead letters; fewer may be of this kind.
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
    """A summary of a dead letter. `at_s`: Unix seconds.

    `subject`: a delivery's endpoint, without the password; an event's exchange and routing key.
    `name`: the hook's event, or the module that failed on an event. `tries`: the number of
    attempts. Account and hook are "" for an event.
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
    """Show a dead letter. -> `DeadLetterShown`, or `Refused` if it does not exist."""

    id: str


@frozen
class DeadLetterShown(AdminAnswer):
    """The document of a dead letter: request, history, reason; no secrets and no signatures.

    Its private members are those of any document of Kazoo's; `body` is text, or `body_base64`.
    """

    document: Mapping[str, Any] = field(repr=False)


@frozen
class RetryDeadLetters(RedeliveryRequest):
    """Send dead letters again, at most `IDS_LIMIT`. -> `DeadLettersRetried`.

    A delivery goes to its hook as the hook is now, with the same `webhook-id` and a full set of
    attempts. An event goes to the nodes' queue again. A dead letter is deleted once the broker
    has confirmed the message.
    """

    ids: tuple[str, ...]


@frozen
class DeadLettersRetried(AdminAnswer):
    """Ids of dead letters that were sent; (id, reason) of the others, which remain."""

    retried: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


@frozen
class PurgeDeadLetters(RedeliveryRequest):
    """Delete dead letters permanently, at most `IDS_LIMIT`. -> `DeadLettersPurged`."""

    ids: tuple[str, ...]


@frozen
class DeadLettersPurged(AdminAnswer):
    """Ids of dead letters that no longer exist; (id, reason) of the others."""

    purged: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


@frozen
class ListAttempts(RedeliveryRequest):
    """List the stored attempts of a hook. -> `AttemptsListed`, oldest first.

    The period is in Unix seconds, both included, and may cover `MONTHS_LIMIT` months. Successful
    attempts are stored only while `attempts.log_successful` or `log_successful_attempts` is set.
    """

    hook_id: str
    since_s: float
    until_s: float
    after: Cursor = ()
    limit: int = 100


@frozen
class StoredAttempt(Message):
    """A summary of a stored attempt. `at_s`: Unix seconds.

    `id` identifies it in `ReplayAttempts`; all attempts of one delivery share `event_id`;
    `outcome` is the response's status, or the error. `problem`: why it cannot be replayed.
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
class ShowAttempt(RedeliveryRequest):
    """Show a stored attempt of a hook by its `id`. -> `AttemptShown`, or `Refused` if it does not
    exist."""

    hook_id: str
    id: str


@frozen
class AttemptShown(AdminAnswer):
    """The document of an attempt: request and response, with `id` as in `StoredAttempt`.

    It has no private members. Headers that hold credentials are as they were stored.
    """

    document: Mapping[str, Any] = field(repr=False)


@frozen
class ReplayAttempts(RedeliveryRequest):
    """Send the deliveries of these attempts again, at most `IDS_LIMIT`. -> `AttemptsReplayed`.

    Each goes to the hook as it is now, with the same `webhook-id`. `run`: any text that names
    this replay; within a run an attempt is replayed only once, even if requested again.
    """

    hook_id: str
    ids: tuple[str, ...]
    run: str


@frozen
class AttemptsReplayed(AdminAnswer):
    """Ids of the attempts that were sent again; (id, reason) of the others."""

    replayed: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()


@frozen
class ListWaiting(RedeliveryRequest):
    """List deliveries that this node has deferred. -> `WaitingListed`, by the time they are due.

    `text`: only those of the event with this id or reference, or whose content has this text.
    """

    hook_id: str | None = None
    account: str | None = None
    after: Cursor = ()
    limit: int = 100
    text: str = ""


@frozen
class WaitingDelivery(Message):
    """A delivery in the retry queue. `id`: its `webhook-id`; `due_s`: Unix seconds.

    `event`: as in the hook. `tries`: those made so far, of `most_tries`. `reason`: of its last
    failure, or why it was not tried. `reference`: as its event module names it.
    """

    id: str
    event_id: str
    event: str
    account_id: str
    hook_id: str
    uri: str
    tries: int
    due_s: float
    reason: str
    most_tries: int = 0
    reference: str = ""


@frozen
class WaitingListed(AdminAnswer):
    """One page of the deliveries that wait; it may be empty and still not the last.

    `count`: of all pages, whatever the request's `text`.
    """

    deliveries: tuple[WaitingDelivery, ...]
    count: int = 0
    more: Cursor | None = None


@frozen
class RetryWaiting(RedeliveryRequest):
    """Send a hook's deliveries that this node has deferred now. -> `WaitingRetried`.

    Each has the attempts that it had left, and the same `webhook-id`. Deliveries that are
    deferred again after the first of these requests are not sent by the next ones.
    """

    hook_id: str
    after: Cursor = ()


@frozen
class WaitingRetried(AdminAnswer):
    """The ids that were sent; (id, reason) of the others, which stay as they are."""

    sent: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()
    more: Cursor | None = None


@frozen
class TestHook(RedeliveryRequest):
    """Send a sample event to a hook once, now. -> `HookTested`.

    It is signed and sent like any delivery, with the header `X-Callboard-Test: true`. It does not
    count as a failure, and is neither retried nor recorded. Disabled hooks can be tested, too.
    """

    hook_id: str


@frozen
class HookTested(AdminAnswer):
    """The test's request and its result; `request_headers` without the transport's own.

    `status` 0: there was no response; `error` gives the reason (as in attempts: `timeout`,
    `failed_connect: …`, `refused: …`) and `detail` more information. Bodies are text, with other
    bytes replaced; `response_cut`: the body was truncated. `duration_s`: until the last byte.
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


@frozen
class ExplainEvent(RedeliveryRequest):
    """Explain what an event would do, with the modules and hooks as they are. -> `EventExplained`.

    `body`: the message's bytes. `headers`: names and values of JSON. Nothing is sent or counted.
    """

    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    content_type: str | None = "application/json"
    message_id: str | None = None
    headers: tuple[tuple[str, Any], ...] = ()


@frozen
class ExplainedStep(Message):
    """A step of an event. `stage`: `routing`, `message`, `only`, `account`, `hook` or `delivery`.

    `passed`: the event goes on; else `what` is the reason why this hook, or this module, gets
    nothing.
    """

    stage: str
    passed: bool
    what: str
    module: str = ""
    hook_id: str = ""


@frozen
class EventExplained(AdminAnswer):
    """The steps of an event, module by module. `outcomes`: for each module, the outcome and its id.

    The outcomes are those of the metric `callboard_events_total`, or `unclaimed` without a module.
    At most 100 hooks of each account are considered.
    """

    steps: tuple[ExplainedStep, ...]
    outcomes: tuple[tuple[str, str], ...]


# Circuits


@frozen
class CloseCircuit(AdminRequest):
    """To each deliverer: send requests to an endpoint again. -> `CircuitClosed`.

    `endpoint`: scheme, host and port, as the endpoints are listed.
    """

    endpoint: str


@frozen
class CircuitClosed(AdminAnswer):
    """The endpoint's circuit is closed; `was_open`: it was not before."""

    was_open: bool
