"""Progress is shown to whoever watches, and to nobody else."""

import os
import pty
import subprocess
import sys

import pytest

from support.patience import patient

PROGRAM = """
import sys
from callboard.cli.terminal.progress import counting
with counting("reading hooks", 3, quiet=sys.argv[1] == "quiet") as step:
    step(2)
    step(1)
print("done")
"""


def run(quiet, stderr):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, quiet],
        env=os.environ | {"TERM": "xterm", "FORCE_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        timeout=patient(60),
        check=True,
    )


@pytest.mark.parametrize("quiet", ["", "quiet"])
def test_a_file_or_pipe_gets_none(quiet):
    ran = run(quiet, subprocess.PIPE)
    assert (ran.stdout, ran.stderr) == (b"done\n", b"")


@pytest.mark.parametrize(("quiet", "is_shown"), [("", True), ("quiet", False)])
def test_a_terminal_gets_it_unless_programs_read_along(quiet, is_shown):
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        assert run(quiet, theirs).stdout == b"done\n"
        os.write(theirs, b"|")  # so that there is something to read
        shown = terminal.read(65536)
        os.close(theirs)
    assert (b"reading hooks" in shown) == is_shown
    assert (b"3/3" in shown) == is_shown
