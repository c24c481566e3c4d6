"""The ports of a whole running system: on loopback only, and closed to strangers."""

import contextlib
import pickle
import shutil
import socket
import subprocess

import psutil
import pytest

from support.patience import patient
from support.running import call_event

pytestmark = pytest.mark.multiprocess


class Bomb:
    """Creates a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def listening(system):
    """(address, port) of every listening socket of the system's processes."""
    sockets = set()
    for process in system.family():
        with contextlib.suppress(psutil.NoSuchProcess):  # The initializer ends by itself.
            connections = process.net_connections("tcp")
            sockets |= {tuple(c.laddr) for c in connections if c.status == psutil.CONN_LISTEN}
    return sockets


def running(system):
    """The processes of its actors."""
    return {node.path: node.pid for node in system.tree().below() if node.status == "running"}


def test_every_socket_listens_on_loopback(start):
    system = start()
    sockets = listening(system)
    assert len(sockets) >= len(system.paths())
    assert {address for address, _port in sockets} == {"127.0.0.1"}
    if shutil.which("ss"):
        pids = {process.pid for process in system.family()}
        lines = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        mine = [line for line in lines.splitlines() if any(f"pid={p}," in line for p in pids)]
        assert mine
        assert all(line.split()[3].startswith("127.0.0.1:") for line in mine), mine


def test_a_strangers_pickle_is_not_loaded_by_any_actor(start, receiver, tmp_path):
    system = start()
    system.add_hook(f"{receiver.url}/a")
    system.wait(lambda: system.node("initializer").status == "ended")
    processes, actors = system.family(), running(system)
    files = {}
    for _address, port in listening(system):
        files[port] = tmp_path / f"loaded-by-{port}"
        payload = pickle.dumps(Bomb(files[port]))
        with socket.create_connection(("127.0.0.1", port), timeout=patient(5)) as stranger:
            stranger.sendall(b"%d>" % len(payload) + payload)
            stranger.settimeout(5)
            try:
                stranger.recv(1000)
            except (TimeoutError, ConnectionError):
                continue
    system.publish([call_event(1)])
    receiver.wait_for(1)
    assert not [file for file in files.values() if file.exists()]
    assert set(system.family()) <= set(processes)
    assert running(system) == actors
    assert "stranger_refused" in system.tail()
