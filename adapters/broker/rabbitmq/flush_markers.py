"""Markers: messages that make RabbitMQ write the earlier messages of a queue to its disk.

A classic queue writes a message at once only if its publisher waits for a confirm, and
dead-lettered messages have no such publisher. So a message that leaves a delay queue is in memory
only for a while, and gone from its earlier queue: a broker that is killed then loses it (seen with
RabbitMQ 3.10: 100 of 100, for a tenth of a second and more). A queue is written in its order, so
the confirm of a marker means that all messages before it are on the disk. Replicated queues need no
markers.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define

TYPE = "callboard.mark"
"""The AMQP property `type` of a marker. It has no body."""
KEPT_S = 0.1
"""How long its consumer holds a marker: one that leaves the queue too soon is never written."""
PAUSE_S = 0.02
"""The least pause between two markers, in seconds."""


@define
class Marks:
    """Decides when to `publish` a marker; `later` calls back after a number of seconds.

    `publish` returns whether it did: it does not while the broker takes no messages. Call `go_on`
    once it does.
    """

    publish: Callable[[], bool]
    later: Callable[[float, Callable[[], None]], object]
    _under_way: bool = False
    _wanted: bool = False

    def arrived(self, headers: Mapping[str, Any] | None) -> None:
        """A message left the queue; its headers show whether it was dead-lettered there."""
        if not headers or "x-death" not in headers:
            return
        self._wanted = True
        self.go_on()

    def confirmed(self) -> None:
        """The marker and all messages before it are on the disk."""
        self.later(PAUSE_S, self._end)

    def _end(self) -> None:
        self._under_way = False
        self.go_on()

    def go_on(self) -> None:
        """Publish a marker if one is wanted."""
        if self._wanted and not self._under_way and self.publish():
            self._wanted, self._under_way = False, True
