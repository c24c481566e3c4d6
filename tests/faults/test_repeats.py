"""kill -9 of actors under load: only requests in flight are repeated, whatever their endpoint says.

CALLBOARD_TEST_LARGE=1 makes 26 kills, of every actor in turn, during 1,200 events.
"""

import json
import os
import signal
import time
from collections import Counter
from itertools import cycle, islice

import pytest

from callboard.adapters.receiver.server import Answer
from support.running import call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.faults, pytest.mark.alone]

LARGE = os.environ.get("CALLBOARD_TEST_LARGE") == "1"
KILLS, EVENTS = (26, 1200) if LARGE else (2, 120)
FEW = "deliveries/deliverer-1", "deliveries"
SLOW_S = 0.3
HANDLED_S = 0.05
"""A response that the endpoint has sent counts as in flight for this time."""
ANSWERED_S = 0.08
"""The time from most responses to the kill; records of failures are gathered for longer."""
DIES_S = 0.1
"""The time in which the children of a killed supervisor end."""
APART_S = 2.1
"""More than OTP's five restarts in ten seconds would be the test's doing."""


def is_back(system, path, pid):
    node = system.node(path)
    return node.status == "running" and node.pid != pid


def test_only_requests_in_flight_are_repeated(start, receiver):
    system = start(disabler__enabled="false")
    delays = {"/ok": 0.0, "/missing": 0.0, "/slow": SLOW_S}
    receiver.answer("/ok", Answer(200))
    receiver.answer("/missing", Answer(404))
    receiver.answer("/slow", Answer(200, delay_s=SLOW_S))
    for path in delays:
        system.add_hook(f"{receiver.url}{path}", format="json")
    system.wait_hooks(len(delays))
    running = [node.path for node in system.tree().below() if node.status == "running"]
    kinds = list(islice(cycle(running if LARGE else FEW), KILLS))
    kills = []
    each = -(-EVENTS // len(kinds))
    published = 0
    for kind in kinds:
        begun = receiver.count
        began, pid = time.monotonic(), system.node(kind).pid
        system.publish(call_event(number) for number in range(published, published + each))
        published += each
        receiver.wait_for(begun + 2 * each)
        time.sleep(ANSWERED_S)
        kills.append((time.time(), kind))
        os.kill(pid, signal.SIGKILL)
        system.wait(lambda kind=kind, pid=pid: is_back(system, kind, pid), what=f"another {kind}")
        time.sleep(max(0.0, APART_S - (time.monotonic() - began)))

    def deliveries():
        return {(r.path, json.loads(r.body)["call_id"]) for r in receiver.requests}

    system.wait(lambda: len(deliveries()) == published * len(delays), 60, "all deliveries")
    system.wait(lambda: system.node("event_bridge").stats["in_hand"] == 0, 60, "all settled")
    listed = system.run("dead-letters", "list", "--json", "--limit", "5000").stdout
    letters = len(json.loads(listed))
    first, repeats, in_flight = {}, Counter(), Counter()
    avoidable = []
    for request in receiver.requests:
        key = request.path, json.loads(request.body)["call_id"]
        if key not in first:
            first[key] = request.time
            for at, _kind in kills:
                if request.time - DIES_S <= at < request.time + delays[request.path] + HANDLED_S:
                    in_flight[request.path] += 1
            continue
        repeats[request.path] += 1
        ends = first[key] + delays[request.path] + HANDLED_S
        if not any(first[key] - DIES_S <= at < ends for at, _kind in kills):
            killed = max((at, kind) for at, kind in kills if at <= request.time)
            avoidable.append((request.path, killed[1], round(killed[0] - ends + HANDLED_S, 2)))
    print(f"{len(kills)} kills, {published} events, {len(first)} deliveries")
    print(f"repeats {dict(repeats)}; in flight {dict(in_flight)}; avoidable {len(avoidable)}")
    print(Counter((path, kind) for path, kind, _late in avoidable))
    print(f"dead letters {letters} of {published} deliveries that got 404")
    assert not avoidable
    assert letters == published
