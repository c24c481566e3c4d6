"""Circuit breakers: an unreachable endpoint gets no requests, except for an occasional probe."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from attrs import define, field, frozen, validators

from callboard.webhooks.retries.outcome import Outcome, Response

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"

MAX_CIRCUITS = 100_000
"""The most failing endpoints to remember; beyond, the one with the oldest failure is forgotten."""


@frozen
class CircuitLimits:
    """When a circuit opens, and for how long.

    `failures`: consecutive errors that open it. The pause before a probe doubles from
    `first_pause_s` to `max_pause_s`.
    """

    failures: int = field(default=10, validator=validators.ge(1))
    first_pause_s: float = field(default=5.0, validator=validators.gt(0))
    max_pause_s: float = field(default=300.0, validator=validators.gt(0))


@define
class _Circuit:
    """`pause_s`: the pause before the latest probe, without jitter; 0 while it is closed.

    `since`: when its first failure in a row was; `error`: what the latest one was.
    """

    since: float
    error: str = ""
    failures: int = 0
    pause_s: float = 0.0
    probe_at: float = 0.0
    probing: bool = False


def reached(outcome: Outcome) -> bool | None:
    """Whether the endpoint was reached: True for any response, False for none.

    None for a forbidden address, which says nothing about the endpoint.
    """
    if isinstance(outcome, Response):
        return True
    return None if outcome.kind.startswith("refused") else False


class Circuits:
    """The circuits of all endpoints; only endpoints whose latest request failed are stored.

    Closed: requests are sent. Open: no request is sent until the pause is over. Half-open: one
    request is sent, the probe; if it reaches the endpoint the circuit closes, otherwise it opens
    again, for longer. A late response to an earlier request closes it too; a late error changes
    nothing. `random` returns numbers from 0 to below 1: half of each pause is random, so that
    probes do not coincide.
    """

    def __init__(self, limits: CircuitLimits, random: Callable[[], float]) -> None:
        self._limits = limits
        self._random = random
        self._circuits: OrderedDict[str, _Circuit] = OrderedDict()
        self._open = 0
        self.opened = 0
        """How many times a closed circuit has opened."""

    def __len__(self) -> int:
        """The number of endpoints whose latest request failed."""
        return len(self._circuits)

    @property
    def open(self) -> int:
        """The number of circuits that are not closed."""
        return self._open

    def half_open(self, now: float) -> int:
        """The number of circuits whose probe may be sent or is in flight."""
        return sum(self.state(endpoint, now) == HALF_OPEN for endpoint in self.failing())

    def state(self, endpoint: str, now: float) -> str:
        """`closed`, `open` or `half-open`."""
        circuit = self._circuits.get(endpoint)
        if circuit is None or not circuit.pause_s:
            return CLOSED
        return HALF_OPEN if circuit.probing or now >= circuit.probe_at else OPEN

    def failures(self, endpoint: str) -> int:
        """Consecutive failures of its requests: those before the circuit opened, and probes."""
        circuit = self._circuits.get(endpoint)
        return 0 if circuit is None else circuit.failures

    def error(self, endpoint: str) -> str:
        """What the latest of these failures was; empty if there are none."""
        circuit = self._circuits.get(endpoint)
        return "" if circuit is None else circuit.error

    def failing_s(self, endpoint: str, now: float) -> float:
        """Seconds since the first of these failures; 0 if there are none."""
        circuit = self._circuits.get(endpoint)
        return 0.0 if circuit is None else now - circuit.since

    def failing(self) -> Iterator[str]:
        """The endpoints whose circuit is not closed."""
        return (name for name, circuit in self._circuits.items() if circuit.pause_s)

    def is_closed(self, endpoint: str) -> bool:
        """Whether the endpoint's circuit is closed."""
        circuit = self._circuits.get(endpoint)
        return circuit is None or not circuit.pause_s

    def allows(self, endpoint: str, now: float) -> bool:
        """Whether a request may be sent."""
        circuit = self._circuits.get(endpoint)
        if circuit is None or not circuit.pause_s:
            return True
        return not circuit.probing and now >= circuit.probe_at

    def probe_at(self, endpoint: str) -> float | None:
        """The earliest time of the probe; None if the circuit is closed or a probe is in flight."""
        circuit = self._circuits.get(endpoint)
        waits = circuit is not None and circuit.pause_s and not circuit.probing
        return circuit.probe_at if circuit is not None and waits else None

    def probe_in_s(self, endpoint: str, now: float) -> float:
        """Seconds for which certainly no request may be sent.

        0 if one may, or while a probe is in flight.
        """
        at = self.probe_at(endpoint)
        return 0.0 if at is None else max(0.0, at - now)

    def begin(self, endpoint: str) -> bool:
        """Record a request that `allows` permits; returns whether it is the probe."""
        circuit = self._circuits.get(endpoint)
        if circuit is None or not circuit.pause_s:
            return False
        circuit.probing = True
        return True

    def end(
        self, endpoint: str, now: float, was_reached: bool | None, *, probe: bool, error: str = ""
    ) -> None:
        """Record the end of a request.

        `probe`: the result of `begin`; `was_reached`: see `reached`; `error`: if it was not.
        """
        if was_reached:
            self.close(endpoint)
        elif was_reached is None:
            circuit = self._circuits.get(endpoint)
            if circuit is not None and probe:
                circuit.probing = False
        else:
            self._failed(endpoint, now, probe, error)

    def close(self, endpoint: str) -> bool:
        """Forget the endpoint's failures; whether its circuit was not closed."""
        circuit = self._circuits.pop(endpoint, None)
        was_open = circuit is not None and circuit.pause_s > 0
        self._open -= was_open
        return was_open

    def _failed(self, endpoint: str, now: float, probe: bool, error: str) -> None:
        circuit = self._circuits.setdefault(endpoint, _Circuit(now))
        circuit.error = error
        if circuit.pause_s and not (probe and circuit.probing):
            return
        self._circuits.move_to_end(endpoint)
        circuit.failures += 1
        limits = self._limits
        if circuit.pause_s:
            circuit.pause_s = min(circuit.pause_s * 2, limits.max_pause_s)
        elif circuit.failures >= limits.failures:
            circuit.pause_s = min(limits.first_pause_s, limits.max_pause_s)
            self._open += 1
            self.opened += 1
        circuit.probing = False
        circuit.probe_at = now + circuit.pause_s * (0.5 + 0.5 * self._random())
        if len(self._circuits) > MAX_CIRCUITS:
            _endpoint, forgotten = self._circuits.popitem(last=False)
            self._open -= forgotten.pause_s > 0
