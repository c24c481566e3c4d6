"""The queues of ordered and paused hooks at the broker (docs/adr/0039).

Deliveries for such a hook come from the responders, are published into its queue in the order of
their events, and settled then, as the broker has them. From there they go to a deliverer run by
run. With several nodes, the broker gives each queue's messages to one of them.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from attrs import Factory, define, evolve, frozen

from callboard.actors.delivery.waiting_deliveries import waiting_delivery
from callboard.actors.messages import HookQueue, HookQueues, ListHookQueues
from callboard.adapters.broker.protocol import (
    BrokerConnection,
    Declared,
    IncomingMessage,
    OutgoingMessage,
    Properties,
    Queue,
    Removed,
)
from callboard.adapters.broker.queues import shared_queue
from callboard.adapters.local.ordered_file import OrderedFile
from callboard.config.settings import Settings
from callboard.config.time_limits import hold_s
from callboard.supervision import Timer
from callboard.webhooks.acknowledgement.receipts import Receipt
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.attempts import contains
from callboard.webhooks.retries.ordered_queue import PREFETCH, HookKey, OrderedQueue
from callboard.webhooks.retries.retry_message import RetryMessage, as_json
from callboard.webhooks.retries.standing import Cancel, Send, Wait

PUBLISH_AGAIN_S = 1.0
FIND_DELETED_S = 600.0
"""How often the store is asked which hooks that need no queue are deleted."""
LISTED = 500
"""The most queues, and the most deliveries in them, that are listed at once."""
LONGEST_HOOK_ID = 64
"""The queue of a hook with a longer id is named by a digest: AMQP limits names to 255 bytes."""


def message_for(queue: str, item: RetryMessage, text: bytes) -> OutgoingMessage:
    """The message that puts a delivery, with this text, into a queue of deliveries."""
    properties = Properties(
        content_type="application/json", delivery_mode=2, message_id=item.delivery.id
    )
    return OutgoingMessage("", queue, text, properties, mandatory=True)


@frozen
class Publication:
    """A delivery to publish. Then its `receipt` is settled, or its `tag` acknowledged."""

    item: RetryMessage
    receipt: Receipt | None = None
    tag: int | None = None


@define(eq=False)
class _Out:
    """The publications for one queue, in order.

    `failed`: the ids of refused or lost ones; then the others wait for the broker's word on all.
    """

    waiting: deque[Publication] = Factory(deque)
    publishing: dict[int, Publication] = Factory(dict)
    failed: set[int] = Factory(set)


@frozen
class OrderedRun:
    """A run to hand out: deliveries to send in this order, and those to cancel, by tag."""

    ordered: OrderedQueue
    items: tuple[tuple[int, RetryMessage], ...]
    cancelled: tuple[tuple[int, RetryMessage, str], ...]
    change: int

    @property
    def ids(self) -> dict[int, str]:
        """The delivery ids of all, by delivery tag."""
        sent = {tag: retry.delivery.id for tag, retry in self.items}
        return sent | {tag: retry.delivery.id for tag, retry, _reason in self.cancelled}

    @property
    def first(self) -> RetryMessage:
        """One of the deliveries; all go to the same deliverer."""
        return self.items[0][1] if self.items else self.cancelled[0][1]


class OrderedQueues:
    """See the module. `broker` returns the connection of the retry queue, which consumes them, and
    `is_blocked` whether the broker takes no messages now; `publish_all` is to be called afterwards.

    `deleted` returns those hooks that do not exist any more, by their ids. `judge` finds out about
    the hook of a delivery, by tag, and `decide` is called with the result.
    `settle` is called with the receipts of published deliveries, and `refuse` with a delivery that
    is not to be kept, the reason, and its size if it is too large. `go_on` is called when a run is
    due: it calls `begin_runs`, and hands out those of `next_run`.
    """

    def __init__(
        self,
        settings: Settings,
        file: OrderedFile,
        *,
        broker: Callable[[], BrokerConnection],
        is_blocked: Callable[[], bool],
        deleted: Callable[[Collection[str]], Collection[str]],
        judge: Callable[[int, RetryMessage], None],
        settle: Callable[[Receipt], None],
        refuse: Callable[[Publication, str, int | None], None],
        go_on: Callable[[], None],
        timer: Callable[[Callable[[], None]], Timer],
        log: Any,
    ) -> None:
        self._settings, self._file, self._broker = settings, file, broker
        self._is_blocked = is_blocked
        self._find_deleted, self._find_deleted_at = deleted, 0.0
        self._judge, self._settle, self._refuse, self._log = judge, settle, refuse, log
        self._ordered: dict[HookKey, OrderedQueue] = {}
        self._out: dict[HookKey, _Out] = {}
        self._by_queue: dict[str, OrderedQueue] = {}
        self._by_tag: dict[int, OrderedQueue] = {}
        self._publishing: dict[int, OrderedQueue] = {}
        self._fates: dict[int, Send | Wait | Cancel] = {}
        self._declared: set[HookKey] = set()
        self._removing: set[HookKey] = set()
        self._wanted: dict[HookKey, bool] = {}
        self._deleted: Collection[str] = ()
        self._hooks_known = False
        self._runs: deque[OrderedRun] = deque()
        self._connected = False
        self._run_due = timer(go_on)
        self._publish_due = timer(self.publish_all)
        for key in file.ordered_queues:
            self.add_queue(key)

    def __len__(self) -> int:
        """The number of unacknowledged deliveries."""
        return len(self._by_tag)

    @property
    def hook_count(self) -> int:
        """The number of hooks that are ordered or paused."""
        return len(self._wanted)

    @property
    def unconfirmed(self) -> int:
        """The number of deliveries that the broker has not confirmed."""
        return sum(len(out.waiting) + len(out.publishing) for out in self._out.values())

    @property
    def waiting(self) -> int:
        """The number of deliveries in the queues, with unacknowledged ones."""
        return sum(ordered.waiting for ordered in self._ordered.values())

    @property
    def paused(self) -> int:
        """The same of paused hooks."""
        return sum(ordered.waiting for ordered in self._ordered.values() if ordered.paused)

    def listed(self, wanted: ListHookQueues) -> HookQueues:
        """The queues that are not empty."""
        left, queues = LISTED, []
        for (account_id, hook_id), ordered in sorted(self._ordered.items()):
            if (
                ordered.waiting
                and wanted.hook_id in (None, hook_id)
                and wanted.account_id in (None, account_id)
            ):
                shown = [
                    waiting_delivery(self._settings, retry, retry.due_ms, ordered.reason(retry))
                    for retry in ordered.items.values()
                    if contains(retry.delivery, wanted.text)
                ][:left]
                left -= len(shown)
                queues.append(
                    HookQueue(account_id, hook_id, ordered.paused, ordered.waiting, tuple(shown))
                )
        return HookQueues(tuple(queues[:LISTED]))

    @property
    def _is_quorum(self) -> bool:
        return self._settings.amqp.queue_type == "quorum"

    def add_queue(self, key: HookKey) -> OrderedQueue:
        """The queue of this hook, which is consumed from now on."""
        ordered = self._ordered.get(key)
        if ordered is None:
            name = ordered_queue(self._settings, key[1]).name
            ordered = self._ordered[key] = OrderedQueue(
                key, name, paused=self._wanted.get(key, False)
            )
            self._out[key] = _Out()
            self._by_queue[name] = ordered
            self._file.add_queue(key)
            if self._connected:
                self._declare(ordered)
        return ordered

    def _declare(self, ordered: OrderedQueue) -> None:
        self._broker().declare(ordered_queue(self._settings, ordered.key[1]))

    def hooks(self, ordered_queues: Iterable[tuple[HookKey, bool]]) -> None:
        """The hooks that are ordered or paused now, and whether they are paused.

        The queues of others are emptied in order, too, and then deleted.
        """
        self._hooks_known = True
        self._wanted = dict(ordered_queues)
        for key in self._wanted:
            self.add_queue(key)
        for key, ordered in self._ordered.items():
            ordered.paused = self._wanted.get(key, False)
        others = [key[1] for key in self._ordered if key not in self._wanted]
        if others and self._is_quorum and time.monotonic() >= self._find_deleted_at:
            self._find_deleted_at = time.monotonic() + FIND_DELETED_S
            self._deleted = self._find_deleted(others)

    # The connection

    def up(self) -> None:
        """Declare the queues; `declared` then consumes them."""
        self._connected = True
        self.ask_depths()

    def down(self) -> None:
        """The broker will redeliver unacknowledged deliveries."""
        self._connected = False
        self._declared.clear()
        self._removing.clear()
        for ordered in self._ordered.values():
            ordered.emptied()
        self._by_tag.clear()
        self._fates.clear()
        self._runs.clear()
        for out in self._out.values():
            self._take_back(out)
            out.waiting = deque(p for p in out.waiting if p.tag is None)

    def ask_depths(self) -> None:
        """Have the queues' messages counted."""
        for key, ordered in self._ordered.items():
            if key not in self._removing:
                self._declare(ordered)

    def declared(self, event: Declared) -> None:
        """A queue exists: consume it and publish into it, or remove one that is not needed."""
        ordered = self._by_queue.get(event.queue)
        if ordered is None or ordered.key in self._removing:
            return
        ordered.waiting = event.messages + len(ordered.items)
        if ordered.key not in self._declared:
            self._declared.add(ordered.key)
            self._broker().consume(ordered.queue, PREFETCH)
            self._publish(ordered)
        elif self._hooks_known and not ordered.waiting and self._is_unneeded(ordered.key):
            self._declared.remove(ordered.key)
            self._removing.add(ordered.key)
            queue = ordered_queue(self._settings, ordered.key[1])
            self._broker().remove(queue, is_obsolete=ordered.key[1] in self._deleted)

    def _is_unneeded(self, key: HookKey) -> bool:
        """Whether its hook is deleted, or neither ordered nor paused, and nothing goes into it.

        A quorum queue is needed as long as its hook exists: the broker cannot delete it only if it
        is empty, and another node may use it. The deliveries of a deleted hook would be cancelled.
        """
        out = self._out[key]
        if key in self._wanted or (self._is_quorum and key[1] not in self._deleted):
            return False
        return not out.waiting and not out.publishing

    def removed(self, event: Removed) -> None:
        """A queue is deleted, or left to other nodes; consume it again if it is needed after all.

        Deliveries that come meanwhile are published once it is declared again.
        """
        ordered = self._by_queue[event.queue]
        self._removing.discard(ordered.key)
        if event.messages or not self._is_unneeded(ordered.key):
            self._declare(ordered)
            return
        del self._ordered[ordered.key], self._out[ordered.key], self._by_queue[event.queue]
        self._file.drop_queue(ordered.key)

    # Into the queues

    def put(self, publication: Publication) -> None:
        """Publish a delivery into the queue of its hook, after those before it."""
        delivery = publication.item.delivery
        ordered = self.add_queue((delivery.account_id, delivery.hook_id))
        out = self._out[ordered.key]
        most = self._settings.delivery.paused_max
        if ordered.paused and ordered.waiting + len(out.publishing) + len(out.waiting) >= most:
            self._refuse(publication, f"hook paused: {most} deliveries wait", None)
            return
        out.waiting.append(publication)
        self._publish(ordered)

    def publish_all(self) -> None:
        """Publish the waiting deliveries, unless the broker is blocked."""
        for ordered in self._ordered.values():
            self._publish(ordered)

    def _publish(self, ordered: OrderedQueue) -> None:
        out = self._out[ordered.key]
        ready = self._connected and not self._is_blocked() and ordered.key in self._declared
        if not ready or out.failed:
            return
        while out.waiting:
            publication = out.waiting.popleft()
            item = publication.item
            id = self._broker().publish(message_for(ordered.queue, item, as_json(item)))
            out.publishing[id] = publication
            self._publishing[id] = ordered

    def confirmed(self, ids: Iterable[int], returned: set[int]) -> list[int]:
        """The broker has these publications, but for the returned; the tags to acknowledge."""
        tags = []
        for id in ids:
            if (ordered := self._publishing.get(id)) is None:
                continue
            if id in returned:  # The queue was deleted.
                returned.discard(id)
                self._declared.discard(ordered.key)
                self._fail(ordered, id)
                continue
            del self._publishing[id]
            publication = self._out[ordered.key].publishing.pop(id)
            ordered.waiting += 1
            if publication.receipt is not None:
                self._settle(publication.receipt)
            if publication.tag is not None:
                tags.append(publication.tag)
            self._publish_again(ordered)
        return tags

    def unconfirmed_are(self, ids: Iterable[int]) -> None:
        """The broker has refused these publications, or they were lost."""
        for id in ids:
            if (ordered := self._publishing.get(id)) is not None:
                self._fail(ordered, id)

    def _fail(self, ordered: OrderedQueue, id: int) -> None:
        self._out[ordered.key].failed.add(id)
        self._publish_again(ordered)

    def _publish_again(self, ordered: OrderedQueue) -> None:
        """Publish failed ones again, in order, once the broker has decided on all."""
        out = self._out[ordered.key]
        if out.failed and out.failed == out.publishing.keys():
            self._take_back(out)
            if self._connected and ordered.key not in self._declared:
                self._declare(ordered)
            self._publish_due.within(PUBLISH_AGAIN_S)

    def _take_back(self, out: _Out) -> None:
        for id in out.publishing:
            del self._publishing[id]
        out.waiting.extendleft(reversed(out.publishing.values()))
        out.publishing, out.failed = {}, set()

    # Out of the queues

    def is_ordered(self, message: IncomingMessage) -> bool:
        """Whether it comes from the queue of a hook."""
        return not message.exchange and message.routing_key in self._by_queue

    def take(self, message: IncomingMessage, item: RetryMessage) -> None:
        """Take a message of an ordered queue."""
        ordered = self._by_queue[message.routing_key]
        ordered.take(message.tag, self._file.restored(item), time.monotonic(), _now_ms())
        self._by_tag[message.tag] = ordered

    def begin_runs(self) -> None:
        """Begin the runs that are due, and set the timer for the next."""
        now = time.monotonic()
        self.renew()
        for ordered in self._ordered.values():
            for tag, retry in ordered.run(now):
                self._judge(tag, retry)
            if ordered.items and not ordered.out and not ordered.paused:
                self._run_due.at(ordered.due_at)

    def decide(self, tag: int, fate: Send | Wait | Cancel, change: int) -> bool:
        """Take a decision on a delivery; False if it is of no ordered queue.

        Once all of its run are decided, the run is ready: up to the first that has to wait.
        """
        ordered = self._by_tag.get(tag)
        if ordered is None:
            return False
        self._fates[tag] = fate
        if all(out in self._fates for out in ordered.out):
            items, cancelled = [], []
            for at, out in enumerate(list(ordered.out)):
                match self._fates.pop(out):
                    case Cancel(retry, reason):
                        cancelled.append((out, retry, reason))
                    case Send(retry) if not retry.delivery.options.paused:
                        items.append((out, evolve(retry, delivery=_ordered(retry.delivery))))
                    case Send():
                        ordered.paused = True
                        self._recall(ordered, ordered.out[at:])
                        break
                    case Wait(retry):
                        self._back(ordered, retry)
                        self._recall(ordered, ordered.out[at:])
                        break
            if items or cancelled:
                self._runs.append(OrderedRun(ordered, tuple(items), tuple(cancelled), change))
        return True

    def _recall(self, ordered: OrderedQueue, tags: Sequence[int]) -> None:
        for tag in tags:
            self._fates.pop(tag, None)
        ordered.recall(time.monotonic(), _now_ms(), tags)

    def outdated(self, keys: set[HookKey]) -> None:
        """Hooks have changed: their deliveries are judged again."""
        kept = [run for run in self._runs if run.ordered.key not in keys]
        for run in self._runs:
            if run.ordered.key in keys:
                self._recall(run.ordered, run.ordered.out)
        self._runs = deque(kept)

    def next_run(self) -> OrderedRun | None:
        """The next run to hand out."""
        return self._runs.popleft() if self._runs else None

    def back(self, retry: RetryMessage) -> None:
        """A deliverer returns a delivery, to be attempted later."""
        delivery = retry.delivery
        if (ordered := self._ordered.get((delivery.account_id, delivery.hook_id))) is not None:
            self._back(ordered, retry)

    def _back(self, ordered: OrderedQueue, retry: RetryMessage) -> None:
        ordered.back(retry, time.monotonic(), _now_ms())
        if retry.attempts_made or retry.deferred_since_ms is not None:
            self._file.keep([retry])

    def tags(self, tags: Iterable[int]) -> list[int]:
        """Those of the tags that are of ordered queues."""
        return [tag for tag in tags if tag in self._by_tag]

    def settled(self, tags: Iterable[int], returned: Collection[int]) -> list[int]:
        """A deliverer has settled these; those to acknowledge: they are not `returned`."""
        done = []
        for ordered, of_one in self._by_queue_of(tags).items():
            ended = [tag for tag in of_one if tag not in returned]
            self._file.forget([ordered.items[tag].delivery.id for tag in ended])
            ordered.end(ended)
            self._recall(ordered, of_one)
            done += ended
        for tag in done:
            ordered = self._by_tag.pop(tag)
            ordered.waiting -= 1
        return done

    def lost(self, tags: Iterable[int]) -> list[int]:
        """No deliverer has these any more; returns the tags that are of no ordered queue."""
        for ordered, of_one in self._by_queue_of(tags).items():
            self._recall(ordered, of_one)
        return [tag for tag in tags if tag not in self._by_tag]

    def _by_queue_of(self, tags: Iterable[int]) -> Mapping[OrderedQueue, list[int]]:
        found: dict[OrderedQueue, list[int]] = {}
        for tag in tags:
            if (ordered := self._by_tag.get(tag)) is not None:
                found.setdefault(ordered, []).append(tag)
        return found

    def renew(self) -> None:
        """Requeue messages that wait for too long to begin a run with them.

        They are redelivered at once, in their places.
        """
        before = time.monotonic() - hold_s(self._settings)
        for ordered in self._ordered.values():
            if ordered.items and not ordered.out and ordered.received_at < before:
                self._broker().requeue(self._emptied(ordered))

    def overdue(self, tags: Iterable[int]) -> list[int]:
        """Forget all messages of the queues that have one of these; their tags, in order."""
        found = self._by_queue_of(tags)
        self._runs = deque(run for run in self._runs if run.ordered not in found)
        return [tag for ordered in found for tag in self._emptied(ordered)]

    def _emptied(self, ordered: OrderedQueue) -> list[int]:
        tags = ordered.emptied()
        for tag in tags:
            del self._by_tag[tag]
            self._fates.pop(tag, None)
        return tags


def due_queue(settings: Settings) -> str:
    """The name of the queue of due deliveries."""
    return f"{settings.amqp.queue}.retries"


def delay_queue(settings: Settings, name: str) -> str:
    """The name of the queue of a delay class."""
    return f"{settings.amqp.queue}.retry.{name}"


def ordered_queue(settings: Settings, hook_id: str) -> Queue:
    """The queue of an ordered or paused hook."""
    name = hook_id
    if len(hook_id.encode()) > LONGEST_HOOK_ID:
        name = blake2b(hook_id.encode(), digest_size=16).hexdigest()
    amqp = settings.amqp
    return shared_queue(f"{amqp.queue}.ordered.{name}", amqp.queue_type, single=True)


def _ordered(delivery: Delivery) -> Delivery:
    """The delivery as the deliverer keeps it in order, whatever its hook is now."""
    if delivery.options.ordered:
        return delivery
    return evolve(delivery, options=evolve(delivery.options, ordered=True))


def _now_ms() -> int:
    return int(time.time() * 1000)
