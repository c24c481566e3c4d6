"""The comparison of a dry run with what Kazoo stored."""

import json

import pytest

from callboard.webhooks.history.comparing import Difference, compared

JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def attempt(body="{}", at=1000, type=JSON, **fields):
    """As both store it."""
    stored = {
        "pvt_type": "webhook_attempt",
        "pvt_created": at,
        "hook_id": "h1",
        "method": "post",
        "uri": "http://e.example/",
        "req_headers": {"content-type": type},
        "req_body": body if isinstance(body, str) else json.dumps(body),
    }
    return stored | fields


def lasting(*attempts):
    """These, between others at both ends of a time in which both run."""
    ends = [attempt({"end": at}, at, hook_id="end") for at in (0, 9000)]
    return [ends[0], *attempts, ends[1]]


def differences(kazoos, ours):
    equal, found = compared(lasting(*kazoos), lasting(*ours))
    return equal - 2, found


@pytest.mark.parametrize(
    ("kazoo", "ours"),
    [
        (attempt('{\n  "a" : 1,\n  "b" : 2.0\n}'), attempt('{"b":2,"a":1}', 1003)),
        (attempt("a=1&b=%20&c=", type=FORM), attempt("c=&b=+&a=1", type=FORM)),
        (attempt("", method="get"), attempt("", method="GET")),
        (attempt("text", type="text/plain"), attempt("text", type="text/plain")),
        (attempt("{broken"), attempt("{broken")),
        (attempt("cut…[cut]"), attempt("cut…[cut]")),
        (attempt("", req_headers=None), attempt("", req_headers={})),
        (attempt({"a": [1.0, [True]]}), attempt({"a": [1, [True]]})),
    ],
)
def test_what_is_equal_by_value_is_equal(kazoo, ours):
    assert differences([kazoo], [ours]) == (1, [])


@pytest.mark.parametrize(
    ("kazoo", "ours", "members"),
    [
        ({"body": {"a": 1, "b": 2}}, {"body": {"a": 1, "b": 3, "c": 4}}, ("b", "c")),
        ({"body": {"a": 1}}, {"body": {"a": True}}, ("a",)),
        ({"body": {"a": None}}, {"body": {}}, ("a",)),
        ({"body": "a=1&b=2", "type": FORM}, {"body": "a=1&b=3&b=2", "type": FORM}, ("b",)),
        ({"body": "a=1&b=2&c=", "type": FORM}, {"body": "a=1", "type": FORM}, ("b", "c")),
        ({"body": {"a": [1]}}, {"body": {"a": [2]}}, ("a",)),
        ({"body": "a=1", "type": FORM}, {"body": {"a": 1}}, ("body",)),
        ({"body": "[1]"}, {"body": "{}"}, ("body",)),
        ({"body": "one", "type": "text/plain"}, {"body": "two"}, ("body",)),
        ({"body": "one", "type": "text/plain"}, {"body": "two", "type": "text/plain"}, ("body",)),
        ({"body": "{broken"}, {"body": "{torn"}, ("body",)),
        ({"body": "[" * 100_000}, {"body": "[" * 100_001}, ("body",)),
        ({"body": "one…[cut]"}, {"body": "two…[cut]"}, ("body",)),
        ({"uri": "http://e.example/a"}, {"method": "put"}, ("method", "uri")),
    ],
)
def test_a_request_that_both_made_in_different_ways_is_told_by_its_members(kazoo, ours, members):
    equal, found = differences([attempt(**kazoo)], [attempt(at=1004, **ours)])
    uri = kazoo.get("uri", "http://e.example/")
    assert (equal, found) == (0, [Difference("differs", "h1", 1000, uri, members)])


def test_of_several_that_differ_the_most_alike_are_a_pair():
    kazoos = [attempt({"call": 1, "a": 1}), attempt({"call": 2, "a": 1})]
    ours = [attempt({"call": 2, "a": 2}), attempt({"call": 1, "a": 2})]
    _equal, found = differences(kazoos, ours)
    assert [one.members for one in found] == [("a",), ("a",)]


def test_what_only_one_of_both_has_sent_is_told():
    equal, found = differences(
        [attempt({"n": 1}), attempt({"n": 2}, 2000)], [attempt({"n": 1}), attempt({"n": 3}, 3000)]
    )
    assert equal == 1
    assert [(one.kind, one.at) for one in found] == [("only Kazoo", 2000), ("only Callboard", 3000)]
    other = differences([attempt(hook_id="h1")], [attempt({"x": 1}, hook_id="h2")])[1]
    assert [one.kind for one in other] == ["only Kazoo", "only Callboard"]


def test_tries_of_one_delivery_count_once():
    tries = [attempt({"n": 1}, at) for at in (1000, 1012, 1024)]
    assert differences(tries, [attempt({"n": 1})]) == (1, [])
    assert differences([attempt({"n": 1}, at) for at in (1000, 1060)], tries[:1]) == (1, [])
    later = [attempt({"n": 1}, 1000), attempt({"n": 1}, 1061)]
    assert differences(later, later) == (2, [])


def test_requests_without_a_body_are_counted_by_their_events():
    def get(event, at=1000):
        return attempt("", at, method="get", event_id=event)

    assert differences([get("a"), get("a", 1012), get("b")], [get("x"), get("y")]) == (2, [])
    equal, found = differences([get("a"), get("b"), get("c")], [get("x"), get("y")])
    assert (equal, [one.kind for one in found]) == (2, ["only Kazoo"])


def test_of_the_time_in_which_only_one_ran_nothing_is_told():
    ours = [attempt({"n": n}, 1000 + 100 * n) for n in range(3)]
    kazoos = [attempt({"n": n}, 1000 + 100 * n) for n in range(-3, 7)]
    assert compared(kazoos, ours) == (3, [])
    assert compared([], ours)[0] == 0
    assert [one.kind for one in compared([], ours)[1]] == ["only Callboard"] * 3
    assert [one.at for one in compared([], [attempt(at=0)])[1]] == [0]


def test_each_request_that_only_one_has_sent_is_found_beside_others():
    kazoos = [attempt({"n": 1}, 1000), attempt({"n": 2}, 2000), attempt({"n": 3, "a": 1}, 3000)]
    equal, found = differences(kazoos, [attempt({"n": 3, "a": 2}, 3000)])
    assert equal == 0
    assert [(one.kind, one.at) for one in found] == [
        *(("only Kazoo", 1000), ("only Kazoo", 2000)),
        ("differs", 3000),
    ]


@pytest.mark.parametrize(
    ("later_s", "kinds"), [(5, ["differs"]), (6, ["only Kazoo", "only Callboard"])]
)
def test_requests_that_differ_are_a_pair_within_five_seconds(later_s, kinds):
    _equal, found = differences([attempt({"n": 1})], [attempt({"n": 2}, 1000 + later_s)])
    assert [one.kind for one in found] == kinds


@pytest.mark.parametrize(("later_s", "found"), [(5, ["only Kazoo"]), (6, [])])
def test_the_time_of_both_ends_five_seconds_after_the_last_of_one(later_s, found):
    kazoos = [attempt({"n": 1}), attempt({"n": 2}, 1000 + later_s)]
    assert [one.kind for one in compared(kazoos, [attempt({"n": 1})])[1]] == found


@pytest.mark.parametrize(("before_s", "found"), [(5, ["only Kazoo"]), (6, [])])
def test_and_begins_five_seconds_before_the_first(before_s, found):
    kazoos = [attempt({"n": 2}, 1000 - before_s), attempt({"n": 1})]
    assert [one.kind for one in compared(kazoos, [attempt({"n": 1})])[1]] == found
