import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.modules.payload import final_payload, normalize_keys


def final(custom_data, payload, cluster_id="c1"):
    hook = Hook("h", "a", "https://example.org/", "object", custom_data=custom_data)
    return final_payload(hook, payload, cluster_id)


@pytest.mark.parametrize(
    ("custom_data", "sent"),
    [
        ({}, {"id": "i", "type": "user"}),
        ({"site": "berlin"}, {"id": "i", "type": "user", "site": "berlin"}),
        ({"id": "mine"}, {"id": "mine", "type": "user"}),
        ({"type": "all", "action": "all"}, {"id": "i", "type": "user"}),
        ({"id": None}, {"type": "user"}),
        ({"unknown": None}, {"id": "i", "type": "user"}),
        ({"type": None}, {"id": "i", "type": "user"}),
        ({"cluster_id": "forged"}, {"id": "i", "type": "user"}),
    ],
)
def test_custom_data_is_laid_over_the_payload(custom_data, sent):
    payload = {"id": "i", "type": "user"}
    assert final(custom_data, payload) == sent | {"cluster_id": "c1"}
    assert payload == {"id": "i", "type": "user"}


def test_the_cluster_comes_last():
    assert list(final({"x": 1}, {"a": 1}))[-1] == "cluster_id"


def test_only_the_top_level_is_replaced():
    assert final({"a": {"c": 2}}, {"a": {"b": 1}})["a"] == {"c": 2}


def test_without_a_cluster_id_none_is_set():
    assert final({}, {"a": 1}, None) == {"a": 1}


@pytest.mark.parametrize(
    ("given_", "normalized"),
    [
        ({"Call-ID": "A-b"}, {"call_id": "A-b"}),
        ({"A": {"B-C": [{"D": None, "E": 1}, None]}}, {"a": {"b_c": [{"e": 1}, None]}}),
        ({"a": None}, {}),
        ({"A": 1, "a": 2}, {"a": 2}),
        ({"ÀÖØÞ×ß÷": 1}, {"àöøþ×ß÷": 1}),
        ({"Ω": 1}, {"Ω": 1}),
        ({"@AZ[`az{": 1}, {"@az[`az{": 1}),
        ({"-A-": 1, "_a_": 2}, {"_a_": 2}),
        ({"a_b": 1, "A-B": None}, {"a_b": 1}),
        ([[{"A": 1}], None, "A-B"], [[{"a": 1}], None, "A-B"]),
        ("Call-ID", "Call-ID"),
    ],
)
def test_keys_are_normalised_and_null_members_dropped(given_, normalized):
    assert normalize_keys(given_) == normalized


keys = st.text("aB-_Àß", max_size=4) | st.text(max_size=4)


@given(st.dictionaries(keys, st.none() | st.text() | st.lists(st.none())))
def test_normalising_twice_changes_nothing_more(value):
    once = normalize_keys(value)
    assert normalize_keys(once) == once


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(keys, children, max_size=3),
    max_leaves=8,
)


def keys_of(value):
    if isinstance(value, dict):
        yield from value
    for member in value.values() if isinstance(value, dict) else value:
        if isinstance(member, dict | list):
            yield from keys_of(member)


@given(st.dictionaries(keys, json_values, max_size=4))
def test_no_key_keeps_a_hyphen_or_a_latin_capital(value):
    normalized = normalize_keys(value)
    for key in keys_of(normalized):
        assert "-" not in key
        assert not any(letter.isupper() for letter in key if ord(letter) < 0x100)


@given(st.dictionaries(st.text("ab_", min_size=1), json_values.filter(bool), max_size=4))
def test_values_stay_as_they_are(value):
    kept = {key: member for key, member in value.items() if not isinstance(member, dict | list)}
    normalized = normalize_keys(value)
    assert set(normalized) == set(value)
    assert {key: normalized[key] for key in kept} == kept
