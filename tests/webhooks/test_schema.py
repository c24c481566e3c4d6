import pytest

from callboard.webhooks.hooks.hook import new_hook
from callboard.webhooks.hooks.schema import SCHEMA, schema_update


def test_absent_it_is_made():
    made = schema_update(None, "apps@one", 100)
    assert (made["_id"], made["pvt_created"], made["pvt_modified"]) == ("webhooks", 100, 100)
    assert made["$schema"] == "http://json-schema.org/draft-04/schema#"
    assert {key: made[key] for key in SCHEMA} == SCHEMA


def test_what_says_the_same_is_not_saved_again():
    stored = schema_update(None, "apps@one", 100) | {"_rev": "1-a"}
    assert schema_update(stored, "apps@two", 200) is None


def test_what_others_add_stays_and_what_is_ours_wins():
    stored = schema_update(None, "apps@one", 100) | {"_rev": "1-a", "theirs": [1]}
    stored["properties"] = {
        **stored["properties"],
        "hook": {"type": "string", "enum": ["all", "sms"]},
        "retries": {"maximum": 9},
        "group": {"type": "string"},
    }
    changed = schema_update(stored, "apps@two", 200)
    assert changed["theirs"] == [1]
    assert changed["properties"]["hook"]["enum"] == ["all", "sms"]
    assert changed["properties"]["group"] == {"type": "string"}
    assert changed["properties"]["retries"]["maximum"] == 4
    assert (changed["_rev"], changed["pvt_created"], changed["pvt_modified"]) == ("1-a", 100, 200)
    assert schema_update(changed, "apps@one", 300) is None


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("name", {"type": "string"}),
        ("uri", {"type": "string", "format": "uri", "kazoo-validation": True}),
        ("hook", {"type": "string"}),
        ("http_verb", {"enum": ["get", "post", "put"], "default": "post"}),
        ("format", {"enum": ["form-data", "json"], "default": "form-data"}),
        ("retries", {"type": "integer", "minimum": 0, "maximum": 4, "default": 2}),
        ("enabled", {"type": "boolean", "default": True}),
        ("include_subaccounts", {"type": "boolean"}),
        ("include_internal_legs", {"type": "boolean", "default": True}),
        ("custom_data", {"type": "object", "additionalProperties": {"type": "string"}}),
    ],
)
def test_it_says_what_kazoos_says(name, facts):
    told = SCHEMA["properties"][name]
    assert {key: told.get(key) for key in facts} == facts
    assert ("default" in told) == ("default" in facts)


def test_it_knows_these_fields_and_wants_three():
    assert len(SCHEMA["properties"]) == 10
    assert SCHEMA["required"] == ["hook", "name", "uri"]
    assert SCHEMA["type"] == "object"


def test_a_new_hook_has_the_defaults_it_tells():
    told = {k: p["default"] for k, p in SCHEMA["properties"].items() if "default" in p}
    made = new_hook({}, 100, "0f" * 16, "apps@one")
    assert {key: made[key] for key in told} == told
