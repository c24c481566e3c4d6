"""The sums of all actors' figures, which never decrease although actors die.

An actor reports its totals since its start. The increase since its previous report is added here;
its successor starts at zero, and its reports are added too. Counts that an actor had not reported
before its death are lost.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import Factory, define

from callboard.webhooks.metrics.tally import Distribution, FigureSet, Key

Sender = tuple[str, int]
"""An actor: its path and its incarnation."""

MAX_SENDERS = 1000
"""The most actors to remember; beyond, dead actors are forgotten."""


@define
class _Told:
    """An actor's latest report."""

    incarnation: int
    number: int = 0
    figures: FigureSet = Factory(FigureSet)


class Totals:
    """Accepts actors' reports in any order, with duplicates."""

    def __init__(self) -> None:
        self.counters: Counter[Key] = Counter()
        self.distributions: dict[Key, Distribution] = {}
        self._earlier: Counter[Key] = Counter()
        self._earlier_distributions: dict[Key, Distribution] = {}
        self._told: dict[str, _Told] = {}

    def __len__(self) -> int:
        """The number of actors remembered."""
        return len(self._told)

    def take(self, sender: Sender, number: int, figures: FigureSet) -> bool:
        """Add an actor's report with this number; returns whether it was new.

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
        """The increase since these totals began: the part that belongs in rates.

        The first report of an actor older than these totals contains earlier counts.
        """
        counters = {key: count - self._earlier[key] for key, count in self.counters.items()}
        earlier = self._earlier_distributions
        return counters, {
            key: values - earlier[key] if key in earlier else values
            for key, values in self.distributions.items()
        }

    def gauges(self, alive: Mapping[str, int]) -> dict[Key, float]:
        """The sums over the living actors; `alive`: the incarnation by path."""
        sums: dict[Key, float] = {}
        for path, told in self._told.items():
            if alive.get(path) == told.incarnation:
                for key, value in told.figures.gauges.items():
                    sums[key] = sums.get(key, 0) + value
        return sums

    def reported(self, alive: Mapping[str, int]) -> frozenset[str]:
        """The paths of actors whose latest incarnation has reported, even if it has ended.

        `alive`: the incarnation by path.
        """
        reported = {path: told.incarnation for path, told in self._told.items()}
        return frozenset(path for path, its in reported.items() if alive.get(path, its) == its)

    def forget(self, alive: Iterable[str]) -> None:
        """Make room: forget dead actors, but keep their counts."""
        if len(self._told) >= MAX_SENDERS:
            here = set(alive)
            self._told = {path: told for path, told in self._told.items() if path in here}


def _sum(known: Distribution | None, more: Distribution) -> Distribution:
    return more if known is None else known + more


def grown(before: int, now: int) -> int:
    """The increase of a count that may restart at 0."""
    return now - before if now >= before else now
