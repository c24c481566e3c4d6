"""Kills and ends: of the host, of Callboard's top, of the process it was to live with."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from thespian.actors import ActorExitRequest

from callboard import embed
from callboard.actors.system.actor_system import owner_of
from callboard.supervision import ChildSpec, Peer, SupervisorSpec
from support.patience import patient
from support.trees import MULTI, Tree
from support.workers import Worker

multiprocess = pytest.mark.multiprocess


def pids(hosted, name):
    return [node.pid for node in hosted.tree(name).below() if node.pid]


@multiprocess
def test_nothing_outlives_a_killed_host(embedding, settings):
    hosted = embedding(MULTI)
    hosted.begin("a", settings())
    tree = [psutil.Process(pid) for pid in (hosted.pid, *pids(hosted, "a"))]
    assert len(tree) > 8
    os.kill(psutil.Process(hosted.pid).ppid(), signal.SIGKILL)
    left = psutil.wait_procs(tree, timeout=patient(10))[1]
    assert not left
    assert owner_of(settings()) is None


@multiprocess
def test_a_killed_top_is_replaced_by_its_host(embedding, settings):
    hosted = embedding(MULTI)
    hosted.begin("a", settings())
    before = hosted.pid
    tree = [psutil.Process(pid) for pid in pids(hosted, "a")]
    os.kill(before, signal.SIGKILL)
    hosted.hear("a", "ended")
    hosted.begin("a", settings())
    assert hosted.pid != before
    assert not psutil.wait_procs(tree, timeout=patient(5))[1]


def test_it_ends_with_a_host_that_is_told_to(hosted, settings, embedding, base):
    hosted.begin("a", settings())
    tree = [psutil.Process(pid) for pid in pids(hosted, "a") if pid != os.getpid()]
    hosted.system.tell(hosted.host, ActorExitRequest())
    hosted.wait(lambda: owner_of(settings()) is None)
    assert not psutil.wait_procs(tree, timeout=patient(10))[1]
    embedding(base).begin("b", settings())


def test_it_stops_with_the_process_it_is_to_live_with(hosted, settings):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    hosted.create("a", settings(), owner_pid=other.pid)
    hosted.hear("a", Peer, 30)
    other.communicate(b"\n")
    hosted.hear("a", embed.Finished)
    hosted.hear("a", "ended")
    hosted.begin("a", settings())


@pytest.fixture
def supervised(settings):
    """supervised(base) -> a Tree of the host's own, with a Callboard `board` in it."""
    trees = []

    def supervised(base):
        worker = ChildSpec("worker", Worker, peers=("board", "board/*"))
        spec = SupervisorSpec((embed.child_spec(settings(), "board"), worker), heartbeat_s=0.1)
        trees.append(Tree(base, spec))
        trees[-1].hear(embed.Ready, 30)
        return trees[-1]

    yield supervised
    for tree in trees:
        tree.close()


def test_in_a_tree_of_the_host_its_actors_are_peers(supervised, base):
    tree = supervised(base)
    worker = tree.ask(tree.top, embed.Locate("worker"), embed.Located).peer.address
    known = tree.ask(worker, "peers", dict)
    assert {"board", "board/hook_listener", "board/deliveries/deliverer-1"} <= set(known)
    tree.wait(lambda t: len(list(t.below())) > 10)
    assert tree.node("board/event_bridge").path == "event_bridge"
    board = tree.ask(tree.top, embed.Locate("board"), embed.Located).peer.address
    listing = embed.Ask("hook_listener", embed.ListHooks())
    assert tree.ask(board, listing, embed.HookList).documents == ()


def test_it_stops_with_the_tree_of_the_host(supervised, base, settings):
    tree = supervised(base)
    tree.system.tell(tree.top, embed.Stop())
    tree.hear(embed.Finished)
    assert owner_of(settings()) is None


@multiprocess
def test_a_supervisor_of_the_host_restarts_it(supervised):
    tree = supervised(MULTI)
    before = tree.node("board").pid
    tree.kill("board")
    tree.wait(lambda t: t.at("board").status == "running" and t.at("board").pid != before)


def test_settings_that_cannot_be_used_make_it_give_up(hosted, tmp_path, settings):
    (tmp_path / "file").write_text("")
    hosted.create("a", settings("file/data"))
    assert "file" in hosted.hear("a", embed.GaveUp).reason
    hosted.hear("a", "ended")


HOLDER = """
import os, sys, time
from callboard.actors.system.actor_system import ownership
from callboard.config import load

settings = load(None, {"CALLBOARD_CONFIG": os.devnull}, {"data.dir": sys.argv[1]}).settings
with ownership(settings, embedded=True):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(600)
"""


def test_the_lock_ends_with_its_holder_whatever_it_has_forked(settings):
    data = settings().data.dir
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, data], stdout=subprocess.PIPE, text=True
    )
    forked = psutil.Process(int(holder.stdout.readline()))
    try:
        assert owner_of(settings()).pid == holder.pid
        holder.kill()
        holder.wait()
        assert owner_of(settings()) is None
        assert forked.is_running()
    finally:
        forked.kill()
        holder.stdout.close()
