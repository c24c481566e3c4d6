"""Capacity planning: the machines for a load, as lines with their formulas.

The plan assumes a steady state at the peak and uses two laws: utilisation (CPU time per second,
divided by the cores) and Little's law (requests in flight = requests per second x duration of a
request). `Costs` holds the measured values; this module contains none.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from attrs import Attribute, field, frozen

DAY_S = 86_400
MONTH_DAYS = 30

LEAST, MOST = 1e-9, 1e15
"""Limits of every input (some may also be 0), so that no product exceeds the range of floats."""


@frozen
class PlanLine:
    """One figure of a plan. `section` groups them; `formula` has the numbers filled in."""

    section: str
    key: str
    what: str
    value: float
    unit: str
    formula: str


def _within(least: float, most: float = MOST) -> Any:
    def check(instance: object, attribute: "Attribute[float]", value: float) -> None:
        if not least <= value <= most:  # NaN is not either
            raise ValueError(f"{attribute.name} must be from {least:g} to {most:g}")

    return check


_POSITIVE = _within(LEAST)


def _number(rule: Any, help: str) -> Any:
    return field(converter=float, validator=rule, metadata={"help": help})


def _count(rule: Any, help: str) -> Any:
    return field(converter=int, validator=rule, metadata={"help": help})


@frozen(kw_only=True)
class Workload:
    """The load to plan for."""

    deliveries_per_day: float = _number(_POSITIVE, "Deliveries per day: events times their hooks.")
    peak: float = _number(_within(1), "Ratio of the peak rate to the day's mean.")
    fan_out: float = _number(_POSITIVE, "Mean number of deliveries per event.")
    body_bytes: float = _number(_within(0), "Mean body size of an event and its requests.")
    answer_ms: float = _number(_within(0), "Mean response time of endpoints.")
    failing: float = _number(_within(0, 1), "Fraction of deliveries whose first attempt fails.")
    failing_ms: float = _number(_within(0), "Mean duration of a failing attempt.")
    retries: float = _number(
        _within(0), "Mean number of further attempts after a failed first one."
    )
    stored: float = _number(
        _within(0, 1), "Fraction of successes stored as attempts: 1 with log_successful_attempts."
    )
    keep_days: float = _number(_within(0), "How long attempts are kept.")
    outage_minutes: float = _number(
        _within(0), "Length of an outage at the peak to catch up after."
    )


@frozen(kw_only=True)
class Costs:
    """Measured costs."""

    event_us: float = _number(_within(0), "CPU of a node for an event, without its deliveries.")
    single_us: float = _number(
        _within(0), "The part of it in the busiest process, which can use one core at most."
    )
    delivery_us: float = _number(_within(0), "CPU of a node for an attempt.")
    retry_us: float = _number(_within(0), "CPU of a node to defer a delivery and receive it again.")
    broker_us: float = _number(_POSITIVE, "CPU of the broker to receive and deliver a message.")
    queue_per_s: float = _number(_POSITIVE, "Messages per second through one queue.")
    request_bytes: float = _number(_within(0), "Bytes of a request without its body.")
    answer_bytes: float = _number(_within(0), "Bytes of a response.")
    message_bytes: float = _number(_within(0), "Bytes of an AMQP message without its body.")
    attempt_bytes: float = _number(_within(0), "Bytes of a stored attempt without its body.")
    node_mb: float = _number(_within(0), "Memory of a node without its deliverers.")
    deliverer_mb: float = _number(_within(0), "Memory of a deliverer.")
    node_connections: int = _count(_within(0), "AMQP connections of a node, with one channel each.")


@frozen(kw_only=True)
class Machines:
    """The available machines."""

    cores: int = _count(_within(1), "Cores of a node, with one deliverer for each.")
    busy: float = _number(
        _within(0.01, 1), "Fraction of its cores that a node may use at the peak."
    )
    spare: int = _count(_within(0), "Nodes that may be away at the peak.")
    threads: int = _count(
        _within(1), "Maximum requests in flight in a deliverer (delivery.threads)."
    )
    prefetch: int = _count(_within(1), "Maximum unsettled events of a node (amqp.prefetch).")


@frozen
class _Flow:
    """Rates per second at the peak."""

    load: Workload
    costs: Costs

    @property
    def mean(self) -> float:
        return self.load.deliveries_per_day / DAY_S

    @property
    def peak(self) -> float:
        return self.mean * self.load.peak

    @property
    def events(self) -> float:
        return self.peak / self.load.fan_out

    @property
    def retries(self) -> float:
        return self.peak * self.load.failing * self.load.retries

    @property
    def tries(self) -> float:
        return self.peak + self.retries

    @property
    def cores(self) -> float:
        """Busy cores."""
        costs = self.costs
        per_event, per_try = self.events * costs.event_us, self.tries * costs.delivery_us
        return (per_event + per_try + self.retries * costs.retry_us) / 1e6

    @property
    def good(self) -> float:
        """Fraction of deliveries whose first attempt succeeds."""
        return 1 - self.load.failing

    @property
    def failed(self) -> float:
        """Failing attempts per delivery; retries count as failing, to be safe."""
        return self.load.failing * (1 + self.load.retries)

    @property
    def taken_s(self) -> float:
        """Total duration of a delivery's attempts."""
        return (self.good * self.load.answer_ms + self.failed * self.load.failing_ms) / 1000

    @property
    def message_bytes(self) -> float:
        return self.load.body_bytes + self.costs.message_bytes


def plan(load: Workload, costs: Costs, machines: Machines) -> tuple[PlanLine, ...]:
    """The figures, each after those that it depends on."""
    flow = _Flow(load, costs)
    needed = _needed(flow, machines)
    return (
        *_load(flow),
        *_nodes(flow, machines, needed),
        *_broker(flow, machines, needed + machines.spare),
        *_network(flow),
        *_storage(flow),
        *_catching_up(flow, machines, needed + machines.spare),
    )


def _load(flow: _Flow) -> Iterator[PlanLine]:
    load = flow.load
    line = partial(PlanLine, "load")
    a_day = f"{_n(load.deliveries_per_day)} a day / {_n(DAY_S)} s"
    yield line("deliveries_mean", "deliveries, mean", flow.mean, "/s", a_day)
    by_peak = f"{_n(flow.mean)} x {_n(load.peak)}"
    yield line("deliveries_peak", "deliveries, peak", flow.peak, "/s", by_peak)
    by_hooks = f"{_n(flow.peak)} / {_n(load.fan_out)} hooks an event"
    yield line("events", "events", flow.events, "/s", by_hooks)
    with_retries = (
        f"{_n(flow.peak)} x (1 + {_n(load.failing)} failing x {_n(load.retries)} retries)"
    )
    yield line("tries", "attempts (requests)", flow.tries, "/s", with_retries)


def _by_cores(flow: _Flow, machines: Machines) -> int:
    return _up(flow.cores / (machines.cores * machines.busy))


def _under_way(flow: _Flow) -> float:
    return flow.peak * flow.taken_s


def _room(machines: Machines) -> int:
    """Maximum requests in flight in a node."""
    return machines.cores * machines.threads


def _by_room(flow: _Flow, machines: Machines) -> int:
    return _up(_under_way(flow) / (_room(machines) * machines.busy))


def _by_single(flow: _Flow, machines: Machines) -> int:
    """Nodes that the busiest process requires, independent of the number of cores."""
    return _up(flow.events * flow.costs.single_us / 1e6 / machines.busy)


def _needed(flow: _Flow, machines: Machines) -> int:
    """Nodes, without spares."""
    counts = _by_cores(flow, machines), _by_room(flow, machines), _by_single(flow, machines)
    return max(1, *counts)


def _nodes(flow: _Flow, machines: Machines, needed: int) -> Iterator[PlanLine]:
    load, costs = flow.load, flow.costs
    line = partial(PlanLine, "nodes")
    work = (
        f"({_n(flow.events)} events x {_n(costs.event_us)} µs + {_n(flow.tries)} attempts x "
        f"{_n(costs.delivery_us)} µs + {_n(flow.retries)} retries x {_n(costs.retry_us)} µs) / s"
    )
    yield line("cores", "busy cores", flow.cores, "cores", work)
    little = (
        f"Little: {_n(flow.peak)}/s x ({_n(flow.good)} good x {_n(load.answer_ms)} ms + "
        f"{_n(flow.failed)} failing attempts x {_n(load.failing_ms)} ms)"
    )
    yield line("in_flight", "requests in flight", _under_way(flow), "requests", little)
    by_cores, by_room = _by_cores(flow, machines), _by_room(flow, machines)
    busy = _n(machines.busy)
    each_core = _counted(machines.cores, "deliverer")
    each = f"({_counted(machines.cores, 'core')} x {busy} busy)"
    yield line("nodes_by_cores", "by cores", by_cores, "nodes", f"{_n(flow.cores)} / {each}, up")
    each = f"({each_core} x {_counted(machines.threads, 'thread')} x {busy} busy)"
    formula = f"{_n(_under_way(flow))} / {each}, up"
    yield line("nodes_by_in_flight", "by requests in flight", by_room, "nodes", formula)
    by_single = _by_single(flow, machines)
    formula = f"{_n(flow.events)} events x {_n(costs.single_us)} µs / s / {busy} busy, up"
    yield line("nodes_by_single", "by the busiest process", by_single, "nodes", formula)
    least = max(1, by_cores)
    threads = _up(_under_way(flow) / (least * machines.cores * machines.busy))
    each = f"({_counted(least, 'node')} x {each_core} x {busy} busy)"
    formula = f"{_n(_under_way(flow))} / {each}, up"
    yield line("threads", "threads at which cores decide", threads, "a deliverer", formula)
    nodes = needed + machines.spare
    larger = f"the largest of {by_cores}, {by_room} and {by_single}, and {machines.spare} spare"
    yield line("nodes", "nodes", nodes, "nodes", larger)
    for key, what, count in (
        ("busy", "busy at the peak", nodes),
        ("busy_without_spares", "busy, without the spares", needed),
    ):
        share = flow.cores / (count * machines.cores)
        formula = (
            f"{_n(flow.cores)} / ({_counted(count, 'node')} x {_counted(machines.cores, 'core')})"
        )
        yield line(key, what, 100 * share, "%", formula)
    memory = costs.node_mb + machines.cores * costs.deliverer_mb
    of = f"{_n(costs.node_mb)} + {each_core} x {_n(costs.deliverer_mb)}"
    yield line("memory", "memory of a node", memory, "MB", of)


def _broker(flow: _Flow, machines: Machines, nodes: int) -> Iterator[PlanLine]:
    costs = flow.costs
    line = partial(PlanLine, "broker")
    messages = flow.events + 2 * flow.retries
    twice = f"{_n(flow.events)} events + {_n(flow.retries)} retries x 2 (delayed, then due)"
    yield line("messages", "messages in, and as many out", messages, "/s", twice)
    cores = messages * costs.broker_us / 1e6
    formula = f"{_n(messages)} x {_n(costs.broker_us)} µs; more with replicas"
    yield line("broker_cores", "busy cores", cores, "cores", formula)
    queues = max(1, _up(flow.events / costs.queue_per_s))
    formula = f"{_n(flow.events)} / {_n(costs.queue_per_s)} a queue, up"
    yield line("queues", "event queues, each with its own nodes", queues, "queues", formula)
    connections = nodes * costs.node_connections
    formula = f"{_counted(nodes, 'node')} x {costs.node_connections}, a channel each"
    yield line("connections", "connections", connections, "connections", formula)
    held = nodes * machines.prefetch
    formula = f"{_counted(nodes, 'node')} x {machines.prefetch:,} prefetch"
    yield line("unsettled", "unsettled events, maximum", held, "events", formula)
    hour_gb = flow.events * 3600 * flow.message_bytes / 1e9
    formula = f"{_n(flow.events)} x 3,600 s x {_n(flow.message_bytes)} bytes, if no node runs"
    yield line("backlog", "an hour's backlog", hour_gb, "GB", formula)


def _network(flow: _Flow) -> Iterator[PlanLine]:
    load, costs = flow.load, flow.costs
    for key, what, rate, size in (
        ("from_broker", "from the broker", flow.events, flow.message_bytes),
        ("to_endpoints", "to endpoints", flow.tries, load.body_bytes + costs.request_bytes),
        ("from_endpoints", "from endpoints", flow.tries, costs.answer_bytes),
    ):
        formula = f"{_n(rate)} x {_n(size)} bytes x 8"
        yield PlanLine("network", key, what, rate * size * 8 / 1e6, "Mbit/s", formula)


def _storage(flow: _Flow) -> Iterator[PlanLine]:
    load = flow.load
    line = partial(PlanLine, "storage")
    good = flow.good * load.stored
    a_day = load.deliveries_per_day * (good + flow.failed)
    formula = (
        f"{_n(load.deliveries_per_day)} x ({_n(flow.good)} good x {_n(load.stored)} stored + "
        f"{_n(flow.failed)} failing attempts)"
    )
    yield line("attempts", "attempts", a_day, "a day", formula)
    at_peak = a_day / DAY_S * load.peak
    formula = f"{_n(a_day)} / {_n(DAY_S)} s x {_n(load.peak)}"
    yield line("attempts_peak", "attempts, peak", at_peak, "/s", formula)
    size = load.body_bytes + flow.costs.attempt_bytes
    day_gb = a_day * size / 1e9
    yield line("day", "growth", day_gb, "GB a day", f"{_n(a_day)} x {_n(size)} bytes")
    month = f"{_n(day_gb)} x {MONTH_DAYS} days"
    yield line("month", "databases of a month", day_gb * MONTH_DAYS, "GB", month)
    kept = f"{_n(day_gb)} x {_n(load.keep_days)} days, on each replica"
    yield line("kept", "kept", day_gb * load.keep_days, "GB", kept)


def _catching_up(flow: _Flow, machines: Machines, nodes: int) -> Iterator[PlanLine]:
    line = partial(PlanLine, "catching up")
    core_s = flow.cores / flow.peak
    room, cores = nodes * _room(machines), nodes * machines.cores
    single_s = flow.costs.single_us / 1e6 / flow.load.fan_out
    most = min(_ratio(cores, core_s), _ratio(room, flow.taken_s), _ratio(nodes, single_s))
    formula = (
        f"the least of {cores} cores / {_n(core_s * 1e6)} µs, {room:,} requests / "
        f"{_n(flow.taken_s * 1000)} ms and {_counted(nodes, 'node')} / {_n(single_s * 1e6)} µs"
    )
    yield line("most", "deliveries, maximum", most, "/s", formula)
    outage = flow.load.outage_minutes
    minutes = _ratio(outage * flow.peak, most - flow.peak) if outage else 0.0
    formula = f"{_n(outage)} minutes x {_n(flow.peak)} / ({_n(most)} - {_n(flow.peak)})"
    yield line("minutes", "after an outage at the peak", minutes, "minutes", formula)


def _ratio(of: float, by: float) -> float:
    """A quotient; infinite if the divisor is not above 0."""
    if of == math.inf or by <= 0:
        return math.inf
    return of / by


def _up(value: float) -> int:
    """Rounded up, ignoring floating-point errors."""
    return math.ceil(value * (1 - 1e-12))


def _counted(number: int, one: str) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else one + 's'}"


def _n(value: float) -> str:
    """A readable number: whole if large, with three digits if small."""
    if value == math.inf:
        return "unbounded"
    if value >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def shown(line: PlanLine) -> str:
    """A line's value and unit, for people."""
    blank = "" if line.unit.startswith(("/", "%")) else " "
    return f"{_n(line.value)}{blank}{line.unit}"
