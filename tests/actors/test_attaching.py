"""Clients attach to systems; they never start one."""

import fcntl
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest

from callboard.actors.system import actor_system
from callboard.actors.system.actor_system import (
    Client,
    SystemLost,
    SystemUnreachable,
    attach,
    create,
    owner_of,
    ownership,
)
from callboard.adapters.local import sealed_transport
from callboard.config.loader import load
from services import free_port
from support.streams import proof

pytestmark = pytest.mark.multiprocess


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "data").mkdir()
    overrides = {"data.dir": str(tmp_path / "data"), "actors.admin_port": str(free_port())}
    return load(None, {}, overrides).settings


@pytest.fixture(autouse=True)
def no_seal_is_left():
    yield
    sealed_transport.unseal()


@contextmanager
def admin_that_ends_after_the_probe(settings, resets=0):
    """A port that proves its key once, and is closed when the client has seen that.

    It resets some connections before.
    """
    key = sealed_transport.load_or_make_key(settings.actors_key_file)
    with socket.create_server(("127.0.0.1", settings.actors.admin_port)) as listener:

        def answer():
            for _connection in range(resets):
                connection, _peer = listener.accept()
                connection.recv(1)
                connection.close()  # with unread data
            connection, _peer = listener.accept()
            with connection:
                nonces = connection.recv(20, socket.MSG_WAITALL)[4:] + bytes(16)
                listener.close()
                connection.sendall(b"CBF2" + bytes(16) + proof(key, b"listener", nonces))

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join()


def test_a_client_starts_no_admin_where_one_has_just_ended(settings):
    with (
        ownership(settings),
        admin_that_ends_after_the_probe(settings),
        pytest.raises(SystemLost, match="has just ended"),
    ):
        attach(settings)
    with socket.create_server(("127.0.0.1", settings.actors.admin_port)):
        pass  # Nothing listens there.


def test_a_client_that_is_dropped_among_too_many_connections_tries_again(settings):
    with (
        ownership(settings),
        admin_that_ends_after_the_probe(settings, resets=2),
        pytest.raises(SystemLost, match="has just ended"),
    ):
        attach(settings)


def test_a_system_that_does_not_answer_is_not_said_to_have_another_key(settings):
    sealed_transport.load_or_make_key(settings.actors_key_file)
    with (
        ownership(settings),
        socket.create_server(("127.0.0.1", settings.actors.admin_port)),
        pytest.raises(SystemUnreachable, match="does not respond"),
    ):
        attach(settings, probes_s=0)


def test_a_client_creates_no_top_supervisor(settings):
    with ownership(settings):
        system = create(settings)
        try:
            for _attempt in range(2):
                with pytest.raises(SystemLost, match="starting or ending"):
                    attach(settings)
            top = actor_system.create_top(system).top
            assert attach(settings).top == top
        finally:
            system.shutdown()


@pytest.mark.parametrize("content", ["", "\0\0", "[1]", '{"pid": 1, "other": 2}', "[" * 5000])
def test_a_damaged_lock_file_is_reported(settings, content):
    settings.data.dir.mkdir(parents=True, exist_ok=True)
    path = settings.data.dir / "callboard.lock"
    path.write_text(content)
    with path.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemUnreachable, match=r"callboard.lock is damaged"):
            owner_of(settings)


class Silent:
    """An actor system of which a client hears nothing, however long it listens."""

    def __init__(self):
        self.listened_s = 0.0

    def tell(self, *_message):
        pass

    def listen(self, wait):
        self.listened_s += wait.total_seconds()


@pytest.mark.parametrize("ask", [Client.ask, Client.ask_actor])
def test_a_client_does_not_wait_for_a_system_whose_process_has_ended(ask):
    gone = subprocess.Popen(["true"])
    gone.wait()
    client = Client(system := Silent(), "top", gone.pid)
    with pytest.raises(SystemLost, match=f"process {gone.pid}.* has ended"):
        ask(client, "redelivery", object(), dict, 60.0)
    assert system.listened_s <= 1.0
