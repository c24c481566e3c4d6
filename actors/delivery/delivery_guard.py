"""The last defence of a deliverer: a delivery that ends its process is found and refused."""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Generic, TypeVar

from callboard.actors.base.intake import MOST_DEATHS
from callboard.actors.delivery.senders import Sending, Sent, ToSend
from callboard.adapters.local.suspects import DIGEST_BYTES, Suspects
from callboard.config.time_limits import RESTARTS_WITHIN_S
from callboard.webhooks.deliveries.delivery import Delivery

TOGETHER = {1: 16, 2: 4, 3: 1}
"""The most suspected deliveries that are in progress at a time, by their deaths: one of all is
found, in few deaths, without handling each of them alone."""
MOST_KILLED = max(TOGETHER) + 1
"""A delivery that was being sent at so many deaths without an exception is refused.

Requests take long: one may happen to be in flight when its process is killed from outside.
"""

W = TypeVar("W", bound=ToSend)


class DeliveryGuard(Generic[W]):
    """Remembers which deliveries ended the process, in a file that survives it (suspects.py).

    An exception names its delivery. A process that is killed does not: it may have crashed, hung or
    taken all memory over any of those in flight. So its successor notes each one that it sends, for
    the next `held`, and handles few suspected deliveries at a time, the fewer the more deaths they
    are suspected of; before any death, deliveries cost nothing here.
    """

    def __init__(self, suspects: Suspects, held: int) -> None:
        self._suspects = suspects
        self._left = held if suspects.wary else 0
        self._noted: set[bytes] = set()
        self._in_turn: list[W] = []
        self._most = TOGETHER[1]
        self._refused: list[W] = []
        suspects.mark()

    @property
    def is_calm(self) -> bool:
        """Whether no delivery is suspected."""
        return not len(self._suspects)

    def pause_s(self, most_deaths: int) -> float:
        """Seconds to wait before the first delivery, so that the supervisor does not give up."""
        return self._suspects.pause_s(most_deaths, RESTARTS_WITHIN_S)

    def end(self) -> None:
        """The process ends normally."""
        self._suspects.unmark()

    # Suspected deliveries

    def refuses(self, work: W) -> bool:
        """Whether to give the delivery up. See `is_unrecordable`, and `settled`."""
        raised, killed = self._deaths_of(work.delivery)
        if raised < MOST_DEATHS and killed < MOST_KILLED:
            return False
        self._refused.append(work)
        return True

    def is_unrecordable(self, delivery: Delivery) -> bool:
        """Whether the process has ended over it again while its dead letter was made."""
        return self._deaths_of(delivery)[0] > MOST_DEATHS

    def waits(self, work: W, in_progress: Callable[[W], bool]) -> bool:
        """Whether it is suspected, and to be handled later, as others are in progress."""
        deaths = max(self._deaths_of(work.delivery))
        if not deaths:
            return False
        self._in_turn = [one for one in self._in_turn if in_progress(one)]
        if not self._in_turn:
            self._most = TOGETHER[1]
        most = min(self._most, TOGETHER[deaths])
        if len(self._in_turn) >= most:
            return True
        self._most = most
        self._in_turn.append(work)
        return False

    def settled(self, in_progress: Callable[[W], bool]) -> None:
        """Forget refused deliveries whose dead letter is stored."""
        for work in [work for work in self._refused if not in_progress(work)]:
            self._refused.remove(work)
            self._forget(work.delivery)

    def raised(self, delivery: Delivery) -> None:
        """An exception over this delivery is about to end the process; the others are innocent."""
        for noted in self._noted:
            self._suspects.clear(noted)
        self._suspects.ended_by(_raised(delivery))

    def _deaths_of(self, delivery: Delivery) -> tuple[int, int]:
        """By an exception, and while it was sent."""
        deaths_of = self._suspects.deaths_of
        return deaths_of(_raised(delivery)), deaths_of(_sent(delivery))

    def _forget(self, delivery: Delivery) -> None:
        self._suspects.clear(_raised(delivery))
        self._suspects.clear(_sent(delivery))

    # While they are sent

    def watching(self, sending: Sending[W]) -> Sending[W]:
        """The same sending; watched if a delivery may have ended the process before."""
        return sending if self.is_calm and not self._left else _Watched(sending, self)

    def sends(self, delivery: Delivery) -> None:
        """Count a death of the delivery in advance."""
        if self._left or any(self._deaths_of(delivery)):
            self._left = max(0, self._left - 1)
            self._noted.add(noted := _sent(delivery))
            self._suspects.suspect(noted)

    def survived(self, delivery: Delivery) -> None:
        """It was sent, and its outcome handled."""
        if (noted := _sent(delivery)) in self._noted:
            self._noted.remove(noted)
            self._forget(delivery)


class _Watched(Generic[W]):
    """Sends as `sending` does, and reports to the guard."""

    def __init__(self, sending: Sending[W], guard: DeliveryGuard[W]) -> None:
        self._sending, self._guard = sending, guard

    @property
    def free(self) -> int:
        return self._sending.free

    def fileno(self) -> int:
        return self._sending.fileno()

    def send(self, work: W) -> None:
        self._guard.sends(work.delivery)
        self._sending.send(work)

    def ended(self) -> Iterator[Sent[W]]:
        for sent in self._sending.ended():
            yield sent
            self._guard.survived(sent.work.delivery)

    def connect_within(self, seconds: float) -> None:
        self._sending.connect_within(seconds)

    def close(self) -> None:
        self._sending.close()


def _raised(delivery: Delivery) -> bytes:
    return _digest("raised", delivery)


def _sent(delivery: Delivery) -> bytes:
    return _digest("sent", delivery)


def _digest(kind: str, delivery: Delivery) -> bytes:
    text = f"{kind} {delivery.id}".encode(errors="replace")
    return blake2b(text, digest_size=DIGEST_BYTES).digest()
