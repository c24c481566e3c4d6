"""`callboard plan`, which needs nothing but its command line."""

import json
import re

import pytest
from click.testing import CliRunner

from callboard.cli import main
from callboard.cli.planning.capacity import Costs, Machines, Workload, plan


def run(*arguments):
    return CliRunner().invoke(main, ["plan", *arguments])


def figures(*arguments):
    return {line["key"]: line for line in json.loads(run("--json", *arguments).stdout)}


def test_a_billion_a_day_is_the_default_and_is_told_with_its_formulas():
    ran = run()
    assert ran.exit_code == 0
    assert "1,000,000,000 a day / 86,400 s" in ran.stdout
    assert "Little:" in ran.stdout


def test_each_input_can_be_given():
    given = figures("--deliveries-per-day", "86400", "--peak", "1", "--cores", "4")
    assert given["deliveries_peak"]["value"] == 1
    assert given["nodes"]["value"] == 1 + 1
    assert figures("--spare", "3", "--deliveries-per-day", "86400")["nodes"]["value"] == 4


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--failing", "2", "from 0 to 1"),
        ("--deliveries-per-day", "0", "from 1e-09 to 1e+15"),
        ("--deliveries-per-day", "1e308", "from 1e-09 to 1e+15"),
        ("--fan-out", "1e-320", "from 1e-09 to 1e+15"),
        ("--body-bytes", "nan", "from 0 to 1e+15"),
        ("--answer-ms", "1e308", "from 0 to 1e+15"),
        ("--retries", "1e308", "from 0 to 1e+15"),
        ("--peak", "inf", "from 1 to 1e+15"),
        ("--cores", "0", "from 1 to 1e+15"),
        ("--cores", "9" * 400, "from 1 to 1e+15"),
    ],
)
def test_what_cannot_be_is_wrong_usage(option, value, rule):
    ran = run(option, value)
    assert ran.exit_code == 2
    assert f"{option} must be {rule}" in ran.stderr


def test_the_help_tells_each_input_with_its_default():
    told = " ".join(run("--help").stdout.split())
    assert "--deliveries-per-day FLOAT" in told
    assert "Maximum requests in flight in a deliverer (delivery.threads). [default: 32]" in told


# 100 deliveries a second, of which a tenth fails and is tried three times more: each takes 490 ms.
LOAD = {
    "deliveries_per_day": 8_640_000,
    "peak": 2,
    "fan_out": 2,
    "body_bytes": 1000,
    "answer_ms": 100,
    "failing": 0.1,
    "failing_ms": 1000,
    "retries": 3,
    "stored": 0.5,
    "keep_days": 10,
    "outage_minutes": 10,
}
COSTS = {
    "event_us": 10_000,
    "single_us": 25_000,
    "delivery_us": 20_000,
    "retry_us": 10_000,
    "broker_us": 50,
    "queue_per_s": 40,
    "request_bytes": 400,
    "answer_bytes": 250,
    "message_bytes": 200,
    "attempt_bytes": 500,
    "node_mb": 100,
    "deliverer_mb": 50,
    "node_connections": 3,
}
MACHINES = {"cores": 2, "busy": 0.5, "spare": 1, "threads": 8, "prefetch": 500}


def planned(**changes):
    inputs = ((Workload, LOAD), (Costs, COSTS), (Machines, MACHINES))
    made = [
        kind(**{name: changes.get(name, value) for name, value in given.items()})
        for kind, given in inputs
    ]
    return {line.key: line for line in plan(*made)}


# What the laws of docs/capacity.md give, calculated by hand.
EXPECTED = """\
load deliveries_mean 100 /s = 8,640,000 a day / 86,400 s
load deliveries_peak 200 /s = 100 x 2
load events 100 /s = 200 / 2 hooks an event
load tries 260 /s = 200 x (1 + 0.1 failing x 3 retries)
nodes cores 6.8 cores = (100 events x 10,000 µs + 260 attempts x 20,000 µs + 60 retries x 10,000 µs) / s
nodes in_flight 98 requests = Little: 200/s x (0.9 good x 100 ms + 0.4 failing attempts x 1,000 ms)
nodes nodes_by_cores 7 nodes = 6.8 / (2 cores x 0.5 busy), up
nodes nodes_by_in_flight 13 nodes = 98 / (2 deliverers x 8 threads x 0.5 busy), up
nodes nodes_by_single 5 nodes = 100 events x 25,000 µs / s / 0.5 busy, up
nodes threads 14 a deliverer = 98 / (7 nodes x 2 deliverers x 0.5 busy), up
nodes nodes 14 nodes = the largest of 7, 13 and 5, and 1 spare
nodes busy 24.2857 % = 6.8 / (14 nodes x 2 cores)
nodes busy_without_spares 26.1538 % = 6.8 / (13 nodes x 2 cores)
nodes memory 200 MB = 100 + 2 deliverers x 50
broker messages 220 /s = 100 events + 60 retries x 2 (delayed, then due)
broker broker_cores 0.011 cores = 220 x 50 µs; more with replicas
broker queues 3 queues = 100 / 40 a queue, up
broker connections 42 connections = 14 nodes x 3, a channel each
broker unsettled 7000 events = 14 nodes x 500 prefetch
broker backlog 0.432 GB = 100 x 3,600 s x 1,200 bytes, if no node runs
network from_broker 0.96 Mbit/s = 100 x 1,200 bytes x 8
network to_endpoints 2.912 Mbit/s = 260 x 1,400 bytes x 8
network from_endpoints 0.52 Mbit/s = 260 x 250 bytes x 8
storage attempts 7344000 a day = 8,640,000 x (0.9 good x 0.5 stored + 0.4 failing attempts)
storage attempts_peak 170 /s = 7,344,000 / 86,400 s x 2
storage day 11.016 GB a day = 7,344,000 x 1,500 bytes
storage month 330.48 GB = 11 x 30 days
storage kept 110.16 GB = 11 x 10 days, on each replica
catching up most 457.143 /s = the least of 28 cores / 34,000 µs, 224 requests / 490 ms and 14 nodes / 12,500 µs
catching up minutes 7.77778 minutes = 10 minutes x 200 / (457 - 200)
"""  # noqa: E501


def test_a_plan_follows_its_laws():
    written = "".join(
        f"{line.section} {line.key} {line.value:.10g} {line.unit} = {line.formula}\n"
        for line in planned().values()
    )
    assert re.sub(r"\d+\.\d+(?= (%|/s|minutes) =)", _six_digits, written) == EXPECTED


def _six_digits(found):
    return f"{float(found[0]):.6g}"


def test_what_of_a_node_is_scarce_decides_their_number():
    assert planned(spare=0)["nodes"].value == 13  # requests in flight
    assert planned(spare=0, threads=80)["nodes"].value == 7  # cores
    assert planned(spare=0, threads=80, single_us=50_000)["nodes"].value == 10  # one process
    little = planned(deliveries_per_day=1, spare=0)
    assert [little[key].value for key in ("nodes", "queues", "threads")] == [1, 1, 1]


def test_numbers_that_fill_a_node_exactly_need_no_further_one():
    exact = planned(event_us=0, retry_us=0, delivery_us=50_000, failing=0, threads=1000)
    assert (exact["cores"].value, exact["nodes_by_cores"].value) == (10, 10)
    assert planned(queue_per_s=50)["queues"].value == 2
    assert planned(queue_per_s=49.9)["queues"].value == 3
    # 2.1 busy cores of 0.3 are 7.000000000000001 in floating point.
    rounded = planned(event_us=0, retry_us=0, delivery_us=10_500, failing=0, busy=0.3, cores=1)
    assert rounded["nodes_by_cores"].value == 7


def test_what_catches_up_never_or_at_once_is_said():
    assert planned(outage_minutes=0)["minutes"].value == 0
    # 8 nodes with 2 cores each, of which a delivery takes 34 ms.
    fast = planned(answer_ms=0, failing_ms=0, single_us=0)
    assert fast["most"].value == pytest.approx(470.588, rel=1e-5)
    idle = planned(answer_ms=0, failing_ms=0, single_us=0, event_us=0, delivery_us=0, retry_us=0)
    assert (idle["most"].value, idle["minutes"].value) == (float("inf"), 0)
    full = planned(busy=1, spare=0, answer_ms=500, failing=0, threads=50, cores=1, single_us=0,
                   event_us=0, retry_us=0, delivery_us=1000)  # fmt: skip
    assert (full["most"].value, full["minutes"].value) == (200, float("inf"))


LIMITS = {
    "deliveries_per_day": (1e-9, 1e15),
    "peak": (1, 1e15),
    "fan_out": (1e-9, 1e15),
    "failing": (0, 1),
    "stored": (0, 1),
    "broker_us": (1e-9, 1e15),
    "queue_per_s": (1e-9, 1e15),
    "cores": (1, 1e15),
    "busy": (0.01, 1),
    "threads": (1, 1e15),
    "prefetch": (1, 1e15),
}


@pytest.mark.parametrize("name", [*LOAD, *COSTS, *MACHINES])
def test_each_input_has_its_limits(name):
    least, most = LIMITS.get(name, (0, 1e15))
    planned(**{name: least})
    planned(**{name: most})
    whole = name in ("node_connections", "cores", "spare", "threads", "prefetch")
    below, above = (least - 1, most + 1) if whole else (least - 1e-10, most * 1.001)
    rule = re.escape(f"{name} must be from {least:g} to {most:g}") + "$"
    for value in (below, above):
        with pytest.raises(ValueError, match=rule):
            planned(**{name: value})
