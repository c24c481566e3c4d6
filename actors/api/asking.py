"""Questions to other actors on behalf of threads, and their answers."""

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from typing import Any

from attrs import field, frozen
from thespian.actors import ActorAddress

from callboard.actors.messages import NoAnswer, Refused, RefusedByActor
from callboard.actors.messages.paths import TOP
from callboard.supervision import Answer, Peer, Question


@frozen
class Asked:
    """Something a thread wants to know of the actor at `path`: an answer of class `kind`."""

    path: str
    message: Any
    kind: type[Any]
    future: "Future[Any]" = field(factory=Future, eq=False)


class Asking:
    """The questions under way. Whoever asks hears an answer, a refusal, or that none will come."""

    def __init__(self, send: Callable[[ActorAddress, Any], None]) -> None:
        self._send = send
        self._numbers = itertools.count(1)
        self._under_way: dict[int, Asked] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def ask(self, asked: Asked, address: ActorAddress | None) -> None:
        """Send a question there; None: the actor is down."""
        # Those given up would stay for ever otherwise, where no answer comes.
        given_up = [n for n, one in self._under_way.items() if one.future.cancelled()]
        for number in given_up:
            del self._under_way[number]
        if address is None:
            _fail(asked, NoAnswer(f"{asked.path} is being restarted: try again"))
            return
        number = next(self._numbers)
        self._under_way[number] = asked
        self._send(address, Question(number, asked.message))

    def answered(self, answer: Answer) -> None:
        """An actor's answer; one to a question that was given up is void."""
        asked = self._under_way.get(answer.ref)
        if asked is None:
            return
        match answer.message:
            case Refused(reason=reason):
                _fail(asked, RefusedByActor(reason))
            case asked.kind():
                _settle(asked, answer.message)
            case _:
                return  # Something on the way, such as progress.
        del self._under_way[answer.ref]

    def on_peers(self, before: Mapping[str, Peer], now: Mapping[str, Peer]) -> None:
        """An actor that died takes its questions with it."""
        for number, asked in list(self._under_way.items()):
            if asked.path != TOP and now.get(asked.path) != before.get(asked.path):
                del self._under_way[number]
                _fail(asked, NoAnswer(f"{asked.path} was restarted meanwhile: try again"))

    def give_up(self) -> None:
        """The actor that asks ends."""
        for asked in self._under_way.values():
            _fail(asked, NoAnswer("the API is being stopped: try again"))
        self._under_way.clear()


def _settle(asked: Asked, answer: Any) -> None:
    try:
        asked.future.set_result(answer)
    except InvalidStateError:
        return  # Cancelled: nobody waits any more.


def _fail(asked: Asked, error: Exception) -> None:
    try:
        asked.future.set_exception(error)
    except InvalidStateError:
        return  # Cancelled: nobody waits any more.
