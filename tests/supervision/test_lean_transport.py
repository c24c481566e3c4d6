"""What Thespian's transport is given in place of its own, and that it does as that does."""

import os
import pickle
import selectors
import socket
import time

import pytest
from thespian.actors import ActorAddress
from thespian.system.transport import ReceiveEnvelope, TCPTransport, TransmitIntent

from callboard.supervision import SupervisedActor
from callboard.supervision.lean_transport import OneTurn

assert SupervisedActor.__module__ == "callboard.supervision.actor"  # It mends Thespian.

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def found(kind, wanted, timeout_s=0.0):
    """What a selector of that kind finds, by descriptor."""
    selector = kind()
    try:
        for fd, events in wanted:
            selector.register(fd, events)
        return {key.fd: events for key, events in selector.select(timeout_s)}
    finally:
        selector.close()


STATES = {
    "at rest": lambda near, far: None,
    "something to read": lambda near, far: far.send(b"x"),
    "the peer is gone": lambda near, far: far.close(),
    "the peer sends no more": lambda near, far: far.shutdown(socket.SHUT_WR),
    "no room to write": lambda near, far: fill(near),
    "closed with unread bytes": lambda near, far: (near.send(b"x"), far.close()),
}


def fill(connection):
    connection.setblocking(False)
    try:
        while True:
            connection.send(bytes(65536))
    except BlockingIOError:
        pass


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("events", [READ, WRITE])
def test_it_finds_what_a_selector_finds(pair, state, events):
    near, far = pair
    fd = near.fileno()
    STATES[state](near, far)
    assert found(OneTurn, [(fd, events)]) == found(selectors.DefaultSelector, [(fd, events)])


def test_it_waits_until_something_is_ready(pair):
    pair[0].send(b"x")
    began = time.monotonic()
    wanted = [(pair[0].fileno(), READ), (pair[1].fileno(), READ)]
    assert found(OneTurn, wanted, timeout_s=60) == {pair[1].fileno(): READ}
    assert time.monotonic() - began < 30


def test_it_waits_no_longer_than_asked(pair):
    began = time.monotonic()
    assert found(OneTurn, [(pair[0].fileno(), READ)], timeout_s=0.02) == {}
    assert time.monotonic() - began >= 0.02


def test_a_closed_descriptor_is_an_error_that_thespian_looks_into(pair):
    closed = os.dup(pair[0].fileno())
    os.close(closed)
    for wait in (found, lambda _kind, wanted: TCPTransport.TCPTransport._check_fd(wanted[0][0])):
        with pytest.raises(OSError, match=r"Bad file|closed") as error:
            wait(OneTurn, [(closed, READ)])
        assert error.value.errno == 9
    TCPTransport.TCPTransport._check_fd(pair[0].fileno())


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
