"""What a transport does with its connections, its peers and its turns, one at a time."""

import errno
import hmac
import os
import pickle
import select
import socket
import time
import warnings
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest
import structlog
from attrs import evolve
from thespian.actors import ActorAddress, ActorExitRequest, WatchMessage
from thespian.system.messages.multiproc import ChildMayHaveDied
from thespian.system.timing import ExpirationTimer
from thespian.system.transport import (
    ForwardMessage,
    SendStatus,
    TCPTransport,
    Thespian__Run_HandlerResult,
    Thespian__UpdateWork,
    TransmitOnly,
)

from callboard.adapters.local import sealed_transport, stream_transport
from callboard.adapters.local.sealed_transport import FrameTooLargeError
from performance.counting import c_calls
from support.descriptors import opening
from support.patience import patient
from support.streams import ELSEWHERE, KEY, LIMITS, Client, connected, readable, running, turn

SENT, FAILED, DEAD = SendStatus.Sent, SendStatus.Failed, SendStatus.DeadTarget


@pytest.fixture
def limited():
    """limited(**limits): those of the ends made after it."""
    return lambda **limits: sealed_transport.seal(KEY, limits=evolve(LIMITS, **limits))


def of_size(size):
    """A message whose pickle has so many bytes."""
    message = bytes(2 * size - len(pickle.dumps(bytes(size), pickle.HIGHEST_PROTOCOL)))
    assert len(pickle.dumps(message, pickle.HIGHEST_PROTOCOL)) == size
    return message


# Sockets


def name(port):
    """The name of a local socket: of host and port, and of the key (stream_transport.py)."""
    proof = hmac.digest(KEY, b"callboard proof of the address 127.0.0.1:%d" % port, "sha256")
    return b"\0callboard-" + proof[:16].hex().encode()


def sockets(*ends):
    return [each.socket for end in ends for each in end.streams]


def test_actors_of_one_machine_are_connected_by_unix_sockets(ends):
    a, b = connected(*ends())
    assert [each.family for each in sockets(a, b)] == [socket.AF_UNIX] * 2
    listening = {each.getsockname() for each in a.transport._listening.values()}
    assert listening == {("127.0.0.1", a.port), name(a.port)}


def test_by_tcp_nothing_is_held_back(ends, by_tcp):
    """TCP_NODELAY; Nagle's algorithm would let a message wait for an acknowledgement."""
    a, b = connected(*ends())
    assert [each.family for each in sockets(a, b)] == [socket.AF_INET] * 2
    for each in sockets(a, b):
        assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_socket_of_a_transport_blocks(ways):
    a, b = connected(*ways())
    for each in (*sockets(a, b), *a.transport._listening.values()):
        assert not each.getblocking()
    assert [os.get_blocking(end) for end in a.transport._bell] == [False, False]


def test_where_another_process_has_the_name_peers_connect_by_tcp(ends, monkeypatch):
    monkeypatch.setattr(stream_transport.StreamTransport, "_name", lambda *_: b"\0callboard-taken")
    with closing(socket.socket(socket.AF_UNIX)) as taken:
        taken.bind(b"\0callboard-taken")
        a, b = connected(*ends())
        assert [each.family for each in sockets(a, b)] == [socket.AF_INET] * 2


def test_a_closed_transport_has_closed_all_that_it_opened(ways):
    with opening():
        a, b = connected(*ways())
    opened = [*sockets(a), *a.transport._listening.values()]
    a.transport.close()
    assert [each.fileno() for each in opened] == [-1] * len(opened)
    for end in a.transport._bell:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)
    a.transport.interrupt_wait()  # A signal may come later.
    a.transport.close()
    turn(b, until=lambda: not b.streams)


@pytest.mark.parametrize("admin", ["127.0.0.1", None])
def test_a_copy_for_another_thread_is_a_transport_of_the_same_kind(ends, admin):
    (a,) = ends(1)
    copy = a.transport.external_transport_clone()
    with closing(copy):
        assert type(copy) is type(a.transport)
        assert copy.myAddress != a.address
        assert copy._adminAddr == a.transport._adminAddr
        assert copy.txOnly is False


@pytest.mark.parametrize("in_another", [False, True])
def test_another_process_closes_what_it_inherited(ends, monkeypatch, in_another):
    (a,) = ends(1)
    if in_another:
        monkeypatch.setattr("os.getpid", lambda: 4_194_305)  # more than Linux gives
    ends(1)
    assert (a.transport.socket.fileno() == -1) is in_another


def test_one_that_was_not_opened_may_be_closed():
    stream_transport.StreamTransport.__new__(stream_transport.StreamTransport).close()


def test_a_child_is_asked_to_keep_no_descriptor(ends):
    assert ends(1)[0].transport.childResetFileNumList() == []


# Sending


@pytest.mark.parametrize(("size", "sent"), [(4_000_000, True), (4_000_001, False)])
def test_the_largest_message_is_sent_and_no_larger_one(ends, size, sent):
    a, b = ends()
    if not sent:
        with pytest.raises(FrameTooLargeError, match="of 4000001 bytes; at most 4000000"):
            a.send(b.address, of_size(size))
        return
    a.send(b.address, of_size(size))
    turn(a, b, until=lambda: b.received)


def test_work_that_thespian_has_for_its_transport_is_done_at_once(ends):
    a, b = ends()
    work = Thespian__UpdateWork()
    a.send(b.address, work)
    assert a.ended == [(work, SENT)]
    a.run()
    assert a.streams == []


def test_what_goes_by_way_of_an_admin_is_wrapped_for_it(ends):
    """To an actor of another machine (192.0.2.1, RFC 5737) that only its admin reaches."""
    a, admin = ends()
    passed = []
    admin.transport._processReceivedEnvelope = passed.append
    there = TCPTransport.RoutedTCPv4ActorAddress("192.0.2.1", 9, admin.address, False, True)
    a.send(ActorAddress(there), "x")
    turn(a, admin, until=lambda: passed)
    assert isinstance(passed[0].message, ForwardMessage)
    assert passed[0].message.fwdMessage == "x"
    assert {each.key for each in a.streams} == {("127.0.0.1", admin.port)}


@pytest.mark.parametrize(("size", "written"), [(31_072, True), (31_071, False)])
def test_128_kilobytes_of_one_handler_are_written_before_it_returns(ends, size, written):
    a, b = connected(*ends())
    calls = []

    def handle(_envelope):
        with c_calls() as counted:
            a.send(b.address, of_size(100_000), of_size(size))
        calls.append(counted["socket", "sendmsg"])
        return True

    a.handle = handle
    a.send(a.address, "begin")
    a.run()
    assert (calls[0] > 0) is written


def test_a_full_connection_is_not_tried_again_for_each_message(ends):
    a, b = connected(*ends())

    def handle(_envelope):
        with c_calls() as counted:
            a.send(b.address, *[bytes(50_000)] * 60)
        calls.append(counted["socket", "sendmsg"])
        return True

    calls = []
    a.handle = handle
    a.send(a.address, "begin")
    a.run()
    assert calls[0] < 20
    turn(a, b, until=lambda: len(b.received) == 61)


def test_the_loop_waits_while_a_connection_is_full_and_after_it_was(ways):
    """It is called when there is room, and only then."""
    a, b = connected(*ways())
    a.send(b.address, *[bytes(500_000)] * 5)
    a.run()
    for polls in range(2):
        with c_calls() as calls:
            a.run(0.02)
        assert calls["poll", "poll"] < 10, polls
        turn(a, b, until=lambda: len(b.received) == 6 and len(a.ended) == 6)


# Back-pressure


def test_so_many_messages_may_wait_for_a_peer_and_no_more(ends, limited):
    limited(waiting=10, stalled_s=0.05)
    a, b = ends()
    a.send(b.address, *range(100))
    began = time.monotonic()
    with c_calls() as calls:
        a.run()
    assert time.monotonic() - began < patient(1)  # It has waited for the first one only.
    assert calls["poll", "poll"] < 20
    assert a.ended == [(number, FAILED) for number in range(10, 100)]
    turn(a, b, until=lambda: len(b.received) == 10)


@pytest.mark.parametrize(("limit", "waiting"), [(2000, 2), (2001, 3), (1, 1)])
def test_messages_of_so_many_bytes_may_wait_for_a_peer(ends, limited, limit, waiting):
    limited(waiting_bytes=limit, stalled_s=0.01)
    a, b = ends()
    a.send(b.address, *[of_size(1000)] * 5)
    a.run()
    assert [status for _message, status in a.ended] == [FAILED] * (5 - waiting)
    turn(a, b, until=lambda: len(b.received) == waiting)


def test_a_sender_waits_for_as_long_as_it_may_and_not_again_until_its_peer_reads(ends, limited):
    limited(waiting=1, stalled_s=0.05)
    a, b = ends()
    a.send(b.address, 1, 2, 3)
    began = time.monotonic()
    a.run()
    assert time.monotonic() - began >= 0.05
    assert a.ended == [(2, FAILED), (3, FAILED)]
    turn(a, b, until=lambda: len(a.ended) == 3)  # It reads.
    with running(b):
        a.send(b.address, *range(100))
        a.run()
        turn(a, until=lambda: len(b.received) == 101, most=5000)
    assert FAILED not in [status for _message, status in a.ended[3:]]


def test_one_that_is_not_to_wait_does_not(ends, limited):
    """Thespian's logger, which others wait for."""
    limited(waiting=1, stalled_s=60.0)
    a, b = ends()
    a.transport.enableRXPauseFlowControl(False)
    a.send(b.address, 1, 2)
    a.run()
    assert a.ended == [(2, FAILED)]
    turn(a, b, until=lambda: b.messages == [1])


def test_messages_that_come_meanwhile_are_acknowledged_and_kept(ends, limited):
    """Else two that send to each other might wait for each other."""
    limited(waiting=100, stalled_s=0.05)
    a, b, c = ends(3)
    connected(a, b)
    b.send(a.address, *range(70))
    b.run()
    a.send(c.address, *range(101))
    a.run()
    assert a.messages == ["back"]
    b.run()
    assert b.ended[1:] == [(number, SENT) for number in range(70)]
    a.run()
    assert a.messages == ["back", *range(70)]


# Connections


@contextmanager
def full(port):
    """Another process has the local name of this port, and accepts nothing."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(name(port))
        listener.listen(0)
        waiting = [socket.socket(socket.AF_UNIX)]
        waiting[0].setblocking(False)
        while waiting[-1].connect_ex(name(port)) == 0:
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
        yield
        for each in waiting:
            each.close()


def test_where_a_local_socket_accepts_nothing_the_other_is_used(ends, strange):
    (a,) = ends(1)
    a.send(strange.address, "x")
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        with full(strange.address.addressDetails.sockname[1]), strange.accept(a) as peer:
            assert peer.recv(4) == b"CBF2"
            assert [each.family for each in sockets(a)] == [socket.AF_INET]
    assert [each.message for each in unclosed] == []


def test_where_a_local_socket_is_another_users_the_other_is_used(ends, monkeypatch):
    a, b = ends()
    monkeypatch.setattr(stream_transport, "trusted", lambda connection: False)
    a.send(b.address, "x")
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        turn(a, until=lambda: a.streams)
        assert [each.family for each in sockets(a)] == [socket.AF_INET]
        with structlog.testing.capture_logs() as logged:
            turn(a, b, until=lambda: b.received)
    assert [each.message for each in unclosed] == []
    assert [(each["reason"], each["peer"]) for each in logged] == [
        ("another user", "a local process")
    ]


def test_a_name_that_another_process_has_taken_is_tried_by_turns(ends, strange):
    (a,) = ends(1)
    port = strange.address.addressDetails.sockname[1]

    def called(listener):
        for each in a.transport._retrying:
            each.due = 0
        return readable(listener)

    with closing(socket.socket(socket.AF_UNIX)) as taken:
        taken.bind(name(port))
        taken.listen()
        a.send(strange.address, "x")
        for _time in range(2):
            for listener in (taken, strange.listener):
                turn(a, until=lambda this=listener: called(this))
                listener.accept()[0].close()


def test_a_connection_that_cannot_be_made_now_is_tried_again(ends, strange):
    """As for a machine that is not reached."""
    (a,) = ends(1)
    a.send(strange.address, "x")
    turn(a, until=lambda: a.streams)
    (stream,) = a.streams
    real, stream.connecting = stream.socket, True
    with closing(real):
        unreached = SimpleNamespace(getsockopt=lambda *_: errno.EHOSTUNREACH, close=lambda: None)
        stream.socket = unreached
        a.transport._serve(stream, select.POLLOUT, True)
    assert (a.streams, a.ended) == ([], [])
    assert [each.outstanding for each in a.transport._retrying] == [True]


def test_a_connection_that_takes_nothing_more_is_made_again(ends):
    a, b = connected(*ends())
    b.streams[0].socket.shutdown(socket.SHUT_RD)
    a.send(b.address, "x")
    turn(a, b, until=lambda: b.messages[-1] == "x")


def test_an_address_that_is_not_one_to_connect_to_is_not_dead(ends):
    """The kernel refuses the broadcast address at once, with another reason."""
    (a,) = ends(1)
    everyone = TCPTransport.TCPv4ActorAddress("255.255.255.255", 9, external=True)
    a.send(ActorAddress(everyone), "x")
    a.run()
    assert (a.ended, a.streams) == ([], [])
    assert len(a.transport._retrying) == 1


def test_attempts_to_connect_are_made_at_once_and_then_more_and_more_rarely(ends):
    """After 0.1 s, twice as long each time, and 5 s at most; by turns of either kind."""
    (a,) = ends(1)
    stream = a.transport._stream(ELSEWHERE)
    pauses = []
    for _attempt in range(9):
        now = time.perf_counter()
        a.transport._retry(stream)
        pauses.append(stream.due - now)
        assert a.transport._retrying.pop() is stream
    assert pauses == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5], abs=0.02)


def retrying(end, strange):
    """The stream to a peer that has ended its connection twice, which is not tried now."""
    for _time in range(2):
        strange.accept(end).close()
    turn(end, until=lambda: end.transport._retrying)
    (stream,) = end.transport._retrying
    stream.due = float("inf")
    return stream


def test_a_connection_that_ends_before_an_acknowledgement_was_an_attempt(ends, strange):
    (a,) = ends(1)
    a.send(strange.address, "x")
    strange.accept(a).close()  # It is made again at once.
    for pause_s in (0.1, 0.2):
        strange.accept(a).close()
        before = time.perf_counter()
        turn(a, until=lambda: a.transport._retrying)
        (again,) = a.transport._retrying
        assert before + pause_s <= again.due <= time.perf_counter() + pause_s
        again.due = 0


def test_other_peers_are_written_to_while_one_is_connected_again(ends, strange):
    a, b = connected(*ends())
    turn(a, b, until=lambda: b.ended)
    a.send(strange.address, "x")
    retrying(a, strange)

    def handle(_envelope):
        a.send(strange.address, "waits")
        a.send(b.address, "goes")
        return True

    a.handle = handle
    a.send(a.address, "begin")
    turn(a, b, until=lambda: b.messages[-1] == "goes", most=5)


def test_a_dead_peer_takes_no_descriptor(ways):
    a, b = ways()
    b.transport.close()
    a.send(b.address, "x")
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        turn(a, until=lambda: a.ended)
    assert [each.message for each in unclosed] == []
    assert (a.ended, a.streams, a.transport._peers) == ([("x", DEAD)], [], {})
    with c_calls() as calls:
        a.run(0.02)
    assert calls["poll", "poll"] < 5


def test_one_that_connects_while_it_is_tried_to_be_reached_gets_all_on_its_own_stream(ends):
    a, b = ends()
    waiting = a.transport._peers[("127.0.0.1", b.port)] = a.transport._stream(b.address)
    a.transport._retry(waiting)
    waiting.due = float("inf")
    a.send(b.address, 1, 2)
    a.run()
    b.send(a.address, "here I am")
    turn(b, a, until=lambda: len(b.received) == 2, most=12)
    assert b.messages == [1, 2]
    assert a.transport._retrying == []
    assert (len(a.streams), len(b.streams)) == (1, 1)


def test_two_that_connect_to_each_other_at_once_keep_both_streams(ends):
    a, b = ends()
    a.send(b.address, "there")
    b.send(a.address, "back")
    turn(a, b, until=lambda: a.received and b.received)
    for number in range(3):
        a.send(b.address, number)
        b.send(a.address, number)
    turn(a, b, until=lambda: len(a.received) == len(b.received) == 4)
    assert (a.messages, b.messages) == (["back", 0, 1, 2], ["there", 0, 1, 2])
    assert (len(a.streams), len(b.streams)) == (2, 2)


@pytest.mark.parametrize("strangers", [2, 3])
def test_so_many_strangers_are_kept(ends, strangers):
    (a,) = ends(1)
    with structlog.testing.capture_logs() as logged:
        opened = [socket.create_connection(("127.0.0.1", a.port)) for _one in range(strangers)]
        turn(a, until=lambda: len(a.streams) == strangers)
        a.run()
    assert (len(a.streams), logged) == (strangers, [])
    for each in opened:
        each.close()


# An address that is dead


def test_an_actor_of_which_nothing_is_known_may_end(ends):
    a, b = connected(*ends())
    a.transport.deadAddress(None, ELSEWHERE)
    a.transport.deadAddress(None, ActorAddress(5))
    a.send(b.address, "still")
    turn(a, b, until=lambda: b.messages[-1] == "still")
    assert DEAD not in [status for _message, status in a.ended]


def test_all_that_an_actor_sent_before_it_ended_is_heard(ways):
    """More than one read gives; and its end needs no answer."""
    a, b = connected(*ways())
    b.send(a.address, *[bytes(90_000)] * 6)
    b.run()
    if not a.transport._local:  # by TCP the kernels pass it on
        select.select(sockets(a), (), (), patient(5))
    a.transport.deadAddress(None, b.address)
    assert (a.streams, a.transport._peers) == ([], {})
    a.run(0.05)
    assert len(a.received) > 2


def test_what_was_taken_of_an_actor_is_acknowledged_before_its_end(ends):
    a, b = connected(*ends())
    turn(a, b, until=lambda: b.ended)
    b.send(a.address, 1, 2)
    b.run()
    a.transport._serve(a.streams[0], select.POLLIN, True)
    a.transport._take(a.transport._incomingEnvelopes[0])
    a.transport.deadAddress(None, b.address)
    b.run()
    assert b.ended[1:] == [(1, SENT)]


def test_what_a_peer_sent_before_it_ended_is_read_to_the_end_where_writing_fails(ends):
    """A message that was read in part is not the last one."""
    a, b = connected(*ends())
    b.send(a.address, bytes(300_000), "last")
    b.run()
    a.transport._read(a.streams[0])
    b.run()
    assert not b.streams[0].blocked
    b.transport.close()
    a.send(b.address, "unread")
    turn(a, until=lambda: ("unread", DEAD) in a.ended)
    assert a.messages[1:] == [bytes(300_000), "last"]


def test_a_dead_address_is_not_connected_to_again(ends, strange):
    (a,) = ends(1)
    a.send(strange.address, "x")
    retrying(a, strange)
    a.transport.deadAddress(None, strange.address)
    a.run()
    assert (a.ended, a.transport._retrying, a.transport._peers) == ([("x", DEAD)], [], {})


# Receiving


def test_an_acknowledgement_waits_for_100_milliseconds(ends):
    a, b = connected(*ends())
    turn(a, b, until=lambda: b.ended)
    a.send(b.address, "x")
    a.run()
    before = time.perf_counter()
    b.run()
    (stream,) = b.streams
    assert before + 0.1 <= stream.due <= time.perf_counter() + 0.1
    due = stream.due
    a.send(b.address, "y")
    a.run(), b.run()
    assert (b.messages[-1], stream.due) == ("y", due)  # that of the first one
    stream.due = time.perf_counter()
    b.run(), a.run()
    assert a.ended[-2:] == [("x", SENT), ("y", SENT)]
    assert stream.due == float("inf")


def test_a_stream_that_was_due_for_nothing_is_so_once(ends):
    a, b = connected(*ends())
    turn(a, b, until=lambda: b.ended)
    a.streams[0].due = 0
    with c_calls() as calls:
        a.run(0.02)
    assert a.streams[0].due == float("inf")
    assert calls["poll", "poll"] < 5


def test_while_200_messages_wait_to_be_handled_no_more_are_read(ends):
    a, b = connected(*ends())
    a.transport._incomingEnvelopes.extend(["waits"] * 199)
    b.send(a.address, "200th")
    b.run()
    a.transport._turn(None, handling=True)
    assert len(a.transport._incomingEnvelopes) == 200
    b.send(a.address, "201st")
    b.run()
    a.transport._turn(None, handling=True)
    assert len(a.transport._incomingEnvelopes) == 200
    a.transport._incomingEnvelopes.popleft()
    a.transport._turn(None, handling=True)
    assert len(a.transport._incomingEnvelopes) == 200


# The loop


def test_a_handler_that_returns_nothing_ends_the_run(ends):
    a, b = connected(*ends())
    b.send(a.address, 1, 2)
    b.run()
    a.handle = lambda envelope: a.received.append((None, envelope.message))
    result = a.transport.run(a.handle, None)
    assert isinstance(result, Thespian__Run_HandlerResult)
    assert a.messages[1:] == [1]
    a.transport.run(a.handle, None)
    assert a.messages[1:] == [1, 2]


def test_what_the_last_run_has_handled_is_acknowledged(ends):
    a, b = connected(*ends())
    turn(a, b, until=lambda: b.ended)
    b.send(a.address, "last")
    b.run()
    a.transport.run(lambda _envelope: False, None)
    b.run()
    assert b.ended[-1] == ("last", SENT)


@pytest.mark.parametrize(
    ("takes_s", "wanted"),
    [(0.006, [0, "ready", 1, 2, 3, 4, 5]), (0.0, [0, 1, 2, 3, 4, 5, "ready"])],
)
def test_after_5_milliseconds_of_messages_descriptors_are_looked_at(
    ends, takes_s, wanted, monkeypatch
):
    a, b = connected(*ends())
    read, write = os.pipe()
    a.transport.set_watch([read])
    os.write(write, b"x")
    b.send(a.address, *range(6))
    b.run()
    order, now = [], [stream_transport.currentTime()]
    monkeypatch.setattr(stream_transport, "currentTime", lambda: now[0])

    def handle(envelope):
        if isinstance(envelope.message, WatchMessage):
            os.read(read, 1)
            order.append("ready")
        else:
            order.append(envelope.message)
            now[0] += takes_s
        return len(order) < 7

    a.transport._serve(a.streams[0], select.POLLIN, True)
    a.transport.run(handle, patient(5))
    assert order == wanted
    a.transport.set_watch([])
    os.close(read)
    os.close(write)


def test_it_does_not_wait_while_messages_wait(ends):
    a, b = connected(*ends())
    b.send(a.address, 1, 2, 3)
    b.run()
    a.transport._serve(a.streams[0], select.POLLIN, True)

    def handle(envelope):
        time.sleep(0.006)
        return envelope.message < 3

    began = time.monotonic()
    a.transport.run(handle, patient(2))
    assert time.monotonic() - began < patient(1)


def test_what_a_handler_sends_is_written_before_the_next_one_begins(ends):
    a, b = connected(*ends())
    turn(a, b, until=lambda: b.ended)
    b.send(a.address, 1, 2)
    b.run()
    written = []

    def handle(_envelope):
        written.append(bool(readable(b.streams[0].socket)))
        a.send(b.address, "answer")
        return True

    a.handle = handle
    a.transport._serve(a.streams[0], select.POLLIN, True)
    a.run()
    assert written == [False, True]


def test_a_run_is_not_ended_by_what_ended_the_one_before(ends):
    a, b = connected(*ends())
    a.transport.abort_run()
    b.send(a.address, "x")
    b.run()
    assert a.run() is None
    assert a.messages[1:] == ["x"]


@pytest.mark.parametrize(
    ("what", "kinds"),
    [
        ({}, []),
        ({"signal_shutdown": True}, [ActorExitRequest]),
        ({"check_children": True}, [ChildMayHaveDied]),
        ({"signal_shutdown": True, "check_children": True}, [ChildMayHaveDied, ActorExitRequest]),
    ],
)
def test_what_interrupts_it_says_what_for_and_once(ends, what, kinds):
    (a,) = ends(1)
    a.transport.interrupt_wait(**what)
    for _twice in range(2):
        a.run()
        assert [type(message) for message in a.messages] == kinds


@pytest.mark.parametrize("handler", ["actor", None, TransmitOnly])
def test_a_run_without_time_looks_once(ends, handler):
    a, b = connected(*ends())
    b.send(a.address, "x")
    b.run()
    if handler is TransmitOnly:
        a.send(b.address, "y")
    with c_calls() as calls:
        result = a.transport.run(a.handle if handler == "actor" else handler, 0)
    assert calls["poll", "poll"] <= 1
    assert result is None or handler is None


def test_a_run_ends_when_its_time_is_over(ends):
    (a,) = ends(1)
    for handler in (a.handle, None):
        began = time.perf_counter()
        with c_calls() as calls:
            assert a.transport.run(handler, 0.05) is None
        assert calls["poll", "poll"] < 6
        assert 0.05 <= time.perf_counter() - began < patient(1)


def test_the_peer_is_asked_once_for_what_it_has_taken(ends):
    a, b = connected(*ends())
    a.send(b.address, "x")
    with c_calls() as calls:
        for _run in range(3):
            a.transport.run(TransmitOnly, 0.001)
    assert calls["socket", "sendmsg"] == 2  # the message, and the question
    b.run()
    assert a.transport.run(TransmitOnly, patient(5)) == 0
    assert a.ended[-1] == ("x", SENT)


def test_a_question_about_what_was_taken_is_answered_at_once(ends):
    a, b = connected(*ends())
    a.send(b.address, "x")
    a.run(), b.run()
    (stream,) = b.streams
    assert stream.taken == stream.told + 1
    a.transport.run(TransmitOnly, 0.001)
    b.run()
    assert stream.taken == stream.told


def test_two_that_only_send_what_is_left_do_not_wait_for_each_other(ends):
    a, b = connected(*ends())
    a.send(b.address, "x")
    b.send(a.address, "y")
    left = [a, b]
    for _turn in range(10):
        left = [end for end in left if end.transport.run(TransmitOnly, 0.005) != 0]
    assert len(left) < 2
    a.run(), b.run()
    assert [end.transport.run(TransmitOnly, patient(5)) for end in (a, b)] == [0, 0]


def test_a_sender_that_waits_hears_when_its_message_begins_to_be_handled(ends):
    a, b = connected(*ends())
    a.send(b.address, "x", waits=True)
    a.run()
    b.handle = lambda _envelope: heard.append(bool(readable(a.streams[0].socket))) or True
    heard = []
    b.run()
    assert heard == [True]


def test_messages_whose_time_is_over_are_looked_for_every_10_seconds(ends):
    (a,) = ends(1)
    now = time.perf_counter()
    assert now + 9 < a.transport._look_at <= now + 10
    a.transport._tend(a.transport._look_at)
    assert now + 19 < a.transport._look_at <= now + 20


def test_one_whose_time_is_over_before_its_peer_was_reached_has_failed(ends, strange):
    (a,) = ends(1)
    a.send(strange.address, "late", "in time")
    stream = retrying(a, strange)
    stream.waiting[0]._quitTime = ExpirationTimer(0)
    a.look()
    assert a.ended == [("late", FAILED)]
    assert [each.message for each in stream.waiting] == ["in time"]
    assert a.transport._retrying == [stream]


def test_the_bell_may_be_rung_before_the_last_one_was_heard(ends):
    """A pipe holds 65,536 bytes."""
    (a,) = ends(1)
    for _time in range(66_000):
        a.transport._ring()
    a.run(0.05)
    with c_calls() as calls:
        a.run(0.02)
    assert calls["poll", "poll"] < 5
    a.transport._rung()


def test_watches_are_registered_once(ends):
    (a,) = ends(1)
    reads = [os.pipe() for _number in range(3)]
    one, two, three = (read for read, _write in reads)
    with c_calls() as calls:
        a.transport.set_watch([one, two])
        a.transport.set_watch([one, two])
        a.transport.set_watch([two, three])
    assert (calls["poll", "register"], calls["poll", "unregister"]) == (3, 1)
    a.transport.set_watch([])
    for pair in reads:
        for descriptor in pair:
            os.close(descriptor)


def test_a_listener_that_others_closed_is_an_error(ends):
    with opening():
        (a,) = ends(1)
    a.transport.socket.close()
    with pytest.raises(RuntimeError, match="the socket that listens is closed"):
        a.run()


def test_a_client_by_tcp_is_heard_beside_local_ones(ends):
    a, b = connected(*ends())
    with Client(a, KEY) as client:
        client.send(pickle.dumps("by TCP"))
        turn(a, until=lambda: a.messages[-1] == "by TCP")
        b.send(a.address, "local")
        turn(a, b, until=lambda: a.messages[-1] == "local")
        assert {each.family for each in sockets(a)} == {socket.AF_INET, socket.AF_UNIX}
