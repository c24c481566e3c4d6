"""A supervised actor alone: what its handlers can rely on, and what its supervisor hears."""

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
from types import SimpleNamespace

import pytest
import structlog
from thespian.actors import ActorAddress, ActorExitRequest, ThespianWatch

from callboard.supervision import (
    Answer,
    Forwarded,
    Peer,
    PeersChanged,
    Question,
    Ready,
    Start,
    Stop,
    SupervisedActor,
)
from callboard.supervision.actor import running_s
from callboard.supervision.last_words import LastWords, inherited
from callboard.supervision.messages import AskedBy, Finished, Heartbeat
from support.patience import patient
from support.world import World


class Probe(SupervisedActor):
    """Notes what happens to it; commands are functions of it."""

    def __init__(self, capabilities=None):
        super().__init__(capabilities)
        self.noted = []

    def on_start(self, args):
        self.noted.append(("start", args))
        if callable(args):
            args(self)

    def on_peers(self, before):
        self.noted.append(("peers", dict(before), dict(self.peers)))

    def on_wake(self):
        self.noted.append("woken")

    def stats(self):
        return {"noted": len(self.noted)}

    def receiveMsg_str(self, message, sender):
        self.noted.append(message)
        if message == "raise":
            raise RuntimeError("told to")
        self.send(sender, message.upper())

    def receiveMsg_WatchMessage(self, message, _sender):
        self.noted.append(("ready", list(message.ready)))
        os.read(message.ready[0], 1)


IN_A_HOST = {"Thespian ActorSystem Name": "simpleSystem"}


class Polling(Probe):
    """In a system that watches no descriptors, as Thespian's simpleSystemBase in a process."""

    def __init__(self, capabilities):
        super().__init__(capabilities | {"Thespian Watch Supported": False})


class Lone:
    """The actor, its supervisor and one that talks to it."""

    def __init__(self, world, actor=Probe):
        self.world = world
        self.supervisor, self.other = world.peer("supervisor"), world.peer("other")
        self.address = world.create(actor)
        self.actor = world.actor(self.address)

    def start(self, args=None, path="here", heartbeat_s=2.0, peers=None):
        self.say(Start(path, args, 5, heartbeat_s, peers or {}), self.supervisor)
        return self

    def say(self, message, by=None):
        self.world.deliver(self.address, message, (by or self.other).address)
        self.world.pass_time(0.01)

    def answers(self, kind=str):
        return self.other.take(kind)


@pytest.fixture
def world():
    # Functions are no messages between processes, but serve as arguments here.
    with World(copying=False) as world:
        yield world


@pytest.fixture
def lone(world):
    return Lone(world)


def peer(path, incarnation=1):
    return Peer(path, incarnation, ActorAddress(50 + incarnation), 0)


def test_it_reports_that_it_is_ready_and_then_beats(lone, world):
    lone.start({"of": 1})
    assert lone.actor.noted == [("start", {"of": 1})]
    first, second = lone.supervisor.received
    assert first == Ready("here", 5, os.getpid())
    assert second == Heartbeat("here", 5, {"noted": 1})
    world.pass_time(9.9)
    assert len(lone.supervisor.take(Heartbeat)) == 1 + 4
    lone.start("again")  # nothing happens
    assert lone.actor.noted == [("start", {"of": 1})]


def test_where_memory_is_shared_figures_are_sent_when_they_change_and_every_ten_seconds(world):
    words = LastWords()
    with inherited(words):
        lone = Lone(world)
    lone.start()
    assert len(lone.supervisor.take(Heartbeat)) == 1
    for _beat in range(4):
        alive_at = words.alive_at
        world.pass_time(2.0)
        assert words.alive_at >= alive_at + 1.9
        assert lone.supervisor.take(Heartbeat) == []
    world.pass_time(2.0)  # at ten seconds exactly
    assert lone.supervisor.take(Heartbeat) == [Heartbeat("here", 5, {"noted": 1})]
    world.pass_time(2.0)
    lone.say("a")
    world.pass_time(2.0)
    assert lone.supervisor.take(Heartbeat) == [Heartbeat("here", 5, {"noted": 2})]
    world.pass_time(7.9)
    assert lone.supervisor.take(Heartbeat) == []


def test_without_heartbeats_there_are_none(lone, world):
    lone.start(heartbeat_s=0)
    world.pass_time(30)
    assert lone.supervisor.received == [Ready("here", 5, os.getpid())]


def test_it_has_its_peers_before_it_starts_and_older_changes_are_left(lone):
    a, b, c = peer("a"), peer("b"), peer("a", 2)
    lone.start(lambda actor: actor.noted.append(actor.peer("a")), peers={"a": a})
    assert lone.actor.noted[1] == a.address
    assert lone.actor.peer("b") is None
    lone.actor.noted.clear()
    lone.say(PeersChanged({"a": a, "b": b}, 2))
    lone.say(PeersChanged({}, 1))
    lone.say(PeersChanged({}, 2))
    lone.say(PeersChanged({"a": c}, 3))
    assert lone.actor.noted == [
        ("peers", {"a": a}, {"a": a, "b": b}),
        ("peers", {"a": a, "b": b}, {"a": c}),
    ]
    assert lone.actor.peer("a") == c.address


def test_changes_of_peers_that_overtake_the_start_are_kept(lone):
    lone.say(PeersChanged({"a": peer("a")}, 1))
    assert lone.actor.noted == []
    lone.start(peers={})
    assert set(lone.actor.peers) == {"a"}
    assert lone.actor.noted == [("start", None)]


def test_forwarded_and_numbered_messages_are_answered_to_who_asked(lone, world):
    lone.start()
    relay = world.peer("relay")
    lone.say(Forwarded(lone.other.address, "a"), relay)
    lone.say(Question(8, "b"))
    lone.say(Forwarded(AskedBy(lone.other.address, 9), "c"), relay)
    assert lone.answers() == ["A"]
    assert lone.answers(Answer) == [Answer(8, "B"), Answer(9, "C")]
    assert relay.received == []


def test_an_exception_ends_it_and_no_other_message_is_handled(lone, world):
    lone.start()
    lone.supervisor.received.clear()
    released = []
    lone.actor.closing.callback(released.append, "released")
    world.deliver(lone.address, "raise", lone.other.address)
    world.deliver(lone.address, "more", lone.other.address)
    assert lone.actor.noted[-1] == "raise"
    world.pass_time(5)
    assert world.actor(lone.address) is None
    assert released == ["released"]
    assert lone.supervisor.received == []  # neither Finished nor a heartbeat
    (crash,) = world.logged
    assert (crash["event"], crash["actor"], crash["message"]) == ("actor_crashed", "here", "str")
    assert "told to" in world.crashes[0]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda other: Question(1, "raise"),
        lambda other: Forwarded(other, "raise"),
        lambda other: Question(1, Forwarded(other, "raise")),
    ],
)
def test_a_crash_is_logged_with_the_message_inside(lone, world, wrapped):
    lone.start(path="")
    lone.say(wrapped(lone.other.address))
    assert world.logged[-1]["message"] == "str"
    assert world.logged[-1]["actor"] == "Probe"


def test_it_finishes_once_and_releases_in_reverse_order(lone, world):
    lone.start()

    class Thing:
        def __init__(self, name):
            self.name = name

        def close(self):
            closed.append(self.name)

    closed, things = [], [Thing("first"), Thing("second")]
    assert [lone.actor.own(thing) for thing in things] == things
    lone.supervisor.received.clear()
    lone.say(Stop())
    assert lone.supervisor.received == [Finished("here", 5)]
    lone.actor.finish()
    world.pass_time(5)
    assert lone.supervisor.received == [Finished("here", 5)]
    assert closed == ["second", "first"]
    assert world.actor(lone.address) is None


def test_one_that_finishes_while_it_starts_does_not_say_that_it_is_ready(lone, world):
    lone.start(lambda actor: actor.finish())
    world.pass_time(5)
    assert lone.supervisor.received == [Finished("here", 5)]


def test_one_that_has_no_supervisor_finishes_too(lone, world):
    lone.actor.finish()
    world.pass_time(1)
    assert world.actor(lone.address) is None


@pytest.mark.parametrize(
    ("asked_s", "after_s"), [(5.0, 5.0), (0.0, 0.002), (-1.0, 0.002), (1e9, 30 * 86400.0)]
)
def test_a_timer_is_neither_too_short_nor_too_long(lone, world, asked_s, after_s):
    called, began = [], world.now
    lone.actor.after(asked_s, lambda: called.append(world.now - began))
    world.pass_time(31 * 86400.0)
    assert called == [pytest.approx(after_s)]


def test_a_repeated_call_waits_for_the_last_one(lone, world):
    called, began = [], world.now

    def call():
        called.append(world.now - began)
        world.suspend(0.5)

    lone.actor.every(2.0, call)
    world.pass_time(8.0)
    assert called == [2.0, 4.5, 7.0]


def test_a_call_is_told_from_a_heartbeat(lone, world):
    lone.start()
    told = []
    world.journal = lambda _living, message: told.append(lone.actor.is_heartbeat(message))
    world.pass_time(2.0)  # a heartbeat, and its message to the supervisor
    lone.actor.after(0.1, lambda: None)
    lone.say("a")
    world.pass_time(0.2)
    assert told == [True, False, False, False, False]


@pytest.mark.parametrize(("heartbeat_s", "asleep_s"), [(2.0, 4.0), (5.0, 7.0), (0.0, 4.0)])
def test_it_notices_that_it_stood_still(lone, world, heartbeat_s, asleep_s):
    """For two seconds longer than the interval in which it handles something at least."""
    lone.start(heartbeat_s=heartbeat_s)
    lone.say("a")
    world.suspend(asleep_s - 0.05)
    lone.say("b")
    assert lone.actor.noted == [("start", None), "a", "b"]
    world.suspend(asleep_s + 0.05)
    lone.say("c")
    lone.say("d")
    assert lone.actor.noted[3:] == ["woken", "c", "d"]


def test_before_it_starts_it_cannot_have_stood_still(lone, world):
    world.suspend(60)
    lone.start()
    lone.say("a")
    assert lone.actor.noted == [("start", None), "a"]


@pytest.fixture
def host_log(caplog):
    """The log of a host that uses `logging`, or structlog on top of it."""
    structlog.reset_defaults()
    caplog.set_level(logging.INFO, "callboard")
    yield caplog
    structlog.reset_defaults()


def test_in_a_host_that_has_no_structlog_it_logs_by_logging(host_log):
    log = Probe(IN_A_HOST).log.bind(actor="a")
    log.debug("not_wanted")
    try:
        raise ValueError("as asked")
    except ValueError:
        log.exception("actor_crashed", path="b")
    (record,) = host_log.records
    assert (record.name, record.levelname) == ("callboard", "ERROR")
    assert record.getMessage().startswith("event='actor_crashed' actor='a'")
    assert "ValueError: as asked" in record.getMessage()


def test_in_a_host_that_has_structlog_the_logger_has_our_name(host_log):
    render = [structlog.processors.KeyValueRenderer()]
    structlog.configure(render, logger_factory=structlog.stdlib.LoggerFactory())
    Probe(IN_A_HOST).log.warning("slow")
    assert [(record.name, record.getMessage()) for record in host_log.records] == [
        ("callboard", "event='slow'")
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the clock and the signal are Linux's")
def test_standing_still_counts_time_in_suspension(monkeypatch):
    monkeypatch.setattr("time.clock_gettime", lambda clock: clock)
    assert running_s() == 7  # CLOCK_BOOTTIME of linux/time.h


@pytest.mark.skipif(sys.platform != "linux", reason="the clock and the signal are Linux's")
@pytest.mark.parametrize(("orphaned", "status"), [(False, signal.SIGKILL), (True, 70)])
def test_the_process_of_an_actor_dies_with_its_parent(orphaned, status):
    """By a signal, PR_SET_PDEATHSIG of prctl(2); at once if the parent died before.

    Its collector leaves alone what there was before the fork.
    """

    def begin():
        if orphaned:
            os.getppid = lambda: 1
        gc.unfreeze()
        Probe({"Thespian ActorSystem Name": "multiprocTCPBase"})
        sent = ctypes.c_int()
        ctypes.CDLL(None).prctl(2, ctypes.byref(sent))  # PR_GET_PDEATHSIG
        os._exit(sent.value if gc.get_freeze_count() else 1)

    process = multiprocessing.get_context("fork").Process(target=begin)
    process.start()
    process.join(patient(10))
    assert process.exitcode == status


@pytest.fixture
def exits(monkeypatch):
    """The statuses with which processes of actors would have ended."""
    statuses = []
    monkeypatch.setattr("os._exit", statuses.append)
    monkeypatch.setattr("signal.alarm", lambda _seconds: None)
    return statuses


@pytest.mark.parametrize("heartbeat_s", [2.0, 0.0])
def test_a_process_whose_parent_has_died_ends(lone, world, exits, monkeypatch, heartbeat_s):
    lone.actor.own_process = True
    lone.start(heartbeat_s=heartbeat_s)
    world.pass_time(7.9)
    assert exits == []
    monkeypatch.setattr("os.getppid", lambda: 1)
    world.pass_time(0.2)
    assert exits == [70]


@pytest.mark.parametrize("own_process", [True, False])
def test_only_in_a_process_of_its_own_the_collector_leaves_objects_alone(lone, own_process):
    lone.actor.own_process = own_process
    gc.unfreeze()
    lone.actor.freeze()
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    assert (frozen > 0) is own_process


def test_in_the_process_of_others_it_has_no_parent(lone, world, exits, monkeypatch):
    lone.start()
    monkeypatch.setattr("os.getppid", lambda: 1)
    world.pass_time(7.9)
    assert exits == []


@pytest.fixture
def handler():
    """What a program does at SIGALRM, until this test ends."""
    handler = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGALRM, handler)


@pytest.mark.parametrize(("own_process", "alarms"), [(True, [5]), (False, [])])
def test_the_kernel_ends_a_process_that_does_not_exit(
    lone, monkeypatch, handler, own_process, alarms
):
    """Before its resources are released: that, too, may take for ever."""
    set_, released = [], []
    monkeypatch.setattr("signal.alarm", set_.append)
    lone.start()
    lone.actor.closing.callback(lambda: released.append(list(set_)))
    lone.actor.own_process = own_process
    lone.actor.receiveMessage(ActorExitRequest(), lone.other.address)
    assert (set_, released) == (alarms, [alarms])
    at_alarm = signal.SIG_DFL if own_process else signal.SIG_IGN  # by default it ends
    assert signal.getsignal(signal.SIGALRM) == at_alarm


class Parent:
    """The process that has forked this one, as `multiprocessing` knows it."""

    pid = 4711


@pytest.mark.parametrize(
    ("system", "parent_pid", "did"),
    [
        ("multiprocTCPBase", 4711, ["prctl", "freeze"]),
        ("multiprocTCPBase", 1, ["prctl", "exit", "freeze"]),
        ("simpleSystem", 1, []),
    ],
)
def test_an_actor_with_a_process_of_its_own_ends_with_its_parent(
    monkeypatch, system, parent_pid, did
):
    """PR_SET_PDEATHSIG of prctl(2); the parent may have died before that."""
    done, calls = [], []

    class Library:
        def __init__(self, name):
            assert name is None

        def prctl(self, *arguments):
            done.append("prctl")
            calls.append(arguments)

    monkeypatch.setattr("callboard.supervision.actor.ctypes", SimpleNamespace(CDLL=Library))
    monkeypatch.setattr(multiprocessing, "parent_process", Parent)
    monkeypatch.setattr("os.getppid", lambda: parent_pid)
    monkeypatch.setattr("os._exit", lambda status: done.append("exit") or calls.append(status))
    monkeypatch.setattr(gc, "freeze", lambda: done.append("freeze"))
    Probe({"Thespian ActorSystem Name": system})
    assert done == did
    assert calls[:1] == ([(1, signal.SIGKILL)] if did else [])
    assert calls[1:] == ([70] if "exit" in did else [])


def test_one_that_no_other_process_has_forked_is_no_orphan(monkeypatch):
    without = SimpleNamespace(CDLL=lambda _name: object())  # as where there is no prctl
    monkeypatch.setattr("callboard.supervision.actor.ctypes", without)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: None)
    monkeypatch.setattr("os._exit", pytest.fail)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    Probe({"Thespian ActorSystem Name": "multiprocTCPBase"})


def test_a_handler_that_goes_on_says_so_where_its_supervisor_sees_it(lone, world):
    lone.actor.alive()  # It has no supervisor that sees anything.
    words = LastWords()
    with inherited(words):
        other = Lone(world)
    world.pass_time(5.0)
    other.actor.alive()
    assert words.alive_at == world.now


def test_the_top_starts_by_these_unless_its_owner_says_otherwise():
    assert Start() == Start(path="", args=None, incarnation=0, heartbeat_s=2.0, peers={})


def test_a_process_that_crashes_leaves_the_reason(world, exits):
    words = LastWords()
    with inherited(words):
        lone = Lone(world)
    lone.actor.own_process = True
    lone.start()
    lone.say("raise")
    assert (words.read(), exits) == ("RuntimeError: told to", [70])


def test_descriptors_are_returned_to_be_watched_until_it_ends(lone, world):
    lone.start()
    receive = lone.actor.receiveMessage
    assert receive("a", lone.other.address) is None
    lone.actor.watch(3, 4)
    watch = receive("a", lone.other.address)
    assert isinstance(watch, ThespianWatch)
    assert watch.filenos == [3, 4]
    lone.actor.watch()
    assert receive("a", lone.other.address) is None
    lone.actor.watch(3)
    assert receive(ActorExitRequest(), lone.other.address) is None


def test_where_nothing_watches_descriptors_they_are_polled(world):
    read, write = os.pipe()
    os.write(write, b"ab")
    lone = Lone(world, Polling)
    lone.start(lambda actor: actor.watch(read))
    world.pass_time(0.015)
    assert lone.actor.noted[1:] == [("ready", [read])] * 1
    world.pass_time(0.02)
    assert lone.actor.noted[1:] == [("ready", [read])] * 2
    world.pass_time(1.0)
    assert lone.actor.noted[1:] == [("ready", [read])] * 2
    os.close(read)
    os.close(write)
