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
WARM_UP = 200

TEXT = f"""\
One hook with a secret, 2 kB, {PER_S:.0f} events a second, requests. The program that starts the
tree calls a function of its own so many frames deep before it begins; all actors stand as much
deeper on their stacks. The least and the greatest cost over all depths are those of the best and
the worst, of {", ".join(map(str, DEPTHS))} frames. {BEFORE} names the Python of an earlier
version."""


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
    for contender in turns(bench, taking_part):
        with driven(bench, contender) as at_work:
            at_work.warm_up(WARM_UP)
            costs[contender.name].append(at_work.at(PER_S, SECONDS).cpu_us)
    each = [Figure(f"{name} frames", "µs CPU/event", some) for name, some in costs.items()]
    over_all = [
        Figure(
            f"{name}, over all depths",
            "µs CPU/event",
            [figure.median for figure in each if figure.name.startswith(name)],
        )
        for name in pythons
    ]
    return Section("Depth of the stack", [*over_all, *each], TEXT)
