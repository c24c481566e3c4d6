"""The ids that are finished: known to every process that opens the file, even after a kill."""

import errno
import itertools
import signal
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import pytest

from callboard.adapters.local.delivered_ids import DeliveredIds
from callboard.webhooks.dispatch.jobs import Answered, Deferred, Finished


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


def test_the_end_of_one_entry_and_the_begin_of_the_next_are_no_id(open_file, tmp_path):
    """The digest of an id may lie across two entries by chance: here it is put there."""
    now = float(int.from_bytes(b"zzzz"))  # so that the word after it is a recent time
    file, path = open_file(clock=lambda: now), tmp_path / "finished.ids"
    file.add("a")
    content = path.read_bytes()
    row = next(n for n in range(0, len(content), 1024) if any(content[n : n + 1024]))
    digest = content[row : row + 12]
    shifted = bytes(5) + digest
    path.write_bytes(content[:row] + shifted.ljust(1024, b"z") + content[row + 1024 :])
    again = open_file(clock=lambda: now)
    assert again.known("a") is None
    again.add("a")
    assert again.known("a") == Finished()
    entry = path.read_bytes()[row : row + 1024]
    assert entry[:12] == digest
    assert entry[16:] == shifted.ljust(1024, b"z")[:1008]


def test_a_row_keeps_the_latest_64_ids(open_file):
    def row(id):
        """As the module says: a digest of 12 bytes, whose first 4 choose one of 2048 rows."""
        return int.from_bytes(blake2b(id.encode(), digest_size=12).digest()[:4]) % 2048

    of_row = (str(number) for number in itertools.count() if row(str(number)) == 7)
    ids = list(itertools.islice(of_row, 65))
    file = open_file()
    for id in ids[:64]:
        file.add(id)
    file.answered(ids[1], 1, 500)
    assert [file.known(id) for id in ids[:64] if id != ids[1]] == [Finished()] * 63
    file.add(ids[64])
    assert file.known(ids[0]) is None
    assert file.known(ids[1]) == Answered(1, 500)
    assert [file.known(id) for id in ids[2:]] == [Finished()] * 63


def test_what_one_has_finished_all_know(open_file):
    one, other = open_file(), open_file()
    one.add("a")
    other.add("é")
    other.add("half a character: \ud800")
    for file in (one, other, open_file()):
        assert file.known("half a character: \ud800") == Finished()
        assert file.known("a") == Finished()
        assert file.known("é") == Finished()
        assert file.known("b") is None


def test_it_outlives_a_kill(open_file, tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from callboard.adapters.local.delivered_ids import DeliveredIds\n"
        "DeliveredIds(Path(sys.argv[1]), print).add('a')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "finished.ids"], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert open_file().known("a") == Finished()


def test_an_id_that_is_put_again_costs_no_other_its_place(open_file):
    file = open_file()
    ids = [str(number) for number in range(70_000)]
    for id in ids:
        file.add(id)
    for _again in range(2):
        for id in ids[35_000:]:
            file.answered(id, 1, 200)
    assert all(file.known(id) == Finished() for id in ids[:35_000])
    assert all(file.known(id) == Answered(1, 200) for id in ids[35_000:])


def test_the_latest_are_known_and_the_file_does_not_grow(open_file, tmp_path):
    file = open_file()
    for number in range(200_000):
        file.add(str(number))
    assert all(file.known(str(number)) for number in range(130_000, 200_000))
    assert file.known("0") is None
    assert (tmp_path / "finished.ids").stat().st_size == 2048 * 1024


def test_an_id_counts_for_an_hour(open_file):
    now = [1e9]
    file = open_file(clock=lambda: now[0])
    file.add("a")
    now[0] += 3600.0
    assert file.known("a") == Finished()
    now[0] += 1
    assert file.known("a") is None
    now[0] -= 3 * 3600.0  # The clock was set back.
    assert file.known("a") is None
    file.add("a")
    assert file.known("a") == Finished()


def test_the_latest_of_a_delivery_is_known_to_all(open_file):
    one, other = open_file(), open_file()
    one.answered("a", 2, 503)
    one.answered("b", 1, 404)
    assert (other.known("a"), other.known("b")) == (Answered(2, 503), Answered(1, 404))
    one.deferred("a", 3)
    assert other.known("a") == Deferred(3)
    one.deferred("a", 3000)
    assert other.known("a") == Deferred(255)
    one.answered("a", 9, 999)
    assert other.known("a") == Answered(9, 999)
    one.answered("a", 9, 5000)
    assert other.known("a") == Answered(9, 1023)
    one.answered("a", 9, 0)  # the status has 10 bits, of which 0 means deferred
    assert other.known("a") == Answered(9, 1)
    one.add("a")
    assert (other.known("a"), other.known("b")) == (Finished(), Answered(1, 404))


def test_a_delivery_has_one_entry(open_file):
    file = open_file()
    for number in range(100):
        file.add(str(number))
    for attempt in range(100_000):
        file.answered("a", attempt, 503)
    assert all(file.known(str(number)) == Finished() for number in range(100))


@pytest.mark.parametrize("now", [0.0, 1e9, 2**31 - 1.0, 2**31 + 10.0, 2**32 + 1800.0])
def test_what_is_unfinished_counts_for_an_hour_in_any_year(open_file, now):
    clock = [now]
    file = open_file(clock=lambda: clock[0])
    file.answered("a", 1, 500)
    file.deferred("b", 0)
    file.add("c")
    clock[0] += 3540
    assert [file.known(id) for id in "abc"] == [Answered(1, 500), Deferred(0), Finished()]
    clock[0] += 121
    assert [file.known(id) for id in "abc"] == [None] * 3


def test_without_the_file_each_knows_its_own_and_it_is_told_once(open_file, tmp_path):
    errors = []
    file = open_file(errors.append, tmp_path / "missing" / "finished.ids")
    file.add("a")
    assert file.known("a") == Finished()
    assert open_file(lambda _error: None, tmp_path / "missing" / "f").known("a") is None
    assert [error.errno for error in errors] == [errno.ENOENT]


def test_a_full_disk_is_found_when_the_file_is_made(open_file, tmp_path):
    errors = []
    file = open_file(errors.append, path=full_device())
    file.add("a")
    assert file.known("a") == Finished()
    assert len(errors) == 1


def full_device():
    """A file that takes no byte; skipped where there is none."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    return Path("/dev/full")
