"""Checks of the installed Python and libraries."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from callboard.cli.doctor.finding import Finding, ok, problem

PYTHONS = SpecifierSet(">=3.11,<3.14")


def python(running: str = platform.python_version()) -> Finding:
    """Checks the interpreter's version."""
    what = f"{running} ({sys.executable})"
    if PYTHONS.contains(running, prereleases=True):
        return ok("python", what)
    return problem("python", what, f"use one of {PYTHONS}")


def libraries() -> Iterator[Finding]:
    """Checks the versions of the libraries against Callboard's requirements."""
    found = []
    for text in requires("callboard") or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        installed = _version(needed.name)
        if installed is None or not needed.specifier.contains(installed, prereleases=True):
            what = f"{needed.name} {installed or 'is not installed'}"
            mend = f"python -m pip install '{needed.name}{needed.specifier}'"
            yield problem("libraries", what, mend)
        else:
            found.append(f"{needed.name} {installed}")
    yield ok("libraries", f"callboard {version('callboard')}, {', '.join(found)}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
