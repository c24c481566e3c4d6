"""Each child that ended is told of, also when another is heard of first."""

import multiprocessing
import signal

import pytest
from thespian.actors import ChildActorExited
from thespian.system.multiprocCommon import ChildInfo, MultiProcReplicator

from callboard.supervision import SupervisedActor
from support.patience import patient
from support.workers import Worker

assert SupervisedActor.__module__ == "callboard.supervision.actor"  # It mends Thespian.


class Parent(MultiProcReplicator):
    """What Thespian knows of children, with real processes; a transport that keeps what is sent."""

    def __init__(self, children):
        self.myAddress = "me"
        self.told = []
        self.transport = self
        self._child_procs = [
            ChildInfo(name, Worker, process, number)
            for number, (name, process) in enumerate(children.items())
        ]

    def scheduleTransmit(self, _manager, intent):
        self.told.append(intent.message)


@pytest.fixture
def children():
    """Two processes that have ended, and one that has not."""
    fork = multiprocessing.get_context("fork")
    children = {name: fork.Process(target=signal.pause) for name in ("a", "b", "alive")}
    for process in children.values():
        process.start()
    for name in ("a", "b"):
        children[name].kill()
        children[name].join()
    yield children
    children["alive"].kill()
    children["alive"].join()


def test_a_child_that_ended_while_another_was_heard_of_is_told_of(children):
    parent = Parent(children)
    parent._childExited("a")
    parent.childDied()
    assert [(type(m), m.childAddress) for m in parent.told] == [(ChildActorExited, "b")]
    assert [child.childAddr for child in parent._child_procs] == ["alive"]


def test_one_that_says_that_it_ends_is_not_forgotten_before_it_has(children):
    parent = Parent(children)
    parent._childExited("alive")
    children["alive"].kill()
    children["alive"].join(patient(10))
    parent.childDied()
    assert [m.childAddress for m in parent.told] == ["a", "b", "alive"]
