"""The lanes of a node: queues of hooks that are ordered or paused (docs/adr/0039).

Deliveries for such a hook come from the responders, are published into its queue in the order of
their events, and settled then, as the broker has them. From there they go to a deliverer run by
run. With several nodes, the broker gives each queue's messages to one of them.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from attrs import Factory, define, evolve, frozen

from callboard.adapters.broker.protocol import (
    BrokerConnection,
    Declared,
    IncomingMessage,
    OutgoingMessage,
    Properties,
    Queue,
)
from callboard.adapters.broker.queues import shared_queue
from callboard.adapters.local.lane_file import LaneFile
from callboard.config.settings import Settings
from callboard.supervision import Timer
from callboard.webhooks.acknowledgement.receipts import Receipt
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.retries.lane import PREFETCH, HookKey, Lane
from callboard.webhooks.retries.retry_message import RetryMessage, as_json
from callboard.webhooks.retries.standing import Cancel, Send, Wait

PUBLISH_AGAIN_S = 1.0
RENEW_S = 600.0
"""What is in hand for so long goes back to the broker and comes again at once: RabbitMQ closes a
channel on which a message is unacknowledged for 30 minutes (consumer_timeout)."""
LONGEST_HOOK_ID = 64
"""The queue of a hook with a longer id is named by a digest: AMQP limits names to 255 bytes."""


@frozen
class Publication:
    """A delivery for a lane's queue. Then its `receipt` is settled, or its `tag` acknowledged."""

    item: RetryMessage
    receipt: Receipt | None = None
    tag: int | None = None


@define(eq=False)
class _Out:
    """What is to be published into a lane's queue. Publications are made again in their order.

    `failed`: the ids of refused or lost ones; then the others wait for the broker's word on all.
    """

    waiting: deque[Publication] = Factory(deque)
    publishing: dict[int, Publication] = Factory(dict)
    failed: set[int] = Factory(set)


@frozen
class LaneRun:
    """A run to hand out: deliveries to send in this order, and those to cancel, by tag."""

    lane: Lane
    items: tuple[tuple[int, RetryMessage], ...]
    cancelled: tuple[tuple[int, RetryMessage, str], ...]
    change: int

    @property
    def tags(self) -> list[int]:
        """The delivery tags of all."""
        return [tag for tag, *_rest in self.items] + [tag for tag, *_rest in self.cancelled]

    @property
    def first(self) -> RetryMessage:
        """One of the deliveries; all go to the same deliverer."""
        return self.items[0][1] if self.items else self.cancelled[0][1]


class Lanes:
    """See the module. `broker` returns the connection of the retry queue, which consumes them.

    `judge` finds out about the hook of a delivery, by tag, and `decide` is called with the result.
    `settle` is called with the receipts of published deliveries, and `refuse` with a delivery that
    is not to be kept, the reason, and its size if it is too large. `go_on` is called when a run is
    due: it calls `begin_runs`, and hands out those of `next_run`.
    """

    def __init__(
        self,
        settings: Settings,
        file: LaneFile,
        *,
        broker: Callable[[], BrokerConnection],
        judge: Callable[[int, RetryMessage], None],
        settle: Callable[[Receipt], None],
        refuse: Callable[[Publication, str, int | None], None],
        go_on: Callable[[], None],
        timer: Callable[[Callable[[], None]], Timer],
        log: Any,
    ) -> None:
        self._settings, self._file, self._broker = settings, file, broker
        self._judge, self._settle, self._refuse, self._log = judge, settle, refuse, log
        self._lanes: dict[HookKey, Lane] = {}
        self._out: dict[HookKey, _Out] = {}
        self._by_queue: dict[str, Lane] = {}
        self._by_tag: dict[int, Lane] = {}
        self._publishing: dict[int, Lane] = {}
        self._fates: dict[int, Send | Wait | Cancel] = {}
        self._declared: set[HookKey] = set()
        self._wanted: dict[HookKey, bool] = {}
        self._runs: deque[LaneRun] = deque()
        self._connected = False
        self._run_due = timer(go_on)
        self._publish_due = timer(self._publish_all)
        for key in file.lanes:
            self._lane(key)

    def __len__(self) -> int:
        """The number of deliveries in hand."""
        return len(self._by_tag)

    @property
    def unconfirmed(self) -> int:
        """The number of deliveries that the broker has not confirmed."""
        return sum(len(out.waiting) + len(out.publishing) for out in self._out.values())

    @property
    def waiting(self) -> int:
        """The number of deliveries in the queues, with those in hand."""
        return sum(lane.waiting for lane in self._lanes.values())

    @property
    def paused(self) -> int:
        """The same of paused hooks."""
        return sum(lane.waiting for lane in self._lanes.values() if lane.paused)

    def _lane(self, key: HookKey) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            name = lane_queue(self._settings, key[1]).name
            lane = self._lanes[key] = Lane(key, name, paused=self._wanted.get(key, False))
            self._out[key] = _Out()
            self._by_queue[name] = lane
            self._file.add_lane(key)
            if self._connected:
                self._declare(lane)
        return lane

    def _declare(self, lane: Lane) -> None:
        self._broker().declare(lane_queue(self._settings, lane.key[1]))

    def hooks(self, lanes: Iterable[tuple[HookKey, bool]]) -> None:
        """The hooks that are ordered or paused now. The lanes of others stay until they are empty.

        A lane of a hook that is neither any more is also emptied in order.
        """
        self._wanted = dict(lanes)
        for key in self._wanted:
            self._lane(key)
        for key, lane in self._lanes.items():
            lane.paused = self._wanted.get(key, False)

    # The connection

    def up(self) -> None:
        """Declare the queues; `declared` then consumes them."""
        self._connected = True
        self.ask_depths()

    def down(self) -> None:
        """The broker will redeliver what is in hand."""
        self._connected = False
        self._declared.clear()
        for lane in self._lanes.values():
            lane.emptied()
        self._by_tag.clear()
        self._fates.clear()
        self._runs.clear()
        for out in self._out.values():
            self._take_back(out)
            out.waiting = deque(p for p in out.waiting if p.tag is None)

    def ask_depths(self) -> None:
        """Have the queues' messages counted; this also keeps the broker from deleting them."""
        for lane in list(self._lanes.values()):
            self._declare(lane)

    def declared(self, event: Declared) -> None:
        """A queue exists: consume it and publish into it, or drop a lane that is not needed."""
        lane = self._by_queue[event.queue]
        lane.waiting = event.messages + len(lane.items)
        if lane.key not in self._declared:
            self._declared.add(lane.key)
            self._broker().consume(lane.queue, PREFETCH)
            self._publish(lane)
        elif not lane.waiting and lane.key not in self._wanted and not self._out[lane.key].waiting:
            self._file.drop_lane(lane.key)

    # Into the queues

    def put(self, publication: Publication) -> None:
        """Publish a delivery into the lane of its hook, after those before it."""
        delivery = publication.item.delivery
        lane = self._lane((delivery.account_id, delivery.hook_id))
        self._file.add_lane(lane.key)
        out = self._out[lane.key]
        most = self._settings.delivery.paused_max
        if lane.paused and lane.waiting + len(out.publishing) + len(out.waiting) >= most:
            self._refuse(publication, f"hook paused: {most} deliveries wait", None)
            return
        out.waiting.append(publication)
        self._publish(lane)

    def _publish_all(self) -> None:
        for lane in self._lanes.values():
            self._publish(lane)

    def _publish(self, lane: Lane) -> None:
        out = self._out[lane.key]
        if not self._connected or lane.key not in self._declared or out.failed:
            return
        while out.waiting:
            publication = out.waiting.popleft()
            item = publication.item
            properties = Properties(
                content_type="application/json", delivery_mode=2, message_id=item.delivery.id
            )
            id = self._broker().publish(
                OutgoingMessage("", lane.queue, as_json(item), properties, mandatory=True)
            )
            out.publishing[id] = publication
            self._publishing[id] = lane

    def confirmed(self, ids: Iterable[int], returned: set[int]) -> list[int]:
        """The broker has these publications, but for the returned; the tags to acknowledge."""
        tags = []
        for id in ids:
            if (lane := self._publishing.get(id)) is None:
                continue
            if id in returned:  # The queue was deleted.
                returned.discard(id)
                self._declared.discard(lane.key)
                self._fail(lane, id)
                continue
            del self._publishing[id]
            publication = self._out[lane.key].publishing.pop(id)
            lane.waiting += 1
            if publication.receipt is not None:
                self._settle(publication.receipt)
            if publication.tag is not None:
                tags.append(publication.tag)
            self._publish_again(lane)
        return tags

    def unconfirmed_are(self, ids: Iterable[int]) -> None:
        """The broker has refused these publications, or they were lost."""
        for id in ids:
            if (lane := self._publishing.get(id)) is not None:
                self._fail(lane, id)

    def _fail(self, lane: Lane, id: int) -> None:
        self._out[lane.key].failed.add(id)
        self._publish_again(lane)

    def _publish_again(self, lane: Lane) -> None:
        """Publish what has failed, in order, once the broker has decided on all."""
        out = self._out[lane.key]
        if out.failed and out.failed == out.publishing.keys():
            self._take_back(out)
            if self._connected and lane.key not in self._declared:
                self._declare(lane)
            self._publish_due.within(PUBLISH_AGAIN_S)

    def _take_back(self, out: _Out) -> None:
        for id in out.publishing:
            del self._publishing[id]
        out.waiting.extendleft(reversed(out.publishing.values()))
        out.publishing, out.failed = {}, set()

    # Out of the queues

    def is_lane(self, message: IncomingMessage) -> bool:
        """Whether it comes from the queue of a lane."""
        return not message.exchange and message.routing_key in self._by_queue

    def take(self, message: IncomingMessage, item: RetryMessage) -> None:
        """Take a message of a lane."""
        lane = self._by_queue[message.routing_key]
        lane.take(message.tag, self._file.restored(item), time.monotonic(), _now_ms())
        self._by_tag[message.tag] = lane

    def begin_runs(self) -> None:
        """Begin the runs that are due, and set the timer for the next."""
        now = time.monotonic()
        for lane in self._lanes.values():
            for tag, retry in lane.run(now):
                self._judge(tag, retry)
            if lane.items and not lane.out and not lane.paused:
                self._run_due.at(lane.due_at)

    def decide(self, tag: int, fate: Send | Wait | Cancel, change: int) -> bool:
        """Take a decision on a delivery; False if it is of no lane.

        Once all of its run are decided, the run is ready: up to the first that has to wait.
        """
        lane = self._by_tag.get(tag)
        if lane is None:
            return False
        self._fates[tag] = fate
        if all(out in self._fates for out in lane.out):
            items, cancelled = [], []
            for at, out in enumerate(list(lane.out)):
                match self._fates.pop(out):
                    case Cancel(retry, reason):
                        cancelled.append((out, retry, reason))
                    case Send(retry) if not retry.delivery.options.paused:
                        items.append((out, evolve(retry, delivery=_ordered(retry.delivery))))
                    case Send():
                        lane.paused = True
                        self._recall(lane, lane.out[at:])
                        break
                    case Wait(retry):
                        self._back(lane, retry)
                        self._recall(lane, lane.out[at:])
                        break
            if items or cancelled:
                self._runs.append(LaneRun(lane, tuple(items), tuple(cancelled), change))
        return True

    def _recall(self, lane: Lane, tags: Sequence[int]) -> None:
        for tag in tags:
            self._fates.pop(tag, None)
        lane.recall(time.monotonic(), _now_ms(), tags)

    def outdated(self, keys: set[HookKey]) -> None:
        """Hooks have changed: what was decided about their deliveries is decided again."""
        kept = [run for run in self._runs if run.lane.key not in keys]
        for run in self._runs:
            if run.lane.key in keys:
                self._recall(run.lane, run.lane.out)
        self._runs = deque(kept)

    def next_run(self) -> LaneRun | None:
        """The next run to hand out."""
        return self._runs.popleft() if self._runs else None

    def back(self, retry: RetryMessage) -> None:
        """A deliverer returns a delivery, to be attempted later."""
        delivery = retry.delivery
        if (lane := self._lanes.get((delivery.account_id, delivery.hook_id))) is not None:
            self._back(lane, retry)

    def _back(self, lane: Lane, retry: RetryMessage) -> None:
        lane.back(retry.delivery.id, retry)
        if retry.attempts_made or retry.deferred_since_ms is not None:
            self._file.keep([retry])

    def tags(self, tags: Iterable[int]) -> list[int]:
        """Those of the tags that are of lanes."""
        return [tag for tag in tags if tag in self._by_tag]

    def settled(self, tags: Iterable[int]) -> list[int]:
        """A deliverer has settled these; those to acknowledge: they have ended."""
        done = []
        for lane, of_lane in self._by_lane(tags).items():
            ended = [lane.items[tag].delivery.id for tag in of_lane if tag not in lane.returned]
            self._file.forget(ended)
            done += lane.settled(of_lane, time.monotonic(), _now_ms())
        for tag in done:
            lane = self._by_tag.pop(tag)
            lane.waiting -= 1
        return done

    def lost(self, tags: Iterable[int]) -> list[int]:
        """No deliverer has these any more; returns the tags that are of no lane."""
        for lane, of_lane in self._by_lane(tags).items():
            self._recall(lane, of_lane)
        return [tag for tag in tags if tag not in self._by_tag]

    def _by_lane(self, tags: Iterable[int]) -> Mapping[Lane, list[int]]:
        found: dict[Lane, list[int]] = {}
        for tag in tags:
            if (lane := self._by_tag.get(tag)) is not None:
                found.setdefault(lane, []).append(tag)
        return found

    def renew(self) -> None:
        """Give back what is in hand for RENEW_S; it comes again at once, in its place."""
        before = time.monotonic() - RENEW_S
        for lane in self._lanes.values():
            if lane.items and not lane.out and lane.received_at < before:
                tags = lane.emptied()
                for tag in tags:
                    del self._by_tag[tag]
                self._broker().requeue(tags)


def lane_queue(settings: Settings, hook_id: str) -> Queue:
    """The queue of a hook's lane."""
    name = hook_id
    if len(hook_id.encode()) > LONGEST_HOOK_ID:
        name = blake2b(hook_id.encode(), digest_size=16).hexdigest()
    amqp = settings.amqp
    return shared_queue(f"{amqp.queue}.lane.{name}", amqp.queue_type, single=True, expires=True)


def _ordered(delivery: Delivery) -> Delivery:
    """The delivery as the deliverer keeps it in order, whatever its hook is now."""
    if delivery.options.ordered:
        return delivery
    return evolve(delivery, options=evolve(delivery.options, ordered=True))


def _now_ms() -> int:
    return int(time.time() * 1000)
