"""Long delays composed of a few fixed waits, one queue for each length of wait.

RabbitMQ expires messages at the head of a queue only, so messages with different delays in one
queue would wait for each other: a durable retry needs a queue for each delay. There are 14 of them,
one for each *class*, and a delay is the sum of up to four waits in such queues. With the steps 1,
2, 5 of coins every delay up to a day is met within a tenth, and three in five take at most two
waits. Twelve classes of threefold steps would need five waits; a single wait with the same error
would need about 120 queues.

A message carries the names of its remaining waits and the time at which it is due. Each time it
returns, `next_wait` names its next queue. This has two effects:
- No clocks are compared during a wait: after the clock jumps back, the message still waits no
  longer than planned, and the number of waits is bounded.
- A due message is delivered at once, without the waits that a stopped broker did not serve.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement

_S, _M, _H = 1000, 60_000, 3_600_000

DELAY_CLASSES: Mapping[str, int] = {
    "1s": 1 * _S,
    "2s": 2 * _S,
    "5s": 5 * _S,
    "10s": 10 * _S,
    "20s": 20 * _S,
    "1m": 1 * _M,
    "2m": 2 * _M,
    "5m": 5 * _M,
    "10m": 10 * _M,
    "20m": 20 * _M,
    "1h": 1 * _H,
    "2h": 2 * _H,
    "5h": 5 * _H,
    "10h": 10 * _H,
}
"""The classes by name, from short to long: milliseconds."""

MAX_LATENESS = 0.1
"""The fraction by which waits may exceed their delay; at least LEAST_MS are allowed."""
LEAST_MS = DELAY_CLASSES["1s"]

_MAX_WAITS = 4
_PLANNED_MS = 24 * _H
"""The longest delay made by _MAX_WAITS waits; longer ones start with waits of the longest class."""
_LONGEST = list(DELAY_CLASSES)[-1]

Waits = tuple[str, ...]
"""Names of classes, the longest first."""


def waits(delay_ms: int) -> Waits:
    """The fewest waits whose sum is at least the delay; none if there is no delay.

    The sum exceeds the delay by at most a tenth of it or a second, whichever is more.
    """
    if delay_ms <= 0:
        return ()
    longest_ms = DELAY_CLASSES[_LONGEST]
    before = max(0, -(-(delay_ms - _PLANNED_MS) // longest_ms))
    rest_ms = delay_ms - before * longest_ms
    most_ms = rest_ms + max(int(delay_ms * MAX_LATENESS), LEAST_MS)
    for count in range(1, _MAX_WAITS + 1):
        sums, made = _sums(count)
        place = bisect_left(sums, rest_ms)
        if place < len(sums) and sums[place] <= most_ms:
            return (_LONGEST,) * before + made[place]
    raise AssertionError(f"{_MAX_WAITS} waits do not make {delay_ms} ms")


def one_wait(delay_ms: float) -> int:
    """The class nearest to a delay by their ratio, in milliseconds: a single wait.

    For delays that need not be exact: each further wait costs a round trip to the broker.
    """
    return min(DELAY_CLASSES.values(), key=lambda ms: max(ms, delay_ms) / min(ms, delay_ms))


def next_wait(left: Sequence[str], due_unix_ms: int, now_unix_ms: int) -> tuple[str, Waits] | None:
    """The class of a message's next wait and the waits after that; None if the message is due.

    `left`: the remaining waits. A name that is no class (any more) counts as the shortest class.
    """
    if not left or now_unix_ms >= due_unix_ms:
        return None
    name = left[0] if left[0] in DELAY_CLASSES else next(iter(DELAY_CLASSES))
    return name, tuple(left[1:])


@lru_cache
def _sums(count: int) -> tuple[tuple[int, ...], tuple[Waits, ...]]:
    """The delays that this number of waits can make, in order, and the waits that make them."""
    longest_first = list(DELAY_CLASSES)[::-1]
    made: dict[int, Waits] = {}
    for names in combinations_with_replacement(longest_first, count):
        made.setdefault(sum(DELAY_CLASSES[name] for name in names), names)
    return tuple(sorted(made)), tuple(made[total] for total in sorted(made))
