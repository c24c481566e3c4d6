"""Drives a `BrokerConnection` as an actor would: waits on its descriptor and its deadline.

Of an earlier deadline than the one after the latest `poll` only the descriptor can tell.
"""

import select
import time
from collections.abc import Callable, Iterable

from callboard.adapters.broker.protocol import (
    BrokerConnection,
    BrokerEvent,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    IncomingMessage,
    OutgoingMessage,
    Properties,
    Received,
    Unconfirmed,
)
from support.patience import patient

QUIET_S = 0.25


class Driver:
    """An open connection and everything it has reported."""

    def __init__(self, connection: BrokerConnection) -> None:
        self.connection = connection
        self.events: list[BrokerEvent] = []
        connection.open()
        self._deadline = connection.deadline()

    def step(self, at_most_s: float) -> None:
        """Wait until there is something to do, but not longer than this, and poll."""
        if self._deadline is not None:
            at_most_s = max(0.0, min(at_most_s, self._deadline - time.monotonic()))
        waiting = select.poll()
        waiting.register(self.connection.fileno(), select.POLLIN)
        waiting.poll(at_most_s * 1000)
        self.events += self.connection.poll()
        self._deadline = self.connection.deadline()

    def until(self, condition: Callable[[], object], timeout_s: float = 15.0) -> "Driver":
        timeout_s = patient(timeout_s)
        give_up = time.monotonic() + timeout_s
        while not condition():
            left_s = give_up - time.monotonic()
            assert left_s > 0, f"waited {timeout_s} s in vain; so far: {self.events}"
            self.step(left_s)
        return self

    def while_quiet(self) -> None:
        """Drive for a moment in which something unwanted could happen."""
        end = time.monotonic() + QUIET_S
        while (left_s := end - time.monotonic()) > 0:
            self.step(left_s)

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def up(self, times: int = 1) -> "Driver":
        return self.until(lambda: len(self.of(ConnectionUp)) >= times)

    def down(self) -> ConnectionDown:
        self.until(lambda: self.of(ConnectionDown))
        return self.of(ConnectionDown)[-1]

    @property
    def queue(self) -> str:
        return self.of(ConnectionUp)[-1].queue

    @property
    def messages(self) -> list[IncomingMessage]:
        return [message for event in self.of(Received) for message in event.messages]

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self.messages]

    def receive(self, count: int) -> list[IncomingMessage]:
        """Wait for so many messages in all; those."""
        self.until(lambda: len(self.messages) >= count)
        return self.messages

    def publish(
        self,
        routing_key: str,
        *bodies: bytes,
        exchange: str = "",
        properties: Properties | None = None,
        mandatory: bool = False,
    ) -> list[int]:
        """Publish, wait for the verdicts, and return the ids."""
        ids = [
            self.connection.publish(
                OutgoingMessage(
                    exchange, routing_key, body, properties or Properties(), mandatory=mandatory
                )
            )
            for body in bodies
        ]
        self.until(lambda: set(ids) <= self.confirmed | self.unconfirmed)
        return ids

    @property
    def confirmed(self) -> set[int]:
        return _ids(self.of(Confirmed))

    @property
    def unconfirmed(self) -> set[int]:
        return _ids(self.of(Unconfirmed))


def _ids(events: Iterable) -> set[int]:
    return {publish_id for event in events for publish_id in event.publish_ids}
