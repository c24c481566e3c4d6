"""A supervisor alone: what it says to children that do as the test says, and when."""

import logging
import os
import signal
from types import SimpleNamespace

import pytest
from thespian.actors import ActorAddress, ChildActorExited

from callboard.supervision import (
    ONE_FOR_ALL,
    REST_FOR_ONE,
    TEMPORARY,
    TRANSIENT,
    ChildSpec,
    GaveUp,
    GetTree,
    Locate,
    Located,
    Peer,
    PeersChanged,
    Ready,
    Start,
    Stop,
    Supervisor,
    SupervisorSpec,
    TreeNode,
    last_words,
)
from callboard.supervision.messages import DirectoryReport, Finished, Heartbeat
from support.workers import Branch
from support.world import World


class Scripted:
    """A child that keeps what it receives, and says what the test tells it to say."""

    def __init__(self, _capabilities):
        self.received = []
        self.last_words = last_words.own()

    def receiveMessage(self, message, _sender):
        self.received.append(message)


class Nested(Supervisor, Scripted):
    """A child that the supervisor takes for a supervisor."""

    def __init__(self, capabilities):
        Scripted.__init__(self, capabilities)

    def receiveMessage(self, message, sender):
        Scripted.receiveMessage(self, message, sender)


class Machine(World):
    """Keeps the children that a supervisor makes. Of those in `unburied`, no end is reported.

    `processes`: those of the next children, in which Thespian would have forked them.
    """

    def __init__(self, log_level=logging.INFO):
        super().__init__(log_level=log_level)
        self.made, self.unburied, self.exits, self.processes = [], [], [], []

    def create(self, actor_class, parent=None):
        address = super().create(actor_class, parent)
        self.made.append(address)
        if self.processes and parent is not None:
            known = SimpleNamespace(childAddr=address, childProc=self.processes.pop(0))
            above = self.actor(parent)._myRef
            above._child_procs = (*above._child_procs, known)
        return address

    def kill(self, address):
        self.exits.append((round(self.now - 1000.0, 2), address))
        if address in self.unburied:
            self.forget(address)
        else:
            super().kill(address)


class Supervised:
    """A supervisor with its owner; `path`: "" for the top of a tree."""

    def __init__(self, world, spec, path="", actor=Supervisor, peers=(), heartbeat_s=0):
        self.world, self.spec = world, spec
        self.owner = world.peer("owner")
        self.address = world.create(actor)
        world.made.clear()
        known = {peer.path: peer for peer in peers}
        start = Start(path, spec, incarnation=7, heartbeat_s=heartbeat_s, peers=known)
        world.deliver(self.address, start, self.owner.address)
        self.settle()

    def settle(self):
        self.world.pass_time(0.01)

    @property
    def seconds(self):
        return round(self.world.now - 1000.0, 2)

    def child(self, number=-1):
        """The address of one of the children made so far, by the order of their making."""
        return self.world.made[number]

    def received(self, kind, number=-1):
        """What a living child was sent, of this kind."""
        found = self.world.actor(self.child(number)).received
        return [message for message in found if isinstance(message, kind)]

    def start_of(self, number=-1):
        (start,) = self.received(Start, number)
        return start

    def say(self, message, number=-1):
        self.world.deliver(self.address, message, self.child(number))
        self.settle()

    def ready(self, number=-1, pid=0):
        start = self.start_of(number)
        self.say(Ready(start.path, start.incarnation, pid or 100 + len(self.world.made)), number)

    def finishes(self, number=-1):
        start = self.start_of(number)
        self.say(Finished(start.path, start.incarnation), number)
        self.dies(number)

    def dies(self, number=-1):
        self.world.kill(self.child(number))
        self.settle()

    def beats(self, number=-1, **stats):
        start = self.start_of(number)
        self.say(Heartbeat(start.path, start.incarnation, stats), number)

    def ask(self, message, kind):
        self.world.deliver(self.address, message, self.owner.address)
        self.settle()
        (answer,) = self.owner.take(kind)
        return answer

    def tree(self):
        return self.ask(GetTree(), TreeNode)

    def statuses(self):
        return {child.id: child.status for child in self.tree().children}

    def peer(self, path):
        return self.ask(Locate(path), Located).peer

    def events(self, name):
        """What was logged under this name, without the time."""
        return [
            {key: value for key, value in event.items() if key != "event"}
            for event in self.world.logged
            if event["event"] == name
        ]


@pytest.fixture
def world():
    with Machine() as world:
        yield world
        assert world.crashes == []


@pytest.fixture
def supervise(world):
    return lambda spec, **options: Supervised(world, spec, **options)


def spec(*children, **options):
    return SupervisorSpec(children, **options)


def scripted(*ids, **options):
    return [ChildSpec(id, Scripted, **options) for id in ids]


def test_a_child_is_told_who_it_is_and_the_next_one_starts_when_it_is_ready(supervise, world):
    a = ChildSpec("a", Scripted, {"of": "a"})
    it = supervise(spec(a, *scripted("b"), heartbeat_s=3.0))
    (start,) = it.received(Start, 0)
    assert (start.path, start.args, start.heartbeat_s, start.peers) == ("a", {"of": "a"}, 3.0, {})
    assert start.incarnation == int((world.unix_s + 1000.0) * 1e9)  # the time of its start
    assert len(world.made) == 1
    it.ready()
    assert it.start_of().path == "b"
    assert it.owner.take(Ready) == []
    it.ready()
    (ready,) = it.owner.take(Ready)
    assert (ready.path, ready.incarnation) == ("", 7)
    assert it.events("child_started") == [
        {"actor": "Supervisor", "child": "a", "child_pid": 101},
        {"actor": "Supervisor", "child": "b", "child_pid": 102},
    ]


def test_an_incarnation_is_greater_than_the_last_where_the_clock_was_set_back(supervise, world):
    it = supervise(spec(*scripted("a")))
    it.ready()
    first = it.start_of().incarnation
    world.set_clock(-3600)
    it.dies()
    assert it.start_of().incarnation == first + 1


@pytest.mark.parametrize(
    "of",
    [
        lambda start: Ready(start.path, start.incarnation - 1, 5),
        lambda start: Ready("other", start.incarnation, 5),
    ],
)
def test_another_ones_readiness_is_not_its_own(supervise, of):
    it = supervise(spec(*scripted("a", "b")))
    it.say(of(it.start_of()))
    assert it.statuses() == {"a": "starting", "b": "waiting"}


def test_the_tree_says_all_of_a_child(supervise, world):
    it = supervise(spec(ChildSpec("a", Scripted, label="the first")), path="up/there")
    it.ready(pid=4711)
    at = world.unix_s + world.now
    it.beats(
        seen=3, tree=TreeNode("a", "up/there/a", "Nested", "", "running", 1, 2.0, 0, {}, ("x",))
    )
    tree = it.tree()
    assert (tree.id, tree.path, tree.actor, tree.status) == (
        "there",
        "up/there",
        "Supervisor",
        "running",
    )
    assert (tree.label, tree.started_at, tree.restarts, tree.stats) == ("", None, 0, {})
    (a,) = tree.children
    assert a.started_at == pytest.approx(at, abs=0.1)
    assert (a.id, a.path, a.actor, a.label) == ("a", "up/there/a", "Scripted", "the first")
    assert (a.status, a.pid, a.restarts, a.stats) == ("running", 4711, 0, {"seen": 3})
    assert a.children == ("x",)
    it.dies()
    (a,) = it.tree().children
    assert (a.status, a.pid, a.started_at, a.restarts) == ("starting", None, None, 1)
    assert (a.stats, a.children) == ({}, ())


def test_what_an_earlier_incarnation_says_is_not_heard(supervise):
    it = supervise(spec(*scripted("a")))
    it.ready()
    old = it.start_of()
    it.dies()
    it.ready()
    it.say(Heartbeat("a", old.incarnation, {"seen": 1}))
    it.say(Finished("a", old.incarnation))
    it.say(DirectoryReport("a", old.incarnation, {"a/x": 1}, 99))
    assert it.tree().children[0].stats == {}
    it.dies()
    it.ready()
    assert it.peer("a").because == "it crashed or was killed"
    assert it.peer("a/x") is None


@pytest.mark.parametrize(
    ("how", "because"), [("dies", "it crashed or was killed"), ("finishes", "it finished")]
)
def test_why_it_ended_is_told_and_logged(supervise, how, because):
    it = supervise(spec(*scripted("a")))
    it.ready()
    getattr(it, how)()
    assert it.events("child_ended") == [
        {
            "actor": "Supervisor",
            "child": "a",
            "normal": how == "finishes",
            "because": because,
            "restart": ("a",),
        }
    ]
    it.ready()
    assert it.peer("a").because == because
    assert it.tree().children[0].restarts == 1


@pytest.mark.parametrize(("how", "warnings"), [("dies", 1), ("finishes", 0)])
def test_an_end_is_a_warning_unless_the_child_finished(how, warnings):
    with Machine(logging.WARNING) as world:
        it = Supervised(world, spec(*scripted("a")))
        it.ready()
        getattr(it, how)()
        assert len(it.events("child_ended")) == warnings


def process(pid, exitcode=None):
    return SimpleNamespace(pid=pid, exitcode=exitcode)


@pytest.mark.parametrize(
    ("exitcode", "because"),
    [
        (None, "it crashed or was killed"),
        (0, "it crashed or was killed"),
        (70, "it crashed or was killed"),
        (-9, "it was killed by SIGKILL"),
        (-11, "it was killed by SIGSEGV"),
    ],
)
def test_the_end_of_a_process_says_which_signal_ended_it(supervise, world, exitcode, because):
    world.processes = [process(4711), process(4712, exitcode)]
    it = supervise(spec(*scripted("a", "b")))
    assert it.tree().children[0].pid == 4711  # before it is ready
    it.ready()
    it.ready()
    it.dies()
    it.ready()
    assert it.peer("b").because == because


def test_the_words_of_a_child_say_why_it_failed(supervise, world):
    world.processes = [process(4711, -9)]
    it = supervise(spec(*scripted("a")))
    it.ready()
    world.actor(it.child()).last_words.write(ValueError("no port"))
    it.dies()
    it.ready()
    assert it.peer("a").because == "it failed with ValueError: no port"
    it.dies()
    it.ready()
    assert it.peer("a").because == "it crashed or was killed"


@pytest.mark.parametrize(
    ("pid", "own_process", "signalled"),
    [(4711, True, True), (4711, False, False), (None, True, False)],  # None: the supervisor's
)
def test_a_child_with_a_process_of_its_own_is_killed_by_a_signal(
    supervise, world, monkeypatch, pid, own_process, signalled
):
    kills = []
    monkeypatch.setattr("os.kill", lambda *what: kills.append(what))
    it = supervise(spec(*scripted("a", shutdown_s=0)))
    world.actor(it.address).own_process = own_process
    it.ready(pid=pid or os.getpid())
    it.say(Stop())
    assert kills == ([(4711, signal.SIGKILL)] if signalled else [])
    assert (it.child() in [address for _at, address in world.exits]) is not signalled
    world.pass_time(2.1)
    assert it.owner.take(Finished) == [Finished("", 7)]


def test_a_process_that_has_gone_already_counts_as_ended_two_seconds_later(
    supervise, world, monkeypatch
):
    def kill(_pid, _signal):
        raise ProcessLookupError

    monkeypatch.setattr("os.kill", kill)
    it = supervise(spec(*scripted("a", shutdown_s=0)))
    world.actor(it.address).own_process = True
    it.ready(pid=4711)
    it.say(Stop())
    world.pass_time(1.9)
    assert it.owner.take(Finished) == []
    world.pass_time(0.2)
    assert it.owner.take(Finished) == [Finished("", 7)]


@pytest.mark.parametrize(
    ("restart", "how", "status"),
    [
        (TRANSIENT, "finishes", "ended"),
        (TRANSIENT, "dies", "starting"),
        (TEMPORARY, "dies", "ended"),
    ],
)
def test_a_child_that_may_not_start_again_has_ended(supervise, restart, how, status):
    it = supervise(spec(*scripted("a", restart=restart), *scripted("b")))
    it.ready()
    it.ready()
    getattr(it, how)(0)
    assert it.statuses() == {"a": status, "b": "running"}


def test_a_nested_supervisor_that_gave_up_says_why(supervise):
    it = supervise(spec(ChildSpec("n", Nested)), path="top")
    it.ready()
    it.say(GaveUp("top/n", "x ended too often"))
    assert it.events("supervisor_gave_up") == [
        {"actor": "top", "child": "top/n", "reason": "x ended too often"}
    ]
    it.owner.received.clear()
    it.dies()
    it.ready()
    reports = it.owner.take(DirectoryReport)
    assert reports[-1].peers["top/n"].because == "x ended too often"
    it.dies()
    it.ready()
    reports = it.owner.take(DirectoryReport)
    # The reason is that of one end, not of the next.
    assert reports[-1].peers["top/n"].because == "it crashed or was killed"


def test_a_child_that_does_not_get_ready_in_time_is_ended(supervise, world):
    it = supervise(spec(*scripted("a", start_s=4.0), hang_s=1000.0))
    world.pass_time(3.9)
    assert world.exits == []
    world.pass_time(0.15)
    assert [at for at, _address in world.exits] == [pytest.approx(4.0, abs=0.02)]
    it.ready()
    assert it.peer("a").because == "it took too long while starting"
    assert it.events("child_overdue") == [
        {"actor": "Supervisor", "child": "a", "status": "starting", "child_pid": None}
    ]
    world.pass_time(60.0)
    assert len(world.made) == 2


def test_a_child_that_is_ready_in_time_is_not_overdue_later(supervise, world):
    it = supervise(spec(*scripted("a", start_s=4.0), hang_s=1000.0))
    it.ready()
    world.pass_time(60.0)
    assert world.exits == []
    assert it.statuses() == {"a": "running"}


def test_an_end_that_is_never_reported_counts_two_seconds_after_the_kill(supervise, world):
    it = supervise(spec(*scripted("a", start_s=4.0)))
    world.unburied.append(it.child())
    world.pass_time(5.9)
    assert len(world.made) == 1
    world.pass_time(0.2)
    assert len(world.made) == 2
    assert it.peer("a") is None


@pytest.mark.parametrize(
    ("hang_s", "waits_s", "last_s"), [(10.0, 0.0, 10.0), (10.0, 15.0, 25.0), (3.0, 0.0, 3.0)]
)
def test_a_silent_child_is_ended_and_replaced(supervise, world, hang_s, waits_s, last_s):
    it = supervise(
        spec(*scripted("a", waits_s=waits_s), *scripted("b"), hang_s=hang_s, heartbeat_s=1.0)
    )
    it.ready()
    it.ready()
    silent_since = it.seconds
    while it.seconds < silent_since + last_s - 0.5:
        it.beats(1)
        assert world.exits == []
        world.pass_time(0.5)
    for _half_second in range(5):
        it.beats(1)
        world.pass_time(0.5)
    ((at, address),) = world.exits
    assert address == it.child(0)
    assert silent_since + last_s <= at <= silent_since + last_s + 1.1
    (hangs,) = it.events("child_hangs")
    assert (hangs["child"], hangs["child_pid"]) == ("a", 101)
    assert last_s < hangs["silent_s"] <= last_s + 1.1
    assert f"{hangs['silent_s']:.1f}" == str(hangs["silent_s"])
    it.ready()
    assert it.peer("a").because == f"it was silent for {hangs['silent_s']:.1f} s"
    assert it.peer("b").because == ""


def test_a_child_that_says_in_a_handler_that_it_works_is_not_silent(supervise, world):
    it = supervise(spec(*scripted("a"), hang_s=10.0, heartbeat_s=1.0))
    it.ready()
    world.pass_time(8.0)
    world.actor(it.child()).last_words.alive(world.now)
    world.pass_time(9.0)
    assert world.exits == []
    world.pass_time(3.0)
    assert len(world.exits) == 1


def test_a_hanging_child_is_ended_once(supervise, world):
    it = supervise(spec(*scripted("a"), hang_s=1.0, heartbeat_s=0.1, max_restarts=0))
    it.ready()
    world.unburied.append(it.child())
    world.pass_time(2.9)
    assert len(world.exits) == 1
    assert len(it.events("child_hangs")) == 1


@pytest.mark.parametrize(
    ("heartbeat_s", "suspended_s", "ends"),
    [(1.0, 30.0, 0), (1.0, 2.0, 0), (1.0, 1.2, 1), (2.0, 2.5, 1), (2.0, 30.0, 0)],
)
def test_what_was_suspended_itself_takes_no_child_for_silent(
    supervise, world, heartbeat_s, suspended_s, ends
):
    """A supervisor that missed two checks cannot tell: heartbeats may wait to be read."""
    it = supervise(spec(*scripted("a"), hang_s=5.0, heartbeat_s=heartbeat_s))
    it.ready()
    world.pass_time(4.5)
    world.suspend(suspended_s)
    world.pass_time(0.1)
    assert len(world.exits) == ends
    world.pass_time(4.5 if not ends else 0)
    assert len(world.exits) == ends
    world.pass_time(3.0)
    assert len(world.exits) >= 1


def test_it_stops_one_after_the_other_and_then_ends(supervise, world):
    it = supervise(spec(*scripted("a", shutdown_s=3.0), *scripted("b", shutdown_s=0)))
    it.ready()
    it.ready()
    it.say(Stop())
    assert world.exits[0][1] == it.child(1)  # at once
    assert len(it.received(Stop, 0)) == 1
    assert it.tree().status == "stopping"
    assert it.statuses() == {"a": "stopping", "b": "down"}
    began = it.seconds
    world.pass_time(2.8)
    assert len(world.exits) == 1
    it.say(Stop())  # again: nothing changes
    assert len(it.received(Stop, 0)) == 1
    world.pass_time(0.3)
    assert world.exits[1][1] == it.child(0)
    assert world.exits[1][0] == pytest.approx(began + 3.0, abs=0.1)
    assert it.owner.take(Finished) == [Finished("", 7)]
    assert world.actor(it.address) is None
    assert it.owner.take(GaveUp) == []


def test_what_is_not_started_yet_is_not_stopped(supervise, world):
    it = supervise(spec(*scripted("a", "b")))
    it.say(Stop())
    it.finishes()
    assert len(world.made) == 1
    assert it.owner.take(Finished) == [Finished("", 7)]


def test_it_gives_up_after_the_others_have_stopped(supervise, world):
    it = supervise(spec(*scripted("a", "b"), max_restarts=0, within_s=5.0), path="up/n")
    it.ready()
    it.ready()
    it.dies(0)
    reason = (
        "up/n: a ended, and that was more than 0 restarts in 5 s; the last time it crashed or was "
        "killed"
    )
    assert it.owner.take(GaveUp) == []
    it.finishes(1)
    assert it.owner.take(GaveUp) == [GaveUp("up/n", reason)]
    assert it.owner.take(Finished) == []
    assert it.events("gave_up") == [{"actor": "up/n", "reason": reason}]
    it.settle()
    assert it.owner.take(GaveUp) == []
    assert world.actor(it.address) is None


def test_the_top_that_gives_up_is_called_so(supervise):
    it = supervise(spec(*scripted("a"), max_restarts=0))
    it.ready()
    it.dies()
    (gave_up,) = it.owner.take(GaveUp)
    assert gave_up.reason == (
        "the top supervisor: a ended, and that was more than 0 restarts in 10 s; the last time it "
        "crashed or was killed"
    )


def test_a_group_stops_before_it_starts_again(supervise, world):
    it = supervise(spec(*scripted("a", "b", "c"), strategy=ONE_FOR_ALL))
    for _child in "abc":
        it.ready()
    it.dies(1)
    assert it.statuses() == {"a": "running", "b": "down", "c": "stopping"}
    it.finishes(2)
    assert it.statuses() == {"a": "stopping", "b": "down", "c": "down"}
    it.finishes(0)
    assert [it.start_of(n).path for n in (3,)] == ["a"]
    for _child in "abc":
        it.ready()
    assert [it.peer(id).because for id in "abc"] == [
        "restarted along with b",
        "it crashed or was killed",
        "restarted along with b",
    ]
    assert it.owner.take(Ready) == [Ready("", 7, it.tree().pid)]  # once, at the first start


# The directory


def test_peers_are_those_that_a_child_asks_for_and_hear_of_changes_only(supervise):
    it = supervise(spec(*scripted("a", peers=("b*", "c")), *scripted("b1", "b2", "c", "d")))
    for number in range(5):
        it.ready(number)
    it.settle()
    it.world.pass_time(1.0)
    changes = it.received(PeersChanged, 0)
    assert set(changes[-1].peers) == {"b1", "b2", "c"}
    versions = [change.version for change in changes]
    assert versions == sorted(set(versions))
    assert versions[0] > 0
    before = len(changes)
    it.dies(4)  # d: nobody asked for it
    assert len(it.received(PeersChanged, 0)) == before
    it.dies(1)
    it.world.pass_time(0.3)
    assert set(it.received(PeersChanged, 0)[-1].peers) == {"b2", "c"}
    assert it.received(PeersChanged, 3) == []


def test_a_child_that_stops_is_no_peer_any_more(supervise, world):
    children = [*scripted("a", peers=("c",)), *scripted("b", "c")]
    it = supervise(spec(*children, strategy=REST_FOR_ONE, gather_s=0.2))
    for _child in "abc":
        it.ready()
    assert set(it.received(PeersChanged, 0)[-1].peers) == {"c"}
    it.dies(1)
    world.pass_time(0.3)
    assert it.statuses() == {"a": "running", "b": "down", "c": "stopping"}
    assert it.received(PeersChanged, 0)[-1].peers == {}


class Noting(Supervisor):
    """Notes what is below it."""

    def on_directory(self, directory):
        self.noted = dict(directory)


def test_a_supervisor_is_asked_what_it_does_with_changes_below_it(supervise, world):
    it = supervise(spec(*scripted("a")), actor=Noting)
    it.ready(pid=55)
    noted = world.actor(it.address).noted
    assert noted == {"a": Peer("a", it.start_of().incarnation, it.child(), 55)}
    it.dies()
    assert world.actor(it.address).noted == {}


def test_a_child_starts_with_the_peers_that_there_are(supervise):
    it = supervise(spec(*scripted("a"), *scripted("b", peers=("a", "b"))))
    it.ready(pid=55)
    a = it.start_of(0)
    assert it.start_of(1).peers == {"a": Peer("a", a.incarnation, it.child(0), 55)}


def test_changes_are_gathered_while_children_start(supervise, world):
    it = supervise(spec(*scripted("w", peers=("*",)), *scripted("a", "b", "c"), gather_s=0.5))
    for number in range(3):
        it.ready(number)
    assert it.received(PeersChanged, 0) == []
    world.pass_time(0.5)
    (change,) = it.received(PeersChanged, 0)
    assert set(change.peers) == {"w", "a", "b"}
    it.ready(3)  # the last one: nothing more to wait for
    assert set(it.received(PeersChanged, 0)[-1].peers) == {"w", "a", "b", "c"}


def test_a_report_at_once_takes_the_place_of_the_gathered_one(supervise, world):
    it = supervise(spec(*scripted("a", "b"), gather_s=0.5), path="up")
    it.ready(0)
    assert it.owner.take(DirectoryReport) == []
    it.ready(1)
    assert len(it.owner.take(DirectoryReport)) == 1
    world.pass_time(1.0)
    assert it.owner.take(DirectoryReport) == []


def test_its_own_supervisor_hears_of_those_below(supervise):
    it = supervise(spec(*scripted("a"), ChildSpec("n", Nested)), path="up")
    it.ready(0, pid=8)
    it.ready(1, pid=9)
    a, n = it.start_of(0), it.start_of(1)
    below = {"up/n/x": Peer("up/n/x", 1, ActorAddress(4), 3)}
    it.say(DirectoryReport("up/n", n.incarnation, below, 2))
    reports = it.owner.take(DirectoryReport)
    assert [(r.path, r.incarnation) for r in reports] == [("up", 7)] * len(reports)
    assert reports[-1].peers == {
        "up/a": Peer("up/a", a.incarnation, it.child(0), 8),
        "up/n": Peer("up/n", n.incarnation, it.child(1), 9),
        **below,
    }
    versions = [report.version for report in reports]
    assert versions == sorted(set(versions))
    it.say(DirectoryReport("up/n", n.incarnation, {}, 2))  # older, or the same
    assert it.owner.take(DirectoryReport) == []
    it.say(DirectoryReport("up/n", n.incarnation, {}, 3))
    (report,) = it.owner.take(DirectoryReport)
    assert set(report.peers) == {"up/a", "up/n"}
    it.dies(1)
    assert set(it.owner.take(DirectoryReport)[0].peers) == {"up/a"}


def test_the_tree_above_shows_a_change_at_once(supervise):
    it = supervise(spec(*scripted("a"), heartbeat_s=9), path="up", heartbeat_s=9)
    it.owner.received.clear()
    it.ready(pid=8)
    (beat,) = it.owner.take(Heartbeat)
    assert [(node.id, node.status, node.pid) for node in beat.stats["tree"].children] == [
        ("a", "running", 8)
    ]


def test_a_tree_finds_its_nodes_by_their_paths():
    def node(path, *children):
        return TreeNode(path[-1:], path, "A", "", "running", 1, 2.0, 0, {}, children)

    leaf, other = node("up/n/x"), node("up/n/y")
    tree = node("up", node("up/m"), node("up/n", leaf, other))
    assert tree.at("n/y") is other
    assert tree.at("n").at("x") is leaf
    for path in ("x", "n/z", "n/x/x", "n/", ""):
        with pytest.raises(LookupError, match=f"no actor {path!r} in the tree"):
            tree.at(path)
    assert [each.path for each in tree.below()] == ["up/m", "up/n", "up/n/x", "up/n/y"]


def test_those_below_a_supervisor_that_starts_are_known_already(supervise):
    it = supervise(spec(ChildSpec("n", Nested)))
    n = it.start_of()
    below = {"n/x": Peer("n/x", 1, ActorAddress(4), 3)}
    it.say(DirectoryReport("n", n.incarnation, below, 1))
    assert it.peer("n/x") == below["n/x"]
    assert it.peer("n") is None


def test_a_nested_supervisor_gets_all_peers(supervise):
    it = supervise(spec(*scripted("a"), ChildSpec("n", Nested)))
    it.ready(0)
    assert set(it.start_of(1).peers) == {"a"}


def test_below_the_top_peers_are_those_of_the_whole_tree(supervise, world):
    outside = Peer("c", 1, ActorAddress(77), 5)
    it = supervise(spec(*scripted("a", peers=("c",)), heartbeat_s=9), path="up", peers=[outside])
    assert it.start_of().peers == {"c": outside}
    it.ready()
    again = Peer("c", 2, ActorAddress(78), 5)
    it.say(PeersChanged({"c": again}, 1))
    assert it.received(PeersChanged)[-1].peers == {"c": again}
    assert it.peer("c") == again


def test_where_names_begin_the_outside_has_longer_ones(supervise):
    it = supervise(spec(*scripted("a")), path="up", actor=Branch)
    it.ready(pid=3)
    assert it.start_of().path == "a"
    inside = Peer("a", it.start_of().incarnation, it.child(), 3)
    assert it.peer("a") == inside
    (report,) = it.owner.take(DirectoryReport)
    assert list(report.peers) == ["up/a"]
    assert report.peers["up/a"].path == "up/a"


def test_what_is_no_specification_is_refused(world):
    address = world.create(Supervisor)
    world.deliver(address, Start(args={"children": []}), ActorAddress(0))
    assert "dict is no SupervisorSpec" in world.crashes.pop()


def test_one_that_has_not_started_has_an_empty_tree(world):
    owner = world.peer("owner")
    address = world.create(Supervisor)
    world.deliver(address, GetTree(), owner.address)
    world.pass_time(0.1)
    (tree,) = owner.take(TreeNode)
    assert (tree.id, tree.path, tree.status, tree.children) == ("", "", "running", ())
    world.deliver(address, Stop(), owner.address)
    world.pass_time(0.1)
    assert world.actor(address) is None


def test_the_end_of_a_stranger_changes_nothing(supervise):
    it = supervise(spec(*scripted("a", "b")))
    it.say(ChildActorExited(ActorAddress(99)))
    assert it.statuses() == {"a": "starting", "b": "waiting"}


def test_an_ended_child_is_asked_to_exit_once(supervise, world):
    it = supervise(spec(*scripted("a", shutdown_s=0)))
    it.ready()
    world.unburied.append(it.child())
    it.say(Stop())
    assert it.owner.take(Finished) == []
    world.pass_time(1.9)
    assert it.owner.take(Finished) == []
    world.pass_time(0.2)
    assert it.owner.take(Finished) == [Finished("", 7)]
    assert len(world.exits) == 2  # the child's, and its own
