"""Results of the doctor's checks, and running the checks with a time limit."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

from attrs import frozen

LIMIT_S = 20.0
"""Time limit for all checks together; each has its own time-outs."""


class Result(StrEnum):
    """Severity. `WARNING` works, and may cause trouble; `PROBLEM` does not work."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen
class Finding:
    """The result of a check. `mend`: the remedy, empty if there is no problem."""

    name: str
    result: Result
    what: str
    mend: str = ""


def ok(name: str, what: str) -> Finding:
    """A finding without a problem."""
    return Finding(name, Result.OK, what)


def warning(name: str, what: str, mend: str) -> Finding:
    """A finding that works, and may cause trouble."""
    return Finding(name, Result.WARNING, what, mend)


def problem(name: str, what: str, mend: str) -> Finding:
    """A finding that does not work."""
    return Finding(name, Result.PROBLEM, what, mend)


@frozen
class Check:
    """A name, and a function that checks something and changes nothing."""

    name: str
    look: Callable[[], Iterable[Finding]]


def findings(checks: Sequence[Check], limit_s: float = LIMIT_S) -> Iterator[Finding]:
    """The findings of all checks, in order; the checks run concurrently.

    A check that exceeds the limit, or fails unexpectedly, is a problem.
    """
    end = time.monotonic() + limit_s
    running = [_Running(check) for check in checks]
    for each in running:
        each.join(max(0.0, end - time.monotonic()))
        yield from each.found(limit_s)


class _Running(threading.Thread):
    """A running check; a daemon thread, so that a hanging check does not block the exit."""

    def __init__(self, check: Check) -> None:
        super().__init__(name=check.name, daemon=True)
        self._check = check
        self._found: tuple[Finding, ...] | None = None
        self.start()

    def run(self) -> None:
        name = self._check.name
        try:
            self._found = tuple(self._check.look())
        except PermissionError as error:
            what = f"{error.filename or name} cannot be accessed"
            self._found = (problem(name, what, "run the doctor as the user who runs Callboard"),)
        except Exception as error:  # noqa: BLE001 - a check that fails must not end the others
            what = f"the check failed: {type(error).__name__}: {error}"
            self._found = (problem(name, what, "report this as a bug of Callboard"),)

    def found(self, limit_s: float) -> tuple[Finding, ...]:
        if self._found is not None:
            return self._found
        what = f"no result within {limit_s:g} s"
        return (problem(self._check.name, what, "find out whether the checked service hangs"),)
