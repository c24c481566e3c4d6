"""Publishes messages in batches, for requests that wait until the broker has confirmed them."""

from collections.abc import Callable, Iterable

from attrs import Factory, define

from callboard.adapters.broker.protocol import (
    BrokerConnection,
    BrokerError,
    BrokerEvent,
    Confirmed,
    OutgoingMessage,
    Returned,
    Unconfirmed,
)

Settled = Callable[["Batch"], None]


@define
class Batch:
    """The messages of one request, by ids. `settled` is called once all have a result.

    `unroutable`: those that no queue took, with the reason.
    """

    settled: Settled
    taken: list[str] = Factory(list)
    refused: list[tuple[str, str]] = Factory(list)
    unroutable: list[tuple[str, str]] = Factory(list)
    unconfirmed: int = 0
    complete: bool = False

    @property
    def not_taken(self) -> tuple[tuple[str, str], ...]:
        """The messages that no queue has, with the reasons."""
        return (*self.refused, *self.unroutable)

    def refuse(self, id: str, reason: str) -> None:
        """Record that this message cannot be published."""
        self.refused.append((id, reason))


class ConfirmedPublisher:
    """Publishes mandatory messages with confirms; each result is recorded in the batch."""

    def __init__(self, broker: BrokerConnection) -> None:
        self._broker = broker
        self._unconfirmed: dict[int, tuple[Batch, str]] = {}
        self._returned: dict[int, str] = {}

    def __len__(self) -> int:
        """The number of messages that the broker has not confirmed."""
        return len(self._unconfirmed)

    def publish(self, batch: Batch, id: str, message: OutgoingMessage) -> None:
        """Publish one message of a batch."""
        try:
            number = self._broker.publish(message)
        except BrokerError as problem:  # such as a routing key that is too long
            batch.refuse(id, f"the broker cannot take it: {problem}")
            return
        self._unconfirmed[number] = batch, id
        batch.unconfirmed += 1

    def complete(self, batch: Batch) -> None:
        """Mark the batch as complete; its result is final once all messages are confirmed."""
        batch.complete = True
        self._settle(batch)

    def on_broker(self, event: BrokerEvent) -> None:
        """Handle confirms and returned messages."""
        match event:
            case Returned(number, reason) if number in self._unconfirmed:
                self._returned[number] = reason
            case Confirmed(numbers):
                self._ended(numbers, "")
            case Unconfirmed(numbers, reason):
                self._ended(numbers, f"the broker did not take it: {reason}")

    def _ended(self, numbers: Iterable[int], problem: str) -> None:
        for number in numbers:
            if number in self._unconfirmed:
                batch, id = self._unconfirmed.pop(number)
                returned = self._returned.pop(number, None)
                if problem:
                    batch.refuse(id, problem)
                elif returned is not None:
                    batch.unroutable.append((id, f"there is no queue for it: {returned}"))
                else:
                    batch.taken.append(id)
                batch.unconfirmed -= 1
                self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        if batch.complete and not batch.unconfirmed:
            batch.settled(batch)
