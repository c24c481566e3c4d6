"""One event that a hundred hooks want, each at an endpoint of its own."""

from collections import defaultdict

from contenders.known import callboards_with
from contenders.running import Hook
from driving import driven, turns
from report import Figure, Section
from surroundings import Bench

HOOKS = 100
EVENTS = 100
WARM_UP = 20

TEXT = f"""\
{HOOKS} signed hooks at {HOOKS} endpoints, all of the same account: each event makes {HOOKS}
deliveries, each with a body of 2 kB, and is acknowledged when all of them are settled. Counted as
in the throughput, with {EVENTS} events."""


def run(bench: Bench) -> Section:
    hooks = [Hook("bench", bench.receiver.url(endpoint=number)) for number in range(HOOKS)]
    taking_part = callboards_with(hooks)
    values = defaultdict[tuple[str, str], list[float]](list)
    for contender in turns(bench, taking_part):
        with driven(bench, contender, each=HOOKS) as at_work:
            at_work.warm_up(WARM_UP)
            load = at_work.drain(bench.size(EVENTS))
        values[contender.name, "deliveries/s"].append(load.per_s * HOOKS)
        values[contender.name, "µs CPU/delivery"].append(load.cpu_us / HOOKS)
        values[contender.name, "µs CPU of the broker/event"].append(load.broker_us)
        values[contender.name, "repeats"].append(load.repeats)
    figures = [Figure(name, unit, some) for (name, unit), some in values.items()]
    return Section("Fan-out", figures, TEXT)
