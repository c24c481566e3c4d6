"""What an event costs when the whole tree stands a few frames further down the stack."""

import os
from collections import defaultdict

from contenders.running import Callboard
from driving import driven, turns
from report import Figure, Section
from surroundings import Bench

from measures.rates import BEFORE

DEPTHS = tuple(range(0, 128, 16))
PER_S, SECONDS = 50.0, 4.0
FULL, WARM_UP = 3_000, 300

COST, SPEED = "µs CPU/event", "events/s"

TEXT = f"""\
One hook with a secret, 2 kB, requests: {PER_S:.0f} events a second, and then a full queue. The
program that starts the tree first calls its own function to a depth of so many frames; all actors
stand as much deeper on their stacks. The least and the greatest figure over all depths are those of
the best and the worst, of {", ".join(map(str, DEPTHS))} frames. {BEFORE} names the Python of an
earlier version."""


def run(bench: Bench) -> Section:
    pythons = {"now": {}}
    if before := os.environ.get(BEFORE):
        pythons = {"before": {"python": before}, **pythons}
    taking_part = [
        Callboard(f"{name}, {depth}", depth=depth, **python)
        for depth in DEPTHS
        for name, python in pythons.items()
    ]
    costs: defaultdict[str, list[float]] = defaultdict(list)
    speeds: defaultdict[str, list[float]] = defaultdict(list)
    for contender in turns(bench, taking_part):
        with driven(bench, contender) as at_work:
            at_work.warm_up(WARM_UP)
            costs[contender.name].append(at_work.at(PER_S, SECONDS).cpu_us)
            speeds[contender.name].append(at_work.drain(FULL).per_s)
    figures = [
        Figure(f"{name} frames", unit, some)
        for unit, values in ((COST, costs), (SPEED, speeds))
        for name, some in values.items()
    ]
    over_all = [
        Figure(
            f"{name}, over all depths",
            unit,
            [each.median for each in figures if each.unit == unit and each.name.startswith(name)],
        )
        for unit in (COST, SPEED)
        for name in pythons
    ]
    return Section("Depth of the stack", [*over_all, *figures], TEXT)
