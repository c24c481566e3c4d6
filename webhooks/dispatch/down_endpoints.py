"""Which endpoints are down, for which accounts: the state of circuits as operational events.

Each deliverer has its own circuits and reports those that are not closed, with the accounts that
have deliveries for them. `EndpointWatch` makes one event of the reports of all deliverers of a
node: an endpoint is down as long as one of them holds its circuit open.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

from attrs import Factory, define, frozen

from callboard.webhooks.modules.operational import OperationalEvent, endpoint_down, endpoint_up
from callboard.webhooks.values.kazoo_names import gregorian_s

MAX_PAIRS = 1000
"""The most pairs of an endpoint and an account that a deliverer reports; it forgets others."""
REPEATED_S = 30.0
"""How often a deliverer repeats its report while an endpoint is down."""
KEPT_S = 4 * REPEATED_S
"""A deliverer that is silent for longer is gone, and what it said no longer counts."""


@frozen
class DownEndpoint:
    """An endpoint whose circuit is not closed. `since_ms`: Unix; `accounts`: those affected."""

    endpoint: str
    since_ms: int
    accounts: tuple[str, ...]


class DownEndpoints:
    """The endpoints that are down for one deliverer."""

    def __init__(self, most: int = MAX_PAIRS) -> None:
        self._most = most
        self._down: dict[str, tuple[int, dict[str, None]]] = {}
        self._pairs = 0

    def mark(self, endpoint: str, account_id: str, now_ms: int) -> None:
        """The account has a delivery for this endpoint, whose circuit is not closed."""
        if self._pairs >= self._most:
            return
        _since, accounts = self._down.setdefault(endpoint, (now_ms, {}))
        self._pairs += account_id not in accounts
        accounts[account_id] = None

    def report(self, is_closed: Callable[[str], bool]) -> tuple[DownEndpoint, ...]:
        """The endpoints that are still down."""
        for endpoint in [endpoint for endpoint in self._down if is_closed(endpoint)]:
            self._pairs -= len(self._down.pop(endpoint)[1])
        return tuple(
            DownEndpoint(endpoint, since_ms, tuple(accounts))
            for endpoint, (since_ms, accounts) in self._down.items()
        )


@define
class _Told:
    """An endpoint that is down, and the accounts that have an event about it."""

    since_ms: int
    accounts: dict[str, None] = Factory(dict)


class EndpointWatch:
    """Makes events of the deliverers' reports. Times are Unix seconds.

    `operators`: accounts that get one event for each endpoint, for any number of others.
    """

    def __init__(self, node: str, operators: Sequence[str] = ()) -> None:
        self._node, self._operators = node, tuple(operators)
        self._reports: dict[str, tuple[float, tuple[DownEndpoint, ...]]] = {}
        self._told: dict[str, _Told] = {}

    def __len__(self) -> int:
        """The number of endpoints that are down."""
        return len(self._told)

    def report(
        self, deliverer: str, down: tuple[DownEndpoint, ...], now: float
    ) -> list[OperationalEvent]:
        """Take a deliverer's report, which replaces its last; the events that follow."""
        self._reports[deliverer] = now, down
        return self.expire(now)

    def expire(self, now: float) -> list[OperationalEvent]:
        """Forget deliverers that are silent for too long; the events that follow."""
        self._reports = {
            path: (at, down) for path, (at, down) in self._reports.items() if now - at <= KEPT_S
        }
        return [*self._newly_down(now), *self._up_again(now)]

    def _newly_down(self, now: float) -> Iterator[OperationalEvent]:
        for one in chain.from_iterable(down for _at, down in self._reports.values()):
            told = self._told.setdefault(one.endpoint, _Told(one.since_ms))
            for account_id in (*one.accounts, *self._operators):
                if account_id not in told.accounts:
                    told.accounts[account_id] = None
                    yield endpoint_down(
                        self._node, one.endpoint, account_id, told.since_ms, gregorian_s(now)
                    )

    def _up_again(self, now: float) -> Iterator[OperationalEvent]:
        reports: Mapping[str, tuple[float, tuple[DownEndpoint, ...]]] = self._reports
        down = {one.endpoint for _at, found in reports.values() for one in found}
        for endpoint in [endpoint for endpoint in self._told if endpoint not in down]:
            told = self._told.pop(endpoint)
            for account_id in told.accounts:
                yield endpoint_up(
                    self._node,
                    endpoint,
                    account_id,
                    told.since_ms,
                    gregorian_s(now),
                    now - told.since_ms / 1000,
                )
