"""Sealed ports in one process: what they exchange, and what they refuse of others."""

import hashlib
import hmac
import multiprocessing
import os
import pickle
import socket
import struct
import threading
import time
from contextlib import closing

import pytest
import structlog
from thespian.system.timing import ExpirationTimer, currentTime
from thespian.system.transport import IPBase, SendStatus, TransmitIntent

from callboard.adapters.local import sealed_transport
from callboard.adapters.local.sealed_transport import FrameTooLargeError, Limits, probe
from support.ends import Counted, made_ends, stranger, turn
from support.patience import patient

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
LIMITS = Limits(max_frame_bytes=2_000_000, first_header_s=60.0, strangers=3)
SENT = SendStatus.Sent


@pytest.fixture(autouse=True)
def sealed():
    sealed_transport._forget_complaints()
    sealed_transport.seal(KEY, limits=LIMITS)
    yield
    sealed_transport.unseal()


@pytest.fixture
def ends():
    with made_ends() as ends:
        yield ends


@pytest.fixture
def strange():
    with stranger() as strange:
        yield strange


@pytest.fixture
def logged():
    with structlog.testing.capture_logs() as logged:
        yield logged


def frame(payload, key=KEY, length=None, magic=b"CBF1", payload_key=None):
    """As the module describes it: magic, length, seal of the payload, seal of these, payload."""

    def seal(data, by):
        return hmac.new(by, data, hashlib.sha256).digest()

    length = len(payload) if length is None else length
    claim = magic + struct.pack(">Q", length) + seal(payload, payload_key or key)
    return claim + seal(claim, key) + payload


def client(end):
    connection = socket.create_connection(end.transport.socket.getsockname())
    connection.settimeout(patient(5))
    return closing(connection)


def what_ends(connection, end, turns=200):
    """How the end leaves the connection."""
    connection.settimeout(0)
    for _turn in range(turns):
        end.run()
        try:
            return connection.recv(100) or "closed"
        except BlockingIOError:
            continue
        except ConnectionResetError:
            return "reset"
    return "open"


@pytest.mark.parametrize("size", [10, 40_000, 1_500_000])
def test_messages_of_all_sizes_arrive(ends, size):
    a, b = ends()
    a.send(b.address, bytes(size), "second")
    b.send(a.address, "back")
    turn(a, b, until=lambda: len(a.ended) == 2 and b.ended)
    assert b.received == [(a.address, bytes(size)), (a.address, "second")]
    assert a.messages == ["back"]
    assert {status for _message, status in a.ended + b.ended} == {SENT}


def test_a_message_beyond_the_limit_is_not_sent(ends):
    a, b = ends()
    with pytest.raises(FrameTooLargeError, match="at most 2000000 can be sent"):
        a.send(b.address, bytes(2_000_000))


def test_the_largest_frame_is_one_of_that_size():
    payload = b"x" * (2_000_000 - len(pickle.dumps(b"x" * 1_000_000)) + 1_000_000)
    assert len(sealed_transport._to_frame(payload)) == 2_000_000 + 4 + 8 + 32 + 32
    with pytest.raises(FrameTooLargeError):
        sealed_transport._to_frame(payload + b"x")


def test_it_listens_where_it_is_said_and_a_clone_does_too(ends):
    (a,) = ends(1)
    clone = a.transport.external_transport_clone()
    with closing(clone.socket):
        assert {each.getsockname()[0] for each in (a.transport.socket, clone.socket)} == {
            "127.0.0.1"
        }
        assert type(clone) is type(a.transport)


def test_without_a_key_nothing_is_sent():
    sealed_transport.unseal()
    with pytest.raises(RuntimeError, match=r"seal\(\) was not called"):
        sealed_transport._to_frame("x")


def test_the_address_of_the_ports_is_local_while_they_are_sealed():
    sealed_transport.seal(KEY, bind="127.0.0.9")
    assert os.environ["THESPIAN_BASE_IPADDR"] == "127.0.0.9"
    assert IPBase.thisSystem.isSameSystem(("127.0.0.9", 1), ("127.0.0.1", 2))
    sealed_transport.unseal()
    assert "THESPIAN_BASE_IPADDR" not in os.environ


def message(end, content="x"):
    """The payload of a message to itself, as Thespian makes it."""
    return pickle.dumps(
        pickle.loads(end.transport.serializer(TransmitIntent(end.address, content))[76:])
    )


def test_a_frame_may_come_in_pieces(ends):
    (a,) = ends(1)
    whole = frame(message(a, "in pieces"))
    with client(a) as connection:
        for begin, end in ((0, 3), (3, 60), (60, 76), (76, 80), (80, len(whole))):
            assert a.received == []
            connection.send(whole[begin:end])
            a.run(), a.run()
        assert a.messages == ["in pieces"]
        assert connection.recv(200) == frame(pickle.dumps("ACK"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not a sealed frame"),
        (b"G", "not a sealed frame"),
        (frame(b"x", magic=b"CBF2"), "not a sealed frame"),
        (frame(b"x", key=OTHER_KEY), "wrong seal"),
        (frame(b"x", payload_key=OTHER_KEY), "wrong seal"),
        (frame(b"x" * 10)[:-1] + b"y", "wrong seal"),
        (frame(b"x") + b"surplus", "wrong seal"),
        (frame(b"", length=2_000_001), "frame too large"),
    ],
)
def test_what_is_not_sealed_is_refused_and_closed(ends, logged, data, reason):
    (a,) = ends(1)
    with client(a) as connection:
        connection.send(data)
        assert what_ends(connection, a) in ("closed", "reset")
        host, port = connection.getsockname()
    assert (a.received, a.transport._incomingSockets) == ([], {})
    assert logged == [
        {
            "event": "stranger_refused",
            "log_level": "warning",
            "reason": reason,
            "peer": f"{host}:{port}",
            "unmentioned": 0,
        }
    ]


def test_a_frame_may_announce_as_much_as_the_limit(ends, logged):
    (a,) = ends(1)
    with client(a) as connection:
        connection.send(frame(b"", length=2_000_000))
        assert what_ends(connection, a, turns=3) == "open"
    assert logged == []


def test_a_frame_that_is_there_is_read_in_one_turn(ends):
    (a,) = ends(1)
    a.goes_on = False
    counted = a.transport.readiness = Counted(a.transport.socket.fileno())
    a.transport.looked_at_s = currentTime()
    with client(a) as connection:
        connection.sendall(frame(message(a, bytes(100_000))))
        a.run(patient(5))
    assert a.messages == [bytes(100_000)]
    assert counted.waits == 2  # for the connection, and for the frame


def test_a_message_right_behind_an_acknowledgement_is_kept(ends, strange):
    (a,) = ends(1)
    a.send(strange.address, "x")
    with strange.accept(a) as peer:
        peer.recv(1000)
        peer.send(frame(pickle.dumps("ACK")) + frame(message(a, "next")))
        turn(a, until=lambda: a.received)
    assert (a.ended, a.messages) == ([("x", SENT)], ["next"])


def test_the_port_of_a_parent_is_closed_in_its_child(ends):
    (a,) = ends(1)
    inherited = a.transport.socket.fileno()

    def work():
        with made_ends() as others:
            others(1)
            found = os.path.realpath(f"/proc/self/fd/{inherited}")
            os._exit(found == before)

    before = os.path.realpath(f"/proc/self/fd/{inherited}")
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(patient(10))
    assert child.exitcode == 0
    assert a.transport.socket.fileno() == inherited


def test_refusals_are_logged_once_in_ten_seconds(logged, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for seconds in (0.0, 9.0, 0.9, 0.1, 9.9, 0.1):
        now[0] += seconds
        sealed_transport._complain("wrong seal", "a")
    assert [event["unmentioned"] for event in logged] == [0, 2, 1]


def test_what_cannot_be_unpickled_is_dropped(ends, logged):
    (a,) = ends(1)
    with client(a) as connection:
        connection.send(frame(b"no pickle"))
        what_ends(connection, a)
    assert a.received == []
    assert [event["event"] for event in logged] == ["actor_message_undecodable"]
    assert "UnpicklingError" in logged[0]["error"]


def test_of_too_many_strangers_the_oldest_is_reset(ends, logged):
    (a,) = ends(1)
    with client(a) as first, client(a) as second, client(a) as third, client(a) as fourth:
        for _client in range(4):
            a.transport._acceptNewIncoming()
        assert len(a.transport._incomingSockets) == 3
        assert what_ends(first, a) == "reset"
        for kept in (second, third, fourth):
            kept.send(frame(message(a)))
        turn(a, until=lambda: len(a.received) == 3)
    assert [event["reason"] for event in logged] == ["too many connections without a sealed frame"]


def test_one_that_has_sent_a_sealed_header_is_no_stranger(ends, logged):
    (a,) = ends(1)
    whole = frame(message(a))
    with client(a) as first:
        first.send(whole[:80])
        turn(a, until=lambda: a.transport._incomingSockets)
        a.run()
        with client(a), client(a), client(a):
            turn(a, until=lambda: len(a.transport._incomingSockets) == 4)
            first.send(whole[80:])
            turn(a, until=lambda: a.received)
    assert logged == []


def test_one_that_sends_no_header_in_time_is_reset(ends, logged):
    (a,) = ends(1)
    with client(a) as connection:
        turn(a, until=lambda: a.transport._incomingSockets)
        (incoming,) = a.transport._incomingSockets.values()
        assert 50 < incoming.delay().total_seconds() <= 60
        a.look()
        assert what_ends(connection, a, turns=3) == "open"
        incoming._expires = ExpirationTimer(0)
        a.look()
        assert what_ends(connection, a) == "reset"
    assert [event["reason"] for event in logged] == ["no sealed frame in time"]


def test_after_its_header_a_frame_may_take_as_long_as_thespian_allows(ends):
    (a,) = ends(1)
    whole = frame(message(a))
    with client(a) as connection:
        connection.send(whole[:80])
        turn(a, until=lambda: a.transport._incomingSockets)
        a.run(), a.run()
        (incoming,) = a.transport._incomingSockets.values()
        assert incoming.delay().total_seconds() > 60
        connection.send(whole[80:])
        turn(a, until=lambda: a.received)


def test_an_acknowledgement_that_is_not_sealed_is_refused(ends, logged, strange):
    (a,) = ends(1)
    a.send(strange.address, "x")
    with strange.accept(a) as peer:
        peer.recv(1000)
        peer.send(b"18>ACK")
        turn(a, until=lambda: logged)
    assert a.ended == []
    assert (logged[0]["reason"], logged[0]["event"]) == ("not a sealed frame", "stranger_refused")


@pytest.mark.parametrize(("key", "verdict"), [(KEY, "ours"), (OTHER_KEY, "stranger")])
def test_a_probe_knows_a_port_by_its_key(ends, key, verdict):
    (a,) = ends(1)
    found = []
    host, port = a.transport.socket.getsockname()
    asking = threading.Thread(target=lambda: found.append(probe(host, port, key, patient(5))))
    asking.start()
    end = time.monotonic() + patient(5)
    while not found and time.monotonic() < end:
        a.run()
    asking.join()
    assert (found, a.received) == ([verdict], [])


def ends_at_once(connection):
    connection.recv(1000)


def resets(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answers(payload, key=KEY):
    def answer(connection):
        asked = connection.recv(1000)
        nonce = asked[-16:]
        assert asked == frame(b"callboard probe " + nonce)
        whole = frame(payload.replace(b"NONCE", nonce), key)
        for part in (whole[:5], whole[5:]):
            connection.sendall(part)
        connection.recv(1)  # until it has hung up

    return answer


@pytest.mark.parametrize(
    ("behaviour", "verdict"),
    [
        (answers(b"callboard answer NONCE"), "ours"),
        (answers(b"callboard answer " + bytes(16)), "stranger"),
        (answers(b"callboard answer NONCE", OTHER_KEY), "stranger"),
        (ends_at_once, "stranger"),
        (resets, "silent"),
    ],
)
def test_a_probe_judges_by_what_comes_back(behaviour, verdict):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _address = server.accept()
            with closing(connection):
                behaviour(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        assert probe(*server.getsockname(), KEY, patient(5)) == verdict
        thread.join()


def test_a_probe_of_a_port_without_a_listener_and_of_one_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        assert probe(*server.getsockname(), KEY, 0.05) == "silent"
        assert 0.05 <= time.monotonic() - began < patient(5)
        place = server.getsockname()
    assert probe(*place, KEY) == "absent"
