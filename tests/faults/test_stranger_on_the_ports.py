"""Whoever can connect to an actor's port but has not the key gets nothing done there."""

import hmac
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest
import structlog
from attrs import evolve
from thespian.actors import ActorAddress, ActorSystem, ActorTypeDispatcher
from thespian.system.transport.IPBase import TCPv4ActorAddress

from callboard.adapters.local.sealed_transport import Limits, seal, unseal
from callboard.supervision.thespian_patches import log_to
from services import free_port
from support.networks import Machine
from support.patience import patient
from support.streams import proof

pytestmark = pytest.mark.multiprocess

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
LIMITS = Limits(max_frame_bytes=1_000_000, first_header_s=60, strangers=4)
HASTY = evolve(LIMITS, first_header_s=0.4)

PLAIN_THESPIAN = """
import sys
from thespian.actors import ActorSystem
system = ActorSystem("multiprocTCPBase", {"Admin Port": int(sys.argv[1])}, {"version": 1})
print("up", flush=True)
sys.stdin.readline()
system.shutdown()
"""


class Echo(ActorTypeDispatcher):
    """Answers with what it got, through a child of its own."""

    def receiveMsg_str(self, message, sender):
        self.asker = sender
        self.child = getattr(self, "child", None) or self.createActor(Child)
        self.send(self.child, [message])

    def receiveMsg_list(self, message, _sender):
        self.send(self.asker, message[0])


class Child(ActorTypeDispatcher):
    def receiveMsg_list(self, message, sender):
        self.send(sender, message)


class Bomb:
    """Creates a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def in_thespians_frame(payload):
    return b"%d>" % len(payload) + payload


class Connector:
    """A connection by TCP that has proved a key, as stream.py describes it, and may send."""

    def __init__(self, port, key, proves=True):
        self.connection = socket.create_connection(("127.0.0.1", port), patient(5))
        self.connection.sendall(b"CBF2" + bytes(16))
        nonces = bytes(16) + self.connection.recv(52, socket.MSG_WAITALL)[4:20]
        if proves:
            self.connection.sendall(proof(key, b"connector", nonces))
        self._key, self._number = proof(key, b"connector's frames", nonces), 0
        if proves:
            with suppress(ConnectionError):  # It may have been refused by now.
                self.send(pickle.dumps(ActorAddress(TCPv4ActorAddress("127.0.0.1", 9, True))))

    def frame(self, payload, length=None):
        head = struct.pack("<IQ", len(payload) if length is None else length, 0)
        sealed = self._number.to_bytes(8, "little") + head + payload
        self._number += 1
        return head + hmac.digest(self._key, sealed, "sha256") + payload

    def send(self, payload, length=None):
        self.connection.sendall(self.frame(payload, length))

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.connection.close()


def until(condition, what, timeout_s=10.0):
    timeout_s = patient(timeout_s)
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


def read_to_end(connection, timeout_s=10.0):
    """What the other side sends until it closes; it has then dealt with all it was sent."""
    connection.settimeout(patient(timeout_s))
    received = b""
    try:
        while more := connection.recv(1_000):
            received += more
    except ConnectionResetError:
        pass  # closed without reading everything
    return received


def hung_up(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def listening(process):
    return {
        each.laddr.port
        for each in process.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }


class System:
    """A sealed system of admin, logger, actor and child; its log lines; its ports."""

    def __init__(self, log):
        self.log = log
        # What earlier tests left listening in this process, the processes forked now inherit.
        self._before = set(listening(psutil.Process()))
        self.admin_port = free_port()
        self.actors = ActorSystem(
            "multiprocTCPBase",
            {"Admin Port": self.admin_port},
            {"version": 1},
            transientUnique=True,
        )
        self.echo = self.actors.createActor(Echo)
        assert self.answers("born")
        admin = next(
            each.pid
            for each in psutil.net_connections("tcp4")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == self.admin_port
        )
        self.processes = [
            each
            for each in psutil.process_iter()
            if session(each.pid) == os.getsid(admin) and runs(each)
        ]

    def ports(self):
        """Where actors listen."""
        ports = [port for each in self.processes for port in listening(each)]
        return [port for port in ports if port not in self._before]

    def own_ports(self):
        """Where the process that started the system listens, while it asks."""
        return [port for port in listening(psutil.Process()) if port not in self._before]

    def answers(self, text):
        return self.actors.ask(self.echo, text, patient(10)) == text

    def complaints(self):
        lines = [json.loads(each) for each in self.log.read_text().splitlines()]
        return [each for each in lines if each["event"] == "stranger_refused"]

    def close(self):
        self.actors.shutdown()
        end = time.monotonic() + patient(5)
        while (left := [each for each in self.processes if runs(each)]) and time.monotonic() < end:
            time.sleep(0.01)
        for each in left:
            each.kill()
        assert not left, f"left behind: {left}"


@pytest.fixture
def limits():
    return LIMITS


@pytest.fixture
def system(tmp_path, limits):
    log = tmp_path / "log.jsonl"
    with log.open("a") as lines:
        structlog.configure(
            processors=[structlog.processors.JSONRenderer()],
            logger_factory=structlog.WriteLoggerFactory(lines),
        )
        log_to(tmp_path / "thespian.log")
        seal(KEY, limits=limits)
        try:
            system = System(log)
            yield system
            assert system.answers("still there")
            assert all(runs(each) for each in system.processes)
            system.close()
        finally:
            unseal()
            structlog.reset_defaults()


def test_plain_thespian_runs_a_strangers_pickle(tmp_path):
    """The danger is real: this is what the other tests would see without the seal."""
    port, created = free_port(), tmp_path / "created"
    environment = {
        **os.environ,
        "THESPIAN_BASE_IPADDR": "127.0.0.1",
        "THESPLOG_FILE": str(tmp_path / "thespian.log"),
    }
    plain = subprocess.Popen(
        [sys.executable, "-c", PLAIN_THESPIAN, str(port)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert plain.stdout.readline() == b"up\n"
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(in_thespians_frame(pickle.dumps(Bomb(created))))
            until(created.exists, "the file")
    finally:
        plain.communicate(b"\n", timeout=patient(20))


def attacks(path):
    """What a client sends, by port."""
    bomb = pickle.dumps(Bomb(path))
    frame = struct.pack("<IQ", len(bomb), 0) + bomb

    def whole(data):
        def attack(port):
            connection = socket.create_connection(("127.0.0.1", port), 5)
            connection.sendall(data)
            return connection

        return attack

    def connected(key, *data, proves=True):
        def attack(port):
            connector = Connector(port, key, proves)
            with suppress(ConnectionError):  # It may have been closed by now.
                for each in data:
                    connector.connection.sendall(each(connector) if callable(each) else each)
            return connector.connection

        return attack

    return {
        "Thespian's frame": whole(in_thespians_frame(bomb)),
        "a frame, and no proof": whole(frame),
        "a frame instead of a proof": connected(KEY, frame + bytes(32), proves=False),
        "another key": connected(OTHER_KEY, lambda it: it.frame(bomb)),
        "an unsealed frame, with the key": connected(KEY, frame + bytes(100)),
        "another payload": connected(KEY, lambda it: it.frame(bytes(len(bomb)))[:-9] + bomb[-9:]),
        "garbage": whole(os.urandom(1_000)),
        "10 GB announced": whole(b"10000000000>" + bomb),
        "2 GB announced, without the key": whole(b"CBF2" + bytes(16) + b"\xff" * 64),
        "2 MB announced, with the key": connected(KEY, lambda it: it.frame(bomb, 2_000_000)),
    }


def test_no_port_runs_a_strangers_pickle(system, tmp_path):
    created = tmp_path / "created"
    ports = system.ports()
    assert system.admin_port in ports
    assert len(ports) == len(system.processes) == 4
    for port in ports:
        for what, attack in attacks(created).items():
            with attack(port) as connection:
                read_to_end(connection)
                assert not created.exists(), what
        assert system.answers(f"after {port}")


def test_the_port_of_an_attached_process_does_not_either(system, tmp_path):
    created = tmp_path / "created"
    (port,) = system.own_ports()
    for what, attack in attacks(created).items():
        over = threading.Event()
        asking = threading.Thread(target=ask_until, args=(system, over))
        asking.start()  # Its loop runs only while it asks.
        try:
            with attack(port) as connection:
                read_to_end(connection)
        finally:
            over.set()
            asking.join()
        assert not created.exists(), what


def ask_until(system, over):
    while not over.is_set():
        system.answers("x")


def test_the_same_bomb_with_the_key_does_go_off(system, tmp_path):
    """So it is the seal that stopped it."""
    created = tmp_path / "created"
    with Connector(system.admin_port, KEY) as connector:
        connector.send(pickle.dumps(Bomb(created)))
        until(created.exists, "the file")


def test_a_truncated_frame_is_dropped_when_its_sender_hangs_up(system, tmp_path):
    for end in (1, 11, 12, 43, 44, -1):
        with Connector(system.admin_port, KEY) as connector:
            whole = connector.frame(pickle.dumps(Bomb(tmp_path / "created")))
            connector.connection.sendall(whole[:end])
            connector.connection.shutdown(socket.SHUT_WR)
            read_to_end(connector.connection)
    for end in (1, 4, 19):
        with socket.create_connection(("127.0.0.1", system.admin_port), 5) as connection:
            connection.sendall((b"CBF2" + bytes(16))[:end])
            connection.shutdown(socket.SHUT_WR)
            assert read_to_end(connection) == b""
    assert not (tmp_path / "created").exists()


@pytest.mark.parametrize("limits", [HASTY])
def test_a_slow_drip_ends_in_time(system, limits):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", system.admin_port), 5) as connection:
        connection.settimeout(0.04)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for byte in b"CBF2" + bytes(15):
                connection.sendall(bytes([byte]))
                with pytest.raises(TimeoutError):
                    connection.recv(1)
    assert limits.first_header_s * 0.9 < time.monotonic() - began < patient(5)


@pytest.mark.parametrize("limits", [HASTY])
def test_an_idle_connection_ends_in_time_on_an_idle_actor(system, limits):
    began = time.monotonic()
    connections = [socket.create_connection(("127.0.0.1", port), 5) for port in system.ports()]
    for connection in connections:
        with connection:
            assert read_to_end(connection) == b""
    assert limits.first_header_s * 0.9 < time.monotonic() - began < patient(5)


def test_only_so_many_strangers_are_kept_and_the_oldest_go(system, limits):
    connections = [socket.create_connection(("127.0.0.1", system.admin_port), 5) for _ in range(20)]
    for connection in connections[: -limits.strangers]:
        with connection:
            assert read_to_end(connection) == b""
    for connection in connections[-limits.strangers :]:
        with connection:
            assert not hung_up(connection)


def test_strangers_are_logged_but_do_not_fill_the_log(system):
    with socket.create_connection(("127.0.0.1", system.admin_port), 5) as connection:
        host, port = connection.getsockname()
        connection.sendall(b"CBF2" + bytes(48))
        read_to_end(connection)
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", system.admin_port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            read_to_end(connection)
    (complaint,) = system.complaints()
    assert complaint["peer"] == f"{host}:{port}"
    assert complaint["reason"] == "wrong seal"


@pytest.mark.parametrize(
    "answer",
    [in_thespians_frame(pickle.dumps("ACK")), b"CBF2" + bytes(48), b""],
    ids=["unsealed", "no proof", "hung up"],
)
def test_one_that_took_a_port_gets_no_message(system, answer):
    """Who took a port that an actor left has no proof, unless a recorded one."""
    heard = []

    def impostor(server):
        for _attempt in range(3):
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(10_000))
                connection.sendall(answer)
        server.close()

    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(patient(10))
    thread = threading.Thread(target=impostor, args=(server,))
    thread.start()
    port = server.getsockname()[1]
    system.actors.tell(ActorAddress(TCPv4ActorAddress("127.0.0.1", port, True)), "important")
    thread.join(patient(20))
    assert [(each[:4], len(each)) for each in heard] == [(b"CBF2", 20)] * 3


def connects_from(machine, address, port):
    """How a TCP connect from there ends: "connected" or the error's name."""
    script = (
        "import socket, sys\n"
        "try:\n"
        "    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()\n"
        "    print('connected')\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )
    command = machine.command(sys.executable, "-c", script, address, str(port))
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=patient(20))
    return ended.stdout.strip()


def test_another_host_is_refused(system):
    with Machine("cable") as machine, socket.create_server(("", 0)) as open_to_all:
        address = machine.here["cable"]
        # The cable works, so a refusal below is the system's.
        open_port = open_to_all.getsockname()[1]
        until(lambda: connects_from(machine, address, open_port) == "connected", "a working cable")
        for port in {*system.ports(), *system.own_ports()} - {open_port}:
            assert connects_from(machine, address, port) == "ConnectionRefusedError"
