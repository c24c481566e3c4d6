"""A store that accepts connections and never answers makes no actor look hung."""

import os
import socket
import time

import pytest
from attrs import evolve

from callboard.actors.base.role import Setup
from callboard.actors.delivery.attempt_log import AttemptLog
from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.events.responder import Responder
from callboard.actors.failures.disabler import Disabler
from callboard.actors.hooks.listener import HookListener
from callboard.actors.operations.initializer import Initializer
from callboard.actors.system.tree import tree as whole_tree
from callboard.adapters.store import stores
from callboard.config.loader import load
from callboard.supervision import ChildSpec, SupervisorSpec
from support.stores import Meddled
from support.trees import MULTI, SIMPLE, Tree

READERS = (AttemptLog, RetryQueue, Responder, Disabler, HookListener, Initializer)
"""They call the store in the thread that handles their messages."""


def settings_of(tmp_path, **settings):
    overrides = {"data.dir": str(tmp_path), "log.level": "error"} | settings
    return load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings


def leaves(spec):
    for child in spec.children:
        if isinstance(child.args, SupervisorSpec):
            yield from leaves(child.args)
        else:
            yield child


@pytest.mark.parametrize("actor", READERS)
def test_nothing_calls_the_store_before_the_start_is_reported(actor, tmp_path):
    called = []
    store = Meddled(stores.connect("sqlite://", tmp_path))

    class Watched(actor):
        def connect_store(self):
            return store

        def begin(self, setup):
            super().begin(setup)
            called.append(list(store.calls))

    setup = Setup(settings_of(tmp_path), "object" if actor is Responder else "")
    tree = Tree(SIMPLE, SupervisorSpec((ChildSpec("child", Watched, setup),)))
    try:
        tree.wait(lambda found: called and found.at("child").status == "running")
        assert called == [[]]
    finally:
        tree.close()


@pytest.mark.parametrize(("timeout_ms", "hang_ms"), [(10_000, 12_000), (30_000, 5000)])
def test_a_reader_may_be_silent_while_the_store_times_out(timeout_ms, hang_ms, tmp_path):
    times = {"couchdb.timeout_ms": timeout_ms, "actors.hang_timeout_ms": hang_ms}
    settings = settings_of(tmp_path, **times)
    heartbeat_s, timeout_s = settings.actors.heartbeat_ms / 1000, timeout_ms / 1000
    waiting = {child.actor: child.waits_s for child in leaves(whole_tree(settings))}
    for actor in READERS:
        # The next heartbeat may have been due when the first of two calls began.
        assert hang_ms / 1000 + waiting[actor] > heartbeat_s + timeout_s
        assert waiting[actor] == 2 * timeout_s
    assert {actor for actor, waits_s in waiting.items() if waits_s} == set(READERS)


@pytest.mark.multiprocess
def test_a_frozen_store_kills_nobody(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        url = f"http://127.0.0.1:{frozen.getsockname()[1]}"
        # Twice as long as an actor may otherwise be silent.
        settings = settings_of(tmp_path, **{"couchdb.url": url, "couchdb.timeout_ms": 2000})
        readers = [child for child in leaves(whole_tree(settings)) if child.actor is AttemptLog]
        children = tuple(evolve(child, peers=()) for child in readers)
        tree = Tree(MULTI, SupervisorSpec(children, heartbeat_s=0.1, hang_s=1.0))
        try:
            tree.wait(lambda found: found.at("attempt_log").status == "running")
            first, end = tree.node("attempt_log"), time.monotonic() + 3.5
            while time.monotonic() < end:
                now = tree.node("attempt_log")
                assert (now.pid, now.restarts) == (first.pid, 0)
                time.sleep(0.1)
        finally:
            tree.close()
