"""The loop of the transport between ends in one process, each of which runs when the test says."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from thespian.actors import WatchMessage
from thespian.system.timing import ExpirationTimer
from thespian.system.transport import (
    ForwardMessage,
    SendStatus,
    TCPTransport,
    Thespian__Run_Terminated,
    TransmitIntent,
    TransmitOnly,
)

from callboard.adapters.local import sealed_transport
from callboard.supervision.lean_transport import LOOK_S
from support.ends import TURN_S, Counted, made_ends, readable, stranger, turn
from support.patience import patient


@pytest.fixture
def ends():
    with made_ends() as ends:
        yield ends


@pytest.fixture
def strange():
    with stranger() as strange:
        yield strange


SENT, FAILED, DEAD = SendStatus.Sent, SendStatus.Failed, SendStatus.DeadTarget


@pytest.mark.parametrize(("size", "count"), [(10, 12), (40_000, 3), (3_000_000, 2)])
def test_messages_arrive_whole_and_in_order_on_one_connection(ends, size, count):
    a, b = ends()
    messages = [bytes([number]) * size for number in range(count)]
    a.send(b.address, *messages)
    turn(a, b, until=lambda: len(a.ended) == count)
    assert b.received == [(a.address, message) for message in messages]
    assert a.ended == [(message, SENT) for message in messages]
    (kept,) = a.idle
    (other,) = b.idle
    assert kept.socket.getsockname() == other.socket.getpeername()
    a.send(b.address, "more")
    b.send(a.address, "back")
    turn(a, b, until=lambda: len(a.ended) > count and b.ended)
    assert (b.messages[count:], a.messages) == (["more"], ["back"])


def test_messages_that_are_sent_at_once_share_the_connection(ends):
    """All but the first wait until it is free, and are due as soon as it is."""
    a, b = ends()
    for number in range(3):
        a.send(b.address, number)
    turn(a, b, until=lambda: len(a.ended) == 3)
    assert sorted(b.messages) == [0, 1, 2]
    assert {status for _message, status in a.ended} == {SENT}
    assert (len(a.idle), len(b.idle)) == (1, 1)


def test_each_peer_has_a_connection_of_its_own(ends):
    a, b, c = ends(3)
    for number in range(2):
        a.send(b.address, number)
        a.send(c.address, -number)
        turn(a, b, c, until=lambda number=number: len(a.ended) == 2 * number + 2)
    assert (b.messages, c.messages) == ([0, 1], [0, -1])
    assert {str(idle.rmtaddr) for idle in a.idle} == {str(b.address), str(c.address)}


def test_a_message_that_does_not_fit_into_the_connection_is_sent_in_parts(ends):
    a, b = ends()
    a.send(b.address, "begin")
    turn(a, b, until=lambda: a.idle)
    a.idle[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    intent = a.send(b.address, bytes(500_000))
    assert 0 < intent.amtSent < 500_000
    turn(a, b, until=lambda: len(a.ended) == 2)
    assert b.messages == ["begin", bytes(500_000)]


def test_a_message_for_another_is_forwarded(ends):
    a, b, c = ends(3)
    a.send(b.address, ForwardMessage("passed on", c.address, a.address))
    turn(a, b, c, until=lambda: c.received)
    assert (b.received, c.received) == ([], [(a.address, "passed on")])


@pytest.fixture
def sealed():
    sealed_transport.seal(b"k" * 32)
    yield
    sealed_transport.unseal()


def test_on_an_open_connection_a_message_costs_one_wait(sealed, ends):
    """For the acknowledgement; there is none between the last byte and that."""
    a, b = ends()
    a.send(b.address, 1)
    turn(a, b, until=lambda: a.idle)
    a.send(b.address, 2)
    turn(b, until=lambda: len(b.messages) == 2)
    a.aborts = True
    counted = a.transport.readiness = Counted(a.transport.socket.fileno())
    assert isinstance(a.run(patient(5)), Thespian__Run_Terminated)
    assert counted.waits == 1


def test_two_that_send_at_the_same_time_get_everything_in_order(ends):
    a, b = ends()
    a.send(b.address, *range(12))
    b.send(a.address, *range(100, 112))
    turn(a, b, until=lambda: len(a.ended) == len(b.ended) == 12)
    assert b.messages == list(range(12))
    assert a.messages == list(range(100, 112))
    assert {status for _message, status in a.ended + b.ended} == {SENT}


def test_a_message_to_itself_needs_no_connection(ends):
    (a,) = ends(1)
    a.send(a.address, "mine")
    a.run()
    assert (a.received[0], a.ended) == ((a.address, "mine"), [("mine", SENT)])


def test_a_message_to_an_address_where_nobody_listens_is_dead(ends):
    a, b = ends()
    nobody = b.address
    b.transport.socket.close()
    a.send(nobody, "lost")
    turn(a, until=lambda: a.ended)
    assert a.ended == [("lost", DEAD)]


def test_an_acknowledgement_may_come_in_pieces_or_be_a_refusal(ends, strange):
    (a,) = ends(1)
    a.send(strange.address, "first")
    with strange.accept(a) as peer:
        assert b"first" in peer.recv(1000)
        a.run()
        peer.send(TCPTransport.ackMsg[:3])
        a.run()
        assert a.ended == []
        peer.send(TCPTransport.ackMsg[3:])
        turn(a, until=lambda: a.ended)
        a.send(strange.address, "second")
        a.run()
        assert b"second" in peer.recv(1000)
        peer.send(TCPTransport.ackDataErrMsg)
        turn(a, until=lambda: len(a.ended) == 2)
    assert a.ended == [("first", SENT), ("second", SendStatus.BadPacket)]


def test_a_message_that_was_not_acknowledged_is_sent_again(ends, strange):
    (a,) = ends(1)
    a.send(strange.address, "twice", retryPeriod=timedelta(0))
    with strange.accept(a) as peer:
        assert b"twice" in peer.recv(1000)
    with strange.accept(a) as peer:
        assert b"twice" in peer.recv(1000)
        peer.send(TCPTransport.ackMsg)
        turn(a, until=lambda: a.ended)
    assert a.ended == [("twice", SENT)]


@pytest.mark.parametrize("again", [False, True])
def test_a_message_whose_time_is_over_has_failed(ends, strange, again):
    """Whether it waits for an acknowledgement, or for its next attempt."""
    (a,) = ends(1)
    intent = a.send(strange.address, "late")
    with strange.accept(a) as peer:
        if again:
            peer.close()
            turn(a, until=lambda: a.transport._waitingTransmits)
        a.look()
        assert a.ended == []
        intent._quitTime = ExpirationTimer(0)
        a.look(2)
    assert a.ended == [("late", FAILED)]


def test_connections_are_looked_at_four_times_a_second(ends, strange):
    (a,) = ends(1)
    a.send(strange.address, "late", maxPeriod=timedelta(seconds=0.1))
    a.run()
    began = a.transport.looked_at_s
    a.run(0.2)
    assert (a.transport.looked_at_s, a.ended) == (began, [])
    a.run(0.1)
    assert a.ended == [("late", FAILED)]
    assert a.transport.looked_at_s - began >= LOOK_S == 0.25


def test_a_connection_that_the_peer_has_closed_is_not_used_again(ends):
    a, b = ends()
    a.send(b.address, 1)
    turn(a, b, until=lambda: a.ended)
    b.idle[0].close()
    b.transport._openSockets.clear()
    a.run()
    assert a.idle == []
    a.send(b.address, 2)
    turn(a, b, until=lambda: len(a.ended) == 2)
    assert b.messages == [1, 2]


def test_a_connection_that_was_closed_on_this_side_is_not_used_again(ends):
    a, b = ends()
    a.send(b.address, 1)
    turn(a, b, until=lambda: a.ended)
    a.run()
    a.idle[0].socket.close()
    a.run()
    assert a.idle == []


def test_an_actor_whose_port_is_closed_ends(ends):
    (a,) = ends(1)
    a.run()
    os.close(a.transport.socket.fileno())
    with pytest.raises(RuntimeError, match="listen socket"):
        a.run(patient(5))
    a.transport.socket.detach()


def test_a_connection_is_closed_when_it_was_idle_for_too_long(ends):
    a, b = ends()
    a.send(b.address, 1)
    turn(a, b, until=lambda: a.ended)
    a.look()
    (kept,) = a.idle
    kept.validity = ExpirationTimer(0)
    a.look()
    assert a.idle == []
    b.run()
    assert b.idle == []


def test_a_message_that_comes_in_pieces_is_kept_until_it_is_whole_or_too_old(ends):
    a, b = ends()
    whole = b.transport.serializer(TransmitIntent(a.address, "in pieces"))
    host_and_port = a.transport.socket.getsockname()
    with socket.create_connection(host_and_port) as peer:
        peer.send(whole[:20])
        a.run(), a.run()
        a.look()
        peer.send(whole[20:])
        a.run()
        assert a.received == [(b.address, "in pieces")]
    with socket.create_connection(host_and_port) as peer:
        peer.settimeout(0)
        peer.send(whole[:20])
        a.run(), a.run()
        (incoming,) = a.transport._incomingSockets.values()
        incoming._expires = ExpirationTimer(0)
        for _look in range(30):
            incoming._pauseUntil = ExpirationTimer(0)
            a.look()
        assert a.transport._incomingSockets == {}
        assert peer.recv(10) == b""
    assert len(a.received) == 1


def test_watched_descriptors_are_reported_and_forgotten_when_closed(ends):
    (a,) = ends(1)
    pipes = [os.pipe() for _number in range(3)]
    reads = [read for read, _write in pipes]
    a.transport.set_watch(reads)
    a.run()
    assert a.received == []
    for _read, write in pipes[:2]:
        os.write(write, b"x")
    a.goes_on = False
    a.run(5)
    ((sender, message),) = a.received
    assert (sender, type(message), sorted(message.ready)) == (a.address, WatchMessage, reads[:2])
    os.close(reads[1])
    a.run()
    a.run()
    assert a.transport._watches == [reads[0], reads[2]]
    assert [sorted(message.ready) for _sender, message in a.received[2:]] == [[reads[0]]]
    for descriptor in {descriptor for pipe in pipes for descriptor in pipe} - {reads[1]}:
        os.close(descriptor)


def test_a_run_ends_where_the_handler_says_so(ends):
    (a,) = ends(1)
    a.send(a.address, 1)
    a.transport._incomingEnvelopes *= 2
    a.goes_on = False
    assert a.run(5).return_value is False
    assert a.messages == [1]
    a.goes_on = True
    assert a.run() is None
    assert a.messages == [1, 1]


@pytest.mark.parametrize(("drain", "sent"), [(True, [("last", SENT)]), (False, [])])
def test_a_run_that_is_aborted_may_first_send_what_waits(ends, drain, sent):
    a, b = ends()

    def abort(_envelope):
        a.transport.abort_run(drain)
        a.send(b.address, "last")
        return True

    a.send(a.address, "begin")
    a.handle = abort
    b.goes_on = False
    with ThreadPoolExecutor() as pool:
        pool.submit(b.run, patient(5) if drain else 0)
        assert isinstance(a.run(patient(5)), Thespian__Run_Terminated)
    assert not a.transport.run_time.view().expired()
    assert a.ended == [("begin", SENT), *sent]
    a.handle = lambda _envelope: True
    assert a.run() is None  # the next run is not aborted


def test_without_a_handler_thespian_receives_and_sends(ends):
    a, b = ends()
    for handler in (TransmitOnly, TransmitOnly()):
        assert a.transport.run(handler, timedelta(seconds=patient(5))) == 0
        assert a.transport.run(handler, None) == 0
    a.send(b.address, "x")
    assert a.transport.run(TransmitOnly, timedelta(seconds=TURN_S)) is None
    envelope = b.transport.run(None, timedelta(seconds=patient(5)))
    assert (envelope.sender, envelope.message) == (a.address, "x")
    assert a.transport.run(TransmitOnly, timedelta(seconds=patient(5))) == 0
    assert a.ended == [("x", SENT)]


def test_no_other_thread_sends_while_connections_change(ends, monkeypatch):
    a, b = ends()
    free = []
    accept = a.transport._acceptNewIncoming

    def look():
        free.append(a.transport._exclusively_processing())
        accept()

    monkeypatch.setattr(a.transport, "_acceptNewIncoming", look)
    b.send(a.address, 1)
    a.handle = lambda _envelope: free.append(a.transport._exclusively_processing())
    turn(b, a, until=lambda: len(free) == 2)
    assert free == [False, True]


def test_it_waits_for_another_thread_that_sends(ends):
    a, b = ends()
    b.send(a.address, 1)
    turn(b, until=lambda: readable(a.transport.socket))
    ended, found = [], []
    a.handle = lambda _envelope: found.append(ended[:])

    def end():
        ended.append("the other")
        a.transport._not_processing()

    assert a.transport._exclusively_processing()
    other = threading.Timer(0.05, end)
    other.start()
    turn(b, a, until=lambda: found)
    other.join()
    assert found == [["the other"]]
