"""Two actors of one machine that send messages to each other. Prints what it measured as JSON.

    python bench/two_actors.py {thespian|callboard} PORT COUNT BYTES WINDOW

`thespian`: its transport as it is; `callboard`: as the actors of Callboard use it, sealed. At most
WINDOW messages of BYTES are under way; 1: each waits for the response to the one before, which
counts as a message too.
"""

import json
import os
import sys
import time

from attrs import frozen
from thespian.actors import Actor, ActorAddress, ActorExitRequest, ActorSystem

WARM_UP = 0.1
"""The part of the messages that is sent before the clock starts."""
PATIENCE_S = 120.0


@frozen
class Begin:
    """Send so many messages of this size to that actor, in steps of half a window."""

    to: ActorAddress
    count: int
    size: int
    window: int


@frozen
class Numbered:
    """A message. `last`: of a step, to which the receiver responds."""

    data: str
    last: bool


@frozen
class Received:
    """The response to a step, with the processor time that the receiver has used so far."""

    cpu_s: float


class Receiver(Actor):  # type: ignore[misc]
    """Responds to the last message of each step."""

    ends_where_it_fails = True

    def receiveMessage(self, message: object, sender: ActorAddress) -> None:  # noqa: N802
        if isinstance(message, Numbered) and message.last:
            self.send(sender, Received(time.process_time()))


class Sender(Actor):  # type: ignore[misc]
    """Keeps a window of messages under way; tells who began it what they took."""

    ends_where_it_fails = True

    def receiveMessage(self, message: object, sender: ActorAddress) -> None:  # noqa: N802
        match message:
            case Begin():
                self.task, self.client = message, sender
                self.step = max(1, message.window // 2)
                self.sent, self.answered, self.began = 0, 0, ()
                for _ in range(message.window // self.step):
                    self._send()
            case Received(cpu_s=cpu_s):
                self._count(cpu_s)

    def _count(self, receivers_s: float) -> None:
        self.answered += self.step
        now = self.answered, time.monotonic(), time.process_time() + receivers_s
        if not self.began and self.answered >= WARM_UP * self.task.count:
            self.began = now
        if self.answered >= self.task.count:
            count, took_s, cpu_s = (b - a for a, b in zip(self.began, now, strict=True))
            responses = count if self.step == 1 else 0
            self.send(self.client, (count + responses, took_s, cpu_s))
        elif self.sent < self.task.count:
            self._send()

    def _send(self) -> None:
        data = "x" * self.task.size
        for number in range(self.step):
            self.send(self.task.to, Numbered(data, last=number == self.step - 1))
        self.sent += self.step


def main() -> None:
    transport, port, count, size, window = sys.argv[1], *map(int, sys.argv[2:])
    if transport == "callboard":
        from callboard.adapters.local.sealed_transport import KEY_BYTES, seal
        from callboard.supervision.thespian_patches import apply

        apply()
        seal(os.urandom(KEY_BYTES), "127.0.0.1")
    system = ActorSystem("multiprocTCPBase", {"Admin Port": port})
    try:
        sender, receiver = system.createActor(Sender), system.createActor(Receiver)
        messages, took_s, cpu_s = system.ask(
            sender, Begin(receiver, count, size, window), PATIENCE_S
        )
        for actor in (sender, receiver):
            system.tell(actor, ActorExitRequest())
    finally:
        system.shutdown()
    print(json.dumps({"messages": messages, "took_s": took_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
