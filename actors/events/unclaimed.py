"""Events that no event module of this node claims: offered to other nodes, or dead letters."""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from callboard.adapters.broker.protocol import BrokerConnection, BrokerError
from callboard.adapters.broker.publications import Publication, for_queue
from callboard.config.settings import Settings
from callboard.supervision import Call, Timer

NO_MODULE = "no module"
"""The reason of the dead letter."""
PAUSE_S = 2.0
MOST_OFFERS = 30
"""So an event is offered for a minute, in which a node can be restarted."""
LOG_S = 60.0
"""The interval of the log lines."""


class UnclaimedEvents:
    """Puts each event into the queue of events again after a pause, at most `MOST_OFFERS` times.

    The broker gives it to the consumers in turn. A header counts the offers, over nodes and
    restarts. Where no other node can take it, it becomes a dead letter at once: an embedded broker
    has one node, and Kazoo's queue may drop messages.

    `acknowledge` is called for events that are in the queue again, `requeue` for those that the
    broker did not take, and `refuse` for dead letters. Until then they are in the `len` of this.
    While `is_blocked`, events are held; `offer` is to be called afterwards.
    """

    def __init__(
        self,
        settings: Settings,
        broker: BrokerConnection,
        is_blocked: Callable[[], bool],
        acknowledge: Callable[[list[int]], None],
        requeue: Callable[[list[int]], None],
        refuse: Callable[[int, Publication], None],
        timer: Callable[[Call], Timer],
        log: Any,
    ) -> None:
        amqp = settings.amqp
        self._queue = amqp.queue
        self._alone = amqp.join_kazoo or amqp.url.startswith("memory:")
        # The others of the prefetch remain for claimed events.
        self._most_held = max(1, amqp.prefetch // 2)
        self._broker, self._is_blocked, self._log = broker, is_blocked, log
        self._acknowledge, self._requeue, self._refuse = acknowledge, requeue, refuse
        self._held: deque[tuple[float, int, Publication, int]] = deque()
        self._publishing: dict[int, tuple[int, Publication]] = {}
        self._offer_due = timer(self.offer)
        self._log_due = timer(self._write_log)
        self._logged_at = float("-inf")
        self._last_key = ""
        self.counts = {"unclaimed": 0, "no_module": 0}
        """All that were taken since the start, and those that became dead letters."""
        self._logged = dict(self.counts)

    def __len__(self) -> int:
        """The number of events held."""
        return len(self._held) + len(self._publishing)

    def take(self, tag: int, message: Publication, offers: int) -> None:
        """Offer the event, or refuse it. `offers`: how often it was offered before."""
        self.counts["unclaimed"] += 1
        self._last_key = message.routing_key
        self._log_due.within(max(0.0, self._logged_at + LOG_S - time.monotonic()))
        if self._alone or offers >= MOST_OFFERS:
            self._give_up(tag, message)
            return
        if len(self._held) >= self._most_held and not self._is_blocked():
            self._publish(*self._held.popleft()[1:])
        self._held.append((time.monotonic() + PAUSE_S, tag, message, offers))
        self._offer_due.at(self._held[0][0])

    def offer(self) -> None:
        """Offer the events whose pause is over, as far as the broker takes them."""
        if self._is_blocked():
            return
        now = time.monotonic()
        while self._held and self._held[0][0] <= now:
            self._publish(*self._held.popleft()[1:])
        if self._held:
            self._offer_due.at(self._held[0][0])

    def _publish(self, tag: int, message: Publication, offers: int) -> None:
        try:
            id = self._broker.publish(for_queue(self._queue, message, offers + 1))
        except BrokerError:  # With the added headers it is too large for AMQP.
            self._give_up(tag, message)
        else:
            self._publishing[id] = tag, message

    def forget(self) -> None:
        """The connection was lost: the broker redelivers the events."""
        self._held.clear()
        self._publishing.clear()

    def drop(self, tags: Collection[int]) -> list[int]:
        """Forget those of these events that are held here; the tags of these."""
        held = [tag for _at, tag, *_rest in self._held if tag in tags]
        self._held = deque(each for each in self._held if each[1] not in tags)
        out = {id: tag for id, (tag, _message) in self._publishing.items() if tag in tags}
        for id in out:
            del self._publishing[id]
        return [*held, *out.values()]

    # The broker's answers

    def confirmed(self, ids: Iterable[int]) -> None:
        """The broker has the events in the queue again."""
        if self._publishing:
            self._acknowledge([self._publishing.pop(id)[0] for id in ids if id in self._publishing])

    def returned(self, id: int) -> None:
        """There is no such queue any more."""
        if id in self._publishing:
            self._give_up(*self._publishing.pop(id))

    def unconfirmed(self, ids: Iterable[int]) -> None:
        """The broker did not take the events, or the connection is being lost."""
        self._requeue([self._publishing.pop(id)[0] for id in ids if id in self._publishing])

    def _give_up(self, tag: int, message: Publication) -> None:
        self.counts["no_module"] += 1
        self._refuse(tag, message)

    def _write_log(self) -> None:
        """Log the counts since the last line."""
        self._logged_at = time.monotonic()
        new = {name: count - self._logged[name] for name, count in self.counts.items()}
        self._logged = dict(self.counts)
        self._log.warning("events_unclaimed", routing_key=self._last_key, **new)
