"""No process maps and unmaps memory for each event, wherever it stands on the stack."""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
from attrs import frozen

from callboard import embed
from performance.tracing import Traced
from services import missing
from support.hosts import Host, Hosted
from support.patience import patient
from support.running import RunningSystem, call_event
from support.trees import MULTI

pytestmark = [pytest.mark.multiprocess, pytest.mark.timeout(300)]

WARM, EVENTS, AT_ONCE = 40, 200, 4
HOT = {
    "EventBridge": "event_bridge",
    "Responder": "responders/channel_create",
    "Deliverer": "deliveries/deliverer-1",
}
"""Those that have to do with each event."""
MAPPING = ("mmap", "munmap", "brk")


class DeepHost(Host):
    """Does all it does so many frames below its handler, the creation of children too."""

    depth = 10

    def receiveMessage(self, message, sender):
        self._down(self.depth, message, sender)

    def _down(self, depth, message, sender):
        if depth:
            self._down(depth - 1, message, sender)
        else:
            super().receiveMessage(message, sender)


class DeeperHost(DeepHost):
    depth = 50


class DeepestHost(DeepHost):
    depth = 100


@frozen
class System:
    """What plays events, however it is spoken to."""

    add_hook: Callable
    publish: Callable
    tree: Callable
    wait: Callable

    def play(self, numbers, receiver):
        """Few at a time, as at a low rate, each batch when the one before has arrived."""
        for first in numbers[::AT_ONCE]:
            self.publish(range(first, first + AT_ONCE))
            self.wait(lambda end=first + AT_ONCE: receiver.count >= end)


def started(folder, stack):
    """`callboard start`."""
    system = stack.enter_context(closing(RunningSystem(folder, delivery__workers=1)))
    return System(
        partial(system.add_hook, format="json"),
        lambda numbers: system.publish(map(call_event, numbers)),
        system.tree,
        system.wait,
    )


def embedded(host, folder, stack):
    """A Callboard in the actor system of such a host."""
    overrides = {
        "data.dir": str(folder),
        "delivery.workers": "1",
        "delivery.allow_networks": "127.0.0.0/8",
        "actors.hang_timeout_ms": str(int(patient(10_000))),
        "log.level": "error",
    }
    hosted = stack.enter_context(closing(Hosted(MULTI, host)))
    hosted.begin("a", embed.load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings)
    return System(
        partial(hosted.add_hook, "a"),
        partial(hosted.publish, "a"),
        partial(hosted.tree, "a"),
        hosted.wait,
    )


PLACES = {
    "started": started,
    "10 frames": partial(embedded, DeepHost),
    "50 frames": partial(embedded, DeeperHost),
    "100 frames": partial(embedded, DeepestHost),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_event_maps_no_memory(place, tmp_path, receiver, within):
    with ExitStack() as stack:
        system = PLACES[place](tmp_path / "data", stack)
        system.add_hook(f"{receiver.url}/ok")
        system.play(range(WARM), receiver)
        pids = {name: system.tree().at(path).pid for name, path in HOT.items()}
        before = {name: page_faults(pid) for name, pid in pids.items()}
        system.play(range(WARM, WARM + EVENTS), receiver)
        faults = {name: (page_faults(pid) - before[name]) / EVENTS for name, pid in pids.items()}
        print(f"{place}: page faults an event: {faults}")
        assert all(figure < 5 for figure in faults.values()), faults
        if not shutil.which("strace"):
            missing("strace", "apt-get install strace")
        traced = {name: stack.enter_context(Traced(pid, tmp_path)) for name, pid in pids.items()}
        system.play(range(WARM + EVENTS, WARM + 2 * EVENTS), receiver)
    if problems := [one.problem for one in traced.values() if one.problem]:
        pytest.skip(f"strace may not look: {problems[0]}")
    mapped = {
        name: sum(one.calls[call] for call in MAPPING) / EVENTS for name, one in traced.items()
    }
    print(f"{place}: calls that map memory, an event: {mapped}")
    assert all(figure < 1 for figure in mapped.values()), mapped
    calls = {
        f"calls of {name}, {place}": one.calls.total() / EVENTS for name, one in traced.items()
    }
    within("kernel-few-at-once", calls, room=2)


def page_faults(pid):
    """Those of a process so far that the disk had nothing to do with (proc(5), minflt)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])
