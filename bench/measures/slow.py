"""Five hundred endpoints, each of which answers after 200 ms."""

from collections import defaultdict

from contenders.known import CALLBOARD, CALLBOARD_ASYNC, callboards_with, settings_text
from contenders.running import Hook
from driving import driven, turns
from receiver import ENDPOINTS, SLOW_S
from report import Figure, Section
from surroundings import Bench

EVENTS = 15_000
WARM_UP = 1000
GOALS_PER_S = {CALLBOARD.name: 1000, CALLBOARD_ASYNC.name: 2000}
SETTINGS = {"delivery__threads": "256", "amqp__prefetch": "4000"}

TEXT = f"""\
{ENDPOINTS} accounts with a hook each, at {ENDPOINTS} endpoints that answer after
{SLOW_S * 1000:.0f} ms; events of 2 kB for each account in turn, so that what counts is how many
requests are under way. Settings besides the defaults: {settings_text(SETTINGS)}.
Counted as in the throughput."""


def run(bench: Bench) -> Section:
    hooks = [
        Hook(f"account-{number}", bench.receiver.url("slow", number)) for number in range(ENDPOINTS)
    ]
    taking_part = callboards_with(hooks, 'account = "account"', **SETTINGS)
    values = defaultdict[tuple[str, str], list[float]](list)
    for contender in turns(bench, taking_part):
        with driven(bench, contender) as at_work:
            at_work.warm_up(WARM_UP)
            load = at_work.drain(bench.size(EVENTS))
        values[contender.name, "deliveries/s"].append(load.per_s)
        values[contender.name, "µs CPU/delivery"].append(load.cpu_us)
        values[contender.name, "repeats"].append(load.repeats)
    figures = [
        Figure(name, unit, some, at_least=GOALS_PER_S[name] if unit == "deliveries/s" else None)
        for (name, unit), some in values.items()
    ]
    return Section("Slow endpoints", figures, TEXT)
