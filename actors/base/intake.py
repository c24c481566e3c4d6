"""Takes the messages of a broker connection in; the last defence against those that end an actor.

After the edge (adapters/broker/edge.py) no message should. If one does, it is redelivered, and
would end the next process, and those of the other nodes. So a message whose handling has ended this
actor twice is quarantined, and such deaths are spread over time, so that the supervisor, which
counts restarts, does not give up.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from typing import Any

from callboard.adapters.broker.protocol import IncomingMessage, UnreadableMessage
from callboard.adapters.local.suspects import DIGEST_BYTES, Suspects
from callboard.config.time_limits import RESTARTS_WITHIN_S
from callboard.supervision import Call, Timer

MOST_DEATHS = 2
"""A message with so many deaths is quarantined."""
DEADLY = f"handling it has ended the process {MOST_DEATHS} times"
"""The reason."""


class Intake:
    """Passes messages on: together, or one by one after a death.

    `suspects`: opens the file of this actor. `handle`: handles messages completely, and may raise.
    `refuse`: quarantines a message. `most_deaths`: the restarts within `RESTARTS_WITHIN_S` that
    messages may cause.
    """

    def __init__(
        self,
        suspects: Callable[[], Suspects],
        handle: Callable[[tuple[IncomingMessage, ...]], None],
        refuse: Callable[[UnreadableMessage], None],
        timer: Callable[[Call], Timer],
        most_deaths: int,
        log: Any,
    ) -> None:
        self._open, self._handle, self._refuse = suspects, handle, refuse
        self._most_deaths, self._log = most_deaths, log
        self._waiting: deque[IncomingMessage] = deque()
        self._refused: list[bytes] = []
        self._due = timer(self._go_on)

    def take(self, messages: Iterable[IncomingMessage]) -> None:
        """Handle messages, oldest first; after deaths within a short time, a while later."""
        # By now the broker has their acknowledgements; before, they could be redelivered.
        while self._refused:
            self._suspects.clear(self._refused.pop())
        self._waiting.extend(messages)
        self._go_on()

    def forget(self) -> None:
        """The connection was lost: the broker redelivers the waiting messages.

        It may redeliver refused ones, too, which stay suspected.
        """
        self._waiting.clear()
        self._refused.clear()

    @cached_property
    def _suspects(self) -> Suspects:
        return self._open()

    def _go_on(self) -> None:
        pause_s = self._suspects.pause_s(self._most_deaths, RESTARTS_WITHIN_S)
        if pause_s:
            if not self._due.is_set:
                self._log.warning("messages_wait", seconds=round(pause_s, 1))
            self._due.within(pause_s)
            return
        messages = tuple(self._waiting)
        self._waiting.clear()
        if not len(self._suspects) and not self._suspects.wary:
            self._handle_all(messages)
            return
        for suspected, group in groupby(messages, self._is_suspected):
            if not suspected:
                self._handle_all(tuple(group))
            else:
                for message in group:
                    self._handle_one(message)

    def _is_suspected(self, message: IncomingMessage) -> bool:
        known = len(self._suspects) and self._suspects.deaths_of(digest(message))
        return bool(known or (self._suspects.wary and message.redelivered))

    def _handle_all(self, messages: tuple[IncomingMessage, ...]) -> None:
        if messages:
            with self._suspects.handling(lambda: [*map(digest, messages)]):
                self._handle(messages)

    def _handle_one(self, message: IncomingMessage) -> None:
        its = digest(message)
        if self._suspects.deaths_of(its) >= MOST_DEATHS:
            self._refuse(UnreadableMessage(message, DEADLY, {}))
            self._refused.append(its)
            return
        with self._suspects.handling(lambda: [its], its):
            self._handle((message,))


def digest(message: IncomingMessage) -> bytes:
    """Identifies a message when it is redelivered."""
    id = message.properties.message_id
    return digest_of(message.exchange, message.routing_key, id, message.body)


def digest_of(exchange: str, routing_key: str, message_id: str | None, body: bytes) -> bytes:
    """Identifies a message of these parts."""
    made = blake2b(digest_size=DIGEST_BYTES)
    for part in (exchange, routing_key, message_id or ""):
        made.update(part.encode(errors="replace") + b"\0")
    made.update(body)
    return made.digest()
