"""The deliveries of an ordered or paused hook, which are sent one by one in order.

The order is that of the hook's queue at the broker. A delivery is acknowledged there when it has
ended, so that whatever dies, the broker has all others in their places. A delivery to be attempted
again stays unacknowledged, and all others wait behind it.
"""

from collections.abc import Iterable

from attrs import Factory, define, evolve

from callboard.webhooks.retries.retry_message import RetryMessage

RUN = 20
"""The most deliveries of a queue that a deliverer has; the next follow when all have ended."""
RUN_BYTES = 1_000_000
"""A run ends with the delivery that reaches this size."""
PREFETCH = 2 * RUN
"""The most unacknowledged deliveries, so that the next run is here when one ends."""

PAUSED, IN_ORDER = "hook paused", "in order"
"""Reasons of deliveries that were not attempted."""

HookKey = tuple[str, str]


@define(eq=False)
class OrderedQueue:
    """A hook's queue at the broker, and its unacknowledged deliveries.

    `waiting`: the messages of the queue, with unacknowledged ones, when it was last asked.
    `items`: the unacknowledged ones, by delivery tag, in order. `out`: the tags of the run that is
    being judged, or is with a deliverer. `due_at`: when the first may run, by the monotonic clock.
    """

    key: HookKey
    queue: str
    paused: bool = False
    waiting: int = 0
    due_at: float = 0.0
    items: dict[int, RetryMessage] = Factory(dict)
    out: list[int] = Factory(list)
    _received: dict[int, float] = Factory(dict)
    _deferred_since_ms: int | None = None

    def take(self, tag: int, retry: RetryMessage, now: float, now_unix_ms: int) -> None:
        """Take a message of the queue, with the state of its latest attempt.

        One that comes behind others that could not be attempted has been deferred as long as they.
        """
        since_ms = self._deferred_since_ms
        if retry.deferred_since_ms is None and since_ms is not None and not retry.attempts_made:
            retry = evolve(retry, deferred_since_ms=max(since_ms, retry.taken_at_ms))
        if not self.items:
            self.due_at = now + max(0, retry.due_ms - now_unix_ms) / 1000
        self.items[tag] = retry
        self._received[tag] = now

    @property
    def received_at(self) -> float:
        """When the first of the unacknowledged deliveries was received."""
        return self._received[next(iter(self.items))]

    def reason(self, retry: RetryMessage) -> str:
        """Why one of its deliveries waits."""
        if self.paused:
            return PAUSED
        return retry.reason if retry.history or retry.deferred_since_ms is not None else IN_ORDER

    def run(self, now: float) -> list[tuple[int, RetryMessage]]:
        """The next deliveries to send, now out; none while the first is not due."""
        if self.paused or self.out or not self.items or now < self.due_at:
            return []
        run, bytes_left = [], RUN_BYTES
        for tag, retry in self.items.items():
            run.append((tag, retry))
            bytes_left -= retry.delivery.size
            if len(run) == RUN or bytes_left <= 0:
                break
        self.out = [tag for tag, _retry in run]
        return run

    def back(self, retry: RetryMessage, now: float, now_unix_ms: int) -> None:
        """Take the state of a delivery that is to be attempted later.

        It may be out, or be here again already, as the broker has redelivered it.
        """
        for tag, item in self.items.items():
            if item.delivery.id == retry.delivery.id and item.deferrals <= retry.deferrals:
                self.items[tag] = retry
        if not self.out:
            self._await_first(now, now_unix_ms)

    def end(self, tags: Iterable[int]) -> None:
        """Forget deliveries of the run that have ended."""
        for tag in tags:
            self._deferred_since_ms = self.items.pop(tag).deferred_since_ms
            del self._received[tag]

    def recall(self, now: float, now_unix_ms: int, tags: Iterable[int] | None = None) -> None:
        """These are not out any more, by default all: the first that has not ended is next."""
        recalled = set(self.out if tags is None else tags)
        self.out = [tag for tag in self.out if tag not in recalled]
        if not self.out:
            self._await_first(now, now_unix_ms)

    def emptied(self) -> list[int]:
        """Forget the unacknowledged deliveries, which return to the broker; returns their tags."""
        tags, self.items, self.out = list(self.items), {}, []
        self._received.clear()
        return tags

    def _await_first(self, now: float, now_unix_ms: int) -> None:
        for retry in self.items.values():
            self.due_at = now + max(0, retry.due_ms - now_unix_ms) / 1000
            break
