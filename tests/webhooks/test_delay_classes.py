import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.retries.delay_classes import DELAY_CLASSES, next_wait, one_wait, waits

DAY_MS = 86_400_000


def total(names):
    return sum(DELAY_CLASSES[name] for name in names)


def exact_enough(delay_ms):
    made = total(waits(delay_ms))
    return delay_ms <= made <= delay_ms + max(delay_ms / 10, 1000)


def test_the_classes_are_those_of_the_queues_that_brokers_hold():
    """A message on its way names its queue: a class that changes its delay misleads it."""
    assert list(DELAY_CLASSES.items()) == [
        ("1s", 1000),
        ("2s", 2000),
        ("5s", 5000),
        ("10s", 10_000),
        ("20s", 20_000),
        ("1m", 60_000),
        ("2m", 120_000),
        ("5m", 300_000),
        ("10m", 600_000),
        ("20m", 1_200_000),
        ("1h", 3_600_000),
        ("2h", 7_200_000),
        ("5h", 18_000_000),
        ("10h", 36_000_000),
    ]


@pytest.mark.parametrize("name", DELAY_CLASSES)
def test_the_delay_of_a_class_is_one_wait(name):
    assert waits(DELAY_CLASSES[name]) == (name,)


@pytest.mark.parametrize(
    ("delay_ms", "names"),
    [
        (-1, ()),
        (0, ()),
        (1, ("1s",)),
        (2000, ("2s",)),
        (2001, ("2s", "1s")),
        (3999, ("2s", "2s")),
        (4000, ("5s",)),  # A second more, and no later.
        (57_000, ("1m",)),
        (DAY_MS, ("10h", "10h", "5h")),
        (2 * DAY_MS, ("10h",) * 5),
    ],
)
def test_some_delays(delay_ms, names):
    assert waits(delay_ms) == names


def test_no_delay_up_to_a_day_is_far_off():
    """The worst delays are those just beyond a sum of classes: all of these, and many others."""
    sums = {0}
    for _wait in range(4):
        sums |= {s + c for s in sums for c in DELAY_CLASSES.values() if s + c < DAY_MS}
    chance = random.Random(4)
    delays = {s + 1 for s in sums} | {round(1.001**n) for n in range(18_000) if 1.001**n <= DAY_MS}
    delays |= {chance.randrange(1, DAY_MS) for _ in range(5000)}
    for delay_ms in delays:
        assert exact_enough(delay_ms), delay_ms
        assert len(waits(delay_ms)) <= 4, delay_ms


@given(st.integers(1, 100 * DAY_MS))
def test_longer_delays_take_more_rounds_and_are_as_exact(delay_ms):
    names = waits(delay_ms)
    assert exact_enough(delay_ms)
    assert len(names) <= 4 + delay_ms // DELAY_CLASSES["10h"]
    assert [DELAY_CLASSES[name] for name in names] == sorted(map(DELAY_CLASSES.get, names))[::-1]


@given(st.integers(0, 3 * DAY_MS), st.lists(st.integers(0, 50), min_size=20, max_size=20))
def test_a_message_comes_when_it_is_due_and_hardly_later(delay_ms, lags):
    now, due, left, rounds = 0, delay_ms, waits(delay_ms), 0
    while (step := next_wait(left, due, now)) is not None:
        name, left = step
        now += DELAY_CLASSES[name] + lags[rounds]
        rounds += 1
    assert due <= now <= due + max(delay_ms / 10, 1000) + sum(lags)


@given(st.integers(1, DAY_MS), st.integers(-(10**12), 10**12))
def test_a_jump_of_the_clock_makes_no_wait_longer(delay_ms, jump):
    waited, left = 0, waits(delay_ms)
    while (step := next_wait(left, delay_ms, waited + jump)) is not None:
        waited += DELAY_CLASSES[step[0]]
        left = step[1]
    assert waited <= total(waits(delay_ms))


def test_waits_that_the_broker_slept_through_are_not_made_up_for():
    assert next_wait(("10h", "5h"), 1000, 1000) is None
    assert next_wait(("10h", "5h"), 1001, 1000) == ("10h", ("5h",))
    assert next_wait((), 1001, 1000) is None


def test_a_name_of_another_version_is_no_obstacle():
    assert next_wait(("14h", "5s"), 2, 1) == ("1s", ("5s",))


@pytest.mark.parametrize(
    ("delay_ms", "nearest_ms"),
    [(1, 1000), (3100, 2000), (3200, 5000), (35_000, 60_000), (DAY_MS, 36_000_000)],
)
def test_the_nearest_single_wait(delay_ms, nearest_ms):
    assert one_wait(delay_ms) == nearest_ms
    assert len(waits(one_wait(delay_ms))) == 1
