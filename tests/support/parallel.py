"""Tests on several workers at once (`pytest -n`), with pytest-xdist.

What shares a fixture of its module stays on one worker, so that no system is started twice; other
tests that start processes are handed out one by one, those of a file that start none together.
A test marked `alone` counts or times its operations: while it runs, no other test has processes.
These begin, beside those without processes; then come those that start many, then short ones.
"""

import fcntl
import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
PROCESSES = ("multiprocess", "rabbitmq", "couchdb")
"""Marks of tests that wait for other processes most of the time; a browser keeps a core busy."""
LONG = ("faults", "e2e", "kazoo", "embedding", "browser", "supervision", "performance")
"""Folders of tests that take seconds each."""
OWN = ("services.", "_pytest.", "xdist.")
"""Modules whose fixtures each worker has for itself."""
GROUPS = "groups.json"


def pytest_collection_modifyitems(config, items):
    """Say which tests stay together, and put them in order."""
    if WORKER is None:
        return
    groups = {item.nodeid: group for item in items if (group := _group(item))}
    folder = _folder_of_the_run(config)
    mine = folder / f"groups of {WORKER}"
    mine.write_text(json.dumps(groups))
    mine.replace(folder / GROUPS)  # each worker finds the same
    items.sort(key=_turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand out groups, for `--dist loadgroup`.

    xdist (3.8) reads a test's group from its id, in which pytest (9.2) does not let it write.
    """
    return Scheduler(config, log) if config.getvalue("dist") == "loadgroup" else None


class Scheduler(LoadScopeScheduling):
    """Hands out groups of tests, and other tests one by one."""

    @cached_property
    def _groups(self):
        return json.loads((self.config._tmp_path_factory.getbasetemp() / GROUPS).read_text())

    def _split_scope(self, nodeid):
        return self._groups.get(nodeid, nodeid)


def _folder_of_the_run(config):
    """The folder of the whole run; each worker has its own below it."""
    return config._tmp_path_factory.getbasetemp().parent


def _group(item):
    if item.get_closest_marker("alone"):
        return "alone"
    shared = _shared(item)
    if "built" in shared:
        return "built"
    if shared or not _starts_processes(item):
        return str(item.path.relative_to(item.config.rootpath))
    return None


def _shared(item):
    """Names of the fixtures that outlive the test, but for those that each worker has."""
    known = item._fixtureinfo.name2fixturedefs.items()
    return {
        name
        for name, fixtures in known
        if fixtures[-1].scope != "function" and not fixtures[-1].func.__module__.startswith(OWN)
    }


def _turn(item):
    if item.get_closest_marker("alone"):
        return 1 if "let_others_in" in item.fixturenames else 0
    if not _starts_processes(item):
        return 2
    return 3 if item.path.parent.name in LONG else 4


def _starts_processes(item):
    return any(map(item.get_closest_marker, PROCESSES))


class Room:
    """The room that tests of all workers share, or that one has for itself."""

    def __init__(self, folder: Path) -> None:
        self._door = (folder / "door").open("w")
        self._room = (folder / "room").open("w")
        self._is_inside = False

    def enter(self, *, alone: bool) -> None:
        """Wait at the door, so that those who share the room cannot keep out one who does not."""
        if self._is_inside:
            return
        with _held(self._door):
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        self._is_inside = True

    def leave(self) -> None:
        """Let others in."""
        fcntl.flock(self._room, fcntl.LOCK_UN)
        self._is_inside = False


@contextmanager
def _held(file) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


ROOM = pytest.StashKey[Room]()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """One worker compiles what all import; the others wait, and read what it kept."""
    if WORKER is None:
        return (yield)
    with (_folder_of_the_run(session.config) / "collecting").open("w") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(turn, fcntl.LOCK_SH)
            fcntl.flock(turn, fcntl.LOCK_UN)
        return (yield)


def pytest_collection_finish():
    """The tests themselves stay: neither this process nor its forks need to look at them again."""
    gc.collect()
    gc.freeze()


def pytest_sessionstart(session):
    if WORKER is not None:
        session.config.stash[ROOM] = Room(_folder_of_the_run(session.config))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Before pytest-timeout's, which would count the wait as the test's."""
    room = item.config.stash.get(ROOM, None)
    if room is None or not (item.get_closest_marker("alone") or _starts_processes(item)):
        return (yield)
    alone = item.get_closest_marker("alone") is not None
    room.enter(alone=alone)
    try:
        return (yield)
    finally:
        # A row of them goes through without letting others in between.
        if not (alone and nextitem is not None and nextitem.get_closest_marker("alone")):
            room.leave()


@pytest.fixture
def let_others_in(request):
    """let_others_in(): the rest of a test that is marked `alone` may run beside others.

    Such tests are the last of those.
    """
    room = request.config.stash.get(ROOM, None)
    return room.leave if room else lambda: None
