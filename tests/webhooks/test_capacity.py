"""The arithmetic of a plan: by hand, at its edges, and against a simulation of what it plans."""

import heapq
import math
import random
import tomllib
from importlib.resources import files
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.cli.planning.capacity import (
    LEAST,
    MOST,
    Costs,
    Machines,
    PlanLine,
    Workload,
    plan,
    shown,
)

LOAD = Workload(
    deliveries_per_day=86_400_000,  # 1,000/s
    peak=2,
    fan_out=4,
    body_bytes=1000,
    answer_ms=100,
    failing=0.1,
    failing_ms=1000,
    retries=2,
    stored=0.5,
    keep_days=10,
    outage_minutes=30,
)
COSTS = Costs(
    event_us=400,
    single_us=1000,
    delivery_us=500,
    retry_us=1000,
    broker_us=50,
    queue_per_s=400,
    request_bytes=250,
    answer_bytes=125,
    message_bytes=500,
    attempt_bytes=1000,
    node_mb=300,
    deliverer_mb=50,
    node_connections=7,
)
MACHINES = Machines(cores=2, busy=0.5, spare=1, threads=100, prefetch=1000)


def figures(load=LOAD, costs=COSTS, machines=MACHINES):
    return {line.key: line.value for line in plan(load, costs, machines)}


def test_the_figures_as_by_hand():
    assert figures() == pytest.approx(
        {
            "deliveries_mean": 1000,
            "deliveries_peak": 2000,
            "events": 500,
            "tries": 2400,  # 200 fail at first, and are tried twice more
            "cores": 0.2 + 1.2 + 0.4,
            "in_flight": 2000 * (0.9 * 0.1 + 0.3 * 1),
            "nodes_by_cores": 2,  # 1.8 of 1 core a node
            "nodes_by_in_flight": 8,  # 780 of 100 a node
            "nodes_by_single": 1,  # half a core, a half of one a node
            "threads": 390,  # 780 of 2 nodes x 2 deliverers x a half
            "nodes": 9,
            "busy": 10,
            "busy_without_spares": 100 * 1.8 / 16,
            "memory": 400,
            "messages": 500 + 2 * 400,
            "broker_cores": 1300 * 50e-6,
            "queues": 2,
            "connections": 63,
            "unsettled": 9000,
            "backlog": 500 * 3600 * 1500 / 1e9,
            "from_broker": 500 * 1500 * 8 / 1e6,
            "to_endpoints": 2400 * 1250 * 8 / 1e6,
            "from_endpoints": 2400 * 125 * 8 / 1e6,
            "attempts": 86_400_000 * (0.45 + 0.3),
            "attempts_peak": 1500,
            "day": 64_800_000 * 2000 / 1e9,
            "month": 64_800_000 * 2000 / 1e9 * 30,
            "kept": 64_800_000 * 2000 / 1e9 * 10,
            "most": 1800 / 0.39,  # requests under way decide; the cores do 18 / 0.0009 = 20,000
            "minutes": 30 * 2000 / (1800 / 0.39 - 2000),
        }
    )


SHOWN = Path(__file__).parents[1] / "data" / "plan.txt"
"""The whole plan for these inputs, as by hand."""


def test_each_line_shows_its_numbers():
    lines = plan(LOAD, COSTS, MACHINES)
    told = [f"{line.section}: {line.what} | {shown(line)} | {line.formula}" for line in lines]
    assert told == SHOWN.read_text().splitlines()
    assert len({line.key for line in lines}) == len(lines)


def test_one_is_not_written_as_many():
    alone = Machines(cores=1, busy=1, spare=0, threads=1, prefetch=1)
    idle = attrs.evolve(LOAD, deliveries_per_day=1)
    formulas = {line.key: line.formula for line in plan(idle, COSTS, alone)}
    assert formulas["nodes_by_cores"].endswith("(1 core x 1 busy), up")
    assert formulas["nodes_by_in_flight"].endswith("(1 deliverer x 1 thread x 1 busy), up")
    assert formulas["threads"].endswith("(1 node x 1 deliverer x 1 busy), up")
    assert formulas["unsettled"] == "1 node x 1 prefetch"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "nodes", "0 nodes"),
        (0.00001157, "/s", "1.16e-05/s"),
        (62, "%", "62%"),
        (1.805, "cores", "1.8 cores"),
        (999.5, "GB", "1e+03 GB"),
        (1000.4, "GB", "1,000 GB"),
        (math.inf, "minutes", "unbounded minutes"),
    ],
)
def test_values_as_people_read_them(value, unit, text):
    assert shown(PlanLine("", "", "", value, unit, "")) == text


# Edges


def test_the_smallest_load_takes_one_node_and_the_spares():
    assert figures(attrs.evolve(LOAD, deliveries_per_day=1))["nodes"] == 2
    alone = attrs.evolve(MACHINES, spare=0)
    found = figures(attrs.evolve(LOAD, deliveries_per_day=1), machines=alone)
    assert (found["nodes"], found["queues"]) == (1, 1)
    assert found["busy"] == found["busy_without_spares"]


def test_exactly_full_is_not_one_more():
    exact = attrs.evolve(LOAD, failing=0, answer_ms=0, fan_out=1)
    costs = attrs.evolve(COSTS, event_us=0, delivery_us=1000)  # 2 cores, 1 a node
    assert figures(exact, costs)["nodes_by_cores"] == 2
    more = attrs.evolve(exact, deliveries_per_day=exact.deliveries_per_day + 86_400)
    assert figures(more, costs)["nodes_by_cores"] == 3


def test_more_cores_do_not_help_a_single_process():
    alone = attrs.evolve(LOAD, failing=0, answer_ms=0, fan_out=1)
    many = attrs.evolve(MACHINES, cores=256)
    found = figures(alone, attrs.evolve(COSTS, single_us=500), many)
    assert (found["nodes_by_cores"], found["nodes_by_single"], found["nodes"]) == (1, 2, 3)


def test_nothing_fails():
    found = figures(attrs.evolve(LOAD, failing=0))
    assert found["tries"] == found["deliveries_peak"]
    assert found["in_flight"] == pytest.approx(200)
    assert found["messages"] == found["events"]


def test_everything_fails():
    found = figures(attrs.evolve(LOAD, failing=1))
    assert found["tries"] == pytest.approx(6000)
    assert found["in_flight"] == pytest.approx(6000)
    assert found["attempts"] == pytest.approx(3 * LOAD.deliveries_per_day)


def test_nothing_is_stored_of_what_succeeds():
    assert figures(attrs.evolve(LOAD, failing=0, stored=0))["attempts"] == 0


def test_more_hooks_an_event_spare_the_broker_and_not_the_network():
    wide, narrow = (figures(attrs.evolve(LOAD, fan_out=hooks)) for hooks in (100, 1))
    assert wide["events"] == pytest.approx(20)
    assert wide["to_endpoints"] == narrow["to_endpoints"]
    assert wide["cores"] < narrow["cores"]


def test_where_nodes_are_as_busy_as_can_be_an_outage_is_never_caught_up():
    load = attrs.evolve(LOAD, failing=0, answer_ms=0, fan_out=1)
    costs = attrs.evolve(COSTS, event_us=0, single_us=0, delivery_us=1000)
    full = Machines(cores=2, busy=1, spare=0, threads=100, prefetch=1000)
    assert figures(load, costs, full)["minutes"] == math.inf
    assert figures(attrs.evolve(load, outage_minutes=0), costs, full)["minutes"] == 0


def test_what_costs_nothing_has_no_limit():
    free = attrs.evolve(COSTS, event_us=0, delivery_us=0, retry_us=0, single_us=0)
    at_once = attrs.evolve(LOAD, answer_ms=0, failing_ms=0)
    found = figures(at_once, free)
    assert (found["most"], found["minutes"], found["nodes"]) == (math.inf, 0, 2)


@pytest.mark.parametrize(
    ("made", "name", "value"),
    [
        (LOAD, "deliveries_per_day", 0),
        (LOAD, "deliveries_per_day", -1),
        (LOAD, "deliveries_per_day", math.inf),
        (LOAD, "deliveries_per_day", 1.001e15),
        (LOAD, "peak", 0.99),
        (LOAD, "fan_out", 0),
        (LOAD, "fan_out", 9.99e-10),
        (LOAD, "failing", 1.01),
        (LOAD, "failing", -0.01),
        (LOAD, "stored", 2),
        (LOAD, "body_bytes", math.nan),
        (LOAD, "retries", -1),
        (COSTS, "broker_us", 0),
        (COSTS, "event_us", -1),
        (COSTS, "queue_per_s", 0),
        (MACHINES, "cores", 0),
        (MACHINES, "cores", 10**15 + 1),
        (MACHINES, "cores", 10**400),
        (MACHINES, "busy", 0),
        (MACHINES, "busy", 1.1),
        (MACHINES, "spare", -1),
        (MACHINES, "threads", 0),
    ],
)
def test_what_cannot_be_is_refused_by_name(made, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        attrs.evolve(made, **{name: value})


def test_the_measured_defaults_are_all_there_and_make_a_plan():
    given = tomllib.loads((files("callboard.cli.planning") / "measured.toml").read_text())
    inputs = {"workload": Workload, "costs": Costs, "machines": Machines}
    assert given.keys() == inputs.keys()
    made = [of(**given[section]) for section, of in inputs.items()]
    assert math.isfinite(sum(line.value for line in plan(*made)))


# Properties

LOADS = st.builds(
    Workload,
    deliveries_per_day=st.floats(1, 1e12),
    peak=st.floats(1, 50),
    fan_out=st.floats(0.01, 1e4),
    body_bytes=st.floats(0, 1e7),
    answer_ms=st.floats(0, 1e5),
    failing=st.floats(0, 1),
    failing_ms=st.floats(0, 1e5),
    retries=st.floats(0, 20),
    stored=st.floats(0, 1),
    keep_days=st.floats(0, 1000),
    outage_minutes=st.floats(0, 1e4),
)
SOME_MACHINES = st.builds(
    Machines,
    cores=st.integers(1, 256),
    busy=st.floats(0.01, 1),
    spare=st.integers(0, 9),
    threads=st.integers(1, 10_000),
    prefetch=st.integers(1, 65_535),
)


@given(LOADS, SOME_MACHINES)
def test_with_the_spares_away_no_limit_is_passed(load, machines):
    found = figures(load, machines=machines)
    left = found["nodes"] - machines.spare
    assert found["busy_without_spares"] <= 100 * machines.busy * (1 + 1e-9)
    room = left * machines.cores * machines.threads * machines.busy
    assert found["in_flight"] <= room * (1 + 1e-9)


@given(LOADS, SOME_MACHINES, st.floats(1, 100))
def test_more_to_do_never_takes_less(load, machines, times):
    more = attrs.evolve(load, deliveries_per_day=load.deliveries_per_day * times)
    before, after = figures(load, machines=machines), figures(more, machines=machines)
    for key in ("nodes", "queues", "connections", "in_flight", "kept", "to_endpoints"):
        assert after[key] >= before[key]


def at_the_edges(of, **edges):
    """`of` with each input at an end of its range; `edges` are those unlike the rest's."""
    least_or_most = {each.name: (1, MOST) for each in attrs.fields(of)} | edges
    return st.builds(of, **{name: st.sampled_from(ends) for name, ends in least_or_most.items()})


@given(
    at_the_edges(
        Workload,
        deliveries_per_day=(LEAST, MOST),
        fan_out=(LEAST, MOST),
        answer_ms=(0, MOST),
        failing=(0, 1),
        failing_ms=(0, MOST),
        retries=(0, MOST),
        stored=(0, 1),
        outage_minutes=(0, MOST),
    ),
    at_the_edges(
        Costs,
        event_us=(0, MOST),
        single_us=(0, MOST),
        delivery_us=(0, MOST),
        retry_us=(0, MOST),
        broker_us=(LEAST, MOST),
        queue_per_s=(LEAST, MOST),
    ),
    at_the_edges(Machines, busy=(0.01, 1), spare=(0, MOST)),
)
def test_what_is_within_its_range_makes_a_plan_that_can_be_shown(load, costs, machines):
    for line in plan(load, costs, machines):
        assert line.value >= 0
        assert "nan" not in shown(line) + line.formula


# Against a simulation


def simulated(rate, answer_s, servers, arrivals, draw):
    """Poisson arrivals, exponential answers, so many servers: mean under way, share that waited."""
    now = busy_s = 0.0
    waited = 0
    ends = []
    for _ in range(arrivals):
        now += draw.expovariate(rate)
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        begins = now
        if len(ends) >= servers:
            begins = heapq.heappop(ends)
            waited += 1
        takes = draw.expovariate(1 / answer_s)
        busy_s += takes
        heapq.heappush(ends, begins + takes)
    return busy_s / now, waited / arrivals


def test_what_is_planned_under_way_is_what_a_simulation_finds_and_hardly_anything_waits():
    load = attrs.evolve(LOAD, failing=0, answer_ms=200, deliveries_per_day=86_400 * 500)
    machines = Machines(cores=4, busy=0.7, spare=0, threads=32, prefetch=1000)
    found = figures(load, attrs.evolve(COSTS, event_us=0, single_us=0), machines)
    servers = int(found["nodes"]) * machines.cores * machines.threads
    mean, waited = simulated(
        found["deliveries_peak"], load.answer_ms / 1000, servers, 60_000, random.Random(1)
    )
    assert mean == pytest.approx(found["in_flight"], rel=0.03)
    assert waited < 0.001
    _mean, without_headroom = simulated(
        found["deliveries_peak"], load.answer_ms / 1000, int(mean), 60_000, random.Random(1)
    )
    assert without_headroom > 0.5, "the simulation would show what lacks room"


def test_a_backlog_is_worked_off_as_a_simulation_finds():
    found = figures()
    step_s, minutes = 1.0, 0.0
    waiting = LOAD.outage_minutes * 60 * found["deliveries_peak"]
    while waiting > 0:
        waiting += (found["deliveries_peak"] - found["most"]) * step_s
        minutes += step_s / 60
    assert minutes == pytest.approx(found["minutes"], rel=0.01)
