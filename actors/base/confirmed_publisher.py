"""Messages that an actor puts into our queues for somebody who waits for the broker's word."""

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
    """What one request wants published, by names of its own. `settled` hears once of the end."""

    settled: Settled
    taken: list[str] = Factory(list)
    refused: list[tuple[str, str]] = Factory(list)
    under_way: int = 0
    complete: bool = False

    def refuse(self, id: str, reason: str) -> None:
        """One of them cannot be published."""
        self.refused.append((id, reason))


class ConfirmedPublisher:
    """Publishes batches, mandatory and with confirms; what comes of each item is in its batch."""

    def __init__(self, broker: BrokerConnection) -> None:
        self._broker = broker
        self._under_way: dict[int, tuple[Batch, str]] = {}
        self._returned: dict[int, str] = {}

    def __len__(self) -> int:
        """Messages that the broker has not answered for."""
        return len(self._under_way)

    def publish(self, batch: Batch, id: str, message: OutgoingMessage) -> None:
        """One item of a batch."""
        try:
            number = self._broker.publish(message)
        except BrokerError as problem:  # such as a routing key that is too long
            batch.refuse(id, str(problem))
            return
        self._under_way[number] = batch, id
        batch.under_way += 1

    def complete(self, batch: Batch) -> None:
        """Nothing more is added to the batch."""
        batch.complete = True
        self._settle(batch)

    def on_broker(self, event: BrokerEvent) -> None:
        """The broker has something to say of what was published."""
        match event:
            case Returned(number, reason) if number in self._under_way:
                self._returned[number] = reason
            case Confirmed(numbers):
                self._ended(numbers, "")
            case Unconfirmed(numbers, reason):
                self._ended(numbers, f"the broker did not take it: {reason}")

    def _ended(self, numbers: Iterable[int], problem: str) -> None:
        for number in numbers:
            if number in self._under_way:
                batch, id = self._under_way.pop(number)
                reason = problem
                if number in self._returned:
                    reason = f"there is no queue for it: {self._returned.pop(number)}"
                if reason:
                    batch.refuse(id, reason)
                else:
                    batch.taken.append(id)
                batch.under_way -= 1
                self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        if batch.complete and not batch.under_way:
            batch.settled(batch)
