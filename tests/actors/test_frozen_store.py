"""A store that does not respond makes no actor look hung, and delays no start."""

import os
import socket
import sys
import threading

import pytest
from attrs import evolve

from callboard.actors.api.server import ApiServer
from callboard.actors.base.role import Setup
from callboard.actors.delivery.attempt_log import AttemptLog
from callboard.actors.system.tree import tree as whole_tree
from callboard.config import time_limits
from callboard.config.loader import load
from callboard.supervision import ChildSpec, SupervisorSpec
from services import free_port
from support.trees import MULTI, SIMPLE, Tree, leaves


def settings_of(tmp_path, **settings):
    overrides = {"data.dir": str(tmp_path), "log.level": "critical"} | settings
    return load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings


EVERYTHING = {
    "amqp.zones": "amqp://127.0.0.1:1/",
    "api.enabled": "true",
    "api.port": "0",
    "delivery.workers": "1",
}
ACTORS = {child.actor: child for child in leaves(whole_tree(settings_of("/tmp", **EVERYTHING)))}
"""The specification of one child of each class."""

NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
_watching, _seen = threading.local(), []


def _audit(event, arguments):
    if event in NETWORK and getattr(_watching, "on", False):
        _seen.append((event, arguments[1:]))


sys.addaudithook(_audit)


def begun(actor, tmp_path):
    """What the actor does in `begin`: its uses of the network, and whether it connects a store."""
    _seen.clear()
    connected, ended = [], []

    class Watched(actor):
        def connect_store(self):
            connected.append(True)
            return super().connect_store()

        def begin(self, setup):
            _watching.on = True
            try:
                super().begin(setup)
            finally:
                _watching.on = False
                ended.append(True)

    nowhere = {
        "amqp.url": f"amqp://127.0.0.1:{free_port()}/",
        "couchdb.url": f"http://127.0.0.1:{free_port()}",
    }
    settings = settings_of(tmp_path, **EVERYTHING | nowhere)
    setup = evolve(ACTORS[actor].args, settings=settings)
    tree = Tree(SIMPLE, SupervisorSpec((ChildSpec("child", Watched, setup),)))
    try:
        tree.wait(lambda found: ended and found.at("child").status == "running")
    finally:
        tree.close()
    return list(_seen), bool(connected)


@pytest.mark.parametrize("actor", [pytest.param(actor, id=actor.__name__) for actor in ACTORS])
def test_no_actor_uses_the_network_before_its_start_is_reported(actor, tmp_path):
    used, reads_store = begun(actor, tmp_path)
    assert used == []
    # Of the API, only the threads call the store.
    assert actor.waits_for_store == (reads_store and actor is not ApiServer)


@pytest.mark.parametrize("name", ["socket", "name"])
def test_a_use_of_the_network_is_found(name, tmp_path, monkeypatch):
    from callboard.actors.hooks.listener import HookListener

    def use(_self, _setup, begin=HookListener.begin):
        begin(_self, _setup)
        with socket.socket() as one:
            one.connect_ex(("127.0.0.1", free_port()))
            socket.getaddrinfo("127.0.0.1", 80) if name == "name" else None

    monkeypatch.setattr(HookListener, "begin", use)
    assert begun(HookListener, tmp_path)[0]


@pytest.mark.parametrize(("timeout_ms", "hang_ms"), [(10_000, 12_000), (30_000, 5000)])
def test_a_reader_may_be_silent_while_the_store_times_out(timeout_ms, hang_ms, tmp_path):
    times = {"couchdb.timeout_ms": timeout_ms, "actors.hang_timeout_ms": hang_ms}
    settings = settings_of(tmp_path, **EVERYTHING | times)
    heartbeat_s, timeout_s = settings.actors.heartbeat_ms / 1000, timeout_ms / 1000
    for child in leaves(whole_tree(settings)):
        if child.actor.waits_for_store:
            # The next heartbeat may have been due when the first of two calls began.
            assert hang_ms / 1000 + child.waits_s > heartbeat_s + timeout_s
            assert child.waits_s == 2 * timeout_s
        else:
            assert child.waits_s == 0
        assert child.start_s == time_limits.START_S


class Asking(AttemptLog):
    """Waits for several responses of the store in one handler."""

    def _read_policy(self):
        for _time in range(4):
            super()._read_policy()
        (self.settings.data.dir / "asked").touch()


@pytest.mark.multiprocess
def test_a_handler_may_wait_for_several_responses_of_a_frozen_store(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        times = {"couchdb.timeout_ms": 1000, "actors.heartbeat_ms": 200}
        url = f"http://127.0.0.1:{frozen.getsockname()[1]}"
        settings = settings_of(tmp_path, **{"couchdb.url": url}, **times)
        child = ChildSpec("child", Asking, Setup(settings), waits_s=1.0)
        tree = Tree(MULTI, SupervisorSpec((child,), heartbeat_s=0.2, hang_s=0.8))
        try:
            tree.wait(lambda _found: (tmp_path / "asked").exists())
            assert tree.node("child").restarts == 0
        finally:
            tree.close()
