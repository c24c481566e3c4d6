import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.broker.topic import BOUND_BY, bound_by, headers_match, matches
from support.patience import patient

WORDS = st.sampled_from(["a", "b", "", "a(", "%2E"])
KEYS = st.lists(WORDS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from("*#")), min_size=1, max_size=5).map(".".join)


def by_definition(pattern: list[str], words: list[str]) -> bool:
    """The rules word by word, as slowly as they are told."""
    if not pattern:
        return not words
    first, *rest = pattern
    if first == "#":
        return any(by_definition(rest, words[i:]) for i in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and by_definition(rest, words[1:])


@given(PATTERNS, KEYS)
def test_agrees_with_the_definition(pattern, key):
    def words(text):
        return text.split(".") if text else []

    assert matches(pattern, key) == by_definition(words(pattern), words(key))


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE.a%40b", True),
        ("*.webhooks.webhook.*", "doc_created.webhooks.webhook.123", True),
        ("*.webhooks.webhook.*", "doc_created.webhooks.webhook", False),
        ("#", "", True),
        ("*", "", False),
        ("", "", True),
        ("", "a", False),
        ("a*", "ab", False),
        ("a.#", "a.line\nbreak", True),
        ("*", "a\n", True),
        ("a", "a\n", False),
    ],
)
def test_examples(pattern, key, expected):
    assert matches(pattern, key) is expected


def test_many_hashes_stay_fast():
    started = time.perf_counter()
    assert not matches("#.#.#.#.#.#.#.#.#.#.#.#.x", ".".join("a" * 120))
    assert not matches("#.a.#.a.#.a.x", ".".join("a" * 60))
    assert time.perf_counter() - started < patient(1)


@pytest.mark.parametrize(
    ("type", "key", "routing_key", "bound"),
    [
        ("topic", "a.*", "a.b", True),
        ("topic", "a.*", "b.b", False),
        ("direct", "a.*", "a.b", False),
        ("direct", "a.b", "a.b", True),
        ("fanout", "", "a.b", True),
    ],
)
def test_each_type_of_exchange_has_its_rule(type, key, routing_key, bound):
    assert BOUND_BY[type](key, routing_key) is bound
    assert bound_by(type, {})(key, routing_key) is bound


@pytest.mark.parametrize(
    ("type", "arguments", "key", "bound"),
    [
        ("x-delayed-message", {"x-delayed-type": "topic"}, "a.*", True),
        ("x-delayed-message", {"x-delayed-type": "topic"}, "b.*", False),
        ("x-delayed-message", {"x-delayed-type": "direct"}, "a.*", False),
        ("x-delayed-message", {}, "a.b", True),
        ("x-delayed-message", {}, "a.*", False),
        ("x-consistent-hash", {}, "10", True),
        ("headers", {}, "", True),
        ("x-of-another-plug-in", {}, "?", True),
    ],
)
def test_types_of_plug_ins_match_as_they_route(type, arguments, key, bound):
    assert bound_by(type, arguments)(key, "a.b") is bound


@pytest.mark.parametrize(
    ("arguments", "headers", "matches"),
    [
        ({}, {"a": 1}, True),
        ({"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 2}, True),
        ({"a": 1, "b": "x"}, {"a": 1}, False),
        ({"x-match": "all", "a": 1}, {"a": 2}, False),
        ({"x-match": "any", "a": 1, "b": "x"}, {"b": "x"}, True),
        ({"x-match": "any", "a": 1, "b": "x"}, {"a": 2}, False),
        ({"a": 1, "x-own": 2}, {"a": 1}, True),
        ({"x-match": "all-with-x", "a": 1, "x-own": 2}, {"a": 1}, False),
        ({"x-match": "any-with-x", "x-own": 2}, {"x-own": 2}, True),
        ({"x-match": "any", "x-own": 2}, {"x-own": 2}, False),
    ],
)
def test_headers_match_as_at_a_headers_exchange(arguments, headers, matches):
    assert headers_match(arguments, headers) is matches


def test_types_of_exchanges_are_named_as_in_amqp():
    assert set(BOUND_BY) == {"direct", "fanout", "topic"}
