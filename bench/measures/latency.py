"""How long an event is on its way: from publishing it until its request was read."""

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from operator import sub

from contenders.known import BY_HAND, callboards
from contenders.running import Contender
from driving import Driven, driven, turns
from report import Figure, Section
from surroundings import Bench

SHARES = (0.1, 0.5, 0.9)
LOW_PER_S = 50.0
SECONDS, QUICK_S = 6.0, 3.0
WARM_UP = 1000
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
ADDED_AT_MOST_MS = {"p50": 5, "p99": 25}

TEXT = f"""\
From just before an event is published until the receiver has read its request, at a fixed rate that
waits for nobody, one hook, 2 kB. Saturating is the rate at which a full queue is drained, measured
in the same process just before. Added is what Callboard takes more than the loop by hand in the
same turn, at {LOW_PER_S:.0f} events a second."""

Values = defaultdict[tuple[str, str], list[float]]
"""By the name and unit of the figure; one of each run."""


def run(bench: Bench) -> Section:
    taking_part: list[Contender] = [*callboards(), BY_HAND]
    values: Values = defaultdict(list)
    for contender in turns(bench, taking_part):
        with driven(bench, contender) as at_work:
            _measure(bench, contender, at_work, values)
    for contender, quantile in product(callboards(), ADDED_AT_MOST_MS):
        mine, by_hand = (
            values[_name(one, f"{LOW_PER_S:.0f}/s", quantile)] for one in (contender, BY_HAND)
        )
        values[f"{contender.name} adds, {quantile}", "ms"] = list(map(sub, mine, by_hand))
    figures = [
        Figure(name, unit, some, at_most=_goal(name)) for (name, unit), some in values.items()
    ]
    return Section("Latency", figures, TEXT)


def quantile(ordered: Sequence[float], part: float) -> float:
    """The least value that so large a part does not exceed."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def _measure(bench: Bench, contender: Contender, at_work: Driven, values: Values) -> None:
    seconds = QUICK_S if bench.quick else SECONDS
    per_s = at_work.warm_up(WARM_UP)
    rates = {f"{LOW_PER_S:.0f}/s": LOW_PER_S}
    if contender is not BY_HAND:
        saturating = at_work.drain(max(WARM_UP, round(per_s * seconds / 2))).per_s
        values[f"{contender.name}, saturating", "events/s"].append(saturating)
        rates |= {f"{share:.0%}": share * saturating for share in SHARES}
    for rate, per_s in rates.items():
        ordered = at_work.at(per_s, seconds).latencies_ms
        for name, part in QUANTILES.items():
            values[_name(contender, rate, name)].append(quantile(ordered, part))


def _name(contender: Contender, rate: str, quantile: str) -> tuple[str, str]:
    return f"{contender.name}, {rate}, {quantile}", "ms"


def _goal(name: str) -> float | None:
    return next(
        (most for quantile, most in ADDED_AT_MOST_MS.items() if name.endswith(f"adds, {quantile}")),
        None,
    )
