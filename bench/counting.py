"""What the figures cost: counting a delivery, and telling and adding up what was counted.

    python bench/counting.py [--deliveries 200000] [--runs 5]

A delivery is counted as the deliverer does it: its attempt, how long the request took, and how
long the delivery took in all. Telling happens about once a second in each process. The best of the
runs counts: what disturbs them only adds.
"""

import argparse
import pickle
import time

from callboard.actors.messages import Figures
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.tally import Tally
from callboard.webhooks.metrics.totals import Totals
from callboard.webhooks.retries.outcome import RESULTS


def counted(tally: Tally, deliveries: int) -> float:
    """Microseconds a delivery."""
    begun = time.perf_counter()
    for _delivery in range(deliveries):
        tally.count(catalog.ATTEMPTS, "2xx")
        tally.observe(catalog.REQUEST_SECONDS, 0.02)
        tally.observe(catalog.DELIVERY_SECONDS, 0.3)
    return (time.perf_counter() - begun) / deliveries * 1e6


def told(tally: Tally, times: int) -> float:
    """Microseconds for a message made, pickled, unpickled and added up."""
    totals = Totals()
    begun = time.perf_counter()
    for number in range(1, times + 1):
        tally.count(catalog.ATTEMPTS, "2xx")
        message = pickle.loads(pickle.dumps(Figures(("a", 1), number, tally.figures())))
        totals.take(message.sender, message.number, message.figures)
    return (time.perf_counter() - begun) / times * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deliveries", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    tally = Tally()
    for result in RESULTS:
        tally.count(catalog.ATTEMPTS, result, by=0)
    counting = min(counted(tally, options.deliveries) for _ in range(options.runs))
    telling = min(told(tally, 1000) for _ in range(options.runs))
    size = len(pickle.dumps(Figures(("a", 1), 1, tally.figures())))
    print(f"counting, µs a delivery {counting:8.2f}")
    print(f"telling, µs a message   {telling:8.2f}")
    print(f"message, bytes          {size:8}")


if __name__ == "__main__":
    main()
