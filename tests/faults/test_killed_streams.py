"""Actors that are killed while others send to them, or while they send: every message counted."""

import os
import signal
import time
from collections import Counter

import psutil
import pytest
from thespian.actors import Actor, ActorExitRequest, ChildActorExited, DeadEnvelope

from callboard.adapters.local.stream import ACK_FRAMES
from support.patience import patient
from support.trees import ANSWER, running_system

pytestmark = [pytest.mark.multiprocess, pytest.mark.timeout(120)]

MESSAGES = 5_000


class Sink(Actor):
    """Appends what it receives to a file; says which process it is."""

    def receiveMessage(self, message, sender):
        if isinstance(message, str):
            self.file = os.open(message, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            self.send(sender, os.getpid())
        elif isinstance(message, int):
            os.write(self.file, b"%d\n" % message)


class Source(Actor):
    """Sends numbers to another, some in each handler; says which process it is."""

    def receiveMessage(self, message, sender):
        if isinstance(message, tuple):
            (self.to, self.count), self.next = message, 0
            self.send(sender, os.getpid())
            self.send(self.myAddress, "go on")
        elif message == "go on" and self.next < self.count:
            for number in range(self.next, min(self.next + 50, self.count)):
                self.send(self.to, number)
            self.next += 50
            self.send(self.myAddress, "go on")


class DeadLetters(Actor):
    """Keeps the numbers of dead letters."""

    def receiveMessage(self, message, sender):
        if message == "begin":
            self.numbers = []
            self.handleDeadLetters()
            self.send(sender, "ready")
        elif isinstance(message, DeadEnvelope):
            self.numbers.append(message.deadMessage)
        elif message == "numbers":
            self.send(sender, self.numbers)


class Parent(Actor):
    """Has children that end; counts its descriptors."""

    def receiveMessage(self, message, sender):
        if message == "child":
            self.asker = sender
            self.send(self.createActor(Child), "hello")
        elif message == "descriptors":
            self.send(sender, psutil.Process().num_fds())
        elif isinstance(message, int):
            os.kill(message, signal.SIGKILL)
        elif isinstance(message, ChildActorExited):
            self.send(self.asker, "gone")


class Child(Actor):
    def receiveMessage(self, message, sender):
        if message == "hello":
            self.send(sender, os.getpid())


@pytest.fixture
def system():
    with running_system() as system:
        yield system


def numbers_in(path):
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_until(condition):
    end = time.monotonic() + patient(30)
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("read_before", [0, 1_000])
def test_each_message_to_one_that_is_killed_was_received_or_is_a_dead_letter(
    system, tmp_path, read_before
):
    file = tmp_path / "received"
    sink, source, dead = map(system.createActor, (Sink, Source, DeadLetters))
    assert system.ask(dead, "begin", ANSWER) == "ready"
    pid = system.ask(sink, str(file), ANSWER)
    if not read_before:
        os.kill(pid, signal.SIGSTOP)
    system.ask(source, (sink, MESSAGES), ANSWER)
    wait_until(lambda: len(numbers_in(file)) >= read_before)
    os.kill(pid, signal.SIGKILL)

    def all_are_accounted_for():
        return {*numbers_in(file), *system.ask(dead, "numbers", ANSWER)} == {*range(MESSAGES)}

    wait_until(all_are_accounted_for)
    received, lost = numbers_in(file), system.ask(dead, "numbers", ANSWER)
    assert received == [*range(len(received))]
    assert max(Counter(lost).values()) == 1
    # Handled, and killed before it could acknowledge.
    both = len(received) + len(lost) - MESSAGES
    print(f"{len(received)} received, {len(lost)} dead letters, {both} of them both")
    assert 0 <= both <= (ACK_FRAMES if read_before else 0)


def test_what_one_that_is_killed_has_sent_arrives_in_order(system, tmp_path):
    file = tmp_path / "received"
    sink, source = system.createActor(Sink), system.createActor(Source)
    system.ask(sink, str(file), ANSWER)
    pid = system.ask(source, (sink, 1_000_000), ANSWER)
    wait_until(lambda: len(numbers_in(file)) > 1_000)
    os.kill(pid, signal.SIGKILL)
    seen = []

    def stands_still():
        seen.append(len(numbers_in(file)))
        time.sleep(0.2)
        return seen[-1] == len(numbers_in(file))

    wait_until(stands_still)
    received = numbers_in(file)
    assert received == [*range(len(received))]
    assert system.ask(sink, str(file), ANSWER)


def test_peers_that_end_leave_no_descriptor_behind(system):
    parent = system.createActor(Parent)
    counted = []
    for _child in range(12):
        assert system.ask(parent, "child", ANSWER) == "gone"
        counted.append(system.ask(parent, "descriptors", ANSWER))
    assert counted[-1] <= counted[1]
    system.tell(parent, ActorExitRequest())
