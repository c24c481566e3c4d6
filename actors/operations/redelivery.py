"""Dead letters, their retries, replays of stored attempts, and test deliveries."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from thespian.actors import WatchMessage

from callboard import admin
from callboard.actors.base.confirmed_publisher import Batch, ConfirmedPublisher
from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.node_quotas import node_quotas
from callboard.actors.base.role import Setup
from callboard.actors.base.slices import Page
from callboard.actors.delivery.retry_queue import due_message
from callboard.actors.delivery.transports import check_hook, grants
from callboard.actors.events.bridge import event_queue
from callboard.actors.operations.answering import Answering, Asker
from callboard.actors.operations.retention import DeadLetterRetention
from callboard.actors.operations.sample_delivery import SampleDeliveries, sample_delivery
from callboard.actors.operations.waiting import WaitingRequests
from callboard.adapters.broker.edge import plain_headers
from callboard.adapters.broker.gate import PublishGate, why_blocked
from callboard.adapters.broker.protocol import BrokerEvent, OutgoingMessage, Topology
from callboard.adapters.broker.publications import Publication, for_queue
from callboard.adapters.repositories.account_quotas import account_quotas
from callboard.adapters.repositories.dead_letters import Place, Window
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.repositories.maintenance import Step
from callboard.adapters.repositories.stored_attempts import (
    AttemptWindow,
    list_attempts,
    read_attempts,
)
from callboard.adapters.store.protocol import Document, Row, StoreError
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.dead_letters import DELIVERY, EVENT, NotRepeatable, body_of
from callboard.webhooks.history.resending import again, of_attempt, of_letter
from callboard.webhooks.hooks.arguments import (
    BadArgument,
    account_argument,
    choice_argument,
    cursor_argument,
    hook_argument,
    ids_argument,
    limit_argument,
    place_argument,
    time_argument,
)
from callboard.webhooks.hooks.hook import Hook, InvalidHook, is_deleted, is_enabled, parse_hook
from callboard.webhooks.modules.samples import sample_payload
from callboard.webhooks.retries.policy import with_choices
from callboard.webhooks.retries.retry_message import RetryMessage
from callboard.webhooks.values.documents import public_fields
from callboard.webhooks.values.json_values import as_int, as_object
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, gregorian_s

CHUNK = 10
"""Dead letters or attempts, with their bodies, to read at a time."""
MAX_UNCONFIRMED = 2000
"""Requests are refused while this number of messages is not confirmed by the broker."""
ATTEMPTS_PAGE, DEAD_LETTERS_PAGE = 500, 1000
"""The largest permitted pages."""

Making = Callable[[Sequence[str]], Iterator[tuple[str, Callable[[], OutgoingMessage]]]]

_REMOVED_BY = ("_id", "_rev", "kind")
"""The fields of a dead letter that are needed to delete it."""
_MAY_BE_DROPPED = (
    "it is published, and its dead letter stays: Kazoo's queue, which amqp.join_kazoo selects, may "
    "drop it; purge the dead letter when the event has been handled"
)


class Redelivery(Answering, DeadLetterRetention):
    """Carries out each `callboard.admin.RedeliveryRequest`, and imports and deletes dead letters.

    Retries and replays are published to the due queue, so that the deliverers send them within the
    limits of their endpoints. Only test deliveries are sent from here. A dead letter is deleted
    once the broker has confirmed its retry. If this actor dies in between, the dead letter may be
    retried again, with the same `webhook-id`.
    """

    def begin(self, setup: Setup) -> None:
        """Connect, and start the sender of test deliveries."""
        super().begin(setup)
        self._hooks = HookStore(self.store)
        self._quotas, self._grants = node_quotas(self.settings), grants(self.settings)
        modules = self._modules = event_modules(self.settings).modules
        self._known_events = frozenset(e for m in modules for e in (m.id, *m.events))
        self._counts = dict.fromkeys(("retried", "replayed", "sent_early", "tested"), 0)
        self._samples = self.own(SampleDeliveries(self.settings))
        self._waiting = self.own(WaitingRequests(self.settings))
        self.work_with(Topology())
        self._publisher = ConfirmedPublisher(self.broker)
        self._gate = PublishGate(self.broker)
        self.watch(self.broker.fileno(), self._samples.fileno())

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, and unconfirmed messages."""
        return {**super().stats(), **self._counts, "unconfirmed": len(self._publisher)}

    # Requests

    def begin_request(self, request: admin.AdminRequest, to: Asker) -> None:
        """Carry it out, or refuse it."""
        match request:
            case admin.ListDeadLetters(after=after, limit=limit):
                most = limit_argument(limit, DEAD_LETTERS_PAGE)
                self._list_dead_letters(to, _window(request), place_argument(after), most)
            case admin.ShowDeadLetter(id):
                self._show_dead_letter(to, id)
            case admin.RetryDeadLetters(ids):
                self._retry(to, _ids(ids))
            case admin.PurgeDeadLetters(ids):
                self._purge(to, _ids(ids))
            case admin.ListAttempts(hook_id, since_s, until_s, after, limit):
                hook = hook_argument(hook_id)
                since, until = _span(since_s, until_s)
                most = limit_argument(limit, ATTEMPTS_PAGE)
                self._list_attempts(to, hook, since, until, cursor_argument(after, 3), most)
            case admin.ShowAttempt(hook_id, id):
                self._show_attempt(to, hook_argument(hook_id), id)
            case admin.ReplayAttempts(hook_id, ids, run):
                self._replay(to, hook_argument(hook_id), _ids(ids), str(run))
            case admin.ListWaiting():
                self.answer(to, self._waiting.listed(request))
            case admin.RetryWaiting(hook_id, after):
                self._retry_waiting(to, self._hook_or_refusal(hook_argument(hook_id)).id, after)
            case admin.TestHook(hook_id):
                self._test(to, hook_argument(hook_id))
            case _:
                raise BadArgument(f"{type(request).__name__} is not supported")

    # Dead letters

    def _list_dead_letters(
        self, to: Asker, window: Window, after: Place | None, limit: int
    ) -> None:
        rows, more = self.dead_letters.page(window, after, limit)
        cursor = None if more is None else (str(more[0]), more[1])
        self.answer(to, admin.DeadLettersListed(tuple(map(summary, rows)), cursor))

    def _show_dead_letter(self, to: Asker, id: str) -> None:
        found = self.dead_letters.get(_ids((id,)))
        if id not in found:
            raise BadArgument(f"there is no dead letter {id}")
        self.answer(to, admin.DeadLetterShown(found[id]))

    def _purge(self, to: Asker, ids: tuple[str, ...]) -> None:
        refused: dict[str, str] = {}
        left = list(ids)

        def steps() -> Iterator[Step]:
            while left:
                found = self.dead_letters.get(left[:CHUNK])
                removed = self.dead_letters.remove(list(found.values()))
                refused.update({saved.id: saved.error for saved in removed if saved.error})
                del left[:CHUNK]
                yield Step()

        def done(_found: tuple[Any, ...], _more: admin.Cursor | None, problem: str) -> None:
            refused.update(dict.fromkeys(left, problem))
            purged = tuple(id for id in ids if id not in refused)
            self.answer(to, admin.DeadLettersPurged(purged, tuple(refused.items())))

        self.work(Page(steps(), done))

    def _retry(self, to: Asker, ids: tuple[str, ...]) -> None:
        read: dict[str, Document] = {}

        def make(some: Sequence[str]) -> Iterator[tuple[str, Callable[[], OutgoingMessage]]]:
            found = self.dead_letters.get(some)
            read.update({id: {k: d.get(k) for k in _REMOVED_BY} for id, d in found.items()})
            for id in some:
                yield id, partial(self._of_dead_letter, id, found.get(id))

        def settled(batch: Batch) -> None:
            self._counts["retried"] += len(batch.taken)
            stay = self._delete_retried([read[id] for id in batch.taken])
            retried = tuple(batch.taken)
            self.answer(to, admin.DeadLettersRetried(retried, (*batch.not_taken, *stay)))

        self._publish_all(to, ids, make, settled)

    def _of_dead_letter(self, id: str, document: Document | None) -> OutgoingMessage:
        """The message that retries a dead letter. Raises NotRepeatable."""
        if document is None:
            raise NotRepeatable(f"there is no dead letter {id}")
        if document.get("kind") == EVENT:
            return for_queue(event_queue(self.settings).name, event_again(document))
        hook = self._hook(str(document.get("hook_id")))
        return self._of_delivery(again(of_letter(document), hook))

    def _delete_retried(self, documents: list[Document]) -> list[tuple[str, str]]:
        """Delete retried dead letters, except events in Kazoo's queue, which may drop them.

        Returns the ids and reasons of those not deleted.
        """
        kept = [d for d in documents if self.settings.amqp.join_kazoo and d["kind"] == EVENT]
        stay = self._delete([document for document in documents if document not in kept])
        return [*stay, *((document["_id"], _MAY_BE_DROPPED) for document in kept)]

    def _delete(self, documents: list[Document]) -> list[tuple[str, str]]:
        """Delete dead letters; returns the ids and reasons of those not deleted."""
        problem = "it is published, but its dead letter could not be deleted"
        try:
            removed = self.dead_letters.remove(documents)
        except StoreError as error:
            return [(document["_id"], f"{problem}: {error}") for document in documents]
        return [(s.id, f"{problem}: {s.error}") for s in removed if s.error is not None]

    # Stored attempts

    def _list_attempts(
        self,
        to: Asker,
        hook_id: str,
        since_s: float,
        until_s: float,
        after: admin.Cursor,
        limit: int,
    ) -> None:
        window = AttemptWindow(self._account_of(hook_id), hook_id, since_s, until_s)
        if len(window.months) > admin.MONTHS_LIMIT:
            raise BadArgument(f"a window may cover {admin.MONTHS_LIMIT} months")
        steps = list_attempts(self.store, window, after, limit)
        self.work(Page(steps, self.page(to, admin.AttemptsListed)))

    def _show_attempt(self, to: Asker, hook_id: str, id: str) -> None:
        account_id = self._account_of(hook_id)
        found = read_attempts(self.store, account_id, hook_id, _ids((id,)))
        if id not in found:
            raise BadArgument(f"there is no attempt {id} of the hook {hook_id}")
        self.answer(to, admin.AttemptShown({"id": id, **public_fields(found[id])}))

    def _replay(self, to: Asker, hook_id: str, ids: tuple[str, ...], run: str) -> None:
        hook = self._hook_or_refusal(hook_id)

        def make(some: Sequence[str]) -> Iterator[tuple[str, Callable[[], OutgoingMessage]]]:
            attempts = read_attempts(self.store, hook.account_id, hook.id, some)
            for id in some:
                yield id, partial(of, id, attempts.get(id))

        def of(id: str, attempt: Document | None) -> OutgoingMessage:
            if attempt is None:
                raise NotRepeatable(f"there is no attempt {id} of the hook {hook.id}")
            return self._of_delivery(again(of_attempt(attempt, run), hook))

        def settled(batch: Batch) -> None:
            self._counts["replayed"] += len(batch.taken)
            replayed = admin.AttemptsReplayed(tuple(batch.taken), batch.not_taken)
            self.answer(to, replayed)

        self._publish_all(to, ids, make, settled)

    def _account_of(self, hook_id: str) -> str:
        document = self._hooks.get(hook_id)
        if document is None:
            raise BadArgument(f"there is no hook {hook_id}")
        return str(document.get("pvt_account_id"))

    # Deliveries that wait

    def _retry_waiting(self, to: Asker, hook_id: str, after: admin.Cursor) -> None:
        chosen, more = self._waiting.chosen(hook_id, after)

        def make(some: Sequence[str]) -> Iterator[tuple[str, Callable[[], OutgoingMessage]]]:
            for id in some:
                yield id, partial(self._waiting.message, chosen[id])

        def settled(batch: Batch) -> None:
            self._counts["sent_early"] += len(batch.taken)
            with self.refusing(to):
                self._waiting.sent([chosen[id] for id in batch.taken])
                sent = tuple(batch.taken)
                self.answer(to, admin.WaitingRetried(sent, batch.not_taken, more))

        self._publish_all(to, tuple(chosen), make, settled)

    # Publishing

    def _publish_all(
        self, to: Asker, ids: tuple[str, ...], make: Making, settled: Callable[[Batch], None]
    ) -> None:
        """Publish the messages that `make` returns for the ids; `settled` gets the results."""
        if len(self._publisher) > MAX_UNCONFIRMED:
            self.refuse(to, "the broker does not confirm messages: try again later", "busy")
            return
        publish = partial(self._publish_each, ids, make, settled)
        self._gate.enter(publish, partial(self._refuse_blocked, to))

    def _refuse_blocked(self, to: Asker, reason: str) -> None:
        self.refuse(to, why_blocked(reason), "blocked")

    def _publish_each(
        self, ids: tuple[str, ...], make: Making, settled: Callable[[Batch], None]
    ) -> None:
        batch = Batch(settled)
        left = list(ids)

        def steps() -> Iterator[Step]:
            while left:
                for id, message in make(left[:CHUNK]):
                    try:
                        self._publisher.publish(batch, id, message())
                    except NotRepeatable as problem:
                        batch.refuse(id, str(problem))
                    left.remove(id)
                yield Step()

        def done(_found: tuple[Any, ...], _more: admin.Cursor | None, problem: str) -> None:
            for id in left:
                batch.refuse(id, problem)
            self._publisher.complete(batch)

        self.work(Page(steps(), done))

    def _of_delivery(self, delivery: Delivery) -> OutgoingMessage:
        """A message that puts the delivery into the due queue."""
        delivery = self._with_choices(delivery)
        due = RetryMessage(delivery, attempts_made=0, due_ms=int(time.time() * 1000))
        return due_message(self.settings, due)

    def _with_choices(self, delivery: Delivery) -> Delivery:
        """Its account's and its event type's choices; a hook on all has no event type here."""
        account, settings = self.accounts.choices_of(delivery.account_id), self.settings.delivery
        steps_s = settings.event_retry_steps_s.get(delivery.hook_event.lower(), ())
        return with_choices(delivery, account, settings.retry_policy, steps_s, self._grants)

    def _hook(self, hook_id: str, *, enabled: bool = True) -> Hook:
        """The hook as stored now. Raises NotRepeatable if nothing can be sent to it."""
        document = self._hooks.get(hook_id)
        if document is None or is_deleted(document):
            raise NotRepeatable(f"there is no hook {hook_id}")
        if enabled and not is_enabled(document):
            why = document.get("pvt_disabled_message")
            raise NotRepeatable(f"hook {hook_id} is disabled{f': {why}' if why else ''}")
        try:
            hook = parse_hook(document, self._known_events)
            if enabled:
                account = self.accounts.choices_of(hook.account_id)
                check_hook(hook, self.settings, account)
        except InvalidHook as problem:
            raise NotRepeatable(str(problem)) from None
        return hook

    def _hook_or_refusal(self, hook_id: str, *, enabled: bool = True) -> Hook:
        try:
            return self._hook(hook_id, enabled=enabled)
        except NotRepeatable as problem:
            raise BadArgument(str(problem)) from None

    def on_broker(self, event: BrokerEvent) -> None:
        """Handle confirms, and see the base class."""
        self._gate.on_broker(event)
        self._publisher.on_broker(event)
        super().on_broker(event)

    # Tests

    def _test(self, to: Asker, hook_id: str) -> None:
        hook = self._hook_or_refusal(hook_id, enabled=False)
        most = account_quotas(self.store, hook.account_id, self._quotas).test_deliveries
        if refused := self._samples.refusal(hook.account_id, most):
            self.refuse(to, refused.reason, refused.cause, refused.setting)
            return
        payload = sample_payload(
            hook, self._modules, self.accounts, self.accounts.cluster_id(), time.time()
        )
        self._samples.begin(self._with_choices(sample_delivery(hook, payload)), to)

    def receiveMsg_WatchMessage(self, message: WatchMessage, sender: Any) -> None:
        """Respond to tests that have ended, and serve the connection."""
        if self._samples.fileno() in message.ready:
            for to, tested in self._samples.ended():
                self._counts["tested"] += 1
                self.answer(to, tested)
        super().receiveMsg_WatchMessage(message, sender)


def event_again(document: Document) -> Publication:
    """The message of a dead letter of an event; values that AMQP lacks are left out.

    Raises NotRepeatable.
    """

    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) else None

    return Publication(
        body_of(document),
        text("exchange") or "",
        text("routing_key") or "",
        text("content_type"),
        text("content_encoding"),
        text("message_id"),
        plain_headers(as_object(document.get("headers"))),
    )


def _ids(ids: Any) -> tuple[str, ...]:
    return ids_argument(ids, admin.IDS_LIMIT)


def _window(request: admin.ListDeadLetters) -> Window:
    def given(value: Any, check: Callable[[Any], Any]) -> Any:
        return None if value is None else check(value)

    return Window(
        given(request.account, account_argument),
        given(request.hook_id, hook_argument),
        given(request.kind, lambda kind: choice_argument(kind, (DELIVERY, EVENT))),
        given(request.since_s, lambda at: gregorian_s(time_argument(at))),
        given(request.until_s, lambda at: gregorian_s(time_argument(at))),
    )


def _span(since_s: Any, until_s: Any) -> tuple[float, float]:
    return time_argument(since_s), time_argument(until_s)


def summary(row: Row) -> admin.DeadLetter:
    """A row of a dead letters' view, as it is listed."""
    value: Mapping[str, Any] = row.value
    event = value.get("kind") == EVENT
    key = f"{value.get('exchange')} {value.get('routing_key')}"
    subject = key if event else value.get("uri", "")
    return admin.DeadLetter(
        id=str(row.id),
        kind=str(value.get("kind")),
        at_s=(as_int(row.key[-2]) or GREGORIAN_OFFSET_S) - GREGORIAN_OFFSET_S,
        reason=str(value.get("reason", "")),
        subject=str(subject),
        name=str(value.get("module" if event else "hook_event", "")),
        account_id=str(value.get("account_id", "")),
        hook_id=str(value.get("hook_id", "")),
        tries=as_int(value.get("tries")) or 0,
    )
