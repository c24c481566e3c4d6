"""What each field of a hook document means to the hook that is made of it."""

import pytest

from callboard.webhooks.hooks.hook import is_auto_disabled
from support.kazoo import ACCOUNT, call, change, encoded_database

FORM = "application/x-www-form-urlencoded"


def only(cluster):
    (hook,) = cluster.hooks()
    return hook


@pytest.mark.parametrize(
    ("field", "value", "attribute", "wanted"),
    [
        pytest.param(
            "uri", "https://a.example/x?y", "uri", "https://a.example/x?y", id="uri as is"
        ),
        pytest.param("http_verb", None, "verb", "post", id="verb: post by default"),
        pytest.param("http_verb", "get", "verb", "get", id="verb get"),
        pytest.param("http_verb", "put", "verb", "put", id="verb put"),
        pytest.param("format", "json", "format", "json", id="format json"),
        pytest.param("format", "form-data", "format", "form-data", id="format form-data"),
        pytest.param("format", "JSON", "format", "json", id="format is lower-cased"),
        pytest.param("retries", None, "max_attempts", 2, id="retries: 2 by default"),
        pytest.param("retries", 0, "max_attempts", 1, id="retries 0 means one try"),
        pytest.param("retries", 1, "max_attempts", 1, id="retries 1 means one try"),
        pytest.param("retries", 2, "max_attempts", 2, id="retries 2 means two tries in all"),
        pytest.param("retries", 4, "max_attempts", 4, id="retries 4"),
        pytest.param("retries", 9, "max_attempts", 5, id="retries are at most 5"),
        pytest.param("retries", -3, "max_attempts", 1, id="retries are at least 1"),
        pytest.param("retries", "3", "max_attempts", 3, id="integers may be numeric strings"),
        pytest.param(
            "retries", 2.6, "max_attempts", 3, id="integers may be floats and are rounded"
        ),
        pytest.param("retries", "some", "max_attempts", 2, id="what is no integer is the default"),
        pytest.param(
            "include_subaccounts",
            None,
            "include_subaccounts",
            False,
            id="subaccounts: not by default",
        ),
        pytest.param("include_subaccounts", True, "include_subaccounts", True, id="subaccounts"),
        pytest.param(
            "include_subaccounts", "true", "include_subaccounts", True, id="booleans as strings"
        ),
        pytest.param(
            "include_subaccounts",
            1,
            "include_subaccounts",
            False,
            id="only true includes subaccounts",
        ),
        pytest.param(
            "include_internal_legs", None, "include_internal_legs", True, id="legs by default"
        ),
        pytest.param(
            "include_internal_legs", False, "include_internal_legs", False, id="no internal legs"
        ),
        pytest.param(
            "include_internal_legs", "false", "include_internal_legs", False, id="as a string"
        ),
        pytest.param(
            "include_internal_legs", "no", "include_internal_legs", True, id="else the default"
        ),
        pytest.param(
            "custom_data", {"a": {"b": [1]}}, "custom_data", {"a": {"b": [1]}}, id="any custom_data"
        ),
        pytest.param(
            "custom_data", "text", "custom_data", None, id="custom_data that is no object"
        ),
        pytest.param("modifiers", {"a": 1}, "modifiers", {"a": 1}, id="modifiers"),
        pytest.param("modifiers", {}, "modifiers", {}, id="empty modifiers are ignored"),
        pytest.param("modifiers", ["a"], "modifiers", {}, id="modifiers that are no object"),
        pytest.param("name", None, "id", "hook1", id="the name is of no use"),
        pytest.param("group", "g", "id", "hook1", id="the group is of no use"),
        pytest.param("type", "callflow", "id", "hook1", id="a migrated hook's type is of no use"),
        pytest.param("other_id", "x", "id", "hook1", id="nor its twin's id"),
        pytest.param("something", {"else": 1}, "id", "hook1", id="unknown keys are allowed"),
    ],
)
def test_a_field_as_it_is_read(field, value, attribute, wanted, cluster):
    cluster.hook(**{field: value})
    assert getattr(only(cluster), attribute) == wanted


def test_id_and_account_are_the_documents(cluster):
    cluster.hook(_id="f0" * 16)
    assert (only(cluster).id, only(cluster).account_id) == ("f0" * 16, ACCOUNT)


def test_an_account_may_be_known_by_its_database_alone(cluster):
    cluster.hook(pvt_account_id=None, pvt_account_db=encoded_database(ACCOUNT))
    assert only(cluster).account_id == ACCOUNT


def test_a_hook_without_uri_does_not_fire_and_harms_nobody(cluster):
    broken, good = cluster.hook(uri=None), cluster.hook()
    assert cluster.fired(call()) == [good]
    assert "uri is missing" in cluster.refused[broken]


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        pytest.param({}, True, id="enabled by default"),
        pytest.param({"enabled": True}, True, id="enabled"),
        pytest.param({"enabled": False}, False, id="disabled"),
        pytest.param({"enabled": "false"}, False, id="disabled, as a string"),
        pytest.param({"enabled": "perhaps"}, True, id="what is no boolean counts as enabled"),
        pytest.param({"pvt_deleted": True}, False, id="deleted softly"),
        pytest.param({"pvt_deleted": False}, True, id="not deleted"),
        pytest.param({"pvt_type": "user"}, False, id="a document of another type"),
        pytest.param(
            {"enabled": False, "pvt_disabled_message": "too many failed attempts"},
            False,
            id="disabled for its failures",
        ),
        pytest.param({"pvt_disabled_message": "x"}, True, id="the message alone disables nothing"),
    ],
)
def test_which_documents_fire(fields, fires, cluster):
    id = cluster.hook(**fields)
    assert cluster.fired(call()) == ([id] if fires else [])


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        pytest.param({"enabled": False, "pvt_disabled_message": "m"}, True, id="both"),
        pytest.param({"enabled": False}, False, id="by a person"),
        pytest.param({"enabled": True, "pvt_disabled_message": "m"}, False, id="enabled again"),
        pytest.param({"pvt_disabled_message": "m"}, False, id="enabled by default"),
    ],
)
def test_auto_disabled_is_disabled_with_a_message(document, wanted):
    assert is_auto_disabled(document) is wanted


def test_internal_legs_matter_to_calls_only(cluster):
    id = cluster.hook("object", include_internal_legs=False)
    assert cluster.fired(change()) == [id]


def test_a_get_sends_no_body_whatever_its_format(cluster):
    cluster.hook(http_verb="get", format="json")
    (delivery,) = cluster.fire(call())
    assert (delivery.method, delivery.request_body) == ("GET", b"")
