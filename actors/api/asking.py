"""Requests of threads to other actors, and their responses."""

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from attrs import field, frozen
from thespian.actors import ActorAddress

from callboard.actors.messages import NoAnswer, Refused, RefusedByActor
from callboard.actors.messages.paths import TOP
from callboard.supervision import Answer, Peer, Question


@frozen
class Asked:
    """A thread's request to the actor at `path`; the response has the class `kind`."""

    path: str
    message: Any
    kind: type[Any]
    future: "Future[Any]" = field(factory=Future, eq=False)


class Asking:
    """The pending requests. Each future gets the response, RefusedByActor or NoAnswer."""

    def __init__(self, send: Callable[[ActorAddress, Any], None]) -> None:
        self._send = send
        self._numbers = itertools.count(1)
        self._pending: dict[int, Asked] = {}

    def __len__(self) -> int:
        """The number of pending requests."""
        return len(self._pending)

    def ask(self, asked: Asked, address: ActorAddress | None) -> None:
        """Send a request; `address` None: the actor is down."""
        # Cancelled requests without a response would stay here forever.
        cancelled = [n for n, one in self._pending.items() if one.future.cancelled()]
        for number in cancelled:
            del self._pending[number]
        if address is None:
            fail(asked.future, NoAnswer(f"{asked.path} is being restarted: try again"))
            return
        number = next(self._numbers)
        self._pending[number] = asked
        self._send(address, Question(number, asked.message))

    def answered(self, answer: Answer) -> None:
        """Settle a request by an actor's response; ignored if the request was cancelled."""
        asked = self._pending.get(answer.ref)
        if asked is None:
            return
        if isinstance(answer.message, Refused | asked.kind):  # Others are intermediate.
            settle(asked.future, answer.message)
            del self._pending[answer.ref]

    def on_peers(self, before: Mapping[str, Peer], now: Mapping[str, Peer]) -> None:
        """Fail the requests to actors that died."""
        for number, asked in list(self._pending.items()):
            if asked.path != TOP and now.get(asked.path) != before.get(asked.path):
                del self._pending[number]
                fail(asked.future, NoAnswer(f"{asked.path} was restarted meanwhile: try again"))

    def give_up(self) -> None:
        """Fail all requests: the API stops."""
        for asked in self._pending.values():
            fail(asked.future, NoAnswer("the API is being stopped: try again"))
        self._pending.clear()


def settle(future: "Future[Any]", answer: Any) -> None:
    """Give a thread the response, unless it has cancelled the request. `Refused` is raised."""
    match answer:
        case Refused(reason, cause, setting):
            fail(future, RefusedByActor(reason, cause, setting))
        case _:
            with suppress(InvalidStateError):
                future.set_result(answer)


def fail(future: "Future[Any]", error: BaseException) -> None:
    """Raise this in the thread that waits, unless it has cancelled the request."""
    with suppress(InvalidStateError):
        future.set_exception(error)
