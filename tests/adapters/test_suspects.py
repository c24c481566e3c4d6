"""The memory of messages that ended a process."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.local.suspects import DEATHS, MOST, SIZE, Suspects
from support.descriptors import open_descriptors, opening

A, B = b"a" * 16, b"b" * 16


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(tmp_path, clock):
    """opened() -> Suspects, as a new process opens the file."""

    def opened():
        return Suspects(tmp_path / "suspects" / "bridge", pytest.fail, clock)

    return opened


def crash(suspects, digests=(A,), one=b""):
    with pytest.raises(RuntimeError), suspects.handling(lambda: digests, one):
        raise RuntimeError


def test_nothing_is_suspected_at_first(opened):
    suspects = opened()
    assert (len(suspects), suspects.wary, suspects.deaths_of(A)) == (0, False, 0)
    assert suspects.pause_s(1, 10) == 0


def test_exceptions_count_for_each_message_and_survive_the_process(opened):
    crash(opened(), (A, B))
    crash(opened(), (A,), A)
    suspects = opened()
    assert (suspects.deaths_of(A), suspects.deaths_of(B)) == (2, 1)
    assert not suspects.wary


def test_a_death_is_counted_once_however_often_the_file_is_opened(tmp_path, clock):
    path = tmp_path / "a" / "folder" / "bridge"
    killed = Suspects(path, pytest.fail, clock)
    killed.mark(A)
    killed.close()
    for _start in range(3):
        suspects = Suspects(path, pytest.fail, clock)
        assert suspects.deaths_of(A) == 1
        suspects.close()


def test_the_file_is_for_its_owner_only(opened, tmp_path):
    opened().close()
    assert (tmp_path / "suspects").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "suspects" / "bridge").stat().st_mode & 0o777 == 0o600


def test_a_closed_file_leaves_no_descriptor_open(opened):
    with opening() as numbers:
        suspects = opened()
    assert numbers
    suspects.close()
    suspects.close()
    assert numbers.isdisjoint(open_descriptors())


def test_a_message_that_was_handled_is_suspected_no_longer(opened):
    crash(opened(), (A, B))
    with opened().handling(list, A):
        pass
    assert (opened().deaths_of(A), opened().deaths_of(B)) == (0, 1)


def test_a_process_that_was_killed_leaves_its_mark(opened):
    suspects = opened()
    suspects.handling(list).__enter__()
    after = opened()
    assert (after.wary, len(after)) == (True, 0)
    after.handling(list, A).__enter__()
    last = opened()
    assert (last.wary, last.deaths_of(A)) == (False, 1)


def test_a_death_that_was_announced_is_counted_once(opened):
    suspects = opened()
    suspects.mark(A)
    suspects.ended_by(A)
    assert opened().deaths_of(A) == 1


def test_a_pause_keeps_deaths_apart(opened, clock):
    crash(opened())
    assert opened().pause_s(2, 10) == 0
    clock.now += 3
    crash(opened())
    assert opened().pause_s(2, 10) == 7
    assert opened().pause_s(1, 10) == 10
    clock.now += 6.5
    assert opened().pause_s(2, 10) == 0.5
    clock.now += 0.5
    assert opened().pause_s(2, 10) == 0


def test_a_clock_that_was_set_back_causes_no_endless_pause(opened, clock):
    crash(opened())
    clock.now -= 500
    assert opened().pause_s(1, 10) == 0


def test_the_oldest_are_forgotten(opened):
    digests = [number.to_bytes(16) for number in range(MOST + 1)]
    crash(opened(), digests)
    suspects = opened()
    assert len(suspects) == MOST
    assert suspects.deaths_of(digests[0]) == 0
    for _ in range(DEATHS + 1):
        crash(suspects, ())
    assert suspects.pause_s(DEATHS, 10) == 10


@given(st.binary(min_size=1, max_size=90), st.booleans())
def test_any_file_is_read_as_something(content, whole):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bridge"
        path.write_bytes((content * SIZE)[:SIZE] if whole else content)
        suspects = Suspects(path, pytest.fail)
        assert 0 <= suspects.pause_s(1, 10) <= 10
        crash(suspects)


def test_a_file_that_cannot_be_used_is_reported_and_does_not_matter(tmp_path):
    (tmp_path / "bridge").mkdir()
    errors = []
    suspects = Suspects(tmp_path / "bridge", errors.append)
    crash(suspects)
    assert suspects.deaths_of(A) == 1
    assert len(errors) == 1
