import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.broker.topic import BOUND_BY, matches
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
