"""Actor systems work as ever behind sealed ports, and their key is kept."""

import multiprocessing
import os
import socket
import stat
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import psutil
import pytest
from thespian.actors import (
    ActorExitRequest,
    ActorSystem,
    ActorTypeDispatcher,
)
from thespian.system import multiprocTCPBase, systemCommon
from thespian.system.transport import IPBase
from thespian.system.utilis import thesplog

from callboard.adapters.keys.key_file import KeyFileError
from callboard.adapters.local import sealed_transport
from callboard.adapters.local.sealed_transport import (
    FrameTooLargeError,
    Limits,
    load_or_make_key,
    probe,
    read_key,
    seal,
    unseal,
)
from callboard.adapters.local.stream import Sealing
from callboard.adapters.local.stream_transport import StreamTransport
from callboard.supervision.thespian_patches import log_to
from services import free_port
from support.patience import patient
from support.streams import proof

KEY = bytes(range(32))
OTHER_KEY = bytes(32)


class Echo(ActorTypeDispatcher):
    """Answers with what it got; ends when told so."""

    def receiveMsg_bytes(self, message, sender):
        self.send(sender, message)

    def receiveMsg_str(self, message, sender):
        if message == "die":
            os._exit(1)
        if message == "huge":
            self.asker = sender
            self.send(sender, bytes(200_000))
        else:
            self.send(sender, message)

    def receiveMsg_PoisonMessage(self, message, _sender):
        self.send(self.asker, message.details)


class Parent(ActorTypeDispatcher):
    """Has a child, and another when that is gone; forwards to it; wakes up."""

    def receiveMsg_str(self, message, sender):
        self.asker = sender
        if message == "wake":
            self.wakeupAfter(timedelta(milliseconds=20), "woken")
        elif message == "replace":
            self.send(self.child, "die")
        else:
            self.child = self.createActor(Echo)
            self.send(self.child, message)

    def receiveMsg_bytes(self, message, _sender):
        self.send(self.asker, message)

    def receiveMsg_WakeupMessage(self, message, _sender):
        self.send(self.asker, message.payload)

    def receiveMsg_ChildActorExited(self, _message, _sender):
        self.child = self.createActor(Echo)
        self.send(self.child, b"the second child")


class Forwarding(Parent):
    """As Parent; what the child answers goes to the asker."""

    def receiveMsg_str(self, message, sender):
        if sender == getattr(self, "child", None):
            self.send(self.asker, message)
        else:
            super().receiveMsg_str(message, sender)


class Talker(ActorTypeDispatcher):
    """Sends to its partner while the partner sends to it, and counts what comes."""

    def receiveMsg_tuple(self, message, sender):
        (self.partner, self.count), self.asker, self.heard = message, sender, []
        self.send(sender, "introduced")

    def receiveMsg_str(self, _message, _sender):
        for number in range(self.count):
            self.send(self.partner, [number, bytes(2_000)])

    def receiveMsg_list(self, message, _sender):
        self.heard.append(message[0])
        if len(self.heard) == self.count:
            self.send(self.asker, self.heard)


class Undecodable:
    """Cannot be unpickled where it arrives."""

    def __reduce__(self):
        return int, ("not a number",)


def processes_of(admin_port):
    """The processes of the system behind this port: the admin began a session of its own."""
    admin = next(
        each.pid
        for each in psutil.net_connections("tcp4")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == admin_port
    )
    session = os.getsid(admin)
    return [each for each in psutil.process_iter() if _session(each.pid) == session and runs(each)]


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def runs(process):
    """Whether it has not ended (what is not reaped yet has)."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class System:
    """An actor system that leaves no process behind."""

    def __init__(self, port=None):
        self.port = port or free_port()
        self.actors = ActorSystem(
            "multiprocTCPBase", {"Admin Port": self.port}, {"version": 1}, transientUnique=True
        )
        self.create, self.tell = self.actors.createActor, self.actors.tell

    def ask(self, actor, message):
        return self.actors.ask(actor, message, 10)

    def close(self):
        """Once; a test may have done so already."""
        if self.actors._systemBase is None:
            return
        processes = processes_of(self.port)
        self.actors.shutdown()
        end = time.monotonic() + patient(5)
        while (left := [each for each in processes if runs(each)]) and time.monotonic() < end:
            time.sleep(0.01)
        for each in left:
            each.kill()
        assert not left, f"left behind: {left}"


@pytest.fixture
def start(tmp_path):
    """start(limits) -> a sealed System, ended with the test."""
    systems = []

    def start(limits=None):
        seal(KEY, limits=limits)
        systems.append(System())
        return systems[-1]

    log_to(tmp_path / "thespian.log")
    yield start
    for each in systems:
        each.close()
    unseal()


@pytest.mark.multiprocess
class TestTalking:
    def test_asks_of_all_sizes_are_answered(self, start):
        system = start()
        echo = system.create(Echo)
        for size in (1, 100, 65_536, 200_000, 3_000_000):
            assert system.ask(echo, os.urandom(1) * size) is not None
        payload = os.urandom(200_000)
        assert system.ask(echo, payload) == payload

    def test_tell_and_listen(self, start):
        system = start()
        echo = system.create(Echo)
        for text in "abc":
            system.tell(echo, text)
        assert [system.actors.listen(10) for _ in "abc"] == ["a", "b", "c"]

    def test_children_restarts_and_wakeups(self, start):
        system = start()
        parent = system.create(Forwarding)
        assert system.ask(parent, "to the child") == "to the child"
        assert system.ask(parent, "replace") == b"the second child"
        assert system.ask(parent, "wake") == "woken"
        system.tell(parent, ActorExitRequest())

    def test_both_sides_send_at_once(self, start):
        system = start()
        one, two = system.create(Talker), system.create(Talker)
        assert system.ask(one, (two, 200)) == system.ask(two, (one, 200)) == "introduced"
        system.tell(one, "go")
        system.tell(two, "go")
        heard = [system.actors.listen(30) for _ in range(2)]
        assert heard == [list(range(200))] * 2

    def test_another_process_attaches_with_the_key(self, start):
        system = start()
        asked, answer = multiprocessing.get_context("fork").Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=_attach_and_ask, args=(system.port, answer)
        )
        process.start()
        assert asked.poll(20)
        assert asked.recv() == "from outside"
        process.join(10)
        assert process.exitcode == 0

    def test_what_cannot_be_unpickled_harms_nothing(self, start):
        system = start()
        echo = system.create(Echo)
        system.tell(echo, Undecodable())
        assert system.ask(echo, "still there") == "still there"

    def test_a_message_beyond_the_limit_is_refused_where_it_is_sent(self, start):
        system = start(Limits(max_frame_bytes=100_000))
        echo = system.create(Echo)
        with pytest.raises(FrameTooLargeError, match="at most 100000"):
            system.ask(echo, bytes(100_001))
        assert "at most 100000" in system.ask(echo, "huge")
        assert system.ask(echo, "still there") == "still there"

    def test_ten_thousand_at_once_arrive_in_order(self, start):
        system = start()
        one, two = system.create(Talker), system.create(Talker)
        assert system.ask(one, (two, 10_000)) == system.ask(two, (one, 10_000)) == "introduced"
        system.tell(one, "go")
        system.tell(two, "go")
        heard = [system.actors.listen(60) for _ in range(2)]
        assert heard == [list(range(10_000))] * 2


def _attach_and_ask(port, answer):
    attached = ActorSystem("multiprocTCPBase", {"Admin Port": port}, transientUnique=True)
    echo = attached.createActor(Echo)
    answer.send(attached.ask(echo, "from outside", 10))


def _listening(process):
    return [each for each in process.net_connections("tcp") if each.status == "LISTEN"]


@pytest.mark.multiprocess
class TestListening:
    def test_every_socket_listens_on_loopback_only(self, start):
        system = start()
        assert system.ask(system.create(Forwarding), "x") == "x"
        while len(processes := processes_of(system.port)) > 4:
            time.sleep(0.05)  # The process that forked the admin ends a moment later.
        inherited = {each.laddr for each in _listening(psutil.Process())}
        listening = [
            [each.laddr.ip for each in _listening(process) if each.laddr not in inherited]
            for process in processes
        ]
        assert len(processes) == 4, "admin, logger, parent, child"
        assert listening == [["127.0.0.1"]] * 4

    def test_another_loopback_address_can_be_chosen(self, tmp_path):
        log_to(tmp_path / "thespian.log")
        seal(KEY, bind="127.0.0.2")
        try:
            system = System()
            try:
                assert system.ask(system.create(Echo), "x") == "x"
                assert probe("127.0.0.2", system.port, KEY) == "ours"
                assert probe("127.0.0.1", system.port, KEY) == "absent"
            finally:
                system.close()
        finally:
            unseal()

    def test_the_port_of_a_killed_admin_is_free_again(self, start):
        """Without that, no system could start until the old one's logger is found and killed."""
        system = start()
        processes = processes_of(system.port)
        try:
            next(each for each in processes if each.ppid() not in map(_pid, processes)).kill()
            end = time.monotonic() + patient(5)
            while probe("127.0.0.1", system.port, KEY) != "absent":
                assert time.monotonic() < end
                time.sleep(0.01)
            successor = System(system.port)
            assert successor.ask(successor.create(Echo), "x") == "x"
            successor.close()
        finally:
            system.actors._systemBase = None
            for each in processes:
                if runs(each):
                    each.kill()


def _pid(process):
    return process.pid


class TestProbe:
    @pytest.mark.multiprocess
    def test_tells_our_system_from_another(self, start):
        system = start()
        began = time.perf_counter()
        assert probe("127.0.0.1", system.port, KEY) == "ours"
        assert probe("127.0.0.1", system.port, OTHER_KEY) == "stranger"
        assert time.perf_counter() - began < patient(1)

    def test_nobody_there(self):
        assert probe("127.0.0.1", free_port(), KEY) == "absent"

    def test_has_a_second_for_it(self, monkeypatch):
        def connect(*arguments):
            asked.append(arguments)
            raise TimeoutError

        asked = []
        monkeypatch.setattr("socket.create_connection", connect)
        assert probe("127.0.0.1", 5, KEY) == "silent"
        assert asked == [(("127.0.0.1", 5), 1.0)]

    def test_a_listener_that_does_not_answer_is_no_stranger(self):
        """It may be ours, and busy."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            assert probe("127.0.0.1", port, KEY, timeout_s=0.1) == "silent"

    def test_one_that_has_answered_in_part_when_its_time_is_over_is_no_stranger(self, monkeypatch):
        times = iter((10.0, 10.5, 11.0, 11.0))
        monkeypatch.setattr(
            sealed_transport, "time", SimpleNamespace(monotonic=lambda: next(times))
        )

        def begin(server):
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"CBF2")
                connection.recv(100)
                connection.recv(1)  # until it has hung up

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=begin, args=(server,))
            thread.start()
            assert probe("127.0.0.1", server.getsockname()[1], KEY) == "silent"
            thread.join(5)

    def test_one_that_resets_the_connection_is_no_stranger(self):
        """So does our own, to the oldest of too many connections without a seal."""

        def drop(server):
            connection, _ = server.accept()
            connection.recv(1)
            # Closed with unread data, a connection is reset (RFC 9293, 3.6.1).
            connection.close()

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=drop, args=(server,))
            thread.start()
            assert probe("127.0.0.1", server.getsockname()[1], KEY) == "silent"
            thread.join(5)

    @pytest.mark.parametrize(("key", "verdict"), [(KEY, "ours"), (OTHER_KEY, "stranger")])
    @pytest.mark.parametrize("cut", [1, 20, 51])
    def test_judges_by_the_proof_however_it_comes(self, key, verdict, cut):
        def answer(server):
            connection, _address = server.accept()
            with connection:
                asked = connection.recv(100)
                assert asked[:4] == b"CBF2"
                nonce = bytes(16)
                answer = b"CBF2" + nonce + proof(key, b"listener", asked[4:] + nonce)
                connection.sendall(answer[:cut])
                connection.sendall(answer[cut:])
                connection.recv(1)  # until it has hung up

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=answer, args=(server,))
            thread.start()
            assert probe("127.0.0.1", server.getsockname()[1], KEY, patient(5)) == verdict
            thread.join()

    def test_an_echo_is_a_stranger(self):
        """A listener that sends the probe back has not shown that it holds the key."""

        def echo(server):
            connection, _ = server.accept()
            with connection:
                connection.sendall(connection.recv(1_000))

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=echo, args=(server,))
            thread.start()
            assert probe("127.0.0.1", server.getsockname()[1], KEY) == "stranger"
            thread.join(5)


class TestSeal:
    @pytest.mark.parametrize("bind", ["0.0.0.0", "localhost", "::1"])
    def test_wants_one_address(self, bind):
        with pytest.raises(ValueError):
            seal(KEY, bind=bind)

    def test_wants_a_whole_key(self):
        with pytest.raises(ValueError, match="31 bytes"):
            seal(KEY[:31])

    def test_gives_thespian_its_transport_and_one_address(self):
        """At most 50,000 messages a second, not as in a network of 100 Mb/s (ADR 68)."""
        seal(KEY, bind="127.0.0.3")
        try:
            assert multiprocTCPBase.ActorSystemBase.transportType is StreamTransport
            assert StreamTransport.sealing == Sealing(KEY, "127.0.0.3", Limits())
            assert systemCommon.RATE_THROTTLE == 50_000
            assert os.environ["THESPIAN_BASE_IPADDR"] == "127.0.0.3"
            address = IPBase.TCPv4ActorAddress("127.0.0.3", 5, external=True)
            assert address.bindArgs == (("127.0.0.3", 5),)
            assert IPBase.thisSystem.isLocalAddr("127.0.0.3")
        finally:
            unseal()

    def test_a_key_and_an_address_are_enough(self):
        seal(KEY)
        assert StreamTransport.sealing == Sealing(KEY, "127.0.0.1", Limits())
        seal(KEY, limits=Limits(strangers=5))
        assert StreamTransport.sealing.limits.strangers == 5
        unseal()
        assert StreamTransport.sealing is None

    def test_unseal_restores_thespian(self):
        def state():
            return (
                systemCommon.RATE_THROTTLE,
                IPBase.IPActorAddress.bindArgs,
                multiprocTCPBase.ActorSystemBase.transportType,
                os.environ.get("THESPIAN_BASE_IPADDR"),
            )

        unseal()  # A test before, which attached to a system, may have left it sealed.
        before = state()
        seal(KEY)
        assert state() != before
        once = state()
        seal(KEY)
        assert state() == once
        seal(OTHER_KEY)
        unseal()
        assert state() == before


class TestThespianLog:
    def test_goes_where_told_even_after_thespian_has_logged(self, tmp_path):
        log_to(tmp_path / "before.log")
        thesplog("first", level=40)
        log_to(tmp_path / "data" / "thespian.log")
        thesplog("second", level=40)
        assert "second" in (tmp_path / "data" / "thespian.log").read_text()
        assert "second" not in (tmp_path / "before.log").read_text()


class TestKeyFile:
    def test_is_made_once_for_its_owner_only(self, tmp_path):
        path = tmp_path / "data" / "actors.key"
        key = load_or_make_key(path)
        assert len(key) == 32
        assert load_or_make_key(path) == read_key(path) == key
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [each.name for each in path.parent.iterdir()] == ["actors.key"]

    def test_processes_that_make_it_at_once_agree(self, tmp_path):
        context = multiprocessing.get_context("fork")
        barrier, keys = context.Barrier(8), context.Queue()
        processes = [
            context.Process(target=_make_at_once, args=(tmp_path / "key", barrier, keys))
            for _ in range(8)
        ]
        for each in processes:
            each.start()
        assert len({keys.get(timeout=patient(20)) for _ in processes}) == 1
        for each in processes:
            each.join(10)

    def test_a_missing_file_is_explained(self, tmp_path):
        with pytest.raises(KeyFileError, match=r"No such file.*Run as the user who started"):
            read_key(tmp_path / "key")

    def test_a_folder_that_cannot_be_written_is_explained(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(KeyFileError, match=r"key file .*/file/key cannot be made: .*exists"):
            load_or_make_key(tmp_path / "file" / "key")

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
    def test_open_to_others_is_refused(self, tmp_path, mode):
        path = tmp_path / "key"
        load_or_make_key(path)
        path.chmod(mode)
        with pytest.raises(KeyFileError, match=f"open to other users.*{mode:o}"):
            load_or_make_key(path)

    def test_of_another_user_is_refused(self, tmp_path):
        if os.geteuid() != 0:
            pytest.skip("only root can give a file to another user")
        path = tmp_path / "key"
        load_or_make_key(path)
        os.chown(path, 65_534, -1)
        with pytest.raises(KeyFileError, match="belongs to user 65534"):
            load_or_make_key(path)

    def test_symlinks_are_refused_dangling_or_not(self, tmp_path):
        target, link = tmp_path / "target", tmp_path / "key"
        link.symlink_to(target)
        with pytest.raises(KeyFileError, match="symbolic link"):
            load_or_make_key(link)
        assert not target.exists()
        load_or_make_key(target)
        with pytest.raises(KeyFileError, match="symbolic link"):
            read_key(link)

    @pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, "é" * 40])
    def test_other_contents_are_refused(self, tmp_path, text):
        path = tmp_path / "key"
        path.touch(0o600)
        path.write_text(text)
        with pytest.raises(KeyFileError, match="does not hold"):
            load_or_make_key(path)

    def test_a_fifo_is_refused_without_waiting(self, tmp_path):
        os.mkfifo(tmp_path / "key", 0o600)
        with pytest.raises(KeyFileError, match="not a regular file"):
            read_key(tmp_path / "key")


def _make_at_once(path, barrier, keys):
    barrier.wait(10)
    keys.put(load_or_make_key(path))


def test_the_limits_of_a_port():
    """ADR 30, and the time that a handler may take."""
    assert Limits() == Limits(
        max_frame_bytes=67_108_864,
        first_header_s=30.0,
        strangers=64,
        waiting=10_000,
        waiting_bytes=268_435_456,
        stalled_s=5.0,
    )
