"""What an event costs, and how late it is, at rates from a few a second up to a full queue."""

import os
from collections import defaultdict
from itertools import product

from contenders.known import BY_HAND, CALLBOARD, callboards
from contenders.running import KINDS, OTHERS, Callboard, Contender
from driving import Driven, Load, driven, turns
from report import Figure, Section, Table, amount
from surroundings import Bench

from measures.latency import quantile

PER_S = (20.0, 50.0, 100.0, 300.0, 1_000.0)
SHARES = (0.25, 0.5, 0.8)
SECONDS, QUICK_S = 4.0, 3.0
IDLE_S = 8.0
WARM_UP = 1000
BEFORE = "BENCH_BEFORE"
"""The environment variable that names the Python of an earlier version's installation."""
DEPTH = "BENCH_DEPTH"
"""The environment variable that starts Callboard so many frames deeper (the measure `stack`)."""
FULL, IDLE = "full queue", "idle"

TEXT = f"""\
One hook with a secret, 2 kB, API off, requests at a fixed rate that waits for nothing. CPU is user
and system time of all processes of the contender, from the first event until one second after the
last, idle time included. Saturating is the rate at which a full queue is drained, measured in the
same process just before; the loop by hand is measured only at rates that it can bear. {BEFORE}
names the Python of another installation of Callboard, to measure it in the same run; {DEPTH} starts
both deeper on the stack, by so many frames."""

Values = defaultdict[tuple[str, str, str], list[float]]
"""By contender, rate and what was measured; one of each run."""


def run(bench: Bench) -> Section:
    depth = int(os.environ.get(DEPTH, "0"))
    now = [Callboard(each.name, depth=depth, **each.settings) for each in callboards()]
    taking_part: list[Contender] = [*_before(depth), *now, BY_HAND]
    values: Values = defaultdict(list)
    for contender in turns(bench, taking_part):
        with driven(bench, contender) as at_work:
            _measure(bench, contender, at_work, values)
    units = {"p50": "ms", "p99": "ms", "rate": "events/s", "ms CPU": "ms/s"}
    figures = [
        Figure(f"{name}, {rate}, {what}", units.get(what, "µs CPU/event"), some)
        for (name, rate, what), some in values.items()
    ]
    return Section("Rates", figures, TEXT, [_table(values)])


def _before(depth: int) -> list[Callboard]:
    python = os.environ.get(BEFORE)
    return [Callboard(f"before, {CALLBOARD.name}", python=python, depth=depth)] if python else []


def _measure(bench: Bench, contender: Contender, at_work: Driven, values: Values) -> None:
    seconds = QUICK_S if bench.quick else SECONDS
    name = contender.name
    per_s = at_work.warm_up(WARM_UP)
    values[name, IDLE, "ms CPU"].append(at_work.idle(IDLE_S))
    full = at_work.drain(max(WARM_UP, round(per_s * seconds / 2)))
    values[name, FULL, "rate"].append(full.per_s)
    _keep_cost(values, name, FULL, full)
    rates = {f"{rate:,.0f}/s": rate for rate in PER_S if rate < full.per_s}
    for rate, per_s in (rates | {f"{share:.0%}": share * full.per_s for share in SHARES}).items():
        load = at_work.at(per_s, seconds)
        _keep_cost(values, name, rate, load)
        for part in (0.5, 0.99):
            late_ms = quantile(load.latencies_ms, part)
            values[name, rate, f"p{part * 100:.0f}"].append(late_ms)


def _keep_cost(values: Values, name: str, rate: str, load: Load) -> None:
    values[name, rate, "CPU"].append(load.cpu_us)
    for kind, cost_us in load.kinds_us.items():
        if kind != "all":
            values[name, rate, kind].append(cost_us)


def _table(values: Values) -> Table:
    """The medians: a line for each contender and rate."""
    columns = ("rate", "ms CPU", "p50", "p99", "CPU", *KINDS, OTHERS)
    header = (
        "", "", "events/s", "idle, ms CPU/s", "p50 ms", "p99 ms", "µs CPU/event", *KINDS, OTHERS
    )  # fmt: skip
    names = dict.fromkeys(name for name, _rate, _what in values)
    rates = dict.fromkeys(rate for _name, rate, _what in values)
    rows = [
        (name, rate, *(_median(values.get((name, rate, what), [])) for what in columns))
        for rate, name in product(rates, names)
        if any(key[:2] == (name, rate) for key in values)
    ]
    return Table(header, rows)


def _median(values: list[float]) -> str:
    return amount(Figure("", "", values).median) if values else ""
