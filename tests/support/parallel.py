"""Tests on several workers at once (`pytest -n`), with pytest-xdist.

What shares a fixture of its module stays on one worker, so that no system is started twice; other
tests that start processes are handed out one by one, those of a file that start none together.
A test marked `alone` counts or times its operations: while it runs, no other test has processes.
These begin, beside those without processes; then come those that start many, then short ones.
"""

import fcntl
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
PROCESSES = ("multiprocess", "rabbitmq", "couchdb", "browser")
"""Marks of tests that wait for other processes most of the time."""
LONG = ("faults", "e2e", "kazoo", "embedding", "browser", "supervision")
"""Folders of tests that take seconds each."""
SERVERS = ("services.",)
"""Modules whose fixtures each worker has for itself."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Say which tests stay together, and put them in order.

    Before xdist's, which reads the groups: without them it hands out each test by itself.
    """
    for item in items:
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
            if WORKER is not None:
                _show(item, group)
    if WORKER is not None:
        items.sort(key=_turn)


def _show(item, group):
    """Name the group in the test's id, as the scheduler reads it.

    xdist (3.8) sets an attribute that pytest (9.2) no longer reads; of an older pytest it does this.
    """
    if id := getattr(item, "_id", None):
        item._id = type(id).parse(f"{item.nodeid}@{group}")


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
    """Names of the fixtures that outlive the test, but for the servers."""
    known = item._fixtureinfo.name2fixturedefs.items()
    return {
        name
        for name, fixtures in known
        if fixtures[-1].scope != "function" and not fixtures[-1].func.__module__.startswith(SERVERS)
    }


def _turn(item):
    if item.get_closest_marker("alone"):
        return 0
    if not _starts_processes(item):
        return 1
    return 2 if item.path.parent.name in LONG else 3


def _starts_processes(item):
    return any(map(item.get_closest_marker, PROCESSES))


class Room:
    """The room that tests of all workers share, or that one has for itself."""

    def __init__(self, folder: Path) -> None:
        self._door = (folder / "door").open("w")
        self._room = (folder / "room").open("w")

    def enter(self, *, alone: bool) -> None:
        """Wait at the door, so that those who share the room cannot keep out one who does not."""
        with _held(self._door):
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)

    def leave(self) -> None:
        """Let others in."""
        fcntl.flock(self._room, fcntl.LOCK_UN)


@contextmanager
def _held(file) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


ROOM = pytest.StashKey[Room]()


def pytest_collection_finish():
    """The tests themselves stay: neither this process nor its forks need to look at them again."""
    gc.collect()
    gc.freeze()


def pytest_sessionstart(session):
    if WORKER is not None:
        # The folder of the whole run; each worker has its own below it.
        folder = session.config._tmp_path_factory.getbasetemp().parent
        session.config.stash[ROOM] = Room(folder)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Before pytest-timeout's, which would count the wait as the test's."""
    room = item.config.stash.get(ROOM, None)
    if room is None or not (item.get_closest_marker("alone") or _starts_processes(item)):
        return (yield)
    alone = item.get_closest_marker("alone") is not None
    if not item.config.stash.get(INSIDE, False):
        room.enter(alone=alone)
    # A row of them goes through without letting others in between.
    stay = alone and nextitem is not None and nextitem.get_closest_marker("alone") is not None
    try:
        return (yield)
    finally:
        item.config.stash[INSIDE] = stay
        if not stay:
            room.leave()


INSIDE = pytest.StashKey[bool]()
