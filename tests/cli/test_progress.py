"""Progress is shown to whoever watches, and to nobody else."""

import os
import pty
import subprocess
import sys

import pytest

from callboard.cli.terminal.progress import counting
from support.patience import patient

PROGRAM = """
import sys
from callboard.cli.terminal.progress import counting
for quiet in (True, False):
    with counting("reading hooks", 3, quiet=quiet) as step:
        step(2)
        step(1)
    print("|", file=sys.stderr, flush=True)
print("done")
"""
"""Once for programs that read along, then once for others: to import it takes a second."""


def run(stderr):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"TERM": "xterm", "FORCE_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        timeout=patient(60),
        check=True,
    )


@pytest.mark.parametrize(
    ("is_terminal", "quiet", "shown"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
)
def test_only_a_person_is_shown_progress(monkeypatch, capsys, is_terminal, quiet, shown):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with counting("reading hooks", 3, quiet=quiet) as step:
        step(3)
    assert ("reading hooks" in capsys.readouterr().err) is shown


def test_a_file_or_pipe_gets_none():
    ran = run(subprocess.PIPE)
    assert (ran.stdout, ran.stderr) == (b"done\n", b"|\n|\n")


def test_a_terminal_gets_it_unless_programs_read_along():
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        assert run(theirs).stdout == b"done\n"
        shown = terminal.read(65536)
        os.close(theirs)
    quiet, loud, _end = shown.split(b"|")
    assert b"reading hooks" not in quiet
    assert b"3/3" not in quiet
    assert b"reading hooks" in loud
    assert b"3/3" in loud
