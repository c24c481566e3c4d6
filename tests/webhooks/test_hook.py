import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.hooks.hook import (
    Hook,
    InvalidHook,
    disabling,
    edited,
    enabled_again,
    is_auto_disabled,
    is_deleted,
    is_enabled,
    new_hook,
    new_hook_id,
    parse_hook,
    with_changes,
)

CALLS = tuple(f"channel_{name}" for name in ("answer", "bridge", "create", "destroy"))
KNOWN = ("object", "notifications", "parking", *CALLS)


def document(**fields):
    base = {
        "_id": "h1",
        "pvt_account_id": "a1",
        "pvt_type": "webhook",
        "name": "for the crm",
        "uri": "https://crm.example.org/calls",
        "hook": "channel_create",
    }
    return {key: value for key, value in (base | fields).items() if value is not ...}


def parse(**fields):
    return parse_hook(document(**fields), KNOWN)


def test_a_plain_document_gets_the_defaults():
    assert parse() == Hook(
        id="h1",
        account_id="a1",
        uri="https://crm.example.org/calls",
        event="CHANNEL_CREATE",
        verb="post",
        format="form-data",
        max_attempts=2,
        include_subaccounts=False,
        include_internal_legs=True,
        custom_data=None,
        modifiers={},
    )


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("channel_create", "CHANNEL_CREATE"),
        ("Channel_Answer", "CHANNEL_ANSWER"),
        ("CHANNEL_DESTROY", "CHANNEL_DESTROY"),
        ("channel_bridge", "CHANNEL_BRIDGE"),
        ("ALL", "all"),
        ("Object", "object"),
        ("notifications", "notifications"),
    ],
)
def test_the_event_is_read_in_any_case(name, event):
    assert parse(hook=name).event == event


@pytest.mark.parametrize("name", ["channel_park", "PARK", "123", "skel"])
def test_an_unknown_event_is_refused_and_the_known_ones_named(name):
    with pytest.raises(InvalidHook, match=r"all, channel_answer, .*object, parking") as caught:
        parse(hook=name)
    assert caught.value.hook_id == "h1"
    assert name in caught.value.reason
    assert ("; did you mean" in caught.value.reason) is (name in {"channel_park", "PARK"})
    assert caught.value.reason.endswith(("?", ", parking"))


@pytest.mark.parametrize(
    ("retries", "max_attempts"),
    [
        (..., 2),
        (None, 2),
        ("many", 2),
        (True, 2),
        (0, 1),
        (1, 1),
        (4, 4),
        (5, 5),
        (99, 5),
        (-3, 1),
        ("3", 3),
        (2.6, 3),
    ],
)
def test_tries_are_clamped_to_1_to_5(retries, max_attempts):
    assert parse(retries=retries).max_attempts == max_attempts


@pytest.mark.parametrize(
    ("format", "read"),
    [
        (..., "form-data"),
        (None, "form-data"),
        ("xml", "form-data"),
        (7, "form-data"),
        ("form-data", "form-data"),
        ("JSON", "json"),
    ],
)
def test_an_absent_or_unknown_format_is_form_data(format, read):
    assert parse(format=format).format == read


@pytest.mark.parametrize(
    ("verb", "read"),
    [(..., "post"), (None, "post"), ("POST", "post"), ("Get", "get"), ("put", "put")],
)
def test_verbs_are_read_in_any_case(verb, read):
    assert parse(http_verb=verb).verb == read


@pytest.mark.parametrize(
    "fields",
    [
        {"_id": ...},
        {"pvt_account_id": ...},
        {"uri": ...},
        {"uri": ""},
        {"uri": 5},
        {"hook": ...},
        {"http_verb": "delete"},
        {"_id": "a\r\nX-Injected: 1"},
        {"pvt_account_id": "é"},
    ],
)
def test_a_document_that_cannot_fire_is_refused(fields):
    with pytest.raises(InvalidHook):
        parse(**fields)


@pytest.mark.parametrize(
    ("value", "subaccounts", "legs"),
    [
        (True, True, True),
        ("true", True, True),
        (False, False, False),
        ("false", False, False),
        ("maybe", False, True),
        (..., False, True),
    ],
)
def test_switches_are_read_leniently(value, subaccounts, legs):
    hook = parse(include_subaccounts=value, include_internal_legs=value)
    assert (hook.include_subaccounts, hook.include_internal_legs) == (subaccounts, legs)


@pytest.mark.parametrize("key", ["custom_data", "modifiers"])
@pytest.mark.parametrize(
    ("value", "read"), [({"a": "b"}, {"a": "b"}), ({}, {}), (["a"], {}), ("a", {}), (None, {})]
)
def test_custom_data_and_modifiers_are_objects_or_nothing(key, value, read):
    assert (getattr(parse(**{key: value}), key) or {}) == read
    assert (parse(custom_data=value).custom_data is None) is not isinstance(value, dict)


def test_states_of_a_document():
    assert is_enabled({})
    assert not is_enabled({"enabled": "false"})
    assert not is_deleted({})
    assert is_deleted({"pvt_deleted": True})
    assert is_auto_disabled({"enabled": False, "pvt_disabled_message": "too many"})
    assert not is_auto_disabled({"enabled": False})
    assert not is_auto_disabled({"enabled": True, "pvt_disabled_message": "too many"})


def test_a_hook_enabled_again_is_as_it_was_but_for_the_disabling():
    disabled = document(enabled=False, pvt_disabled_message="too many", pvt_modified=1, _rev="3-a")
    enabled = enabled_again(disabled, 63_000_000_000)
    assert enabled == document(enabled=True, pvt_modified=63_000_000_000, _rev="3-a")
    assert disabled["enabled"] is False


@given(st.dictionaries(st.text(), st.text(), max_size=3))
def test_a_hook_survives_pickling(custom_data):
    hook = parse(custom_data=custom_data, modifiers={"a": ["b"]})
    assert pickle.loads(pickle.dumps(hook)) == hook


def test_a_pickled_hook_does_not_carry_the_names_of_its_fields():
    pickled = pickle.dumps(parse())
    assert b"include_subaccounts" not in pickled
    assert len(pickled) < 250


def test_hooks_can_be_kept_in_sets():
    assert len({parse(), parse(), parse(hook="all")}) == 2


def test_an_invalid_hook_survives_pickling():
    problem = pickle.loads(pickle.dumps(InvalidHook("h1", "no uri")))
    assert (problem.hook_id, problem.reason) == ("h1", "no uri")


def test_a_new_hook_is_stored_with_its_defaults_and_private_fields():
    stored = new_hook(
        {
            "name": "My CRM, no. 1",
            "hook": "all",
            "uri": "http://x.org",
            "retries": 4,
            "pvt_account_id": "1b" * 16,
            "_x": 1,
            "pvt_x": 1,
        },
        63867000000,
        "h9",
        "apps@one",
    )
    assert (stored["pvt_account_db"], stored["pvt_alphanum_name"]) == ("webhooks", "mycrmno1")
    assert stored["pvt_created"] == stored["pvt_modified"] == 63867000000
    assert (stored["retries"], stored["http_verb"], stored["enabled"]) == (4, "post", True)
    assert not {"_x", "pvt_x"} & stored.keys()
    assert (stored["_id"], stored["pvt_type"], stored["pvt_vsn"]) == ("h9", "webhook", "1")
    assert (stored["format"], stored["pvt_node"]) == ("form-data", "apps@one")
    assert stored["include_internal_legs"] is True
    assert parse_hook(stored, ()).id == "h9"


def test_a_new_hook_without_account_gets_none():
    stored = new_hook({"hook": "all"}, 0, "h9", "apps@one")
    assert not {"pvt_account_id", "pvt_account_db"} & stored.keys()
    assert stored["retries"] == 2


def test_ids_of_new_hooks_are_32_hex_digits_that_ascend_with_the_microseconds():
    ids = {new_hook_id(1_700_000_000.000001) for _hook in range(50)}
    assert {len(id) for id in ids} == {32}
    assert {int(id[:13], 16) for id in ids} == {1_700_000_000_000_001}
    assert len({int(id[13:], 16) for id in ids}) == 50
    assert max(ids) < new_hook_id(1_700_000_000.000002)


def nested(levels):
    value = {}
    for _level in range(levels - 1):
        value = {"k": value}
    return value


@pytest.mark.parametrize("key", ["custom_data", "modifiers"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (nested(101), "nested deeper than 100"),
        ({"a": [float("nan")]}, "not JSON"),
        ({"a": float("-inf")}, "not JSON"),
        ({"a": 10**5000}, "not JSON"),
    ],
    ids=["deep", "nan", "infinity", "huge"],
)
def test_an_object_that_no_request_could_carry_is_refused(key, value, reason):
    with pytest.raises(InvalidHook, match=f"{key} is {reason}"):
        parse(**{key: value})


def test_an_object_as_deep_as_allowed_travels_between_processes():
    hook = parse(custom_data=nested(100), modifiers=nested(100))
    assert pickle.loads(pickle.dumps(hook)) == hook


@pytest.mark.parametrize("text", ["\0", "\ud800", "\U0001f4de"])
def test_odd_texts_travel_too(text):
    hook = parse(custom_data={text: text}, modifiers={"a": text})
    assert pickle.loads(pickle.dumps(hook)) == hook


def test_an_account_is_read_from_the_database_where_the_id_is_missing():
    account = "1b" * 16
    database = f"account%2F1b%2F1b%2F{'1b' * 14}"
    assert parse(pvt_account_id=..., pvt_account_db=database).account_id == account
    with pytest.raises(InvalidHook, match="pvt_account_id is missing"):
        parse(pvt_account_id=..., pvt_account_db="webhooks")


def test_disabling_leaves_what_is_disabled_alone():
    assert disabling({}, "why") == {"enabled": False, "pvt_disabled_message": "why"}
    assert disabling({"enabled": False}, "why") == {}
    assert disabling({"enabled": "false"}, "why") == {}


AUTO_DISABLED = {
    "_id": "a",
    "name": "n",
    "group": "g",
    "enabled": False,
    "pvt_disabled_message": "failures",
}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"name": "m"}, {"name": "m"}),
        ({"name": "n", "retries": None}, {}),
        ({"group": None}, {"group": None}),
        ({"_id": "b", "pvt_account_id": "c"}, {}),
        ({"enabled": True}, {"enabled": True, "pvt_disabled_message": None}),
        ({"enabled": None}, {"enabled": None, "pvt_disabled_message": None}),
        ({"enabled": False}, {}),
    ],
)
def test_an_edit_changes_public_members_that_differ(changes, wanted):
    assert edited(AUTO_DISABLED, changes) == wanted


def test_members_that_become_none_are_gone():
    assert with_changes({"a": 1, "b": None, "c": 2}, {"a": None, "c": 3}) == {"b": None, "c": 3}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"custom_data": {"a": "x" * (2**20 - 8)}}, "custom_data has 1048577 characters"),
        ({"modifiers": {"a": "x" * (2**20 - 8)}}, "modifiers has 1048577 characters"),
        ({"uri": "https://a.example/" + "x" * 65_519}, "uri has 65537 characters"),
    ],
)
def test_what_no_request_could_contain_is_a_problem_of_the_hook(fields, reason):
    document = {"_id": "h", "pvt_account_id": "a", "uri": "https://a.example/", "hook": "all"}
    with pytest.raises(InvalidHook, match=reason):
        parse_hook(document | fields, ())


def test_a_stored_hook_far_above_the_quotas_fires():
    large = {"a": "x" * (2**20 - 9)}
    document = {"_id": "h", "pvt_account_id": "a", "uri": "https://a.example/", "hook": "all"}
    assert parse_hook(document | {"custom_data": large}, ()).custom_data == large
    uri = "https://a.example/" + "x" * 65_518
    assert parse_hook(document | {"uri": uri}, ()).uri == uri
