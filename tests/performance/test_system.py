"""What an event costs a whole system that runs: messages, calls of functions, calls of the kernel.

Batches come together as time passes, so these vary with the load of the machine; the bounds leave
room for that, and are passed where something happens once for each event that did not before.
"""

import shutil
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager

import pytest
from attrs import frozen

from callboard.actors import messages
from performance import counted_system
from performance.counted_system import JOURNAL, Journal
from performance.tracing import Traced
from services import missing
from support.endpoints import Endpoints
from support.running import RunningSystem, call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.alone, pytest.mark.timeout(300)]

EVENTS = 1_000
WARM = 100
SETTINGS = {
    "actors__heartbeat_ms": 2_000,
    "actors__hang_timeout_ms": 30_000,
    "delivery__waiting_per_endpoint": 65_535,  # That none is put off, however slow it is here.
}
HOT = {
    "EventBridge": ("event_bridge",),
    "Responder": ("responders/channel_create",),
    "Deliverer": ("deliveries/deliverer-1", "deliveries/deliverer-2"),
}
"""Where those run that have to do with each event."""
BY_CHANCE = {"futex", "mmap", "munmap"}
"""How often threads wait for each other, and how often Python takes a new piece of stack for a call
and gives it back after: by timing, and by how deep the stack happens to be."""
BY_TIME = {"Figures"}
"""Messages that are sent as time passes, whether there are events or not."""


class CountedSystem(RunningSystem):
    program = (counted_system.__file__,)


class Load:
    """Events for one hook of a system, which arrive at an endpoint in a process of its own."""

    def __init__(self, system, endpoints):
        self._system, self._endpoints, self._played = system, endpoints, 0
        system.add_hook(f"{endpoints.urls[0]}/ok", format="json")

    def play(self, events):
        """Publish, and wait until all have arrived and are acknowledged."""
        first, self._played = self._played, self._played + events
        self._system.publish(map(call_event, range(first, self._played)))
        self._system.wait(self._arrived, timeout_s=60, what=f"the arrival of {events} events")
        self._system.wait(self._settled, timeout_s=60, what="their acknowledgement")

    def _arrived(self):
        time.sleep(0.1)
        return sum(1 for _ in self._endpoints.arrivals()) >= self._played

    def _settled(self):
        time.sleep(0.1)
        return self._system.node("event_bridge").stats["acknowledged"] >= self._played


@frozen
class Played:
    """What was counted while the events were played: once as they are, once with function calls."""

    transport: str
    sent: list
    traced: dict
    sent_counting: list


@contextmanager
def traces(system, folder):
    """Traces of the actors in HOT; none where there is no strace."""
    tree = system.tree()
    with ExitStack() as stack:
        yield {
            name: [stack.enter_context(Traced(tree.at(path).pid, folder)) for path in paths]
            for name, paths in HOT.items()
            if shutil.which("strace")
        }


@pytest.fixture(scope="module", params=["requests", "curl"])
def played(request, tmp_path_factory):
    """A system has played EVENTS events, after some others that warmed it up."""
    if request.param == "curl":
        pytest.importorskip("pycurl")
    folder = tmp_path_factory.mktemp("counted")
    journal = Journal(folder / "journal")
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(JOURNAL, str(journal.file))
        endpoints = stack.enter_context(Endpoints(folder / "arrivals", ["ok"]))
        settings = SETTINGS | {"delivery__transport": request.param}
        system = stack.enter_context(closing(CountedSystem(folder / "data", **settings)))
        load = Load(system, endpoints)
        load.play(WARM)
        journal.news()
        with traces(system, folder) as traced:
            load.play(EVENTS)
        sent = journal.news()
        journal.count_calls()
        load.play(WARM)
        load.play(EVENTS)
        sent_counting = journal.news()
    return Played(request.param, sent, traced, sent_counting)


def test_messages(within, played):
    """What is settled is told every few milliseconds: the slower a machine, the more often."""
    sent = [
        one for one in played.sent if hasattr(messages, one.message) and one.message not in BY_TIME
    ]
    others = sum(one.message != "Progress" for one in sent)
    table = f"system-{played.transport}"
    within(table, {"messages": len(sent) / EVENTS}, room=4)
    within(table, {"messages but Progress": others / EVENTS}, room=2)
    within(table, {"bytes of messages": sum(one.size for one in sent) / EVENTS}, room=1.5)


def test_functions_called(within, played):
    """But for those of threads, such as requests are made in: test_http.py counts these."""
    until = {(one.actor, one.pid): one.calls for one in played.sent_counting}
    calls = Counter()
    for (actor, _pid), counted in until.items():
        calls[actor] += counted
    figures = {f"functions that {name} calls": calls[name] / (WARM + EVENTS) for name in HOT}
    within(f"system-{played.transport}", figures, room=1.75)


def test_calls_of_the_kernel(within, played):
    if not played.traced:
        missing("strace", "apt-get install strace")
    if problems := [
        one.problem for traced in played.traced.values() for one in traced if one.problem
    ]:
        pytest.skip(f"strace may not look: {problems[0]}")
    figures, synced = {}, 0
    for name, traced in played.traced.items():
        calls = sum((one.calls for one in traced), Counter())
        synced += calls["fsync"] + calls["fdatasync"]
        for call in BY_CHANCE:
            del calls[call]
        figures[f"calls of {name}"] = calls.total() / EVENTS
    figures["synced to disk"] = synced / EVENTS
    within(f"kernel-{played.transport}", figures, room=2)
