"""Runs the tests of a change in a process of their own; no file is written.

What changes in a function is put into a fork of a process that has imported and collected
everything: only the tests themselves take time. Other changes, and those that survive there, are
tried with imports of their own, from the tree that holds the change.
"""

import contextlib
import gc
import importlib
import os
import pickle
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType
from typing import BinaryIO

import pytest
from attrs import frozen

from mutation.changes import Change
from mutation.reach import ROOT

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
DOUBTFUL = "doubtful"
"""Survived in a fork, and is still to be tried with imports of its own."""
NOTHING_FAILED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
IMPORTS_S = 20.0
SPARE_S = 10.0
"""Seconds for tests that wait for an event that never comes."""
SLOWER = 3.0
"""How much slower than when they were measured tests may be, on a machine that others use too."""
OPTIONS = (
    *("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no"),
    *("--hypothesis-seed=0", "--rootdir", str(ROOT)),
)


@frozen(eq=False)
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


def results(trials: Sequence[Trial], workers: int) -> Iterator[tuple[Trial, str]]:
    """What became of each, in the order in which they end; of a doubtful one twice."""
    in_functions = [t for t in trials if t.change is None or t.change.scope.function]
    others = [trial for trial in trials if trial not in in_functions]
    for trial, result in _collected(in_functions, workers):
        if result == SURVIVED and trial.change is not None:
            others.append(trial)
            result = DOUBTFUL
        yield trial, result
    yield from _each(others, workers, _importing, IMPORTS_S)


def _each(
    trials: Iterable[Trial], workers: int, run: Callable[[Trial], int], imports_s: float = 0.0
) -> Iterator[tuple[Trial, str]]:
    """Runs each in a fork, which ends with the result of `run`."""
    waiting = iter(trials)
    running: dict[int, tuple[Trial, float]] = {}
    while True:
        while len(running) < workers and (trial := next(waiting, None)) is not None:
            end = time.monotonic() + imports_s + SPARE_S + SLOWER * trial.seconds
            running[_forked(trial, run)] = trial, end
        if not running:
            return
        time.sleep(0.005)
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


def _forked(trial: Trial, run: Callable[[Trial], int]) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        _be_silent()
        code = run(trial)
    finally:
        os._exit(code)


def _be_silent() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


# With imports of its own


def _importing(trial: Trial) -> int:
    if trial.change is not None:
        sys.meta_path.insert(0, _Changed(trial.change))
    return int(pytest.main([*OPTIONS, *_files([trial])], plugins=[_Chosen(trial.tests)]))


def _files(trials: Iterable[Trial]) -> list[str]:
    return list(dict.fromkeys(id.partition("::")[0] for trial in trials for id in trial.tests))


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


# In functions that are there already


def _collected(trials: Sequence[Trial], workers: int) -> Iterator[tuple[Trial, str]]:
    """The results of a process that collects the tests of all of them, and forks for each."""
    if not trials:
        return
    here, there = os.pipe()
    shown = os.dup(2)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        pid = os.fork()
        if pid == 0:
            try:
                os.close(here)
                importlib.import_module("callboard.supervision").die_with_parent()
                _be_silent()
                # Each fork makes its own folder there.
                os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
                options = ("-s", "-o", "tmp_path_retention_policy=none")
                with os.fdopen(there, "wb") as answers:
                    forking = _Forking(trials, workers, answers, shown)
                    pytest.main([*OPTIONS, *options, *_files(trials)], plugins=[forking])
            finally:
                os._exit(0)
        os.close(there)
        os.close(shown)
        left = dict(enumerate(trials))
        with os.fdopen(here, "rb") as answers, contextlib.suppress(EOFError):
            while True:
                number, result = pickle.load(answers)
                yield left.pop(number), result
        os.waitpid(pid, 0)
    if left:
        raise SystemExit("the tests could not be collected")


class _Forking:
    """In place of running the tests once, runs those of each trial."""

    def __init__(
        self, trials: Sequence[Trial], workers: int, answers: BinaryIO, shown: int
    ) -> None:
        """`shown`: the descriptor for what people read."""
        self._trials, self._workers, self._answers, self._shown = trials, workers, answers, shown
        self._items: dict[str, pytest.Item] = {}
        self._functions: dict[str, list[FunctionType]] = defaultdict(list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Of pytest."""
        self._items = {item.nodeid: item for item in session.items}
        gc.unfreeze()  # what is frozen is not among the objects
        for each in gc.get_objects():
            if type(each) is FunctionType and (name := each.__code__.co_filename).startswith(
                str(ROOT)
            ):
                self._functions[str(Path(name).relative_to(ROOT))].append(each)
        gc.collect()
        gc.freeze()
        numbers = {id(trial): number for number, trial in enumerate(self._trials)}
        for trial, result in _each(self._trials, self._workers, self._run):
            pickle.dump((numbers[id(trial)], result), self._answers)
            self._answers.flush()
        return True

    def _run(self, trial: Trial) -> int:
        if trial.change is not None and not self._put(trial.change):
            return pytest.ExitCode.OK
        items = [self._items[id] for id in trial.tests if id in self._items]
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if item.session.testsfailed:
                if trial.change is None:
                    os.write(self._shown, f"fails without a change: {item.nodeid}\n".encode())
                return pytest.ExitCode.TESTS_FAILED
        return pytest.ExitCode.OK

    def _put(self, change: Change) -> bool:
        """Give the functions of the file their changed code; False if that is not possible."""
        code: dict[tuple[str, int], list[CodeType]] = defaultdict(list)
        for each in _nested(change.compiled()):
            code[each.co_qualname, each.co_firstlineno].append(each)
        for function in self._functions[change.path]:
            found = code[function.__code__.co_qualname, function.__code__.co_firstlineno]
            if function.__code__ in found:
                continue
            if len(found) != 1 or found[0].co_freevars != function.__code__.co_freevars:
                return False
            function.__code__ = found[0]
        return True


def _nested(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _nested(each)
