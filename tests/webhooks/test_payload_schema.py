"""Schemas and samples of the payloads of modules for other buses."""

import json

import pytest

from callboard.webhooks.deliveries.delivery import FAULT_HEADER, deliveries
from callboard.webhooks.deliveries.presenting import presented
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.discovery import discover
from callboard.webhooks.modules.payload_schema import MAX_FAULT, InvalidSchema, checker
from callboard.webhooks.modules.protocol import EventExchange
from callboard.webhooks.modules.samples import NoDirectory, sample
from callboard.webhooks.values.exact_numbers import json_read
from support.hooks import hooks_with, index_of

SCHEMA = {
    "type": "object",
    "required": ["order"],
    "properties": {"order": {"type": "integer"}, "total": {"type": "number", "minimum": 0}},
}
hook = hooks_with(account_id="shop", event="order_paid", format="json")


def shop(**values):
    made = {"id": "order_paid", "keys": ("#",), "account_id": "shop", "schema": SCHEMA}
    return BusModule(exchange=EventExchange("shop"), **(made | values))


def deliver(module, body, *hooks):
    index = index_of(*(hooks or (hook(),)))
    return deliveries(Event(body, "shop", "k", "m"), module, index, NoDirectory(), None)


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ({"order": 7}, ""),
        ({"order": 7, "total": 1.5, "more": None}, ""),
        ({}, "the whole: 'order' is a required property"),
        ({"order": "7"}, "order: '7' is not of type 'integer'"),
        ({"order": True}, "order: True is not of type 'integer'"),
        ({"order": 7, "total": -1}, "total: -1 is less than the minimum of 0"),
        ([], "the whole: [] is not of type 'object'"),
    ],
)
def test_the_first_fault_is_named_with_its_place(payload, fault):
    assert checker(SCHEMA)(payload) == fault


def test_numbers_as_they_are_spelt_are_numbers():
    assert checker(SCHEMA)(json_read(b'{"order": 7.0, "total": 1.10}')) == ""


def test_the_place_of_a_fault_is_a_path():
    schema = {"properties": {"a": {"items": {"type": "string"}}}}
    assert checker(schema)({"a": ["x", 1]}) == "a.1: 1 is not of type 'string'"


def test_a_fault_is_not_longer_than_needed():
    assert len(checker({"type": "object"})("x" * 1000)) == MAX_FAULT


def test_the_draft_of_the_schema_counts():
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "exclusiveMinimum": True}
    assert checker(old | {"minimum": 1})(1)
    with pytest.raises(InvalidSchema, match="no JSON schema"):
        checker({"minimum": 1, "exclusiveMinimum": True})


def test_it_may_refer_to_itself_and_to_nothing_else():
    own = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert checker(own)({"a": "x"}) == "a: 'x' is not of type 'integer'"
    elsewhere = checker({"$ref": "http://127.0.0.1:9/schema.json"})
    assert "which it does not contain" in elsewhere({})


def test_off_checks_nothing():
    (made,) = deliver(shop(), {"order": "x"})
    assert FAULT_HEADER not in dict(made.headers)


def test_mark_names_the_fault_in_a_header():
    (good,) = deliver(shop(validate="mark"), {"order": 7})
    assert FAULT_HEADER not in dict(good.headers)
    (bad,) = deliver(shop(validate="mark"), {"order": "é\n"})
    assert json.loads(bad.body) == {"order": "é\n"}
    value = dict(bad.headers)[FAULT_HEADER]
    assert value == "order: '\\xe9\\\\n' is not of type 'integer'".replace("\\\\n", "\\n")
    assert value.isascii() and value.isprintable()
    # Also if the hook was changed while the delivery waited.
    assert dict(presented(bad, hook(uri="https://other.example/")).headers)[FAULT_HEADER] == value


def test_reject_quarantines_the_event_with_the_fault():
    assert deliver(shop(validate="reject"), {"order": 7})
    with pytest.raises(PoisonEvent) as refused:
        deliver(shop(validate="reject"), {})
    assert str(refused.value) == (
        "the payload does not match the schema of order_paid: "
        "the whole: 'order' is a required property"
    )


def test_the_schema_is_of_the_payload_and_not_of_the_message():
    module = shop(validate="reject", fields={"order": "data.id"})
    assert deliver(module, {"data": {"id": 7}})
    with pytest.raises(PoisonEvent):
        deliver(module, {"data": {"id": "7"}, "order": 7})


def test_a_message_of_another_account_or_module_is_not_checked():
    module = shop(validate="reject", account_id="", account="shop", only={"kind": "paid"})
    assert deliver(module, {"kind": "paid"}) == ()
    assert deliver(module, {"kind": "made", "shop": "shop"}) == ()


def test_a_checked_message_has_to_be_json():
    assert shop(raw=True).any_content
    assert not shop(raw=True, validate="mark").any_content
    assert not shop(raw=True, only_if_present={"a": 1}).any_content


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"schema": {"type": "teapot"}}, "the schema is no JSON schema: "),
        (
            {"samples": ({"order": 7}, {"order": "x"})},
            "sample 2 does not match the schema: order: 'x'",
        ),
    ],
)
def test_a_module_with_a_faulty_schema_is_left_out_with_the_reason(values, reason):
    found = discover([shop(**values), shop(id="other")])
    (problem,) = [one for one in found.problems if one.module == "order_paid"]
    assert problem.reason.startswith(reason)
    assert "other" in {module.id for module in found.modules}


def test_a_hook_is_tested_with_the_first_sample():
    module = shop(samples=({"order": 7}, {"order": 8}), fields={"order": "x"})
    assert sample(hook(), [module], NoDirectory(), 0.0) == ({"order": 7}, False)


@pytest.mark.parametrize(
    ("body", "only", "present"),
    [
        ({"test": False, "n": 1}, True, True),
        ({"n": 1}, False, True),
        ({"test": True}, False, False),
        ({"test": None}, False, False),
        ({"test": 0}, False, False),
        ({"test": {}}, False, False),
    ],
)
def test_missing_values_pass_only_if_present(body, only, present):
    assert shop(only={"test": False}).responds_to(Event(body)) is only
    assert shop(only_if_present={"test": False}).responds_to(Event(body)) is present


def test_both_forms_have_to_hold():
    module = shop(only={"a.b": 1}, only_if_present={"c": 2, "d.0": 3})
    for body, expected in (
        ({"a": {"b": 1}}, True),
        ({"a": {"b": 1}, "c": 2, "d": [3]}, True),
        ({"a": {"b": 1}, "c": 3}, False),
        ({"a": {"b": 1}, "d": [4]}, False),
        ({"c": 2}, False),
    ):
        assert module.responds_to(Event(body)) is expected
