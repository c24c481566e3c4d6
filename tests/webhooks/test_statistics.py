"""How a hook has fared: counts and percentiles of a period and its parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.history.statistics import Attempt, newest, statistics
from support.fuzz import fuzzed

NONE = {"succeeded": 0, "failed": 0, "p50_ms": None, "p90_ms": None, "p99_ms": None}


def test_without_attempts_there_is_nothing_to_tell():
    assert statistics([], 0, 9, 2) == NONE | {
        "since": 0,
        "until": 9,
        "steps": [{"at": 0, **NONE}, {"at": 5, **NONE}],
    }


def test_what_was_not_sent_does_not_count():
    unsent = [Attempt(1, result, 5) for result in ("cancelled", "dry_run", None, "other")]
    found = statistics(unsent, 0, 9, 1)
    assert found["steps"] == [{"at": 0, **NONE}]


def test_a_part_has_what_lies_in_it():
    moments = [-1, 0, 4, 5, 9, 10]
    found = statistics([Attempt(at, "success", at) for at in moments], 0, 9, 2)
    assert found["succeeded"] == 4
    assert [part["succeeded"] for part in found["steps"]] == [2, 2]
    assert [part["p99_ms"] for part in found["steps"]] == [4, 9]


@pytest.mark.parametrize(
    ("count", "p50", "p90", "p99"),
    [(1, 1, 1, 1), (2, 1, 2, 2), (10, 5, 9, 10), (200, 100, 180, 198)],
)
def test_percentiles_are_by_nearest_rank(count, p50, p90, p99):
    attempts = [Attempt(0, "failure", n) for n in range(count, 0, -1)]
    attempts.append(Attempt(0, "failure", None))
    found = statistics(attempts, 0, 0, 1)
    assert (found["failed"], found["p50_ms"], found["p90_ms"], found["p99_ms"]) == (
        count + 1,
        p50,
        p90,
        p99,
    )


@fuzzed()
@given(
    st.lists(st.tuples(st.integers(90, 130), st.sampled_from(["success", "failure"]))),
    st.integers(100, 110),
    st.integers(0, 15),
    st.integers(1, 30),
)
def test_parts_cover_the_period_once(attempts, since, length, steps):
    read = [Attempt(at, result, 1) for at, result in attempts]
    found = statistics(read, since, since + length, steps)
    begins = [part["at"] for part in found["steps"]]
    assert begins[0] == since
    assert begins == sorted(set(begins))
    assert begins[-1] <= since + length
    assert len(begins) == min(steps, length + 1)
    for name in ("succeeded", "failed"):
        assert found[name] == sum(part[name] for part in found["steps"])
    for part, end in zip(found["steps"], [*begins[1:], since + length + 1], strict=True):
        inside = [at for at, _result in attempts if part["at"] <= at < end]
        assert part["succeeded"] + part["failed"] == len(inside)


def heavy(*moments):
    return ((Attempt(at, "success", 1), 10) for at in moments)


@pytest.mark.parametrize(
    ("most", "most_bytes", "since"),
    [
        (4, 99, 0),
        (5, 99, 0),
        (3, 99, 8),
        (2, 99, 9),
        (1, 99, 10),
        (9, 30, 0),
        (9, 29, 8),
        (9, 0, 10),
    ],
)
def test_what_is_read_is_all_since_a_time(most, most_bytes, since):
    read, begins = newest(heavy(9, 8, 7, 7), 0, most, most_bytes)
    assert begins == since
    assert [attempt.at for attempt in read] == [9, 8, 7, 7][: len(read)]
    assert newest(heavy(), 5, 1, 0) == ([], 5)
