"""Supervisors of other machines alone: which are made, asked and taken for dead."""

import logging

import pytest
from thespian.actors import ActorAddress, ActorExitRequest, ActorSystemConventionUpdate

from callboard.supervision import (
    MEMBER,
    PLACE,
    ChildSpec,
    GetTree,
    Ready,
    RemoteSupervisors,
    RemoteSupervisorsSpec,
    Start,
    Stop,
    SupervisorSpec,
    TreeNode,
)
from callboard.supervision.messages import Finished, Heard, Heartbeat
from callboard.supervision.remote import (
    RemoteSupervisor,
    remote_supervisor,
)
from support.world import World


class Far:
    """The supervisor of another machine, which does as the test says."""

    def __init__(self, _capabilities):
        self.received = []

    def receiveMessage(self, message, _sender):
        self.received.append(message)


class Machines(World):
    """Keeps what is made on which machine, who hears of machines, and whose end is asked for."""

    def __init__(self):
        super().__init__(actor_classes={RemoteSupervisor: Far}, log_level=logging.INFO)
        self.made, self.exits, self.subscribed, self.lost = [], [], [], []

    def create(self, actor_class, parent=None, requirements=None):
        address = super().create(actor_class, parent)
        if parent is None:
            known = self.actor(address)._myRef
            known.notifyOnSystemRegistrationChanges = lambda *asked: self.subscribed.append(asked)
        if requirements is not None:
            self.made.append((address, requirements))
        return address

    def kill(self, address):
        """Those that are `lost` do not say that they have ended."""
        self.exits.append((round(self.now - 1000.0, 2), address))
        if address in self.lost:
            self.forget(address)
        else:
            super().kill(address)


def children(args, capabilities):
    if capabilities[MEMBER] == "unsuitable":
        return None
    there = capabilities[MEMBER], capabilities.get(PLACE)
    return SupervisorSpec((ChildSpec("worker", Far, (args, *there)),))


class Convention:
    def __init__(self, world, hang_s=10.0, heartbeat_s=0):
        self.world = world
        self.owner = world.peer("owner")
        spec = RemoteSupervisorsSpec(
            children, "args", SupervisorSpec(heartbeat_s=1.0, hang_s=hang_s)
        )
        self.address = world.create(RemoteSupervisors)
        start = Start("elsewhere", spec, 3, heartbeat_s)
        world.deliver(self.address, start, self.owner.address)
        world.pass_time(0.01)

    def update(self, name, added, place="p", admin=1):
        capabilities = {MEMBER: name, PLACE: place, "else": 1}
        self.say(ActorSystemConventionUpdate(ActorAddress(("admin", admin)), capabilities, added))

    def joins(self, name, **options):
        self.update(name, True, **options)

    def leaves(self, name, **options):
        self.update(name, False, **options)

    def say(self, message, number=None):
        sender = self.owner.address if number is None else self.world.made[number][0]
        self.world.deliver(self.address, message, sender)
        self.world.pass_time(0.01)

    def far(self, number=-1):
        return self.world.actor(self.world.made[number][0])

    def start_of(self, number=-1):
        (start,) = [m for m in self.far(number).received if isinstance(m, Start)]
        return start

    def ready(self, number=-1):
        start = self.start_of(number)
        self.say(Ready(start.path, start.incarnation, 5), number)

    def beats(self, number=-1):
        start = self.start_of(number)
        self.say(Heartbeat(start.path, start.incarnation, {}), number)

    def dies(self, number=-1):
        self.world.kill(self.world.made[number][0])
        self.world.pass_time(0.01)

    def statuses(self):
        self.say(GetTree())
        (tree,) = self.owner.take(TreeNode)
        return {child.id: child.status for child in tree.children}

    def events(self, name):
        return [event for event in self.world.logged if event["event"] == name]


@pytest.fixture
def world():
    with Machines() as world:
        yield world
        assert world.crashes == []


@pytest.fixture
def convention(world):
    return Convention(world)


def test_a_supervisor_is_made_on_the_machine_that_joins(convention, world):
    convention.joins("far", place="q")
    ((_address, requirements),) = world.made
    assert requirements == {MEMBER: "far", PLACE: "q"}
    start = convention.start_of()
    assert (start.path, start.heartbeat_s) == ("elsewhere/far", 1.0)
    assert start.args == children("args", {MEMBER: "far", PLACE: "q"})
    assert [enabled for _address, enabled in world.subscribed] == [True]
    convention.ready()
    assert convention.statuses() == {"far": "running"}
    assert [event["machine"] for event in convention.events("machine_joined")] == ["far"]


@pytest.mark.parametrize("name", ["unsuitable", None, 5])
def test_none_is_made_on_a_machine_for_nothing(convention, world, name):
    convention.joins(name)
    assert world.made == []
    convention.leaves(name)
    world.pass_time(20)
    assert world.made == []


def test_a_machine_without_a_place_is_found_by_its_name(convention, world):
    convention.say(ActorSystemConventionUpdate(ActorAddress(1), {MEMBER: "far"}, True))
    assert world.made[0][1] == {MEMBER: "far"}
    convention.say(ActorSystemConventionUpdate(ActorAddress(2), None, True))
    assert len(world.made) == 1


def test_its_heartbeats_are_confirmed_and_those_of_a_replaced_one_end_it(convention, world):
    convention.joins("far")
    convention.ready()
    convention.beats()
    assert len([m for m in convention.far().received if isinstance(m, Heard)]) == 1
    stranger = world.peer("stranger")
    world.deliver(convention.address, Heartbeat("elsewhere/far", 1, {}), stranger.address)
    world.pass_time(0.01)
    assert stranger.received == [] or isinstance(stranger.received[0], ActorExitRequest)
    assert world.exits[-1][1] == stranger.address
    assert len([m for m in convention.far().received if isinstance(m, Heard)]) == 1


def test_one_that_ends_is_made_again_every_five_seconds_without_a_limit(convention, world):
    convention.joins("far")
    for times in range(1, 12):
        convention.ready()
        convention.dies()
        assert convention.statuses() == {"far": "ended"}
        world.pass_time(5.0)
        assert len(world.made) == times + 1


def test_after_its_machine_has_left_it_is_not_made_again(convention, world):
    convention.joins("far")
    convention.ready()
    convention.leaves("far", admin=9)  # another of that name
    assert convention.statuses() == {"far": "running"}
    convention.leaves("far")
    assert convention.statuses() == {}
    assert [event["machine"] for event in convention.events("machine_left")] == ["far"]
    world.pass_time(20)
    assert len(world.made) == 1
    convention.leaves("far")
    assert len(convention.events("machine_left")) == 1


def test_a_machine_whose_supervisor_had_ended_before_it_left_stays_as_ended(convention, world):
    convention.joins("far")
    convention.ready()
    convention.dies()
    convention.leaves("far")
    assert convention.statuses() == {"far": "ended"}
    assert [event["in_order"] for event in convention.events("machine_left")] == [False]
    assert len(convention.events("child_ended")) == 1
    world.pass_time(20)
    assert len(world.made) == 1
    convention.joins("far", place="another")
    assert convention.start_of().args == children("args", {MEMBER: "far", PLACE: "another"})
    convention.ready()
    assert convention.statuses() == {"far": "running"}


def test_machines_that_leave_before_their_turn_are_left_out(convention, world):
    """Their supervisors start one after the other."""
    for name in ("a", "b", "c"):
        convention.joins(name)
    assert convention.statuses() == {"a": "starting", "b": "waiting", "c": "waiting"}
    convention.leaves("b")
    assert convention.statuses() == {"a": "starting", "b": "waiting", "c": "waiting"}
    convention.leaves("a")
    assert convention.statuses() == {"a": "ended", "b": "waiting", "c": "starting"}
    assert [requirements[MEMBER] for _address, requirements in world.made] == ["a", "c"]
    in_order = [(each["machine"], each["in_order"]) for each in convention.events("machine_left")]
    assert in_order == [("b", False), ("a", False)]
    convention.ready()
    world.pass_time(6)
    assert len(world.made) == 2


def test_a_machine_that_joins_again_has_a_new_one(convention, world):
    convention.joins("far", place="p")
    convention.ready()
    convention.joins("far", place="q")
    assert [requirements[PLACE] for _address, requirements in world.made] == ["p", "q"]
    assert convention.statuses() == {"far": "starting"}
    convention.ready()
    assert convention.statuses() == {"far": "running"}


def test_a_namesake_is_refused_and_taken_when_the_first_has_ended(convention, world):
    convention.joins("far", admin=1, place="p")
    convention.ready()
    convention.joins("far", admin=2, place="q")
    (taken,) = convention.events("machine_name_taken")
    assert (taken["machine"], taken["by"], taken["refused"]) == (
        "far",
        str(ActorAddress(("admin", 1))),
        str(ActorAddress(("admin", 2))),
    )
    assert len(world.made) == 1
    convention.leaves("far", admin=1)
    world.pass_time(5)
    assert world.made[-1][1][PLACE] == "q"
    convention.ready()
    assert convention.statuses() == {"far": "running"}
    world.pass_time(6)
    assert len(world.made) == 2
    convention.leaves("far", admin=2)
    world.pass_time(20)
    assert len(world.made) == 2


def test_a_namesake_that_has_left_is_not_taken(convention, world):
    convention.joins("far", admin=1)
    convention.ready()
    convention.joins("far", admin=2)
    convention.leaves("far", admin=2)
    convention.leaves("far", admin=1)
    world.pass_time(20)
    assert len(world.made) == 1


def test_a_namesake_replaces_one_whose_supervisor_has_ended(convention, world):
    convention.joins("far", admin=1, place="p")
    convention.ready()
    convention.dies()
    convention.joins("far", admin=2, place="q")
    assert world.made[-1][1][PLACE] == "q"
    convention.ready()
    convention.leaves("far", admin=2)
    world.pass_time(5)
    assert world.made[-1][1][PLACE] == "p"  # the first one has not left


def test_a_silent_machine_is_asked_to_end_its_supervisor_and_taken_for_dead(convention, world):
    convention.joins("far")
    convention.ready()
    world.pass_time(9.0)
    assert world.exits == []
    world.pass_time(2.2)
    assert [address for _at, address in world.exits] == [world.made[0][0]]
    world.pass_time(7)
    assert len(world.made) == 2


def test_a_machine_that_is_lost_counts_as_ended_two_seconds_after_it_was_asked_to_end(
    convention, world
):
    """Its answer may never come; it is asked once."""
    convention.joins("far")
    convention.ready()
    world.lost.append(world.made[0][0])
    while not world.exits:
        world.pass_time(0.1)
    world.pass_time(1.8)
    assert convention.statuses() == {"far": "running"}
    world.pass_time(0.3)
    assert convention.statuses()["far"] in ("ended", "starting")  # which is tried every 5 s
    assert len(world.exits) == 1
    assert convention.events("child_overdue") == []


def test_the_tree_above_shows_at_once_that_a_machine_has_left(world):
    convention = Convention(world, heartbeat_s=600.0)
    convention.joins("far")
    convention.ready()
    convention.leaves("far")
    seen = [beat.stats["tree"].children for beat in convention.owner.take(Heartbeat)]
    assert [child.status for child in seen[-2]] == ["down"]
    assert seen[-1] == ()


def test_a_machine_that_leaves_when_it_was_already_taken_for_dead_stays_as_ended(convention, world):
    convention.joins("far")
    convention.ready()
    world.pass_time(11.2)
    assert len(world.exits) == 1
    convention.leaves("far")
    assert convention.statuses() == {"far": "ended"}
    assert [event["in_order"] for event in convention.events("machine_left")] == [False]


def test_all_are_asked_to_stop_at_once(convention, world):
    for number, name in enumerate(("a", "b")):
        convention.joins(name)
        convention.ready(number)
    convention.say(Stop())
    stops = [sum(isinstance(m, Stop) for m in convention.far(n).received) for n in (0, 1)]
    assert stops == [1, 1]
    convention.joins("c")
    assert len(world.made) == 2
    for number in (0, 1):
        convention.dies(number)
    assert convention.owner.take(Finished) == [Finished("elsewhere", 3)]


def test_machines_of_other_versions_know_the_names_of_capabilities():
    assert (MEMBER, PLACE) == ("callboard: member", "callboard: place")


def test_a_supervisor_far_away_ends_with_its_machine_and_has_its_time_to_stop(convention, world):
    spec = remote_supervisor("far", SupervisorSpec(), 7.0)
    assert (spec.id, spec.actor, spec.restart, spec.shutdown_s) == (
        "far",
        RemoteSupervisor,
        "temporary",
        7.0,
    )


@pytest.mark.parametrize(
    ("capabilities", "suits"),
    [
        ({MEMBER: "far", PLACE: "p", "else": 1}, True),
        ({MEMBER: "far"}, False),
        ({MEMBER: "far", PLACE: "q"}, False),
    ],
)
def test_a_machine_suits_if_it_has_all_that_is_required(capabilities, suits):
    requirements = {MEMBER: "far", PLACE: "p"}
    assert RemoteSupervisor.actorSystemCapabilityCheck(capabilities, requirements) is suits


def test_far_away_it_ends_when_it_hears_nothing(monkeypatch):
    """Once for all actors below it: `os._exit` ends the process, and the kernel those below."""
    codes = []
    monkeypatch.setattr("os._exit", codes.append)
    with World() as world:
        above = world.peer("above")
        address = world.create(RemoteSupervisor)
        spec = SupervisorSpec(heartbeat_s=1.0, hang_s=3.0)
        world.deliver(address, Start("elsewhere/far", spec, 1, 1.0), above.address)
        for _second in range(6):
            world.pass_time(1.0)
            world.deliver(address, Heard(), above.address)
        assert codes == []
        world.pass_time(2.9)
        assert codes == []
        world.pass_time(1.2)
        assert codes == [70]
        assert [(event["event"], event["unheard"]) for event in world.logged] == [
            ("supervisor_lost", 4)
        ]


@pytest.mark.parametrize(("heartbeat_s", "ends_s"), [(1.0, 4.0), (0.5, 3.5), (2.0, 4.0)])
def test_far_away_it_ends_where_it_has_never_heard_anything(monkeypatch, heartbeat_s, ends_s):
    codes = []
    monkeypatch.setattr("os._exit", codes.append)
    with World() as world:
        address = world.create(RemoteSupervisor)
        spec = SupervisorSpec(heartbeat_s=heartbeat_s, hang_s=3.0)
        start = Start("elsewhere/far", spec, 1, 1.0)
        world.deliver(address, start, world.peer("above").address)
        world.pass_time(ends_s - 0.1)
        assert codes == []
        world.pass_time(0.2)
        assert codes == [70]
