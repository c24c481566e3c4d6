"""How many events a second each contender delivers, and what each event costs."""

from collections.abc import Callable, Mapping, Sequence

from contenders.known import (
    AIO,
    BY_HAND,
    CALLBOARD,
    CALLBOARD_ASYNC,
    CELERY,
    DRAMATIQ,
    GUARANTEES,
    callboards,
    contenders,
)
from contenders.running import Contender
from driving import Load, driven, turns
from report import Figure, Section
from surroundings import Bench

SECONDS, QUICK_S = 6.0, 2.0
WARM_UP = 1000
MOST = 30_000

TEXT = """\
One hook, JSON bodies of 2 kB, a receiver that answers at once. Each contender is started anew,
warmed up, stopped (SIGSTOP) while its queue in RabbitMQ is filled with persistent messages, and
continued: counted is from then until the last event has arrived; every event did. They take turns.
CPU is user and system time of all processes of the contender until its queue is empty,
acknowledged, and one second has passed. Ratios are of the values of one turn."""

GOALS = (
    (CALLBOARD, BY_HAND, 4),
    (CALLBOARD, CELERY, 4),
    (CALLBOARD, DRAMATIQ, 4),
    (CALLBOARD_ASYNC, BY_HAND, 4),
    (CALLBOARD_ASYNC, CELERY, 4),
    (CALLBOARD_ASYNC, DRAMATIQ, 4),
)
CPU_GOALS = ((CALLBOARD, AIO, None), (CALLBOARD_ASYNC, AIO, 1.5))

Loads = Mapping[str, Sequence[Load]]
Value = Callable[[Load], float]


def drained(bench: Bench, contender: Contender) -> Load:
    """One run: as many events as it warmed up to deliver in some seconds."""
    seconds = QUICK_S if bench.quick else SECONDS
    with driven(bench, contender) as at_work:
        per_s = at_work.warm_up(WARM_UP)
        return at_work.drain(min(MOST, max(WARM_UP, round(per_s * seconds))))


def run(bench: Bench) -> Section:
    taking_part = contenders()
    loads: dict[str, list[Load]] = {contender.name: [] for contender in taking_part}
    for contender in turns(bench, taking_part):
        loads[contender.name].append(drained(bench, contender))
    there = {contender.name for contender in taking_part}
    ours = {one.name: loads[one.name] for one in callboards()}
    figures = [
        *_each(loads, "events/s", lambda load: load.per_s),
        *_each(loads, "µs CPU/event", lambda load: load.cpu_us),
        *(
            _ratio(loads, "events/s", one, other, lambda load: load.per_s, at_least=goal)
            for one, other, goal in GOALS
            if one.name in there
        ),
        *(
            _ratio(loads, "CPU/event", one, other, lambda load: load.cpu_us, at_most=goal)
            for one, other, goal in CPU_GOALS
            if one.name in there
        ),
        *_each(loads, "µs CPU of the broker/event", lambda load: load.broker_us),
        *_each(loads, "µs CPU of the receiver/event", lambda load: load.receiver_us),
        *_each(loads, "repeats", lambda load: load.repeats),
        *_each(ours, "deliveries put off, warm-up included", lambda load: load.put_off),
    ]
    missing = "" if CALLBOARD_ASYNC.name in there else f"\nNot there: {CALLBOARD_ASYNC.name}."
    return Section("Throughput", figures, TEXT + missing, [GUARANTEES])


def _each(loads: Loads, unit: str, value: Value) -> list[Figure]:
    return [Figure(name, unit, map(value, some)) for name, some in loads.items()]


def _ratio(
    loads: Loads,
    what: str,
    one: Contender,
    other: Contender,
    value: Value,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Figure:
    pairs = zip(loads[one.name], loads[other.name], strict=True)
    ratios = [value(mine) / value(theirs) for mine, theirs in pairs]
    return Figure(f"{one.name} : {other.name}", f"times the {what}", ratios, at_least, at_most)
