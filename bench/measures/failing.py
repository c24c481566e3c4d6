"""An endpoint that answers each twentieth request with 500."""

from collections import defaultdict

from contenders.known import callboards_with, settings_text
from contenders.running import Hook
from driving import driven, turns
from receiver import FAILING_EVERY
from report import Figure, Section
from surroundings import Bench

EVENTS = 5000
WARM_UP = 1000
SETTINGS = {
    "delivery__retry_policy": "standard",
    "delivery__retry_steps_s": "1,1,1,1,1",
    "disabler__enabled": "false",
}

TEXT = f"""\
One hook, whose endpoint answers each {FAILING_EVERY}th request with 500. Settings besides the
defaults: {settings_text(SETTINGS)}. Counted
as in the throughput, so until the last retry has succeeded; were a delivery lost, this measure
would fail."""


def run(bench: Bench) -> Section:
    taking_part = callboards_with([Hook("bench", bench.receiver.url("failing"))], **SETTINGS)
    values = defaultdict[tuple[str, str], list[float]](list)
    for contender in turns(bench, taking_part):
        with driven(bench, contender) as at_work:
            at_work.warm_up(WARM_UP)
            load = at_work.drain(bench.size(EVENTS))
        name, most = contender.name, round(len(load.arrivals) * 0.95)
        values[f"{name}, 95 % of all", "deliveries/s"].append(load.per_s_of(most))
        values[f"{name}, all", "deliveries/s"].append(load.per_s)
        values[name, "µs CPU/delivery"].append(load.cpu_us)
        values[name, "failed requests"].append(load.failed)
        values[name, "lost"].append(load.events - len(load.arrivals))
        values[name, "repeats"].append(load.repeats)
    figures = [Figure(name, unit, some) for (name, unit), some in values.items()]
    return Section("Failing endpoint", figures, TEXT)
