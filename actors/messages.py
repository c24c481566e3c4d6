"""The messages between Callboard's actors: frozen values, batches wherever there are many.

Thespian moves some hundreds of messages a second between processes, whatever their size, so
events, deliveries, settlements, attempts and failures never travel alone. It also writes out each
message two or three times, for a log of its own that is off; so what batches hold is not shown.
"""

from collections.abc import Mapping
from typing import Any

from attrs import Factory, field, frozen

from callboard.adapters.broker import IncomingMessage
from callboard.admin import ConfiguredHook
from callboard.admin import Refused as Refused
from callboard.webhooks.bulkhead import EndpointFigures
from callboard.webhooks.delivery import Delivery
from callboard.webhooks.figures import FigureSet
from callboard.webhooks.hook import Hook
from callboard.webhooks.hook_secrets import StoredSecret
from callboard.webhooks.later import Later
from callboard.webhooks.owed import Source
from callboard.webhooks.trace_context import TraceContext

# Events on their way to the endpoints


@frozen
class RawEvent:
    """An event as the broker delivered it. `tag`: the broker's name for it, for acknowledging.

    `trace`: what is caused by it belongs there. `taken_at`: when it arrived, by `time.monotonic`,
    which all processes of a machine share.
    """

    tag: int
    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    content_type: str | None
    content_encoding: str | None
    message_id: str | None = None
    trace: TraceContext | None = None
    headers: Mapping[str, Any] = Factory(dict)
    taken_at: float = 0.0


@frozen
class EventBatch:
    """EventBridge to Responder: events of its bindings. Answered with `Routed`."""

    batch: int
    bridge: int
    events: tuple[RawEvent, ...] = field(repr=False)


@frozen
class Routed:
    """Responder to EventBridge: what became of the events of a batch.

    `parts`: the events that went to deliverers, by the part they travel in; an event in no part
    fires no hook. `poison`: events that cannot be handled, with the reason.
    """

    batch: int
    parts: Mapping[str, tuple[int, ...]] = field(repr=False)
    deliverers: Mapping[str, tuple[str, int]]
    poison: tuple[tuple[int, str], ...] = field(repr=False)


@frozen
class EventDeliveries:
    """The deliveries that one event makes. `taken_at`: as in `RawEvent`."""

    tag: int
    deliveries: tuple[Delivery, ...]
    taken_at: float = 0.0


@frozen
class DeliveryBatch:
    """Responder to Deliverer: one part of a routed batch, to be settled at its source, a bridge."""

    part: str
    source: Source
    events: tuple[EventDeliveries, ...] = field(repr=False)


@frozen
class DueBatch:
    """RetryQueue to Deliverer: deliveries that came back, by delivery tag, to be settled there."""

    part: str
    source: Source
    items: tuple[tuple[int, Later], ...] = field(repr=False)


@frozen
class Progress:
    """Deliverer to the source of its work: parts that arrived, (part, delivery tags) settled.

    Settled: every delivery of the event has succeeded, is recorded as given up, or lies in the
    durable retry queue.
    """

    source: Source
    accepted: tuple[str, ...]
    settled: tuple[tuple[str, tuple[int, ...]], ...] = field(repr=False)


@frozen
class Reconcile:
    """The source of parts to Deliverer: do you still hold these? Answered with `NotHeld`."""

    source: Source
    parts: tuple[str, ...]


@frozen
class NotHeld:
    """Deliverer to the source of parts: these are unknown here; what is in them must come again."""

    source: Source
    parts: tuple[str, ...]


@frozen
class PutOff:
    """Deliverer to RetryQueue: keep these durably until they are due. -> `PutOffKept`.

    `deliverer`: its path and incarnation. A batch that is under way already is not kept twice.
    """

    batch: int
    deliverer: tuple[str, int]
    items: tuple[Later, ...] = field(repr=False)


@frozen
class PutOffKept:
    """RetryQueue to Deliverer: the broker has taken responsibility for all of that batch."""

    batch: int


# Hooks


# Order matters here, and Thespian does not keep it: each message names its stream and its number
# in it, and is held back until the ones before it are there (`in_order`).


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


@frozen
class ChangesElsewhere:
    """ZoneListener to HookListener: changes that were told on another zone's bus.

    `messages` None: some may have been missed.
    """

    messages: tuple[IncomingMessage, ...] | None


@frozen
class ConfigurationChanged:
    """HookListener to whoever looks documents up: these (database, id) documents have changed.

    `documents` None: changes may have been missed, so anything may have changed.
    """

    documents: tuple[tuple[str, str], ...] | None


# Attempts and failures


@frozen
class Attempts:
    """Deliverer to AttemptLog: (database, document) pairs to keep. Answered with `AttemptsKept`."""

    batch: int
    documents: tuple[tuple[str, Mapping[str, Any]], ...] = field(repr=False)


@frozen
class AttemptsKept:
    """AttemptLog to Deliverer: that batch is on disk, and will reach the store."""

    batch: int


@frozen
class WhichAttempts:
    """Deliverer to AttemptLog: which attempts are wanted? Answered with `AttemptPolicy`."""


@frozen
class AttemptPolicy:
    """AttemptLog to Deliverers: what system_config/webhooks says of attempts.

    `successes`: whether successful ones are kept too. `connect_timeout_ms`: the cluster's, for
    nodes that have none of their own.
    """

    successes: bool
    connect_timeout_ms: int


@frozen
class FailedTries:
    """Deliverer to FailureCache: tries that failed, as (account, hook, Gregorian ms)."""

    failures: tuple[tuple[str, str, int], ...]


@frozen
class GetFailures:
    """Disabler to FailureCache: who fails? Answered with `FailuresSeen`."""


@frozen
class FailuresSeen:
    """FailureCache to Disabler: the times (Gregorian ms) of failed tries by (account, hook)."""

    failures: Mapping[tuple[str, str], tuple[int, ...]]


@frozen
class FlushFailures:
    """Forget the failures of an account, or of one of its hooks; `everywhere`: on all nodes.

    Where `ask` is given, answered with `FailuresForgotten`.
    """

    account_id: str
    hook_id: str | None = None
    everywhere: bool = False
    ask: int | None = None


@frozen
class FlushHooks:
    """Maintenance to FailureCache: these (account, hook) ids are enabled again; forget failures."""

    hooks: tuple[tuple[str, str], ...]


# Asked by Maintenance; `ask` is its number for the question


@frozen
class FailuresForgotten:
    """FailureCache to Maintenance: so many failed tries were flushed."""

    ask: int
    count: int


@frozen
class ListFailing:
    """Maintenance to FailureCache: which hooks failed, behind `after`? -> `FailingListed`."""

    ask: int
    account_id: str | None
    after: tuple[str, str] | None
    limit: int


@frozen
class FailingListed:
    """FailureCache to Maintenance: (account, hook) ids in order; `more`: there are others."""

    ask: int
    hooks: tuple[tuple[str, str], ...]
    more: bool


@frozen
class CountFailures:
    """Maintenance to FailureCache: how often did these hooks fail? -> `FailuresCounted`.

    `since_ms`: the time (Gregorian) after which a failure counts, by account.
    """

    ask: int
    hooks: tuple[tuple[str, str], ...]
    since_ms: Mapping[str, int]


@frozen
class FailuresCounted:
    """FailureCache to Maintenance: one number for each hook that was asked for."""

    ask: int
    counts: tuple[int, ...]


@frozen
class ListTable:
    """Maintenance to HookTable: the hooks behind `after`, by account and id. -> `TableListed`."""

    ask: int
    account_id: str | None
    after: tuple[str, str] | None
    limit: int


@frozen
class TableListed:
    """HookTable to Maintenance: one page of the hooks in memory; `more`: there are others."""

    ask: int
    hooks: tuple[ConfiguredHook, ...]
    more: bool


# Figures


@frozen
class Figures:
    """Any actor to Metrics: its figures since its start, for the `number`th time.

    `sender`: its path and incarnation. `endpoints`: of a deliverer, those that people should see.
    """

    sender: tuple[str, int]
    number: int
    figures: FigureSet = field(repr=False)
    endpoints: tuple[EndpointFigures, ...] = field(default=(), repr=False)


@frozen
class GetMetrics:
    """To Metrics: all metrics for Prometheus. -> `MetricsText`."""


@frozen
class MetricsText:
    """The metrics in Prometheus' text format; `content_type`: for HTTP."""

    text: str = field(repr=False)
    content_type: str


@frozen
class GetFigures:
    """To Metrics: the figures for people. -> `Snapshot` (webhooks/snapshot.py)."""


@frozen
class GetHealth:
    """To Metrics: can the system do its work? -> `Health`."""


@frozen
class Health:
    """Whether broker and store are up and the tree is whole; `problems`: what is not."""

    ready: bool
    problems: tuple[str, ...] = ()


# Asked from outside: every request names what it answers with, or `Refused`


@frozen
class PublishEvents:
    """To EventBridge: publish these (exchange, routing key, body, content type). -> `Published`."""

    events: tuple[tuple[str, str, bytes, str], ...]


@frozen
class Published:
    """The broker has taken that many; so many of them found no queue."""

    count: int
    unroutable: int


@frozen
class AddHook:
    """To HookListener: store this hook document and let every node know. -> `HookSaved`."""

    document: Mapping[str, Any]


@frozen
class ApplyHook:
    """To HookListener: a hook was saved, and told of; take it in now. -> `HookApplied`."""

    account_id: str
    hook_id: str


@frozen
class HookApplied:
    """That hook is in effect on this node, or was asked to be a few seconds ago."""

    hook_id: str


@frozen
class GetHook:
    """To HookListener: what is stored of this hook? -> `HookSaved`."""

    hook_id: str


@frozen
class EditHook:
    """To HookListener: change public members of a stored hook, None: take away. -> `HookSaved`.

    A hook that is enabled is so without the reason it was disabled for.
    """

    hook_id: str
    changes: Mapping[str, Any]


@frozen
class RemoveHook:
    """To HookListener: delete this hook and let every node know. -> `HookSaved`."""

    hook_id: str


@frozen
class DisableHook:
    """To HookListener: a hook is not to fire any more, as it failed too often or is unwanted."""

    account_id: str
    hook_id: str
    reason: str


@frozen
class HookSaved:
    """The hook's document is stored as it says."""

    document: Mapping[str, Any]


@frozen
class AddSecret:
    """To HookListener: sign this hook's deliveries with this secret, too. -> `HookSecrets`.

    `secret`: `whsec_…` or `whsk_…`. One that the hook has already is not added again.
    """

    hook_id: str
    secret: str = field(repr=False)


@frozen
class RetireSecret:
    """To HookListener: sign with this secret of the hook no more. -> `HookSecrets`."""

    hook_id: str
    fingerprint: str


@frozen
class ListSecrets:
    """To HookListener: which secrets are a hook's deliveries signed with? -> `HookSecrets`."""

    hook_id: str


@frozen
class HookSecrets:
    """The secrets of a hook, the newest first, and still encrypted."""

    hook_id: str
    secrets: tuple[StoredSecret, ...]


@frozen
class ReencryptSecrets:
    """To HookListener: encrypt the hooks' secrets with the newest key. -> `SecretsReencrypted`.

    A page of the hooks behind `after`, by id.
    """

    after: str = ""


@frozen
class SecretsReencrypted:
    """So many hooks' secrets were encrypted anew. `failed`: (id, reason) where they were not.

    `more`: what the next `ReencryptSecrets` goes on after; None where it is done.
    """

    hooks: int
    failed: tuple[tuple[str, str], ...]
    more: str | None


@frozen
class ListHooks:
    """To HookListener: the stored hook documents, of one account or of all. -> `HookList`.

    They are ordered by account and id. `after`: these two of the last one that is known already.
    """

    account_id: str | None = None
    limit: int = 1000
    after: tuple[str, str] | None = None


@frozen
class HookList:
    """Hook documents by id, at most as many as asked for; `more`: there are others."""

    documents: tuple[Mapping[str, Any], ...]
    more: bool


@frozen
class ListHookProblems:
    """To HookListener: which stored hooks cannot fire? -> `HookProblems`."""


@frozen
class HookProblem:
    """A stored hook that cannot fire, and why."""

    account_id: str
    hook_id: str
    reason: str


@frozen
class HookProblems:
    """Hooks that cannot fire, at most a thousand; `loading`: more may be found yet."""

    problems: tuple[HookProblem, ...]
    loading: bool


@frozen
class Ask:
    """To the top supervisor: hand this message to the actor at that path of the tree.

    That actor answers the asker directly, as if it had been sent the message itself. `Refused`
    while it is down. As with any message, no answer comes from an actor that dies over it.
    """

    path: str
    message: Any


@frozen
class GetSettings:
    """To the top supervisor: how is this system set? Answered with the `Settings`."""


@frozen
class Quiesce:
    """To EventBridge: take no new events and settle those under way. -> `Quiesced`."""


@frozen
class Quiesced:
    """EventBridge: nothing is under way any more."""
