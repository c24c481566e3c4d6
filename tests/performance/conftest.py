"""`make bounds` sets CALLBOARD_RENEW_BOUNDS=1: bounds are set anew instead of checked."""

import os

import pytest

from performance.bounds import Bounds

RENEWING = os.environ.get("CALLBOARD_RENEW_BOUNDS") == "1"


@pytest.fixture(scope="session")
def bounds():
    """The bounds in the file, and what this run has counted."""
    bounds = Bounds.read()
    yield bounds
    if RENEWING:
        bounds.write()


@pytest.fixture
def within(bounds):
    """within(table, {name: counted}, room): fails with all that are over their bounds."""

    def within(table, figures, room=1.25):
        told = (bounds.problem(table, name, round(n, 2), room) for name, n in figures.items())
        problems = [problem for problem in told if problem]
        if problems and not RENEWING:
            pytest.fail("\n".join(problems), pytrace=False)

    return within
