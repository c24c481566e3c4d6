"""Calls at any depth of the stack map no memory, where they are made in a roomy place."""

import resource
import threading

import pytest
from attrs import frozen

from callboard.supervision import (
    ChildSpec,
    Locate,
    Located,
    RoomyThread,
    Supervisor,
    SupervisorSpec,
)
from callboard.supervision.roomy_stack import roomy
from support.trees import MULTI
from support.workers import Worker

DEEP = 150
"""Frames: more than a chunk of CPython's stack has room for, so that one of them is the last."""
CALLS = 500
PATHS = {1: "sweeper", 2: "level/sweeper", 3: "level/level/sweeper"}


def test_a_frame_takes_256_kilobytes_and_no_more():
    assert roomy.__code__.co_stacksize * 8 == 262_144


@frozen
class Swept:
    """From a Sweeper: the page faults at the worst depth."""

    faults: int


def faults():
    """Page faults of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def leaf(a, b, c):
    return a, b, c


def work():
    """Many calls from one place."""
    before = faults()
    for number in range(CALLS):
        leaf(number, number, number)
    return faults() - before


def at(depth, call):
    """Call it so many frames further down."""
    return at(depth - 1, call) if depth else call()


def most_faults(call):
    """By the depth that is worst for it."""
    return max(at(depth, call) for depth in range(DEEP))


def test_no_depth_is_bad_below_a_roomy_place():
    assert roomy(most_faults, work) < CALLS / 10


def test_a_roomy_place_may_be_anywhere():
    assert most_faults(lambda: roomy(work)) < CALLS / 10


def test_arguments_result_and_errors_pass():
    assert roomy(leaf, 1, b=2, c=3) == (1, 2, 3)
    with pytest.raises(ZeroDivisionError):
        roomy(lambda: 1 / 0)


def test_so_does_a_roomy_thread():
    found = []
    thread = RoomyThread(target=lambda *deep: found.append(most_faults(*deep)), args=[work])
    thread.start()
    thread.join()
    assert found[0] < CALLS / 10
    assert isinstance(thread, threading.Thread)


class Sweeper(Worker):
    """Makes calls at all depths below its loop."""

    def receiveMsg_str(self, _message, sender):
        self.send(sender, Swept(most_faults(work)))


@pytest.mark.multiprocess
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_no_actor_runs_in_a_bad_place_however_deep_in_the_tree(grow, levels):
    child = ChildSpec("sweeper", Sweeper)
    for _level in range(levels - 1):
        child = ChildSpec("level", Supervisor, SupervisorSpec((child,)))
    tree = grow(MULTI, SupervisorSpec((child,)))

    def located():
        return tree.ask(tree.top, Locate(PATHS[levels]), Located).peer

    tree.wait(lambda _top: located())
    assert tree.ask(located().address, "sweep", Swept).faults < CALLS / 10
