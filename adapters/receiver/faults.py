"""How a receiver is to behave that is told to fail: always, by chance, or at first."""

import random
from collections.abc import Callable

from attrs import define, frozen

from callboard.adapters.receiver.arrivals import Attempt
from callboard.adapters.receiver.server import Answer, Behaviour, ReceivedRequest, behaviour_of_path

Chance = Callable[[], float]
"""A number from 0 up to 1, as `random.random`."""


@frozen
class Always:
    """Every request is answered badly."""

    def strikes(self, _request: ReceivedRequest, _attempt: Attempt) -> bool:
        """Yes."""
        return True


@frozen
class Sometimes:
    """So large a part of the requests is answered badly, by chance."""

    rate: float
    chance: Chance = random.random

    def strikes(self, _request: ReceivedRequest, _attempt: Attempt) -> bool:
        """Whether this one is."""
        return self.chance() < self.rate


@define
class AtFirst:
    """The first tries of each delivery are; requests without id count together."""

    tries: int
    _unnamed: int = 0

    def strikes(self, _request: ReceivedRequest, made: Attempt) -> bool:
        """Whether this one is."""
        if made.delivery is not None:
            return made.number <= self.tries
        self._unnamed += 1
        return self._unnamed <= self.tries


When = Always | Sometimes | AtFirst

FAILURE = Answer(500)
ALWAYS = Always()


@frozen
class Misbehaviour:
    """What a bad answer is, and when it is given."""

    behaviour: Behaviour = FAILURE
    when: When = ALWAYS

    def of(self, request: ReceivedRequest, made: Attempt) -> Behaviour:
        """What to do with a request; otherwise what its path says (see `receiver`)."""
        if self.when.strikes(request, made):
            return self.behaviour
        return behaviour_of_path(request)
