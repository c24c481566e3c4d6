"""kill -9 of every kind of process while events flow: whole again, and nothing lost."""

import json
import os
import signal
import time

import psutil
import pytest

from callboard.adapters.receiver.server import Answer, Hang
from support.patience import patient
from support.running import call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.faults]

KINDS = (
    "metrics",
    "failure_cache",
    "hook_table",
    "disabler",
    "hook_listener",
    "event_bridge",
    "maintenance",
    "redelivery",
    "responders",
    "responders/channel_create",
    "deliveries",
    "deliveries/attempt_log",
    "deliveries/retry_queue",
    "deliveries/deliverer-1",
)
EVENTS_PER_KIND = 60


def arrived(receiver):
    return {json.loads(request.body)["call_id"] for request in receiver.requests}


def test_every_kind_of_child_may_be_killed_under_load(start, receiver):
    # So many restarts in ten seconds are the test's doing.
    system = start(actors__max_restarts=len(KINDS))
    system.add_hook(f"{receiver.url}/slow/5", format="json")
    system.wait_hooks()
    published = set()
    for number, kind in enumerate(KINDS):
        first = number * EVENTS_PER_KIND
        bodies = [call_event(n) for n in range(first, first + EVENTS_PER_KIND)]
        published |= {body["Call-ID"] for body in bodies}
        system.publish(bodies[: EVENTS_PER_KIND // 2])
        began = time.monotonic()
        system.kill(kind)
        took = time.monotonic() - began
        print(f"{kind} was back after {took:.2f} s")
        system.publish(bodies[EVENTS_PER_KIND // 2 :])
        system.wait(
            lambda expected=frozenset(published): expected <= arrived(receiver),
            timeout_s=30,
            what=f"all events after the kill of {kind}",
        )
        assert system.wait(lambda: system.node("hook_table").stats.get("hooks")) == 1
    print(
        f"published {len(published)}, arrived {len(arrived(receiver))}, "
        f"repeats {receiver.count - len(published)}"
    )
    assert published == arrived(receiver)


def test_a_deliverer_with_a_thousand_requests_under_way_may_be_killed(start, receiver):
    system = start(
        delivery__transport="curl",
        delivery__workers=1,
        delivery__in_flight_per_endpoint=1000,
        delivery__waiting_per_endpoint=1000,
        delivery__request_timeout_ms=600_000,
        actors__hang_timeout_ms=int(patient(15_000)),  # A thousand at once is some work.
    )
    system.add_hook(f"{receiver.url}/calls", format="json")
    system.wait_hooks()
    receiver.answer("/calls", Hang())
    published = [call_event(number) for number in range(1000)]
    system.publish(published)
    system.wait(lambda: receiver.count == 1000, timeout_s=60, what="all under way")
    receiver.answer("/calls", Answer())
    system.kill("deliveries/deliverer-1")
    system.wait(lambda: receiver.count >= 2000, timeout_s=60, what="all sent again")
    again = {json.loads(request.body)["call_id"] for request in receiver.requests[1000:]}
    assert again == {body["Call-ID"] for body in published}


def test_what_was_done_before_all_deliverers_died_is_not_done_again(start, receiver):
    # What hangs is to be in hand, and even one deliverer to have room for all of it.
    system = start(
        delivery__request_timeout_ms=600_000,
        delivery__threads=100,
        delivery__in_flight_per_endpoint=40,
    )
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.add_hook(f"{receiver.url}/hang", format="json", retries=1)
    system.wait_hooks(2)
    system.publish(call_event(n) for n in range(20))

    def requests(path):
        return sum(request.path == path for request in receiver.requests)

    def told(figure):
        workers = [n for n in system.tree().below() if n.path.startswith("deliveries/deliverer-")]
        return sum(worker.stats.get(figure, 0) for worker in workers)

    system.wait(lambda: told("delivered") == requests("/ok") == requests("/hang") == 20)
    system.kill("deliveries")
    system.wait(lambda: requests("/hang") == 40, what="the events again")
    system.wait(lambda: told("repeats") == 20, what="word of what was done before")
    assert requests("/ok") == 20


def test_what_is_under_way_when_the_bridge_dies_is_not_sent_again(start, receiver):
    # A few at a time: such batches go whole to one deliverer, and are cut otherwise the next time.
    system = start(
        delivery__request_timeout_ms=600_000,
        delivery__threads=100,
        delivery__in_flight_per_endpoint=100,
    )
    system.add_hook(f"{receiver.url}/hang", format="json", retries=1)
    system.wait_hooks()
    receiver.answer("/hang", Hang())
    for first in range(0, 24, 3):
        system.publish(call_event(n) for n in range(first, first + 3))
        system.wait(lambda sent=first + 3: receiver.count == sent, what="the requests")
    system.kill("event_bridge")

    def came_again():
        stats = system.node("event_bridge").stats
        return stats.get("received") == 24 and stats["parts"] > 0 and not stats["batches"]

    system.wait(came_again, what="the events again")
    system.publish(call_event(n) for n in range(24, 30))
    system.wait(lambda: receiver.count >= 30, what="the requests of new events")
    assert len(arrived(receiver)) == receiver.count == 30


def test_a_frozen_deliverer_is_replaced_and_its_events_come_again(start, receiver):
    system = start()
    system.add_hook(f"{receiver.url}/slow/20", format="json")
    system.wait_hooks()
    system.publish(call_event(n) for n in range(200))
    receiver.wait_for(10)
    frozen = system.node("deliveries/deliverer-2").pid
    os.kill(frozen, signal.SIGSTOP)
    system.publish(call_event(n) for n in range(200, 300))
    system.wait(lambda: len(arrived(receiver)) == 300, 30, "all events")
    system.wait(lambda: system.node("deliveries/deliverer-2").pid != frozen)


@pytest.mark.parametrize("victim", ["top", "admin"])
def test_the_killed_top_is_replaced_with_its_tree(start, receiver, victim):
    system = start()
    system.add_hook(f"{receiver.url}/ok", format="json")
    top = psutil.Process(system.tree().pid)
    top = top.pid if victim == "top" else top.ppid()
    before = {process.pid for process in system.family()}
    system.publish(call_event(n) for n in range(50))
    os.kill(top, signal.SIGKILL)
    system.detach()
    ready = system.process.stdout.readline()
    assert "ready" in ready
    system.publish(call_event(n) for n in range(50, 100))
    system.wait(lambda: len(arrived(receiver)) == 100, what="all events")
    assert system.tree().pid not in before
    left = (before - {system.process.pid}) & {process.pid for process in system.family()}
    assert not left


def test_the_system_ends_with_its_owner(start):
    system = start()
    family = system.family()
    assert len(family) > 10
    system.process.kill()
    left = psutil.wait_procs(family, timeout=patient(20))[1]
    assert not left, f"outlived the owner: {left}\n{system.tail()}"


def test_an_actor_that_does_not_exit_holds_up_no_shutdown(start):
    """Thespian waits for the children of an actor as long as they take."""
    system = start()
    family = system.family()
    os.kill(system.node("deliveries/attempt_log").pid, signal.SIGSTOP)
    for times in (1, 2):  # The second ends it without an orderly stop.
        system.process.send_signal(signal.SIGTERM)
        system.wait(lambda told=f"stop_asked actor=owner times={times}": told in system.tail())
    left = psutil.wait_procs(family, timeout=patient(20))[1]
    assert not left, f"left: {left}\n{system.tail()}"


def test_after_its_owner_was_killed_a_system_starts_at_once(start):
    """The dead one's top supervisor stops what is left; nothing gets in its way."""
    system = start()
    system.process.kill()
    system.process.wait()
    system.process.stdout.close()
    system.start()
    assert "taken by another program" not in system.tail()


def test_a_leftover_that_does_not_end_is_told_of(start):
    system = start()
    frozen = system.tree().pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        system.process.kill()
        system.process.wait()
        for _time in range(2):  # The first tells it to end, the second finds it ending.
            refused = system.run("start")
            assert refused.returncode == 1
            assert "does not respond" in refused.stderr
            assert "Traceback" not in refused.stderr
    finally:
        os.kill(frozen, signal.SIGCONT)
    left = psutil.wait_procs(system.family(), timeout=patient(20))[1]
    assert not left


def test_restart_intensity_exceeded_ends_the_process_with_the_reason(start):
    system = start()
    for _ in range(5):
        system.kill("failure_cache")
    os.kill(system.node("failure_cache").pid, signal.SIGKILL)
    assert system.process.wait(timeout=patient(30)) == 1
    assert "failure_cache ended, and that was more than 5 restarts in 10 s" in system.tail()
    assert not system.left()
