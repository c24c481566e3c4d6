"""Marks: messages that have RabbitMQ write to its disk what came into a queue before them.

A classic queue writes a message at once only where its publisher waits for a confirm, and what a
queue dead-letters has no such publisher. So what came out of a delay queue is in memory alone for
a while, gone from the queue it was in: a broker that is killed then loses it (seen with RabbitMQ
3.10: 100 of 100, for a tenth of a second and more). A queue is written in its order, so a message
of ours that is confirmed says that all before it are on the disk. Queues that are replicated need
none of it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define

TYPE = "callboard.mark"
"""The AMQP property `type` of a mark. It has no body."""
KEPT_S = 0.1
"""How long its consumer keeps a mark: one that is gone from the queue too soon is never written."""
PAUSE_S = 0.02
"""How soon after a mark the next may follow."""


@define
class Marks:
    """When to publish a mark. `publish` does it; `later` calls after so many seconds."""

    publish: Callable[[], None]
    later: Callable[[float, Callable[[], None]], object]
    _under_way: bool = False
    _wanted: bool = False

    def arrived(self, headers: Mapping[str, Any] | None) -> None:
        """A message came out of the queue; its headers tell whether it was dead-lettered there."""
        if not headers or "x-death" not in headers:
            return
        self._wanted = True
        self._go_on()

    def confirmed(self) -> None:
        """The mark is on the disk, and so is what came before it."""
        self.later(PAUSE_S, self._end)

    def _end(self) -> None:
        self._under_way = False
        self._go_on()

    def _go_on(self) -> None:
        if self._wanted and not self._under_way:
            self._wanted, self._under_way = False, True
            self.publish()
