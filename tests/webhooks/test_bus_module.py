"""Modules that a few plain values make, for buses that are not Kazoo's."""

import gzip
import json
from collections import Counter
from contextlib import nullcontext

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.webhooks.deliveries.delivery import deliveries
from callboard.webhooks.deliveries.presenting import presented
from callboard.webhooks.events.event import Event, PoisonEvent, whole_event
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.protocol import EventExchange
from support.hooks import hooks_with, index_of

ORDER = {
    "type": "order.paid",
    "test": False,
    "customer": {"id": "c7", "name": "Ada"},
    "items": [{"sku": "a"}, {"sku": "b"}],
    "note": None,
}


def module(**values):
    defaults = {"id": "Order_Paid", "keys": ("order.*.paid",), "account": "customer.id"}
    return BusModule(exchange=EventExchange("shop", durable=True), **(defaults | values))


def payload(made, body=ORDER):
    firing = made.firing(Event(body), None)
    return firing and firing.payload


def test_what_is_not_given_is_not_there():
    made = BusModule(id="Shop", exchange=EventExchange("shop"), keys=("#",))
    assert (made.id, made.name, made.description, made.account, made.account_id) == (
        "shop",
        *[""] * 4,
    )
    assert (made.only, made.only_if_present, made.fields, made.schema) == ({}, {}, {}, {})
    assert (made.binding_headers, made.samples, made.reference) == ((), (), "")
    assert (made.raw, made.validate) == (False, "off")


def test_without_fields_the_whole_message_is_sent():
    firing = module().firing(Event(ORDER), None)
    assert (firing.account_id, firing.event) == ("c7", "order_paid")
    assert firing.payload == ORDER
    assert firing.any_account


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("type", "order.paid"),
        ("customer.id", "c7"),
        ("items.1.sku", "b"),
        *(("note", ""), ("test", ""), ("customer", ""), ("nowhere", ""), ("", "")),
    ],
)
def test_the_reference_is_a_value_of_the_payload(path, reference):
    assert module(reference=path).firing(Event(ORDER), None).reference == reference


@pytest.mark.parametrize(
    ("value", "reference"),
    [(7, "7"), (7.5, "7.5"), ("7" * 256, "7" * 256), ("7" * 257, ""), ("\ud800", "?")],
)
def test_the_reference_is_a_text_of_limited_length(value, reference):
    made = module(reference="no", fields={"no": "id"})
    assert made.firing(Event(ORDER | {"id": value}), None).reference == reference


def test_deliveries_keep_their_reference_as_their_hook_changes(directory):
    hook = hooks_with(account_id="c7", event="order_paid")(id="h")
    made = module(reference="customer.id")
    (delivery,) = deliveries(Event(ORDER), made, index_of(hook), directory, None)
    assert delivery.reference == "c7"
    assert presented(delivery, evolve(hook, format="json")).reference == "c7"


def test_what_has_a_reference_has_to_be_json():
    constant = {"account": "", "account_id": "shop", "raw": True}
    assert module(**constant).any_content
    assert not module(**constant, reference="id").any_content


RAW = b'{"a": 1.10,  "b":"\xc3\xa4"}'


def raw_deliveries(
    directory, body=RAW, content_type="application/json; charset=utf-8", encoding=None, **values
):
    made = module(account="", account_id="shop", raw=True, **values)
    event = whole_event(
        body, content_type, encoding, "shop", "order.1.paid", any_content=made.any_content
    )
    hooks = hooks_with(account_id="shop", event="order_paid", custom_data={"x": "y"})
    index = index_of(hooks(id="form"), hooks(id="json", format="json"), hooks(id="get", verb="get"))
    return {one.hook_id: one for one in deliveries(event, made, index, directory, None)}


def test_raw_passes_bytes_and_content_type_on_whatever_the_format(directory):
    made = raw_deliveries(directory)
    for hook in ("form", "json"):
        assert made[hook].body == RAW
        assert made[hook].content == ("application/json; charset=utf-8", RAW)
        assert made[hook].raw
    assert made["get"].request_url.endswith("?a=1.10&b=%C3%A4&x=y")
    assert not made["get"].raw


def test_a_module_that_is_not_raw_sends_fields(directory):
    event = whole_event(RAW, "application/json", None, "shop", "order.1.paid", any_content=False)
    firing = module(account="", account_id="shop").firing(event, directory)
    assert firing.raw is None
    assert json.loads(json.dumps(firing.payload)) == {"a": 1.1, "b": "ä"}


def test_raw_is_what_was_meant_by_a_content_encoding(directory):
    assert raw_deliveries(directory, gzip.compress(RAW), encoding="gzip")["form"].body == RAW


@pytest.mark.parametrize(
    ("body", "content_type", "sent_as"),
    [
        (b"<order/>", "text/xml", "text/xml"),
        (b"\x00\xff", None, "application/octet-stream"),
        (b"[1]", "text/x\r\nX-Injected: 1", "application/octet-stream"),
        (b"\x83h", "application/erlang", "application/erlang"),
        (RAW, None, "application/json"),
    ],
)
def test_raw_need_not_be_json_if_nothing_looks_into_it(directory, body, content_type, sent_as):
    made = raw_deliveries(directory, body, content_type)
    assert made["form"].content == (sent_as, body)
    assert (
        made["form"].id != raw_deliveries(directory, body + b" ", content_type)["form"].id
        or body == RAW
    )
    with pytest.raises(PoisonEvent) if body != RAW else nullcontext():
        raw_deliveries(directory, body, content_type, only={"a": 1.1})


def test_fields_choose_and_name_what_is_sent():
    made = module(
        fields={
            "buyer": "customer.name",
            "first": "items.0.sku",
            "note": "note",
            "items": "items",
            "missing": "customer.age",
            "beyond": "items.2.sku",
            "of_text": "type.0",
            "all": "*",
        }
    )
    assert payload(made) == {
        "buyer": "Ada",
        "first": "a",
        "note": None,
        "items": [{"sku": "a"}, {"sku": "b"}],
        "all": ORDER,
    }


@pytest.mark.parametrize(
    ("value", "account"),
    [
        ("c7", "c7"),
        (7, "7"),
        (0, "0"),
        ("", None),
        (None, None),
        (True, None),
        (1.5, None),
        ({"id": "c7"}, None),
        (["c7"], None),
    ],
)
def test_the_account_lies_at_its_path(value, account):
    firing = module().firing(Event({"customer": {"id": value}}), None)
    assert (firing and firing.account_id) == account


@pytest.mark.parametrize("body", [{}, {"customer": None}, {"customer": "c7"}, {"id": "c7"}])
def test_a_message_without_account_fires_nothing(body):
    assert payload(module(), body) is None


def test_the_account_may_be_the_same_always():
    firing = module(account="", account_id="shop").firing(Event({"customer": 5}), None)
    assert firing.account_id == "shop"


@pytest.mark.parametrize(
    ("only", "responds"),
    [
        ({}, True),
        ({"type": "order.paid"}, True),
        ({"type": "order.paid", "test": False}, True),
        ({"type": "order.paid", "test": True}, False),
        ({"test": 0}, False),
        ({"type": "order"}, False),
        ({"customer.name": "Ada", "items.1.sku": "b"}, True),
        ({"items.1.sku": "a"}, False),
        ({"customer.age": 5}, False),
        ({"missing": ""}, False),
    ],
)
def test_only_some_messages_count(only, responds):
    assert module(only=only).responds_to(Event(ORDER)) is responds


def test_numbers_are_compared_as_numbers():
    assert module(only={"n": 1}).responds_to(Event({"n": 1.0}))
    assert not module(only={"n": 1}).responds_to(Event({"n": True}))
    assert not module(only={"n": 1}).responds_to(Event({"n": "1"}))


def test_it_is_named_and_bound_as_it_says():
    made = module(keys=("a.*", "b.#"))
    assert made.id == "order_paid"
    assert made.events == ("order_paid",)
    assert made.exchanges == (EventExchange("shop", "topic", True),)
    assert made.bindings == (("shop", "a.*"), ("shop", "b.#"))
    assert made.modifiers(None) == {}


def fired(directory, *hooks, made=None, body=ORDER, key="order.1.paid"):
    event = Event(body, "shop", key)
    return deliveries(event, made or module(), index_of(*hooks), directory, None)


hook = hooks_with(event="order_paid", format="json")


def test_hooks_fire_for_an_account_that_no_database_knows(directory):
    sent = fired(directory, hook("one", "c7"), hook("all", "c7", "all"), hook("else", "c8"))
    assert [delivery.hook_id for delivery in sent] == ["one", "all"]
    assert json.loads(sent[0].body) == ORDER


def test_an_account_that_is_known_has_its_ancestors(directory):
    parent, child = "0a" * 16, "1b" * 16
    above = hook("above", parent, include_subaccounts=True)
    assert [
        delivery.hook_id
        for delivery in fired(directory, above, body=ORDER | {"customer": {"id": child}})
    ] == ["above"]


def test_modifiers_look_at_the_payload(directory):
    wanted = hook("wanted", "c7", modifiers={"type": ["order.paid"]})
    unwanted = hook("unwanted", "c7", modifiers={"type": ["order.sent"]})
    assert [delivery.hook_id for delivery in fired(directory, wanted, unwanted)] == ["wanted"]


def test_messages_that_differ_in_their_key_alone_are_two(directory):
    (paid,) = fired(directory, hook("h", "c7"))
    (again,) = fired(directory, hook("h", "c7"))
    (other,) = fired(directory, hook("h", "c7"), key="order.2.paid")
    assert paid.id == again.id != other.id


scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2)
steps = st.sampled_from("abc01") | st.text(min_size=1, max_size=3).filter(lambda s: "." not in s)
json_values = st.recursive(
    scalars,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(steps, children, max_size=3),
    max_leaves=8,
)
bodies = st.builds(
    lambda body, id: body | {"id": id},
    st.dictionaries(steps, json_values, max_size=4),
    st.integers(0, 9) | st.text("xyz"),
)


def places(value, path=()):
    """Whatever lies within a value, by its path."""
    found = {".".join(path): value} if path else {"*": value}
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = ((str(number), member) for number, member in enumerate(value))
    else:
        members = ()
    for step, member in members:
        found = places(member, (*path, step)) | found
    return found


def written(value):
    """As JSON, in which true is not 1."""
    return json.dumps(value, sort_keys=True)


@st.composite
def messages_and_modules(draw):
    """A message, and a module whose paths lead to something in it or nowhere."""
    body = draw(bodies)
    there = places(body)
    anywhere = st.lists(steps, min_size=1, max_size=3).map(".".join)
    paths = st.sampled_from(sorted(there)) | anywhere
    account = draw(st.just("id") | paths)
    fields = draw(st.dictionaries(st.text(max_size=2), paths, max_size=3))
    only = {
        path: there[path] if path in there and draw(st.booleans()) else draw(scalars)
        for path in draw(st.lists(paths, min_size=1, max_size=2, unique=True))
    }
    return body, module(account=account, fields=fields, only=only)


def test_it_counts_and_sends_what_lies_at_its_paths():
    seen = Counter()

    @settings(max_examples=200)
    @given(messages_and_modules())
    def check(pair):
        body, made = pair
        there = places(body)
        counts = all(
            path in there and written(there[path]) == written(value)
            for path, value in made.only.items()
        )
        assert made.responds_to(Event(body)) is counts
        account = there.get(made.account)
        firing = made.firing(Event(body), None)
        if account == "" or isinstance(account, bool) or not isinstance(account, str | int):
            assert firing is None
        else:
            assert firing.account_id == str(account)
            wanted = {key: there[path] for key, path in made.fields.items() if path in there}
            assert firing.payload == (wanted if made.fields else body)
        seen.update([("counts", counts), ("fires", firing is not None)])

    check()
    # Neither by chance alone.
    assert min(seen[what, how] for what in ("counts", "fires") for how in (True, False)) >= 10


@given(st.lists(st.text("abc", min_size=1), min_size=1), json_values.filter(lambda v: v != {}))
def test_what_was_put_at_a_path_is_found_there(steps, value):
    body = value
    for step in reversed(steps):
        body = {step: body}
    made = module(account="", account_id="a", fields={"x": ".".join(steps)})
    assert payload(made, body) == {"x": value}
