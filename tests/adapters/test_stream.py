"""One stream, and a kernel that takes and gives the bytes that the test says."""

import hmac
import os
import pickle
import socket
import struct

import pytest
import structlog
from thespian.actors import ActorAddress
from thespian.system import utilis
from thespian.system.transport import SendStatus, TransmitIntent

from callboard.adapters.local import stream as streams
from callboard.adapters.local.stream import Limits, Sealing, StrangerError, Stream, trusted
from support.streams import ELSEWHERE, proof

KEY = bytes(range(32))
LIMITS = Limits(max_frame_bytes=1_000_000, first_header_s=30.0)
SENT, BAD = SendStatus.Sent, SendStatus.BadPacket
THEIRS = b"n" * 16
HEAD = struct.Struct("<IQ")
UNMENTIONED = streams._unmentioned  # when nothing was refused yet


class Kernel:
    """A connection to a process of this user. `room`: bytes that it takes before it is full;
    `most`: in one call. `closed`: the peer has closed it."""

    def __init__(self, family=socket.AF_UNIX, uid=None):
        self.family, self.uid = family, os.geteuid() if uid is None else uid
        self.room = self.most = 10**9
        self.calls, self.written, self.coming, self.closed = [], b"", b"", False

    def fileno(self):
        return 5

    def getsockopt(self, *wanted):
        assert wanted == (socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.pack("3i", 1, self.uid, self.uid + 1)  # unix(7): process, user, group

    def sendmsg(self, buffers):
        data = b"".join(buffers)[: min(self.room, self.most)]
        if not data:
            raise BlockingIOError
        self.calls.append([len(each) for each in buffers])
        self.room -= len(data)
        self.written += data
        return len(data)

    def recv(self, most):
        if not self.coming and not self.closed:
            raise BlockingIOError
        data, self.coming = self.coming[:most], self.coming[most:]
        return data

    def recv_into(self, buffer):
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def taken(self):
        data, self.written = self.written, b""
        return data


def frame(payload=b"", taken=0, *, asks=False, refuses=False):
    """As on a Unix socket; the flags are the two highest bits of the length."""
    return HEAD.pack(len(payload) | asks << 31 | refuses << 30, taken) + payload


class Talk:
    """A stream that has proved the key to its peer; what it writes, and what arrived."""

    def __init__(self, connector=True, family=socket.AF_UNIX):
        self.ended, self.arrived = [], []
        self.kernel = Kernel(family)
        self.sealing = Sealing(KEY, "127.0.0.1", LIMITS)
        address = ELSEWHERE if connector else None
        self.stream = Stream(self.sealing, b"an own address", self.ended, address)
        if connector:
            self.open()
            nonces = self.wrote()[4:] + THEIRS
            self.comes(b"CBF2" + THEIRS + proof(KEY, b"listener", nonces))
            self.greeting = self.wrote()
        else:
            self.stream.accept(self.kernel)
            self.comes(b"CBF2" + THEIRS)
            self.greeting = self.wrote()
            nonces = THEIRS + self.greeting[4:20]
            self.comes(proof(KEY, b"connector", nonces))
        self.nonces = nonces

    def open(self):
        """Use the connection, which is made at once."""
        self.stream.open(self.kernel)
        self.stream.connecting = False

    def comes(self, data, take=True):
        """What the peer writes is read; the messages are `take`n at once, or are not."""
        self.kernel.coming += data
        self.read()
        if take:
            self.stream.taken = self.stream.arrived

    def read(self):
        while self.stream.read(bytearray(1000), self._arrived):
            pass

    def _arrived(self, stream, message):
        assert stream is self.stream
        self.arrived.append(message)

    def send(self, *payloads, waits=None):
        for payload in payloads:
            intent = TransmitIntent(ELSEWHERE, payload, waits)
            intent.serMsg = payload
            self.stream.send(intent)

    def wrote(self):
        self.stream.flush()
        return self.kernel.taken()

    def results(self):
        return [(intent.message, status) for intent, status in self.ended]


@pytest.fixture(params=["connector", "listener"])
def talk(request):
    found = Talk(request.param == "connector")
    if request.param == "listener":
        found.comes(frame(pickle.dumps(ELSEWHERE)))
    return found


@pytest.fixture(autouse=True)
def complaints():
    streams.forget_complaints()


# The protocol


def test_a_connector_proves_the_key_after_the_listener_and_says_its_address():
    talk = Talk()
    assert talk.greeting == proof(KEY, b"connector", talk.nonces) + frame(b"an own address")
    assert (talk.stream.proven, talk.stream.is_stranger) == (True, False)


def test_a_listener_proves_the_key_first_and_learns_the_address_of_its_peer():
    talk = Talk(connector=False)
    assert talk.greeting == b"CBF2" + talk.nonces[16:] + proof(KEY, b"listener", talk.nonces)
    assert (talk.stream.address, talk.stream.key) == (None, None)
    talk.comes(frame(pickle.dumps(ELSEWHERE)))
    assert (talk.stream.address, talk.stream.key) == (ELSEWHERE, ("127.0.0.1", 9))
    assert (talk.arrived, talk.stream.arrived, talk.wrote()) == ([], 0, b"")


def test_a_peer_that_has_not_proved_the_key_in_time_is_due():
    stream = Stream(Sealing(KEY, "127.0.0.1", LIMITS), b"", [])
    stream.accept(Kernel())
    assert stream.is_stranger
    assert stream.due == stream.since + 30.0
    assert Talk(connector=False).stream.due == float("inf")


@pytest.mark.parametrize("connector", [True, False])
def test_frames_by_tcp_are_sealed_with_their_number_by_a_key_for_each_way(connector):
    talk = Talk(connector, socket.AF_INET)
    own, other = (b"connector", b"listener") if connector else (b"listener", b"connector")

    def sealed(side, number, plain):
        key = proof(KEY, side + b"'s frames", talk.nonces)
        data = number.to_bytes(8, "little") + plain
        return plain[:12] + hmac.digest(key, data, "sha256") + plain[12:]

    if connector:
        said = proof(KEY, b"connector", talk.nonces) + sealed(own, 0, frame(b"an own address"))
        assert talk.greeting == said
    else:
        talk.comes(sealed(other, 0, frame(pickle.dumps(ELSEWHERE))))
    talk.send(b"one", b"two")
    first = int(connector)
    wanted = [frame(payload) for payload in (b"one", b"two")]
    assert talk.wrote() == b"".join(sealed(own, n, f) for n, f in enumerate(wanted, first))
    come = [frame(pickle.dumps(number)) for number in (1, 2)]
    talk.comes(b"".join(sealed(other, n, f) for n, f in enumerate(come, 1 - first)))
    assert talk.arrived == [1, 2]
    with pytest.raises(StrangerError, match="wrong seal"):
        talk.comes(sealed(other, 0, frame(pickle.dumps(3))))
    assert talk.arrived == [1, 2]


@pytest.mark.parametrize("piece", [1, 19, 33])
@pytest.mark.parametrize("connector", [True, False])
def test_a_proof_may_come_in_pieces_and_be_followed_by_frames(connector, piece):
    sealing = Sealing(KEY, "127.0.0.1", LIMITS)
    talk = Talk(connector)
    talk.kernel = Kernel()
    talk.stream = Stream(sealing, b"", [], ELSEWHERE if connector else None)
    if connector:
        talk.open()
        data = b"CBF2" + THEIRS + proof(KEY, b"listener", talk.wrote()[4:] + THEIRS)
    else:
        talk.stream.accept(talk.kernel)
        talk.comes(b"CBF2" + THEIRS)
        data = proof(KEY, b"connector", THEIRS + talk.wrote()[4:20])
        data += frame(pickle.dumps(ELSEWHERE))
    data += frame(pickle.dumps("followed"))
    while data:
        assert talk.arrived == []
        talk.comes(data[:piece])
        data = data[piece:]
    for _read in range(5):
        talk.read()
    assert talk.arrived == ["followed"]


def test_nothing_but_the_proof_is_read_before_it_is_checked():
    stream = Stream(Sealing(KEY, "127.0.0.1", LIMITS), b"", [])
    kernel = Kernel()
    stream.accept(kernel)
    kernel.coming = bytes(1000)
    with pytest.raises(StrangerError, match="not a sealed frame"):
        stream.read(bytearray(1000), print)
    assert len(kernel.coming) == 980


def test_a_peer_that_ends_the_connection_is_noticed_wherever_it_does():
    talk = Talk()
    whole = frame(pickle.dumps(bytes(100)))
    for sent in (b"", whole[:5], whole[:50], whole):
        talk = Talk()
        talk.comes(sent)
        talk.kernel.closed = True
        with pytest.raises(EOFError):
            talk.read()
        assert len(talk.arrived) == (sent == whole)
    for sent in (b"", b"CB"):
        stream = Stream(talk.sealing, b"", [])
        stream.accept(kernel := Kernel())
        kernel.coming, kernel.closed = sent, True
        with pytest.raises(EOFError):
            for _read in range(3):
                stream.read(bytearray(100), print)


# Sending


@pytest.mark.parametrize("most", [1, 5, 12, 15, 16, 100, 30_000, 10**9])
def test_what_is_written_in_parts_is_whole(talk, most):
    talk.kernel.most = most
    payloads = [b"abc", b"", b"d" * 9000, b"e", bytes(range(256)) * 100, b"f"]
    talk.send(*payloads)
    assert talk.wrote() == b"".join(map(frame, payloads))
    assert not talk.stream.blocked


def test_a_full_connection_goes_on_where_it_was(talk):
    payloads = [b"abc", b"d" * 9000, b"e"]
    talk.send(*payloads)
    written = b""
    for room in (0, 10, 5, 12, 0, 8000, 2000):
        talk.kernel.room = room
        written += talk.wrote()
        assert talk.stream.blocked is (len(written) < 9040)
    assert written == b"".join(map(frame, payloads))


@pytest.mark.parametrize(
    ("size", "buffers"), [(1, [13]), (8191, [8203]), (8192, [12, 8192]), (9000, [12, 9000])]
)
def test_a_payload_of_less_than_8_kilobytes_is_copied_behind_its_head(talk, size, buffers):
    talk.kernel.calls.clear()
    talk.send(bytes(size))
    talk.stream.flush()
    assert talk.kernel.calls == [buffers]


@pytest.mark.parametrize(("size", "made"), [(65_523, 3), (65_524, 2), (131_060, 1), (131_059, 2)])
def test_frames_are_made_while_fewer_than_128_kilobytes_wait(talk, size, made):
    """With their heads of 12 bytes."""
    talk.kernel.room = 0
    talk.send(*[bytes(size)] * 4)
    talk.stream.flush()
    assert (len(talk.stream.unacknowledged), len(talk.stream.waiting)) == (made, 4 - made)
    assert talk.stream.waiting_bytes == (4 - made) * size
    talk.kernel.room = 10**9
    assert talk.wrote() == frame(bytes(size)) * 4
    assert talk.stream.waiting_bytes == 0


def test_nothing_is_written_before_the_connection_is_made():
    stream = Stream(Sealing(KEY, "127.0.0.1", LIMITS), b"", [], ELSEWHERE)
    kernel = Kernel()
    stream.open(kernel)
    stream.flush()
    assert (kernel.written, stream.blocked) == (b"", True)
    stream.connecting = False
    stream.flush()
    assert (kernel.written[:4], len(kernel.written), stream.blocked) == (b"CBF2", 20, False)


def test_no_message_is_written_before_the_key_is_proved():
    talk = Talk()
    stream = Stream(talk.sealing, b"", [], ELSEWHERE)
    stream.open(kernel := Kernel())
    stream.connecting = False
    intent = TransmitIntent(ELSEWHERE, b"secret")
    intent.serMsg = b"secret"
    stream.send(intent)
    stream.flush()
    assert len(kernel.written) == 20
    assert (len(stream.waiting), stream.outstanding) == (1, True)


def test_messages_whose_time_is_over_are_forgotten_and_take_no_room(talk):
    talk.send(b"sent", b"late")
    talk.stream.flush()
    talk.send(b"to be sent", b"late, too")
    all_of_it = (*talk.stream.unacknowledged, *talk.stream.waiting)
    talk.stream.drop({each for each in all_of_it if each.message.startswith(b"late")})
    assert [each.message for each in talk.stream.unacknowledged] == [b"sent"]
    assert [each.message for each in talk.stream.waiting] == [b"to be sent"]
    assert talk.stream.waiting_bytes == len(b"to be sent")


# Acknowledgements


def test_a_frame_says_how_many_messages_were_taken_and_whether_its_sender_waits(talk):
    talk.send(b"a")
    talk.send(b"b", waits=print)
    talk.comes(frame(pickle.dumps(1)) * 2)
    assert talk.wrote() == frame(b"a", 2) + frame(b"b", 2, asks=True)
    intent = TransmitIntent(ELSEWHERE, b"c").addCallback()  # as Thespian chains them
    intent.serMsg = b"c"
    talk.stream.send(intent)
    talk.stream.acknowledge()
    talk.stream.acknowledge(refuses=True)
    talk.stream.acknowledge(asks=True)
    talk.send(b"d")
    assert talk.wrote() == (
        frame(taken=2)
        + frame(taken=2, refuses=True)
        + frame(taken=2, asks=True)
        + frame(b"c", 2, asks=True)
        + frame(b"d", 2)
    )


def test_it_is_known_whether_the_peer_was_asked_about_all_messages(talk):
    talk.send(b"a")
    talk.stream.flush()
    assert not talk.stream.has_asked
    talk.stream.acknowledge()
    assert not talk.stream.has_asked
    talk.stream.acknowledge(asks=True)
    talk.stream.acknowledge()
    assert talk.stream.has_asked
    talk.send(b"b")
    talk.stream.flush()
    assert not talk.stream.has_asked


def test_messages_end_when_they_are_acknowledged_in_their_order(talk):
    talk.send(*[b"%d" % number for number in range(6)])
    talk.stream.flush()
    talk.stream.tries = 3
    talk.comes(frame(taken=0))
    assert (talk.results(), talk.stream.tries) == ([], 3)
    talk.comes(frame(taken=1))
    assert (talk.results(), talk.stream.tries) == ([(b"0", SENT)], 0)
    talk.comes(frame(taken=1) + frame(taken=3, refuses=True))
    assert talk.results()[1:] == [(b"1", SENT), (b"2", BAD)]
    assert talk.stream.outstanding
    talk.comes(frame(pickle.dumps(0), taken=6))
    assert talk.results()[3:] == [(b"3", SENT), (b"4", SENT), (b"5", SENT)]
    assert not talk.stream.outstanding


@pytest.mark.parametrize("taken", [0, 1, 4, 2**63])
def test_an_acknowledgement_of_messages_that_were_not_sent_is_a_strangers(talk, taken):
    talk.send(b"a", b"b", b"c")
    talk.stream.flush()
    talk.comes(frame(taken=2))
    with pytest.raises(StrangerError, match="wrong acknowledgement"):
        talk.comes(frame(taken=taken))
    assert len(talk.results()) == 2


def test_64_messages_are_acknowledged_at_once(talk):
    talk.comes(frame(pickle.dumps(0)) * 63)
    assert not talk.stream.owes
    talk.comes(frame(pickle.dumps(0)), take=False)
    assert not talk.stream.owes
    talk.stream.taken += 1
    assert talk.stream.owes
    talk.stream.acknowledge()
    assert not talk.stream.owes
    assert talk.wrote() == frame(taken=64)


def pickled(size):
    """A message of so many bytes."""
    payload = pickle.dumps(b"x" * (2 * size - len(pickle.dumps(b"x" * size))))
    assert len(payload) == size
    return payload


def test_128_kilobytes_are_acknowledged_at_once(talk):
    for _again in range(2):
        talk.comes(frame(pickled(100_000)) + frame(pickled(31_071)))
        assert not talk.stream.owes
        talk.stream.acknowledge()
    talk.comes(frame(pickled(100_000)) + frame(pickled(31_072)), take=False)
    assert not talk.stream.owes
    talk.stream.taken += 1
    assert talk.stream.owes


def test_what_the_peer_waits_for_is_acknowledged_when_all_before_it_is_taken(talk):
    talk.comes(frame(pickle.dumps(0)))
    assert not talk.stream.owes
    talk.comes(frame(pickle.dumps(0)) + frame(pickle.dumps(0), asks=True), take=False)
    assert not talk.stream.owes
    talk.stream.taken += 1
    talk.stream.acknowledge()  # for another reason: the last one is not taken yet
    assert not talk.stream.owes
    talk.stream.taken += 1
    assert talk.stream.owes
    talk.stream.acknowledge()
    talk.comes(frame(pickle.dumps(0)))
    assert not talk.stream.owes


def test_a_question_without_a_message_is_about_those_before(talk):
    talk.comes(frame(pickle.dumps(0)))
    talk.comes(frame(asks=True))
    assert (talk.stream.owes, talk.stream.arrived) == (True, 1)


def test_what_was_due_to_be_acknowledged_is_not_once_it_was(talk):
    talk.stream.due = 1.0
    talk.send(b"a")
    talk.stream.flush()
    assert talk.stream.due == float("inf")


# What is in progress


def test_a_connection_is_in_use_while_anything_is_under_way_on_it(talk):
    assert not talk.stream.in_use
    whole = frame(pickle.dumps(bytes(100)))
    for part in (whole[:5], whole[5:50]):  # of a head, and of a payload
        talk.comes(part)
        assert talk.stream.in_use
    talk.comes(whole[50:], take=False)
    assert talk.stream.in_use
    talk.stream.taken += 1
    assert talk.stream.in_use
    talk.stream.acknowledge()
    assert talk.stream.in_use
    talk.stream.flush()
    assert not talk.stream.in_use
    talk.send(b"a")
    assert (talk.stream.in_use, talk.stream.outstanding) == (True, True)
    talk.stream.flush()
    assert (talk.stream.in_use, talk.stream.outstanding) == (True, True)
    talk.comes(frame(taken=1))
    assert (talk.stream.in_use, talk.stream.outstanding) == (False, False)


# Receiving


@pytest.mark.parametrize("piece", [1, 11, 12, 13, 40, 999])
def test_frames_arrive_whole_however_they_come(talk, piece):
    messages = [b"", b"a" * 30, b"b" * 5000, *range(50), b"c" * 3]
    data = b"".join(frame(pickle.dumps(each)) for each in messages)
    while data:
        talk.comes(data[:piece])
        data = data[piece:]
    assert talk.arrived == messages


def test_a_read_says_whether_there_may_be_more(talk):
    scratch = bytearray(1000)
    assert talk.stream.read(scratch, print) is False
    talk.kernel.coming = frame(pickle.dumps(bytes(2000)))
    for _part in range(2):
        assert talk.stream.read(scratch, talk._arrived) is True
    assert talk.stream.read(scratch, print) is False
    assert talk.arrived == [bytes(2000)]


def test_the_largest_frame_is_read_and_no_larger_one(talk):
    talk.comes(frame(pickled(1_000_000)))
    assert len(talk.arrived) == 1
    with pytest.raises(StrangerError, match="frame too large"):
        talk.comes(HEAD.pack(1_000_001, 0))


def test_a_message_that_cannot_be_unpickled_leaves_its_place(talk):
    with structlog.testing.capture_logs() as logged:
        talk.comes(frame(b"no pickle") + frame(pickle.dumps("after")))
    assert talk.arrived == [streams.UNREADABLE, "after"]
    assert [event["event"] for event in logged] == ["actor_message_undecodable"]


@pytest.mark.parametrize("message", ["no address", ActorAddress(1), ActorAddress(None)])
def test_one_whose_first_message_is_no_address_is_refused(message):
    talk = Talk(connector=False)
    with pytest.raises(StrangerError, match="no address"):
        talk.comes(frame(pickle.dumps(message)))


# Peers, and the log


def test_a_unix_socket_of_the_same_user_is_trusted():
    """By the user of the other side, which is neither its process nor its group (unix(7))."""
    assert trusted(Kernel())
    for other in (
        Kernel(uid=os.geteuid() + 1),
        Kernel(uid=os.geteuid() - 1),
        Kernel(family=socket.AF_INET),
    ):
        assert not trusted(other)


def test_the_other_side_of_a_connection_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with socket.create_connection((host, port)) as connection:
            assert streams.peer_of(connection) == f"127.0.0.1:{port}"
        with socket.socket() as alone:
            assert streams.peer_of(alone).startswith("unknown (")
    one, other = socket.socketpair()
    with one, other:
        assert streams.peer_of(one).startswith("unknown (")


def test_the_first_line_of_a_process_counts_no_others():
    assert UNMENTIONED == 0


def test_a_child_complains_though_its_parent_has():
    """As it has a log line of its own within each ten seconds."""
    with structlog.testing.capture_logs() as logged:
        for _twice in range(2):
            streams.complain("wrong seal", "a")
        child = os.fork()
        if child == 0:
            streams.complain("wrong seal", "b")
            os._exit([each["unmentioned"] for each in logged] != [0, 0])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(logged) == 1


def test_a_host_finds_its_log_lines_under_our_name(caplog):
    before = structlog.get_config()
    render = [structlog.processors.KeyValueRenderer()]
    structlog.configure(render, logger_factory=structlog.stdlib.LoggerFactory())
    try:
        streams.log("stranger_refused", reason="wrong seal")
    finally:
        structlog.configure(**before)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("callboard", "reason='wrong seal' event='stranger_refused'")
    ]


def test_where_standard_output_is_closed_it_logs_to_thespians_file(tmp_path, monkeypatch):
    monkeypatch.setattr(utilis, "_thesplog_file", str(tmp_path / "thespian.log"))
    monkeypatch.setattr(utilis, "_thesplog_old_file", str(tmp_path / "old"))

    def closed(*_arguments):
        raise ValueError("I/O operation on closed file")

    before = structlog.get_config()
    structlog.configure(processors=[closed])
    try:
        streams.log("stranger_refused", reason="wrong seal")
    finally:
        structlog.configure(**before)
    (line,) = (tmp_path / "thespian.log").read_text().splitlines()
    assert " Warn stranger_refused {'reason': 'wrong seal'} (log: I/O operation" in line
