"""Supervisors of other machines, where the machine that is said to have joined is this one."""

import pytest
from thespian.actors import ActorAddress, ActorSystemConventionUpdate

from callboard.supervision import (
    MEMBER,
    PLACE,
    ChildSpec,
    Locate,
    Located,
    Ready,
    RemoteSupervisors,
    RemoteSupervisorsSpec,
    Stop,
    SupervisorSpec,
)
from callboard.supervision.remote import remote_supervisor
from support.trees import SIMPLE
from support.workers import Worker

FIRST, SECOND = "10.0.0.1:19100", "10.0.0.2:19100"
PATH = "elsewhere/there"


@pytest.mark.parametrize(
    ("children_s", "remote_supervisor_s"), [((), 10), ((2, 3), 10), ((10, 10, 5), 25)]
)
def test_an_outpost_may_take_as_long_to_start_as_its_children(children_s, remote_supervisor_s):
    children = tuple(ChildSpec(f"w{n}", Worker, start_s=s) for n, s in enumerate(children_s))
    assert remote_supervisor("there", SupervisorSpec(children), 5.0).start_s == remote_supervisor_s


def one_worker(args, _capabilities):
    return SupervisorSpec((ChildSpec("worker", Worker, args, shutdown_s=60),))


class Convention:
    """A tree with outposts, and what it hears of machines."""

    def __init__(self, grow, journal):
        self.journal = journal
        args = {"journal": str(journal), "deaf": True}
        remote_supervisors = RemoteSupervisorsSpec(
            one_worker, args, SupervisorSpec(heartbeat_s=0.1, hang_s=1.0)
        )
        child = ChildSpec("elsewhere", RemoteSupervisors, remote_supervisors)
        self.tree = grow(SIMPLE, SupervisorSpec((child,), heartbeat_s=0.1, hang_s=1.0))
        self.tree.hear(Ready)

    def tell(self, place, added, name="there"):
        top = self.tree.top
        remote_supervisors = self.tree.ask(top, Locate("elsewhere"), Located).peer.address
        capabilities = {MEMBER: name, PLACE: place}
        update = ActorSystemConventionUpdate(ActorAddress(place), capabilities, added)
        self.tree.system.tell(remote_supervisors, update)

    def joined(self, place, name="there"):
        self.tree.system.updateCapability(PLACE, place)
        self.tree.system.updateCapability(MEMBER, name)
        self.tell(place, True, name)

    def left(self, place):
        self.tell(place, False)

    def incarnation(self, path=PATH):
        """Of the outpost, once it runs."""

        def runs(tree):
            return any(n.path == path and n.status == "running" for n in tree.below())

        self.tree.wait(runs, timeout_s=20)
        return self.tree.ask(self.tree.top, Locate(path), Located).peer.incarnation

    def ended(self):
        """Wait until it has ended, or was forgotten since its machine has left in order."""
        return self.tree.wait(
            lambda tree: all(n.path != PATH or n.status == "ended" for n in tree.below())
        )

    def statuses(self):
        return {n.path: n.status for n in self.tree.tree().below() if n.path == PATH}


@pytest.fixture
def convention(grow, tmp_path):
    return Convention(grow, tmp_path / "journal")


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


def test_a_machine_that_leaves_in_order_is_forgotten_and_may_come_back(convention):
    convention.joined(FIRST)
    before = convention.incarnation()
    convention.left(FIRST)
    convention.tree.wait(lambda _: convention.statuses() == {})
    convention.joined(FIRST)
    assert convention.incarnation() > before


def test_all_outposts_are_asked_to_stop_at_once(convention):
    for place, name in ((FIRST, "a"), (SECOND, "b")):
        convention.joined(place, name)
        convention.incarnation(f"elsewhere/{name}")
    convention.tree.system.tell(convention.tree.top, Stop())
    both = {"stop elsewhere/a/worker", "stop elsewhere/b/worker"}
    convention.tree.wait(lambda _: both <= set(convention.journal.read_text().splitlines()), 4.0)


def test_a_supervisor_within_one_may_take_as_long_as_all_below_it():
    inner = ChildSpec("b", Worker, SupervisorSpec((ChildSpec("a", Worker, start_s=12.0),)))
    assert ChildSpec("c", Worker, SupervisorSpec((inner, ChildSpec("d", Worker)))).start_s == 22.0
    assert ChildSpec("e", Worker, SupervisorSpec((inner,)), start_s=1.0).start_s == 1.0
