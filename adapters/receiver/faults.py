"""The injected faults of a receiver: always, by chance, or at first."""

import random
from collections.abc import Callable

from attrs import define, frozen

from callboard.adapters.receiver.arrivals import Attempt
from callboard.adapters.receiver.server import Answer, Behaviour, ReceivedRequest, behaviour_of_path

Chance = Callable[[], float]
"""A number from 0 up to 1, like `random.random`."""


@frozen
class Always:
    """Every request fails."""

    def strikes(self, _request: ReceivedRequest, _attempt: Attempt) -> bool:
        """Always True."""
        return True


@frozen
class Sometimes:
    """This part of the requests fails, by chance."""

    rate: float
    chance: Chance = random.random

    def strikes(self, _request: ReceivedRequest, _attempt: Attempt) -> bool:
        """Whether this request fails."""
        return self.chance() < self.rate


@define
class AtFirst:
    """The first attempts of each delivery fail; requests without an id are counted together."""

    tries: int
    _unnamed: int = 0

    def strikes(self, _request: ReceivedRequest, made: Attempt) -> bool:
        """Whether this request fails."""
        if made.delivery is not None:
            return made.number <= self.tries
        self._unnamed += 1
        return self._unnamed <= self.tries


When = Always | Sometimes | AtFirst

FAILURE = Answer(500)
ALWAYS = Always()


@frozen
class Misbehaviour:
    """The failing behaviour, and when it applies."""

    behaviour: Behaviour = FAILURE
    when: When = ALWAYS

    def of(self, request: ReceivedRequest, made: Attempt) -> Behaviour:
        """The behaviour for a request; by default the one that its path names (see `server`)."""
        if self.when.strikes(request, made):
            return self.behaviour
        return behaviour_of_path(request)
