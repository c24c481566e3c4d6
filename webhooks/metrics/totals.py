"""The figures of all actors together, which never go down although actors die.

An actor tells its totals since its start. What it has told more than before is added here; its
successor begins at nothing, and what it tells is added too. What an actor counted and did not tell
any more is lost with it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import Factory, define

from callboard.webhooks.metrics.tally import Distribution, FigureSet, Key

Sender = tuple[str, int]
"""An actor: its path and its incarnation."""

MAX_SENDERS = 1000
"""Actors that are remembered; beyond, those are forgotten that are gone."""


@define
class _Told:
    """What an actor has told last."""

    incarnation: int
    number: int = 0
    figures: FigureSet = Factory(FigureSet)


class Totals:
    """Takes in what actors tell, in any order and any number of times."""

    def __init__(self) -> None:
        self.counters: Counter[Key] = Counter()
        self.distributions: dict[Key, Distribution] = {}
        self._earlier: Counter[Key] = Counter()
        self._earlier_distributions: dict[Key, Distribution] = {}
        self._told: dict[str, _Told] = {}

    def __len__(self) -> int:
        """How many actors are remembered."""
        return len(self._told)

    def take(self, sender: Sender, number: int, figures: FigureSet) -> bool:
        """An actor tells its figures for the `number`th time; whether that was news.

        False also if there is no room for one more actor.
        """
        path, incarnation = sender
        told = self._told.get(path)
        if told is None and len(self._told) >= MAX_SENDERS:
            return False
        if told is None or incarnation > told.incarnation:
            told = self._told[path] = _Told(incarnation)
        if incarnation < told.incarnation or number <= told.number:
            return False
        late = told.number == 0 and number > 1
        self._add(told.figures, figures, late)
        told.number, told.figures = number, figures
        return True

    def _add(self, before: FigureSet, now: FigureSet, late: bool) -> None:
        for key, count in now.counters.items():
            more = count - before.counters.get(key, 0)
            self.counters[key] += more
            if late:
                self._earlier[key] += more
        for key, values in now.distributions.items():
            known = before.distributions.get(key)
            grown = values if known is None else values - known
            self.distributions[key] = _sum(self.distributions.get(key), grown)
            if late:
                earlier = self._earlier_distributions
                earlier[key] = _sum(earlier.get(key), grown)

    def since_begin(self) -> tuple[dict[Key, int], dict[Key, Distribution]]:
        """What has happened since these totals began: the part that belongs into rates.

        An actor that is older than these totals tells first what it had counted long before.
        """
        counters = {key: count - self._earlier[key] for key, count in self.counters.items()}
        earlier = self._earlier_distributions
        return counters, {
            key: values - earlier[key] if key in earlier else values
            for key, values in self.distributions.items()
        }

    def gauges(self, alive: Mapping[str, int]) -> dict[Key, float]:
        """The sums over the actors that are alive; `alive`: the incarnation by path."""
        sums: dict[Key, float] = {}
        for path, told in self._told.items():
            if alive.get(path) == told.incarnation:
                for key, value in told.figures.gauges.items():
                    sums[key] = sums.get(key, 0) + value
        return sums

    def forget(self, alive: Iterable[str]) -> None:
        """Make room: forget the actors that are gone; what they counted stays."""
        if len(self._told) >= MAX_SENDERS:
            here = set(alive)
            self._told = {path: told for path, told in self._told.items() if path in here}


def _sum(known: Distribution | None, more: Distribution) -> Distribution:
    return more if known is None else known + more


def grown(before: int, now: int) -> int:
    """By how much a count has grown that may begin anew at 0."""
    return now - before if now >= before else now
