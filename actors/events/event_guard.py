"""The last defence of a responder: an event that ends its process is found and refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from callboard.actors.base.intake import DEADLY, MOST_DEATHS, digest_of
from callboard.actors.messages import RawEvent
from callboard.adapters.local.suspects import Suspects
from callboard.config.time_limits import RESTARTS_WITHIN_S
from callboard.webhooks.deliveries.slicing import EventKey
from callboard.webhooks.events.event import PoisonEvent

T = TypeVar("T")


class EventGuard:
    """Runs the matching of events, and their encoding in slices, under a mark (suspects.py).

    An exception is the responder's to handle; what ends the process is a module that crashes the
    interpreter, takes all memory, or hangs. `held`: the most events that may be redelivered, each
    of which is marked by its own digest after a death.
    """

    def __init__(self, suspects: Suspects, held: int) -> None:
        self._suspects = suspects
        self._is_wary = suspects.wary
        self._left = held if suspects.wary else 0
        self._sliced: tuple[EventKey, bytes] | None = None

    def pause_s(self, most_deaths: int) -> float:
        """Seconds to wait before the first event, so that the supervisor does not give up."""
        return self._suspects.pause_s(most_deaths, RESTARTS_WITHIN_S)

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Mark that events are handled, whichever, until the block ends for any reason."""
        self._suspects.mark()
        try:
            yield
        finally:
            self._suspects.unmark()

    def run(self, raw: RawEvent, match: Callable[[RawEvent], T], ends: Callable[[T], bool]) -> T:
        """The result of `match`. Raises its errors, and PoisonEvent for an event that ends us.

        `ends`: whether the event was handled with that; else `make` follows, and then `made`.
        """
        if not self._left and not len(self._suspects):
            return match(raw)
        self._left = max(0, self._left - 1)
        one = digest_of(raw.exchange, raw.routing_key, raw.message_id, raw.body)
        if self._suspects.deaths_of(one) >= MOST_DEATHS:
            self._suspects.clear(one)
            raise PoisonEvent(DEADLY)
        self._suspects.mark(one)
        try:
            result = match(raw)
        except BaseException:
            self._suspects.clear(one)
            raise
        finally:
            self._suspects.mark()
        if ends(result):
            self._suspects.clear(one)
        return result

    def make(self, event: EventKey, make: Callable[[], T]) -> T:
        """The result of `make`, which encodes a delivery of an event. Raises its errors."""
        if not self._is_wary and not len(self._suspects):
            return make()
        if self._sliced is None or self._sliced[0] is not event:
            self._sliced = event, digest_of(*event)
        self._suspects.mark(self._sliced[1])
        try:
            return make()
        finally:
            self._suspects.mark()

    def made(self, event: EventKey) -> None:
        """All deliveries of the event are made and settled."""
        if len(self._suspects):
            self._suspects.clear(digest_of(*event))
