"""Measures the dispatcher's cost for each delivery, by the number of endpoints, most of them full.

    python bench/dispatching.py [--items 50000] [--runs 5]

Nine of ten endpoints are full: they have as many requests in flight and items waiting as their
limits allow. At the others, items are added, dispatched and completed in rounds of a hundred. The
result is the best of the runs, since disturbances only add time.
"""

import argparse
import itertools
import random
import time

from callboard.webhooks.dispatch.circuit_breaker import CircuitLimits, Circuits
from callboard.webhooks.dispatch.dispatcher import Added, Dispatcher, DispatchLimits
from callboard.webhooks.hooks.options import NO_OPTIONS

LIMITS = DispatchLimits(in_flight=4, waiting=100, slots=1_000_000)
ROUND = 100


def split(endpoints: int) -> tuple[list[str], list[str]]:
    names = [f"https://example-{number}.org:443" for number in range(endpoints)]
    free = max(1, endpoints // 10)
    return names[free:], names[:free]


def of_dispatcher(endpoints: int, items: int) -> float:
    """Microseconds for each item."""
    full, free = split(endpoints)
    dispatcher: Dispatcher[int] = Dispatcher(LIMITS, Circuits(CircuitLimits(), random.random))
    now, keys = time.monotonic(), map(str, itertools.count())
    for endpoint in full:
        for _item in range(LIMITS.in_flight):
            dispatcher.add(0, next(keys), endpoint, "hook", NO_OPTIONS, now)
    while dispatcher.next(now):
        pass
    for endpoint in full:
        for _item in range(4):
            dispatcher.add(0, next(keys), endpoint, "hook", NO_OPTIONS, now)
    targets = itertools.cycle(free)
    begun = time.perf_counter()
    for _round in range(items // ROUND):
        for _item in range(ROUND):
            admission = dispatcher.add(0, next(keys), next(targets), "hook", NO_OPTIONS, now)
            assert isinstance(admission, Added)
        for _item in range(ROUND):
            turn = dispatcher.next(now)
            assert turn is not None
            dispatcher.done(turn, now, True)
    return (time.perf_counter() - begun) / items * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print("endpoints           µs per item  ratio")
    first = None
    for endpoints in (1, 100, 10_000):
        cost = min(of_dispatcher(endpoints, options.items) for _ in range(options.runs))
        first = first or cost
        print(f"{endpoints:9}  {cost:20.2f}  {cost / first:5.2f}")


if __name__ == "__main__":
    main()
