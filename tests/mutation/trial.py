"""Runs the tests of a change in a process of their own, forked with the modules of others in it.

No file is written: the changed file's module is compiled from the tree that holds the change.
"""

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType

import pytest
from attrs import frozen

from mutation.changes import Change
from mutation.reach import ROOT

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
NOTHING_FAILED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
SPARE_S = 30.0
"""Seconds for imports, and for tests that wait for an event that never comes."""
SLOWER = 5.0
"""How much slower than when they were measured tests may be, on a machine that others use too."""


@frozen
class Trial:
    """A change, or None to run the tests as they are; the tests, and their seconds in all."""

    change: Change | None
    tests: Sequence[str]
    seconds: float


def ready(modules: Iterable[str]) -> None:
    """Import what tests and product import of others, once for all trials."""
    sys.dont_write_bytecode = True
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def results(trials: Iterable[Trial], workers: int) -> Iterator[tuple[Trial, str]]:
    """What became of each, in the order in which they end."""
    waiting = iter(trials)
    running: dict[int, tuple[Trial, float]] = {}
    while True:
        while len(running) < workers and (trial := next(waiting, None)) is not None:
            running[_forked(trial)] = trial, time.monotonic() + SPARE_S + SLOWER * trial.seconds
        if not running:
            return
        time.sleep(0.01)
        for pid, (trial, end) in list(running.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            late = time.monotonic() > end
            if found or late:
                # Also what it started and left behind.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                if not found:
                    os.waitpid(pid, 0)
                del running[pid]
                survived = found and os.waitstatus_to_exitcode(status) in NOTHING_FAILED
                yield trial, SURVIVED if survived else KILLED if found else TIMED_OUT


def _forked(trial: Trial) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        if trial.change is not None:
            sys.meta_path.insert(0, _Changed(trial.change))
        code = int(_run(trial.tests))
    finally:
        os._exit(code)


def _run(tests: Sequence[str]) -> int:
    files = dict.fromkeys(id.partition("::")[0] for id in tests)
    return pytest.main(
        [
            *("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no"),
            *("--hypothesis-seed=0", "--rootdir", str(ROOT)),
            *files,
        ],
        plugins=[_Chosen(tests)],
    )


class _Chosen:
    """Runs these tests only, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {id: number for number, id in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place),
            key=lambda item: self._place[item.nodeid],
        )


class _Changed(SourceFileLoader):
    """Finds and loads the one module that is changed."""

    def __init__(self, change: Change) -> None:
        dotted = change.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        super().__init__(f"callboard.{dotted}", str(ROOT / change.path))
        self._change = change

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        """Of importlib's finders."""
        if name != self.name:
            return None
        folder = [str(Path(self.path).parent)] if self.path.endswith("__init__.py") else None
        return spec_from_file_location(
            name, self.path, loader=self, submodule_search_locations=folder
        )

    def get_code(self, _name: str) -> CodeType:
        """Of importlib's loaders."""
        return self._change.compiled()
