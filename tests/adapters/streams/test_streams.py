"""Streams between transports in one process: order, acknowledgements, loss, and strangers."""

import errno
import multiprocessing
import os
import pickle
import resource
import signal
import socket
import threading
import time
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import timedelta

import pytest
import structlog
from attrs import evolve
from thespian.actors import ActorExitRequest, WatchMessage
from thespian.system.messages.multiproc import ChildMayHaveDied
from thespian.system.timing import ExpirationTimer
from thespian.system.transport import (
    ForwardMessage,
    SendStatus,
    Thespian__Run_Terminated,
    TransmitOnly,
)

from callboard.adapters.local import sealed_transport, stream, stream_transport
from callboard.adapters.local.sealed_transport import FrameTooLargeError, probe
from performance.counting import c_calls
from support.descriptors import opening
from support.patience import patient
from support.streams import (
    ELSEWHERE,
    KEY,
    LIMITS,
    Client,
    connected,
    made_ends,
    proof,
    readable,
    running,
    turn,
)

OTHER_KEY = bytes(32)
SENT, FAILED, DEAD = SendStatus.Sent, SendStatus.Failed, SendStatus.DeadTarget
UNPRIVILEGED = 65534


@pytest.fixture
def logged():
    with structlog.testing.capture_logs() as logged:
        yield logged


# Order, sizes, one stream


@pytest.mark.parametrize(("size", "count"), [(10, 12), (40_000, 3), (3_000_000, 2)])
def test_messages_arrive_whole_and_in_order_on_one_stream(ways, size, count):
    a, b = ways()
    messages = [bytes([number]) * size for number in range(count)]
    a.send(b.address, *messages)
    turn(a, b, until=lambda: len(b.received) == count)
    b.send(a.address, *messages)
    turn(a, b, until=lambda: len(a.received) == count and len(a.ended) == count)
    assert b.received == [(a.address, message) for message in messages]
    assert a.received == [(b.address, message) for message in messages]
    assert a.ended == [(message, SENT) for message in messages]
    assert (len(a.streams), len(b.streams)) == (1, 1)


def test_two_that_send_at_the_same_time_get_everything_in_order(ways):
    a, b = ways()
    a.send(b.address, *range(300))
    b.send(a.address, *range(1000, 1300))
    turn(a, b, until=lambda: len(a.received) == len(b.received) == 300)
    assert (b.messages, a.messages) == ([*range(300)], [*range(1000, 1300)])


def test_each_peer_has_a_stream_of_its_own(ends):
    a, b, c = ends(3)
    a.send(b.address, 1)
    a.send(c.address, 2)
    turn(a, b, c, until=lambda: b.received and c.received)
    assert (b.messages, c.messages) == ([1], [2])
    assert {each.key[1] for each in a.streams} == {b.port, c.port}


def test_a_message_to_itself_needs_no_stream(ends):
    (a,) = ends(1)
    a.send(a.address, "mine")
    a.run()
    assert (a.received, a.ended, a.streams) == ([(a.address, "mine")], [("mine", SENT)], [])


def test_a_message_for_another_is_forwarded(ends):
    a, b, c = ends(3)
    a.send(b.address, ForwardMessage("passed on", c.address, a.address))
    turn(a, b, c, until=lambda: c.received)
    assert (b.received, c.received) == ([], [(a.address, "passed on")])


def test_messages_from_other_threads_are_sent_in_their_order(ends):
    a, b = connected(*ends())
    thread = threading.Thread(target=lambda: a.send(b.address, *range(200)))
    thread.start()
    turn(a, b, until=lambda: len(b.received) == 201)
    thread.join()
    assert b.messages[1:] == [*range(200)]


def test_another_thread_wakes_the_loop(ends):
    a, b = connected(*ends())
    b.handle = lambda envelope: b.send(envelope.sender, envelope.message) or True
    began = time.monotonic()
    with running(b):
        threading.Timer(0.02, lambda: a.send(b.address, "woken")).start()
        a.transport.run(lambda envelope: envelope.message != "woken", timedelta(seconds=patient(4)))
    assert time.monotonic() - began < patient(2)


# What a message costs


def test_a_message_and_its_answer_cost_a_send_and_a_receive_each(ways):
    """The answer is the acknowledgement. (A poll, and a look whether the time is over.)"""
    a, b = connected(*ways())
    answers = 100

    def answer(envelope):
        b.send(envelope.sender, envelope.message)
        return True

    b.handle = answer
    with c_calls() as calls:
        for number in range(answers):
            a.send(b.address, number)
            a.run(), b.run(), a.run()
    assert a.messages[1:] == [*range(answers)]
    # On a machine that stood still for 100 ms, an acknowledgement did not wait for the answer.
    assert 2 * answers <= calls["socket", "sendmsg"] <= 2 * answers + 5
    assert calls["socket", "recv_into"] <= 2 * answers + 2
    assert calls["socket", "socket"] == calls["poll", "register"] == calls["poll", "modify"] == 0


def test_messages_of_one_handler_are_written_and_acknowledged_together(ends):
    a, b = connected(*ends())
    a.send(a.address, "begin")
    a.handle = lambda _envelope: a.send(b.address, *range(100)) or True
    with c_calls() as calls:
        turn(a, b, until=lambda: len(b.received) == 101 and len(a.ended) == 102)
    assert calls["socket", "sendmsg"] == 3  # one; after ACK_FRAMES; after ACK_S


def test_a_message_of_a_timer_is_sent_like_others(ends):
    """It is no other thread's, which would wake the loop."""
    a, b = connected(*ends())
    a.transport.addWakeup(timedelta(milliseconds=1), "now")
    a.handle = lambda _envelope: a.send(b.address, "x") or True
    with c_calls() as calls:
        turn(a, b, until=lambda: len(b.received) == 2)
    assert calls["posix", "write"] == calls["posix", "read"] == 0


# Acknowledgements and loss


def test_a_message_is_sent_when_the_peer_handles_it(ends):
    a, b = connected(*ends())
    before = len(a.ended)
    a.send(b.address, "x", waits=True)
    for _turn in range(3):
        a.run()
    assert len(a.ended) == before
    turn(a, b, until=lambda: len(a.ended) > before, most=4)
    assert a.ended[-1] == ("x", SENT)


def test_the_acknowledgement_of_a_message_that_gets_no_answer_comes_soon(ends):
    a, b = connected(*ends())
    a.send(b.address, "x")
    a.run(), b.run(), a.run()
    assert len(a.ended) == 1
    b.run(stream_transport.ACK_S)
    a.run()
    assert a.ended[1:] == [("x", SENT)]


def test_many_messages_are_acknowledged_before_that(ends):
    a, b = connected(*ends())
    a.send(b.address, *range(stream.ACK_FRAMES))
    a.run(), b.run(), a.run()
    assert len(a.ended) == 1 + stream.ACK_FRAMES


def test_a_client_acknowledges_what_it_has_received(ends):
    """It may end right after."""
    a, b = connected(*ends())
    turn(a, b, until=lambda: b.ended)
    b.send(a.address, "the answer")
    b.run()
    assert a.transport.run(None, timedelta(seconds=patient(5))).message == "the answer"
    b.run()
    assert b.ended[-1] == ("the answer", SENT)


def test_a_message_to_an_address_where_nobody_listens_is_dead(ways):
    a, b = ways()
    b.transport.close()
    a.send(b.address, "lost", "too")
    turn(a, until=lambda: len(a.ended) == 2)
    assert a.ended == [("lost", DEAD), ("too", DEAD)]


def test_messages_that_a_peer_has_not_read_when_it_ends_are_dead(ways):
    a, b = connected(*ways())
    a.send(b.address, *range(1000))
    a.run()
    b.transport.close()
    turn(a, until=lambda: len(a.ended) == 1001)
    assert a.ended[1:] == [(number, DEAD) for number in range(1000)]
    assert (a.streams, a.transport._peers) == ([], {})


def test_what_a_peer_sent_before_it_ended_is_received(ways):
    a, b = connected(*ways())
    b.send(a.address, *range(50))
    b.run()
    a.send(b.address, "unread")
    b.transport.close()
    turn(a, until=lambda: len(a.received) == 51 and len(a.ended) == 2)
    assert a.messages[1:] == [*range(50)]
    assert a.ended[1:] == [("unread", DEAD)]


def test_a_dead_address_gets_nothing_more_but_is_heard_to_the_end(ends):
    a, b = connected(*ends())
    b.send(a.address, "last words")
    b.run()
    a.send(b.address, "unread")
    a.transport._settle()
    a.transport.deadAddress(None, b.address)
    a.run()
    assert a.messages[1:] == ["last words"]
    assert a.ended[1:] == [("unread", DEAD)]


def test_on_another_connection_unread_messages_are_sent_again_in_order(ways):
    a, b = connected(*ways())
    a.send(b.address, *range(100))
    a.run()
    b.transport._lost(b.streams[0])
    turn(a, b, until=lambda: len(a.ended) == 101)
    assert b.messages[1:] == [*range(100)]
    assert a.ended[1:] == [(number, SENT) for number in range(100)]


@pytest.mark.parametrize("unread", [0, 1])
def test_a_message_whose_time_is_over_has_failed(ends, logged, unread):
    a, b = connected(*ends())
    a.send(b.address, "in time", *["late"] * unread)
    a.run()
    late = [each for each in a.streams[0].unacknowledged if each.message == "late"]
    for intent in late:
        intent._quitTime = ExpirationTimer(0)
    a.look()
    assert a.ended[1:] == [("late", FAILED)] * unread
    turn(a, b, until=lambda: ("in time", SENT) in a.ended)
    assert logged == []


def test_a_message_that_cannot_be_unpickled_is_refused(ends, logged):
    a, b = ends()
    a.send(b.address, "before", Undecodable(), "after")
    turn(a, b, until=lambda: len(b.received) == 2)
    turn(a, b, until=lambda: len(a.ended) == 3)
    assert b.messages == ["before", "after"]
    assert [status for _message, status in a.ended] == [SENT, SendStatus.BadPacket, SENT]
    assert [event["event"] for event in logged] == ["actor_message_undecodable"]


class Undecodable:
    def __reduce__(self):
        return int, ("not a number",)


def test_a_message_beyond_the_limit_is_not_sent(ends):
    a, b = ends()
    a.send(b.address, bytes(4_000_000 - 100))
    with pytest.raises(FrameTooLargeError, match="at most 4000000 can be sent"):
        a.send(b.address, bytes(4_000_000))
    turn(a, b, until=lambda: b.received)


def test_messages_that_were_not_written_when_a_transport_is_closed_have_failed(ends):
    """Others may have been handled: another actor than the receiver may have answered them."""
    a, b = connected(*ends())
    a.send(b.address, "written")
    a.run()
    a.send(b.address, "queued")
    a.streams[0].send(a.transport._from_threads.pop())
    a.transport.close()
    assert a.ended[1:] == [("written", SENT), ("queued", FAILED)]


# Back-pressure


def test_a_sender_waits_while_its_peer_reads(ends):
    sealed_transport.seal(KEY, limits=evolve(LIMITS, waiting=100))
    a, b = connected(*ends())

    def begin(_envelope):
        a.send(b.address, *[bytes(5000)] * 2000)
        return True

    a.handle = begin
    a.send(a.address, "begin")
    with running(b):
        turn(a, until=lambda: len(b.received) == 2001, most=5000)
    assert FAILED not in [status for _message, status in a.ended]


def test_a_peer_that_does_not_read_gets_no_more(ends):
    sealed_transport.seal(KEY, limits=evolve(LIMITS, waiting=10, stalled_s=0.05))
    a, b = connected(*ends())
    a.send(b.address, *[bytes(100_000)] * 100)
    a.run()
    failed = [status for _message, status in a.ended[1:]]
    assert set(failed) == {FAILED}
    left = 100 - len(failed)
    assert 10 < left < 50
    turn(a, b, until=lambda: len(b.received) == 1 + left)
    a.send(b.address, "again")
    turn(a, b, until=lambda: b.messages[-1] == "again")


# The loop


def test_watched_descriptors_are_reported_and_forgotten_when_closed(ends):
    (a,) = ends(1)
    with opening():
        pipes = [os.pipe() for _number in range(3)]
    reads = [read for read, _write in pipes]
    a.transport.set_watch(reads)
    a.run()
    assert a.received == []
    for _read, write in pipes[:2]:
        os.write(write, b"x")
    a.run()
    sender, message = a.received[0]
    assert (sender, type(message), sorted(message.ready)) == (a.address, WatchMessage, reads[:2])
    os.close(reads[1])
    a.run()
    assert a.transport._watches == [reads[0], reads[2]]
    a.transport.set_watch([])
    a.received.clear()
    a.run()
    assert a.received == []
    for descriptor in {descriptor for pipe in pipes for descriptor in pipe} - {reads[1]}:
        os.close(descriptor)


def test_a_stream_on_the_number_of_a_watched_descriptor_is_read(ends):
    """The actor closes what it watches, and its next message opens a connection."""
    for _time in range(9):  # Another thread of the tests may take the number first.
        a, b = ends()
        read, write = os.pipe()
        a.transport.set_watch([read])
        os.close(read)
        a.send(b.address, "x")
        a.run()
        if a.streams[0].fd == read:
            break
        os.close(write)
    assert a.streams[0].fd == read
    a.transport.set_watch([])
    turn(a, b, until=lambda: b.received)
    b.send(a.address, "y")
    turn(b, a, until=lambda: a.received)
    os.close(write)


@pytest.fixture
def watching(ends):
    """watching(count): an end with a watched descriptor that is ready, and messages for it."""
    a, b = connected(*ends())
    read, write = os.pipe()
    os.write(write, b"x")
    a.transport.set_watch([read])

    def watching(count):
        b.send(a.address, *range(count))
        b.run()
        a.received.clear()
        return a

    yield watching
    for descriptor in (read, write):
        os.close(descriptor)


def test_watches_and_messages_take_turns(watching):
    a = watching(3)
    a.handle = lambda envelope: a.received.append(("", envelope.message)) or slow()
    turn(a, until=lambda: 2 in a.messages, most=10)
    numbers = [message for message in a.messages if isinstance(message, int)]
    assert numbers == [0, 1, 2]
    assert any(isinstance(message, WatchMessage) for message in a.messages)


def test_the_time_of_a_watch_is_not_that_of_messages(watching):
    a = watching(5)

    def handle(envelope):
        a.received.append(("", envelope.message))
        return slow() if isinstance(envelope.message, WatchMessage) else envelope.message != 4

    a.handle = handle
    a.run(patient(5))
    first = next(n for n, message in enumerate(a.messages) if message == 0)
    assert a.messages[first : first + 5] == list(range(5))


def slow():
    """Longer than a turn of the loop handles messages."""
    threading.Event().wait(stream_transport.TURN_S * 1.5)
    return True


@pytest.mark.parametrize(
    ("what", "kind"),
    [({"signal_shutdown": True}, ActorExitRequest), ({"check_children": True}, ChildMayHaveDied)],
)
def test_a_signal_wakes_the_loop(ends, what, kind):
    (a,) = ends(1)
    before = signal.signal(signal.SIGALRM, lambda *_: a.transport.interrupt_wait(**what))
    a.handle = lambda envelope: a.received.append((envelope.sender, envelope.message))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        a.transport.run(a.handle, timedelta(seconds=patient(5)))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert [type(message) for message in a.messages] == [kind]


@pytest.mark.parametrize(("drain", "sent"), [(True, [("last", SENT)]), (False, [])])
def test_a_run_that_is_aborted_may_first_send_what_waits(ends, drain, sent):
    a, b = connected(*ends())

    def abort(_envelope):
        a.transport.abort_run(drain)
        a.send(b.address, "last")
        return True

    a.handle = abort
    b.send(a.address, "begin")
    b.run()
    with running(b) if drain else nullcontext():
        result = a.transport.run(a.handle, timedelta(seconds=patient(5)))
    assert isinstance(result, Thespian__Run_Terminated)
    assert a.ended[1:] == sent


def test_transmit_only_returns_when_all_is_acknowledged_and_keeps_what_comes(ends):
    a, b = connected(*ends())
    b.send(a.address, "meanwhile")
    b.run()
    for handler in (TransmitOnly, TransmitOnly()):
        a.send(b.address, "x")
        assert a.transport.run(handler, timedelta(seconds=0.01)) is None
        b.run(), b.run()
        assert a.transport.run(handler, timedelta(seconds=patient(5))) == 0
    assert a.messages == ["back"]
    a.run()
    assert a.messages == ["back", "meanwhile"]


# Descriptors


def test_the_descriptors_of_a_parent_are_closed_in_its_child_once(ends):
    a, b = connected(*ends())
    fds = [
        fd
        for each in (a.transport, b.transport)
        for fd in (*each._listening, *each._bell, *each._streams)
    ]

    def link(fd):
        return os.path.realpath(f"/proc/self/fd/{fd}")

    before = {link(fd) for fd in fds}

    def work():
        with made_ends() as others:
            connected(*others())
            others(1)  # Makes another transport, which must not close those of the first.
            after = {link(fd) for fd in range(100)}
            c, d = others()
            connected(c, d)
            os._exit(bool(before & after))

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(patient(10))
    assert child.exitcode == 0
    a.send(b.address, "still")
    turn(a, b, until=lambda: b.messages[-1] == "still")


@contextmanager
def no_descriptor_left():
    """As in a process that may open no more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = [os.open("/dev/null", os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[0] + 1, before[1]))
    with suppress(OSError):
        while True:
            fillers.append(os.open("/dev/null", os.O_RDONLY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in fillers:
            os.close(each)


@pytest.mark.parametrize("accepts", [False, True])
def test_too_many_connections_make_room_for_others(ends, accepts):
    """Of those that are not in use; messages go on."""
    a, *others = ends(12)
    for each in others[:10]:
        connected(a, each)
    turn(a, *others[:10], until=lambda: not any(each.in_use for each in a.streams))
    new = others[10]
    if accepts:
        new.send(a.address, "x")
        new.run()
    else:
        a.send(new.address, "x")
    with no_descriptor_left():
        a.run()
    assert len(a.streams) == 8
    turn(a, *others, until=lambda: (a if accepts else new).messages[-1:] == ["x"])
    a.send(others[0].address, "again")
    turn(a, others[0], until=lambda: others[0].messages[-1] == "again")


def test_connections_in_use_are_not_closed_to_make_room(ends):
    a, b, c, new = ends(4)
    connected(a, b), connected(a, c)
    turn(a, b, c, until=lambda: not any(each.in_use for each in a.streams))
    a.send(c.address, "unacknowledged")
    with raw(a):
        turn(a, until=lambda: len(a.streams) == 3)
        a.send(new.address, "x")
        with no_descriptor_left():
            a.run()
        assert {each.key and each.key[1] for each in a.streams} == {None, c.port, new.port}


def test_it_does_not_spin_while_no_descriptor_is_left(ends):
    (a,) = ends(1)
    with raw(a), no_descriptor_left(), c_calls() as calls:
        began = time.monotonic()
        a.run(0.05)
    assert calls["poll", "poll"] < 10
    assert time.monotonic() - began < patient(0.9)
    assert a.streams == []


@pytest.mark.parametrize(
    ("error", "made", "left"),
    [(errno.EMFILE, 2, 0), (errno.ENFILE, 2, 0), (errno.EACCES, 1, 1), (errno.EAGAIN, 1, 1)],
)
def test_only_for_lack_of_a_descriptor_a_connection_is_closed(ends, error, made, left):
    a, b = connected(*ends())
    turn(a, b, until=lambda: not any(each.in_use for each in a.streams))

    def make(*arguments):
        asked.append(arguments)
        raise OSError(error, "as asked")

    asked = []
    with pytest.raises(OSError, match="as asked"):
        a.transport._with_room(make, 1, 2)
    assert (asked, len(a.streams)) == ([(1, 2)] * made, left)


def raw(end):
    connection = socket.create_connection(("127.0.0.1", end.port))
    connection.settimeout(patient(5))
    return closing(connection)


# Strangers


def what_ends(connection, end, turns=200):
    """How the end leaves the connection."""
    connection.settimeout(0)
    for _turn in range(turns):
        end.run()
        try:
            if not connection.recv(100):
                return "closed"
        except BlockingIOError:
            continue
        except ConnectionResetError:
            return "reset"
    return "open"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not a sealed frame"),
        (b"G", "not a sealed frame"),
        (b"CBF1" + bytes(200), "not a sealed frame"),
        (b"CBF2" + bytes(16) + bytes(32), "wrong seal"),
    ],
)
def test_one_without_the_key_is_refused_before_anything_else_is_read(ends, logged, data, reason):
    (a,) = ends(1)
    with raw(a) as connection:
        connection.send(data)
        assert what_ends(connection, a) in ("closed", "reset")
        host, port = connection.getsockname()
    assert (a.received, a.streams) == ([], [])
    assert logged == [
        {
            "event": "stranger_refused",
            "log_level": "warning",
            "reason": reason,
            "peer": f"{host}:{port}",
            "unmentioned": 0,
        }
    ]


def test_a_proof_of_another_key_or_connection_is_refused(ends, logged):
    (a,) = ends(1)
    for key in (KEY, OTHER_KEY):
        with raw(a) as connection:
            connection.send(b"CBF2" + b"n" * 16)
            turn(a, until=lambda c=connection: readable(c))
            nonces = b"n" * 16 + connection.recv(52)[4:20]
            side = b"listener" if key == KEY else b"connector"
            connection.send(proof(key, side, nonces))
            assert what_ends(connection, a) == "closed"
    assert (a.received, a.streams) == ([], [])


def test_a_proof_and_frames_may_come_in_pieces(ends):
    (a,) = ends(1)
    with Client(a, KEY) as client:
        whole = client.frame(pickle.dumps("in pieces"))
        for byte in whole[:-1]:
            client.connection.send(bytes([byte]))
            a.run()
        assert a.received == []
        client.connection.send(whole[-1:])
        turn(a, until=lambda: a.received)
    assert a.received == [(ELSEWHERE, "in pieces")]


@pytest.mark.parametrize(
    ("differs", "reason"),
    [
        ({"number": 0}, "wrong seal"),
        ({"number": 5}, "wrong seal"),
        ({"received": 1}, "wrong acknowledgement"),
        ({"length": 4_000_001}, "frame too large"),
    ],
)
def test_a_frame_that_is_changed_or_sent_again_ends_the_connection(ends, logged, differs, reason):
    (a,) = ends(1)
    with Client(a, KEY) as client:
        client.send(pickle.dumps("first"))
        turn(a, until=lambda: a.received)
        client.send(pickle.dumps("second"), **differs)
        assert what_ends(client.connection, a) in ("closed", "reset")
    assert a.messages == ["first"]
    assert [event["reason"] for event in logged] == [reason]


@pytest.mark.parametrize("first", [pickle.dumps("no address"), b"no pickle"])
def test_one_that_does_not_say_its_address_first_is_refused(ends, logged, first):
    (a,) = ends(1)
    with Client(a, KEY, address=None) as client:
        client.send(first)
        assert what_ends(client.connection, a) in ("closed", "reset")
    assert (a.received, logged[-1]["reason"]) == ([], "no address")


def test_a_frame_with_another_payload_ends_the_connection(ends):
    (a,) = ends(1)
    with Client(a, KEY) as client:
        whole = client.frame(pickle.dumps(b"xx"))
        client.connection.send(whole.replace(b"xx", b"xy"))
        assert what_ends(client.connection, a) in ("closed", "reset")
    assert a.received == []


def test_a_listener_without_the_key_gets_no_message(ends, strange, logged):
    (a,) = ends(1)
    a.send(strange.address, b"secret")
    for answer in (b"18>ACK", b"CBF2" + bytes(48)):
        with strange.accept(a) as peer:
            got = peer.recv(1000)
            assert (got[:4], len(got)) == (b"CBF2", 20)
            peer.send(answer)
            assert what_ends(peer, a) in ("closed", "reset")
    assert a.ended == []
    assert logged[0]["event"] == "stranger_refused"


def test_of_too_many_strangers_the_oldest_is_reset(ends, logged):
    (a,) = ends(1)
    with raw(a) as first, raw(a), raw(a), raw(a):
        turn(a, until=lambda: logged)
        assert len(a.streams) == 3
        assert what_ends(first, a) == "reset"
        with Client(a, KEY) as client:
            client.send(pickle.dumps("x"))
            turn(a, until=lambda: a.received)
    assert logged[0]["reason"] == "too many connections without a proof of the key"


def test_one_that_proves_nothing_in_time_is_reset(ends, logged):
    (a,) = ends(1)
    with raw(a) as connection:
        connection.send(b"CBF2")
        turn(a, until=lambda: a.streams)
        assert what_ends(connection, a, turns=3) == "open"
        a.streams[0].due -= 60
        assert what_ends(connection, a) == "reset"
    assert [event["reason"] for event in logged] == ["no proof of the key in time"]


@pytest.mark.parametrize(("key", "verdict"), [(KEY, "ours"), (OTHER_KEY, "stranger")])
def test_a_probe_knows_a_port_by_its_key(ends, key, verdict):
    (a,) = ends(1)
    found = []
    asking = threading.Thread(
        target=lambda: found.append(probe("127.0.0.1", a.port, key, patient(5)))
    )
    asking.start()
    turn(a, until=lambda: found, most=5000)
    asking.join()
    assert (found, a.received) == ([verdict], [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_connects_by_tcp_only(ends, logged):
    """Its kind of socket decides whether frames are sealed; with the key it may send."""
    (a,) = ends(1)

    def work():
        os.setgroups([])
        os.setresgid(*[UNPRIVILEGED] * 3)
        os.setresuid(*[UNPRIVILEGED] * 3)
        with socket.socket(socket.AF_UNIX) as direct:
            direct.settimeout(patient(5))
            direct.connect(a.transport._name(a.transport._key))
            refused = direct.recv(1) == b""
        with made_ends() as others:
            (b,) = others(1)
            b.send(a.address, "by TCP", waits=True)
            turn(b, until=lambda: b.ended, most=5000)
            family = b.streams[0].socket.family
            os._exit(not (refused and family == socket.AF_INET and b.ended == [("by TCP", SENT)]))

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    turn(a, until=lambda: not child.is_alive(), most=10_000)
    assert child.exitcode == 0
    assert a.messages == ["by TCP"]
    assert logged[0]["reason"] == "another user"


def test_without_a_key_there_is_no_transport(ends):
    sealed_transport.unseal()
    with pytest.raises(RuntimeError, match="was not called in this process"):
        ends(1)


def test_refusals_are_logged_once_in_ten_seconds(logged, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for seconds in (0.0, 9.0, 0.9, 0.1, 9.9, 0.1):
        now[0] += seconds
        stream.complain("wrong seal", "a")
    assert [event["unmentioned"] for event in logged] == [0, 2, 1]
