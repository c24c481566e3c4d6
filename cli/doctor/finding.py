"""What a check of the doctor says, and how checks are run so that none can hang it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

from attrs import frozen

LIMIT_S = 20.0
"""How long the checks may take together; each has time-outs of its own."""


class Result(StrEnum):
    """How it is: `WARNING` works, and may cause trouble; `PROBLEM` does not work."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen
class Finding:
    """One thing that was looked at. `mend`: what to do about it, empty if it is as it should be."""

    name: str
    result: Result
    what: str
    mend: str = ""


def ok(name: str, what: str) -> Finding:
    """All is well."""
    return Finding(name, Result.OK, what)


def warning(name: str, what: str, mend: str) -> Finding:
    """It works, and may cause trouble."""
    return Finding(name, Result.WARNING, what, mend)


def problem(name: str, what: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(name, Result.PROBLEM, what, mend)


@frozen
class Check:
    """A name, and a function that looks at something and changes nothing."""

    name: str
    look: Callable[[], Iterable[Finding]]


def findings(checks: Sequence[Check], limit_s: float = LIMIT_S) -> Iterator[Finding]:
    """What all checks find, in their order; they are made at the same time.

    One that is not done within the limit is a problem, and so is one that fails unexpectedly.
    """
    end = time.monotonic() + limit_s
    running = [_Running(check) for check in checks]
    for each in running:
        each.join(max(0.0, end - time.monotonic()))
        yield from each.found(limit_s)


class _Running(threading.Thread):
    """A check under way; a daemon, so that one that hangs is left behind at the end."""

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
            what = f"{error.filename or name} may not be looked at"
            self._found = (problem(name, what, "run this as the user who runs Callboard"),)
        except Exception as error:  # noqa: BLE001 - a check that fails must not end the others
            what = f"could not be looked at: {type(error).__name__}: {error}"
            self._found = (problem(name, what, "report this as a defect of Callboard"),)

    def found(self, limit_s: float) -> tuple[Finding, ...]:
        if self._found is not None:
            return self._found
        what = f"no result within {limit_s:g} s"
        return (problem(self._check.name, what, "see whether what it asks for hangs"),)
