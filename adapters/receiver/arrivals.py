"""The requests at a receiver: attempts of deliveries, distinguished by `webhook-id`."""

from collections import Counter
from collections.abc import Mapping

from attrs import Factory, define, frozen

from callboard.webhooks.deliveries.verifying import ID_HEADER, Verdict


@frozen
class Attempt:
    """One request among those of its delivery.

    `delivery`: its `webhook-id`, None without. `number`: from 1. `repeat`: an earlier one already
    had a success response, so that this one is to be dropped. `since_last_s`: since the previous
    request of any delivery; None for the first.
    """

    delivery: str | None
    number: int
    repeat: bool
    since_last_s: float | None


@define
class Arrivals:
    """Tracks arriving requests. It never forgets an id, so it is meant for interactive use."""

    requests: int = 0
    good: int = 0
    repeats: int = 0
    verdicts: Counter[Verdict] = Factory(Counter)
    _attempts: Counter[str] = Factory(Counter)
    _answered_well: set[str] = Factory(set)
    _last_at: float | None = None

    @property
    def deliveries(self) -> int:
        """The number of distinct deliveries; requests without an id are not counted."""
        return len(self._attempts)

    def take(self, headers: Mapping[str, str], verdict: Verdict | None, now_s: float) -> Attempt:
        """Record a request. `verdict`: None without a key to verify it."""
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
        """Record that the delivery got a response with a success status."""
        self.good += 1
        if delivery is not None:
            self._answered_well.add(delivery)
