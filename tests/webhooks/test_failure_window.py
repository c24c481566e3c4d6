import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.hooks import failure_window
from callboard.webhooks.hooks.failure_window import FailureWindow, Limits, account_limits, overdue

NOW = 1_000_000


def window(*records, **bound):
    made = FailureWindow(**bound)
    for account_id, hook_id, at_ms in records:
        made.record(account_id, hook_id, at_ms)
    return made


THREE = Limits(3, 100)


def fails(times, limits=THREE):
    failed = window(*(("a", "h", at) for at in times))
    return bool(overdue(failed.times(), {"a": limits}, NOW))


@pytest.mark.parametrize(
    ("ages", "disabled"),
    [
        ((0, 1), False),
        ((0, 1, 2), True),
        ((0, 1, 2, 3), True),
        ((0, 50, 99), True),
        ((0, 50, 100), False),
        ((0, 50, 500), False),
    ],
)
def test_a_hook_is_overdue_at_its_threshold_within_its_window(ages, disabled):
    assert fails([NOW - age for age in ages]) is disabled


def test_by_default_six_failures_in_a_minute_disable_a_hook():
    """Kazoo: webhooks_disabler."""
    assert Limits() == Limits(count=6, expiry_ms=60_000)


def test_two_failures_in_the_same_millisecond_are_one():
    assert not fails([NOW, NOW, NOW - 1])


def test_failures_that_are_yet_to_come_count_only_as_far_as_clocks_may_differ():
    """Another node's clock is ahead; or ours was, and has been set back."""
    assert fails([NOW - 50, NOW, NOW + 50])
    assert not fails([NOW, NOW + 100, NOW + 5000])


def test_without_limits_of_its_own_an_account_has_the_defaults():
    six = window(*(("a", "h", NOW - age) for age in range(6)))
    assert overdue(six.times(), {}, NOW) == [("a", "h")]
    assert overdue(six.times(), {"a": Limits(7, 60_000)}, NOW) == []


def test_hooks_and_accounts_are_counted_apart():
    mixed = window(*((a, h, NOW - age) for a in "ab" for h in "hi" for age in range(2)))
    assert overdue(mixed.times(), {"a": Limits(3, 100), "b": Limits(2, 100)}, NOW) == [
        ("b", "h"),
        ("b", "i"),
    ]


def test_a_threshold_of_zero_disables_no_hook_that_has_recovered():
    assert not fails([NOW - 200], Limits(0, 100))
    assert fails([NOW], Limits(0, 100))


def test_a_threshold_beyond_our_memory_can_still_be_reached():
    ever = Limits(20_000, 1_000_000)
    assert fails(range(NOW - 10_000, NOW), ever)
    assert fails(range(NOW - 12_000, NOW), ever)
    assert not fails(range(NOW - 9_999, NOW), ever)


def test_failures_are_counted_since_a_time():
    three = window(("a", "h", 10), ("a", "h", 20), ("a", "h", 30))
    assert three.count("a", "h", 10) == 2
    assert three.count("a", "other", 0) == 0


def test_flushing_a_hook_or_an_account():
    made = window(("a", "h", 1), ("a", "h", 2), ("a", "i", 1), ("b", "h", 1))
    assert made.flush("a", "h") == 2
    assert made.flush("a", "h") == 0
    assert made.flush("a") == 1
    assert (made.times(), len(made)) == ({("b", "h"): (1,)}, 1)


def test_old_failures_are_pruned():
    made = window(("a", "h", 1), ("a", "h", 2), ("a", "i", 1))
    made.prune(2)
    assert (made.times(), len(made)) == ({("a", "h"): (2,)}, 1)


def test_of_a_hook_only_the_latest_are_kept():
    made = window(*(("a", "h", at) for at in range(10_003)))
    assert (made.times(), len(made)) == ({("a", "h"): tuple(range(3, 10_003))}, 10_000)


def test_beyond_the_bound_the_hook_goes_that_has_not_failed_for_longest():
    failed = ("a", "first", 1), ("a", "second", 2), ("a", "first", 3), ("a", "third", 4)
    made = window(*failed, most=3)
    assert (set(made.times()), len(made)) == ({("a", "first"), ("a", "third")}, 3)


records = st.tuples(st.sampled_from("ab"), st.sampled_from("hi"), st.integers(0, 20))


@given(st.lists(records), st.integers(0, 20), st.sampled_from("ab"))
def test_the_size_is_what_is_held(recorded, before, account_id):
    made = window(*recorded)
    assert made.times() == {
        key: tuple(dict.fromkeys(at for *k, at in recorded if tuple(k) == key))
        for key in {(a, h) for a, h, _at in recorded}
    }
    made.prune(before)
    made.flush(account_id)
    held = {r for r in recorded if r[2] >= before and r[0] != account_id}
    assert len(made) == len(held) == sum(map(len, made.times().values()))


SYSTEM = Limits(6, 30_000)


@pytest.mark.parametrize(
    ("own", "reseller", "limits"),
    [
        (None, None, SYSTEM),
        ({"attempt_failure_count": 3}, None, Limits(3, 30_000)),
        ({"attempt_failure_count": "3"}, None, Limits(3, 30_000)),
        (None, {"attempt_failure_expiry_ms": 5}, Limits(6, 5)),
        ({}, {"attempt_failure_count": 9}, SYSTEM),
        ({"attempt_failure_count": 3}, {"attempt_failure_count": 9}, Limits(3, 30_000)),
        ({"attempt_failure_count": "few"}, None, Limits(7, 30_000)),
        ({"attempt_failure_expiry_ms": "long"}, None, Limits(6, 60_000)),
        ({"attempt_failure_count": None}, None, SYSTEM),
    ],
)
def test_an_account_s_limits(own, reseller, limits):
    assert account_limits(own, reseller, SYSTEM) == limits


@given(
    st.lists(records),
    st.none() | st.sampled_from("ab"),
    st.none() | st.just(("a", "h")),
    st.integers(1, 3),
)
def test_keys_are_those_behind_a_key_in_order(recorded, account_id, after, limit):
    keys = sorted({(a, h) for a, h, _at in recorded})
    if account_id is not None:
        keys = [key for key in keys if key[0] == account_id]
    if after is not None:
        keys = [key for key in keys if key > after]
    assert window(*recorded).keys(account_id, after, limit) == keys[:limit]


@given(
    st.lists(records),
    st.builds(Limits, st.integers(-1, 5), st.integers(0, 20)),
    st.integers(0, 25),
)
def test_overdue_hooks_are_those_that_counting_by_hand_finds(recorded, limits, now):
    other = Limits(2, 5)
    by_hand = set()
    for account_id, hook_id in {(a, h) for a, h, _at in recorded}:
        rule = limits if account_id == "a" else other
        since = now - rule.expiry_ms
        recent = {at for a, h, at in recorded if (a, h) == (account_id, hook_id) and at > since}
        assert window(*recorded).count(account_id, hook_id, since) == len(recent)
        recent = {at for at in recent if at < now + rule.expiry_ms}
        if recent and len(recent) >= rule.count:
            by_hand.add((account_id, hook_id))
    found = overdue(window(*recorded).times(), {"a": limits, "b": other}, now)
    assert (set(found), len(found)) == (by_hand, len(by_hand))


def test_what_nodes_tell_each_other_is_read_as_it_was_told():
    failures_of_two, flushes = (("a", "h", 1), ("b", "i", 2)), (("a", None), ("a", "h"))
    body = json.dumps(failure_window.shared_body("me", failures_of_two, flushes)).encode()
    shared = failure_window.read_shared(body)
    assert (shared.origin, shared.failures, shared.flushes) == ("me", failures_of_two, flushes)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"{}", b'{"Origin": 1, "Failures": [["a", "h"]], "Flushes": []}',
     b'{"Origin": 1, "Failures": 3, "Flushes": []}',
     b'{"Origin": 1, "Failures": [["a", "h", Infinity]], "Flushes": []}', b"[" * 100_000],
)  # fmt: skip
def test_what_no_node_has_told_is_refused(body):
    with pytest.raises(failure_window.NotShared):
        failure_window.read_shared(body)
