"""Outposts, where the machine that is said to have joined is this one."""

import pytest
from thespian.actors import ActorAddress, ActorSystemConventionUpdate

from callboard.supervision import (
    MEMBER,
    PLACE,
    ChildSpec,
    Locate,
    Located,
    Outposts,
    OutpostsSpec,
    Ready,
    SupervisorSpec,
)
from callboard.supervision.elsewhere import outpost
from support.trees import SIMPLE
from support.workers import Worker

FIRST, SECOND = "10.0.0.1:19100", "10.0.0.2:19100"
PATH = "elsewhere/there"


@pytest.mark.parametrize(("children_s", "outpost_s"), [((), 10), ((2, 3), 10), ((10, 10, 5), 25)])
def test_an_outpost_may_take_as_long_to_start_as_its_children(children_s, outpost_s):
    children = tuple(ChildSpec(f"w{n}", Worker, start_s=s) for n, s in enumerate(children_s))
    assert outpost("there", SupervisorSpec(children)).start_s == outpost_s


def one_worker(_args, _capabilities):
    return SupervisorSpec((ChildSpec("worker", Worker),))


class Convention:
    """A tree with outposts, and what it hears of machines that are all called `there`."""

    def __init__(self, grow):
        outposts = OutpostsSpec(one_worker, None, SupervisorSpec(heartbeat_s=0.1, hang_s=1.0))
        child = ChildSpec("elsewhere", Outposts, outposts)
        self.tree = grow(SIMPLE, SupervisorSpec((child,), heartbeat_s=0.1, hang_s=1.0))
        self.tree.hear(Ready)
        self.tree.system.updateCapability(MEMBER, "there")

    def tell(self, place, added):
        top = self.tree.top
        outposts = self.tree.ask(top, Locate("elsewhere"), Located).peer.address
        capabilities = {MEMBER: "there", PLACE: place}
        update = ActorSystemConventionUpdate(ActorAddress(place), capabilities, added)
        self.tree.system.tell(outposts, update)

    def joined(self, place):
        self.tree.system.updateCapability(PLACE, place)
        self.tell(place, True)

    def left(self, place):
        self.tell(place, False)

    def incarnation(self):
        """Of the outpost, once it runs."""

        def runs(tree):
            return any(n.path == PATH and n.status == "running" for n in tree.below())

        self.tree.wait(runs, timeout_s=20)
        return self.tree.ask(self.tree.top, Locate(PATH), Located).peer.incarnation

    def ended(self):
        return self.tree.wait(
            lambda tree: any(n.path == PATH and n.status == "ended" for n in tree.below())
        )


@pytest.fixture
def convention(grow):
    return Convention(grow)


def test_a_second_machine_of_a_name_changes_nothing(convention, caplog):
    convention.joined(FIRST)
    before = convention.incarnation()
    convention.tell(SECOND, True)
    convention.left(SECOND)
    assert convention.incarnation() == before
    taken = [r.getMessage() for r in caplog.records if "machine_name_taken" in r.getMessage()]
    assert len(taken) == 1
    assert FIRST in taken[0]
    assert SECOND in taken[0]
    convention.left(FIRST)
    convention.ended()


def test_a_machine_that_is_started_again_has_another_outpost(convention):
    convention.joined(FIRST)
    before = convention.incarnation()
    convention.joined(FIRST)
    assert convention.incarnation() > before


def test_a_namesake_is_taken_when_the_first_has_left(convention):
    convention.joined(FIRST)
    before = convention.incarnation()
    convention.joined(SECOND)
    assert convention.incarnation() == before
    convention.left(FIRST)
    convention.ended()
    assert convention.incarnation() > before
    convention.left(FIRST)
    convention.left(SECOND)
    convention.ended()
