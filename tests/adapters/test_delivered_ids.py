"""The ids that are finished: known to every process that opens the file, even after a kill."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callboard.adapters.local.delivered_ids import DeliveredIds


def refuse(error):
    raise AssertionError(f"not usable: {error}") from error


@pytest.fixture
def open_file(tmp_path):
    opened = []

    def open_(on_error=refuse, path=tmp_path / "finished.ids", **clock):
        opened.append(DeliveredIds(path, on_error, **clock))
        return opened[-1]

    yield open_
    for file in opened:
        file.close()


def test_what_one_has_finished_all_know(open_file):
    one, other = open_file(), open_file()
    one.add("a")
    other.add("é")
    for file in (one, other, open_file()):
        assert "a" in file
        assert "é" in file
        assert "b" not in file


def test_it_outlives_a_kill(open_file, tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from callboard.adapters.local.delivered_ids import DeliveredIds\n"
        "DeliveredIds(Path(sys.argv[1]), print).add('a')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "finished.ids"], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert "a" in open_file()


def test_the_latest_are_known_and_the_file_does_not_grow(open_file, tmp_path):
    file = open_file()
    for number in range(200_000):
        file.add(str(number))
    assert all(str(number) in file for number in range(130_000, 200_000))
    assert "0" not in file
    assert (tmp_path / "finished.ids").stat().st_size == 2048 * 1024


def test_an_id_counts_for_an_hour(open_file):
    now = [1e9]
    file = open_file(clock=lambda: now[0])
    file.add("a")
    now[0] += 3600.0
    assert "a" in file
    now[0] += 1
    assert "a" not in file
    now[0] -= 3 * 3600.0  # The clock was set back.
    assert "a" not in file
    file.add("a")
    assert "a" in file


def test_without_the_file_nothing_is_known_and_it_is_told_once(open_file, tmp_path):
    errors = []
    file = open_file(errors.append, tmp_path / "missing" / "finished.ids")
    file.add("a")
    assert "a" not in file
    assert [error.errno for error in errors] == [errno.ENOENT]


def test_a_full_disk_is_found_when_the_file_is_made(open_file, tmp_path):
    errors = []
    file = open_file(errors.append, path=full_device())
    file.add("a")
    assert "a" not in file
    assert len(errors) == 1


def full_device():
    """A file that takes no byte; skipped where there is none."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    return Path("/dev/full")
