"""What Thespian is given in place of its own, and that actors do as before with it."""

import os
import pickle
import signal
from logging import LogRecord

import psutil
import pytest
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)
from thespian.system.actorManager import ActorManager
from thespian.system.transport import ReceiveEnvelope, TransmitIntent

from callboard.supervision import SupervisedActor
from callboard.supervision.lean_messages import _is_of_actors
from support.patience import patient
from support.trees import ANSWER, running_system

assert SupervisedActor.__module__ == "callboard.supervision.actor"  # It mends Thespian.

# Actors of a system


class Steady(Actor):
    """An actor of a host: Thespian has it try a message that failed once more."""

    tries = 0

    def receiveMessage(self, message, sender):
        if message == "fail":
            self.tries += 1
            raise ValueError("as asked")
        if message == "tries":
            self.send(sender, self.tries)
        if isinstance(message, int):
            self.send(sender, -message)


class Watcher(Actor):
    """Watches two pipes; closes one of them without a word."""

    def receiveMessage(self, message, sender):
        if message == "begin":
            self.asker, self.kept, self.lost = sender, os.pipe(), os.pipe()
            self.watched = [self.kept[0], self.lost[0]]
        elif message == "close":
            os.close(self.lost[0])
            os.write(self.kept[1], b"x")
        elif isinstance(message, WatchMessage) and self.kept[0] in message.ready:
            self.watched = []
            self.send(self.asker, os.read(self.kept[0], 10))
        return ThespianWatch(self.watched)


class Two(Actor):
    """Has a partner; each sends the other all its numbers at once."""

    asker, count = None, 0

    def receiveMessage(self, message, sender):
        if message == "partner":
            self.came = []
            self.send(sender, self.createActor(Two))
        elif message == "begin":
            self.came = []
            self.send(sender, "ready")
        elif isinstance(message, tuple):
            self.asker, (partner, self.count) = sender, message
            for number in range(self.count):
                self.send(partner, number)
        else:
            self.came.append(message)
        if self.asker and len(self.came) == self.count:
            self.send(self.asker, self.came)


@pytest.fixture(params=["sealed", "as Thespian has it"])
def system(request):
    with running_system(sealed=request.param == "sealed") as system:
        yield system


@pytest.mark.multiprocess
def test_a_message_that_failed_is_tried_again_and_sent_back(system):
    actor = system.createActor(Steady)
    assert isinstance(system.ask(actor, "fail", ANSWER), PoisonMessage)
    assert system.ask(actor, "tries", ANSWER) == 2


@pytest.mark.multiprocess
def test_a_watched_descriptor_that_was_closed_is_forgotten(system):
    actor = system.createActor(Watcher)
    system.tell(actor, "begin")
    assert system.ask(actor, "close", ANSWER) == b"x"


@pytest.mark.multiprocess
def test_two_that_send_at_the_same_time_get_everything(system):
    first = system.createActor(Two)
    second = system.ask(first, "partner", ANSWER)
    assert system.ask(second, "begin", ANSWER) == "ready"
    system.tell(second, (first, 100))
    came = [system.ask(first, (second, 100), ANSWER), system.listen(ANSWER)]
    # (Thespian's own transport keeps no order here: a message that waits may be overtaken.)
    assert [sorted(each) for each in came] == [list(range(100))] * 2


@pytest.mark.multiprocess
@pytest.mark.parametrize("size", [10, 40_000, 3_000_000])
def test_messages_of_any_size_arrive_whole(system, size):
    actor = system.createActor(Echo)
    assert system.ask(actor, bytes(size), ANSWER) == bytes(size)


class Echo(Actor):
    def receiveMessage(self, message, sender):
        if isinstance(message, bytes):
            self.send(sender, message)


class Target(Actor):
    """Says which process it is."""

    def receiveMessage(self, message, sender):
        if message == "pid":
            self.send(sender, os.getpid())


class Sender(Actor):
    """Sends to another, and says which of it was a dead letter."""

    def receiveMessage(self, message, sender):
        if isinstance(message, tuple):
            self.send(message[0], message[1])
            self.send(sender, "sent")
        elif message == "collect":
            self.asker = sender
            self.handleDeadLetters()
            self.send(sender, "ready")
        elif isinstance(message, DeadEnvelope):
            self.send(self.asker, message.deadMessage)
        elif isinstance(message, int):
            self.send(self.asker, "received")


@pytest.mark.multiprocess
def test_a_message_to_a_process_that_was_killed_becomes_a_dead_letter(system):
    target, sender = system.createActor(Target), system.createActor(Sender)
    pid = system.ask(target, "pid", ANSWER)
    assert system.ask(sender, "collect", ANSWER) == "ready"
    system.tell(sender, (target, "pid"))  # The connection is kept.
    assert {system.listen(ANSWER), system.listen(ANSWER)} == {"sent", "received"}
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], patient(10))
    system.tell(sender, (target, "lost"))
    heard = {system.listen(ANSWER), system.listen(ANSWER)}
    assert heard == {"sent", "lost"}


def test_what_thespian_works_by_is_left_to_it():
    for kind in (ActorExitRequest, ChildActorExited, PoisonMessage, LogRecord):
        assert not _is_of_actors(kind)
    for kind in (WakeupMessage, WatchMessage, Message, str, tuple):
        assert _is_of_actors(kind)


class Once:
    """An actor that ends where it fails, and Thespian's part of it; its transport and addresses."""

    ends_where_it_fails = True
    asLogger = "a logger"  # noqa: N815 - Thespian's

    def __init__(self, *answers):
        self.actorInst = self.transport = self._addrManager = self._sCBStats = self
        self.counted = []
        self.answers, self.received, self.imported, self.watched = [*answers], [], [], []
        self._receiveQueue = []

    def receiveMessage(self, message, sender):
        self.received.append((message, sender))
        return self.answers.pop(0)

    def set_watch(self, descriptors):
        self.watched.append(descriptors)

    def inc(self, name):
        self.counted.append(name)

    def importAddr(self, address):
        self.imported.append(address)

    def _handleOneMessage(self, envelope):
        self.received.append(envelope)
        return self.answers.pop(0)


def test_an_actor_that_never_raises_gets_its_message_at_once():
    me = Once(ThespianWatch([3, 4]), None)
    for message in ("one", "two"):
        assert ActorManager.handleMessages(me, ReceiveEnvelope("its sender", message)) is True
    assert me.received == [("one", "its sender"), ("two", "its sender")]
    assert me.imported == ["its sender"] * 2
    assert me.watched == [[3, 4], []]
    received = "Actor.Message Received."
    assert me.counted == [f"{received}Total", f"{received}To Actor"] * 2


def test_messages_that_waited_come_next_until_one_ends_the_loop():
    me = Once(None, True, False, True)
    me._receiveQueue = ["second", "third", "fourth"]
    assert ActorManager.handleMessages(me, ReceiveEnvelope("its sender", "first")) is False
    assert me.received == [("first", "its sender"), "second", "third"]
    assert me._receiveQueue == ["fourth"]


@pytest.mark.parametrize(
    ("message", "differs"),
    [
        (ActorExitRequest(), {}),
        ("before it has a logger", {"asLogger": None}),
        ("while it ends", {"_exiting": True}),
    ],
)
def test_thespian_handles_what_is_more_than_a_message_for_an_actor(message, differs):
    me = Once(True)
    vars(me).update(differs)
    envelope = ReceiveEnvelope("its sender", message)
    assert ActorManager.handleMessages(me, envelope) is True
    assert me.received == [envelope]


def test_thespian_handles_the_messages_of_an_actor_that_may_raise():
    me = Once(True)
    me.actorInst = Steady()
    envelope = ReceiveEnvelope("its sender", "fail")
    assert ActorManager.handleMessages(me, envelope) is True
    assert me.received == [envelope]


class Message:
    """Counts how often it is described."""

    described = 0

    def __str__(self):
        Message.described += 1
        return "a message"


def test_a_message_is_described_when_the_description_is_read():
    for carrier in (
        ReceiveEnvelope(ActorAddress("x"), Message()),
        TransmitIntent(ActorAddress("x"), Message()),
    ):
        Message.described = 0
        text = carrier.identify()
        assert Message.described == 0
        assert "a message" in f"{text}"
        assert "a message" in str(carrier)
        assert "a message" in pickle.loads(pickle.dumps(text))
