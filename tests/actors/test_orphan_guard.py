"""What a machine that has joined hears of its node's version."""

import os
from datetime import timedelta
from importlib.metadata import version

import pytest
from thespian.actors import ActorAddress, ActorSystemConventionUpdate

from callboard.actors.system.orphan_guard import AnotherVersion, OrphanGuard
from callboard.actors.system.worker_capabilities import VERSION
from callboard.supervision import Ready, Start
from support.trees import SIMPLE, actor_system


@pytest.fixture
def system():
    system = actor_system(SIMPLE)
    yield system
    system.shutdown()


def heard(system, capabilities, added=True):
    """What the owner is told when a node answers with these capabilities."""
    guard = system.createActor(OrphanGuard)
    system.tell(guard, Start(args=os.getpid(), heartbeat_s=0))
    assert isinstance(system.listen(timedelta(seconds=5)), Ready)
    node = ActorAddress("10.0.0.1:19100")
    system.tell(guard, ActorSystemConventionUpdate(node, capabilities, added))
    return system.listen(timedelta(seconds=0.2))


def test_a_node_of_another_version_is_reported(system):
    assert heard(system, {VERSION: "0.0.1"}) == AnotherVersion("0.0.1")


@pytest.mark.parametrize("capabilities", [{VERSION: version("callboard")}, {}, None])
def test_the_same_version_or_one_that_says_none_is_not(system, capabilities):
    assert heard(system, capabilities) is None


def test_a_node_that_is_lost_is_not(system):
    assert heard(system, {VERSION: "0.0.1"}, added=False) is None


def test_it_asks_to_hear_of_the_machines_that_come_and_go():
    asked = []

    class Asking(OrphanGuard):
        def watch(self, *fds):
            for fd in fds:
                os.close(fd)

        def notifyOnSystemRegistrationChanges(self, wanted=True):
            asked.append(wanted)

    Asking().on_start(os.getpid())
    assert asked == [True]
