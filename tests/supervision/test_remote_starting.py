"""Which outposts are started, with machines that are there and some that are not.

The one machine that there is here is that of the tests: "here".
"""

import pytest
from thespian.actors import ActorSystemConventionUpdate

from callboard.supervision import ChildSpec, Ready, SupervisorSpec
from callboard.supervision.remote import MEMBER, RemoteSupervisors, RemoteSupervisorsSpec
from support.trees import MULTI, SIMPLE
from support.workers import Worker


def on_each(inside, _capabilities):
    return inside


@pytest.fixture
def remote_supervisors(grow):
    """outposts(base, *children): what there is on no machine yet."""

    def remote_supervisors(base, *children):
        each = SupervisorSpec(children)
        args = RemoteSupervisorsSpec(on_each, each, SupervisorSpec(heartbeat_s=0.1))
        tree = grow(base, args, top=RemoteSupervisors, capabilities={MEMBER: "here"})
        tree.hear(Ready)
        return tree

    return remote_supervisors


def tell(tree, machine, *, joined):
    update = ActorSystemConventionUpdate(tree.top, {MEMBER: machine}, joined)
    tree.system.tell(tree.top, update)


def statuses(tree):
    return {child.id: child.status for child in tree.children}


@pytest.mark.parametrize("base", [SIMPLE, pytest.param(MULTI, marks=pytest.mark.multiprocess)])
def test_a_machine_on_which_nothing_starts_holds_up_no_other(remote_supervisors, base):
    tree = remote_supervisors(base)
    tell(tree, "gone", joined=True)
    tell(tree, "here", joined=True)
    found = tree.wait(lambda tree: statuses(tree).get("here") == "running")
    assert found.at("gone").status == "ended"
    assert found.at("gone").restarts == 0


@pytest.mark.multiprocess
def test_nothing_is_started_on_a_machine_that_left_before_its_turn(remote_supervisors, tmp_path):
    go = tmp_path / "go"
    tree = remote_supervisors(MULTI, ChildSpec("a", Worker, {"start_after": str(go)}))
    tell(tree, "here", joined=True)
    tell(tree, "gone", joined=True)
    tell(tree, "gone", joined=False)
    assert statuses(tree.tree()) == {"here": "starting", "gone": "waiting"}
    go.touch()
    found = tree.wait(lambda tree: statuses(tree)["here"] == "running")
    assert statuses(found)["gone"] == "waiting"
