"""What has arrived at a receiver: tries of deliveries, told apart by `webhook-id`."""

from collections import Counter
from collections.abc import Mapping

from attrs import Factory, define, frozen

from callboard.webhooks.deliveries.verifying import ID_HEADER, Verdict


@frozen
class Attempt:
    """One request among those of its delivery.

    `delivery`: its `webhook-id`, None without. `number`: from 1. `repeat`: an earlier one had a
    good answer already, so that this one is to be dropped. `since_last_s`: since the request
    before it, of whichever delivery; None for the first.
    """

    delivery: str | None
    number: int
    repeat: bool
    since_last_s: float | None


@define
class Arrivals:
    """Keeps account of what arrives; never forgets an id, so it is for people who watch."""

    requests: int = 0
    good: int = 0
    repeats: int = 0
    verdicts: Counter[Verdict] = Factory(Counter)
    _attempts: Counter[str] = Factory(Counter)
    _answered_well: set[str] = Factory(set)
    _last_at: float | None = None

    @property
    def deliveries(self) -> int:
        """How many different deliveries there were; a request without id is none."""
        return len(self._attempts)

    def take(self, headers: Mapping[str, str], verdict: Verdict | None, now_s: float) -> Attempt:
        """A request has come in. `verdict`: None where there is no key to judge it by."""
        delivery = headers.get(ID_HEADER) or None
        since, self._last_at = None if self._last_at is None else now_s - self._last_at, now_s
        self.requests += 1
        number, repeat = 1, False
        if delivery is not None:
            self._attempts[delivery] += 1
            number, repeat = self._attempts[delivery], delivery in self._answered_well
        self.repeats += repeat
        if verdict is not None:
            self.verdicts[verdict] += 1
        return Attempt(delivery, number, repeat, since)

    def answered_well(self, delivery: str | None) -> None:
        """It has been answered with a status that counts as success."""
        self.good += 1
        if delivery is not None:
            self._answered_well.add(delivery)
