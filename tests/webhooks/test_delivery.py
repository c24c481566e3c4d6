import gzip
import hashlib
import json
import pickle
import re
from itertools import count
from urllib.parse import parse_qsl

import pytest
from attrs import evolve, frozen

from callboard.webhooks.deliveries.delivery import (
    Delivery,
    FanOut,
    deliveries,
    delivery_id,
    new_event_id,
)
from callboard.webhooks.events.event import Event, parse_event
from callboard.webhooks.hooks.hook import parse_hook
from callboard.webhooks.hooks.matching import HookIndex
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.modules.kazoo.channel_create import MODULE
from callboard.webhooks.modules.kazoo.skel import MODULE as SKEL
from callboard.webhooks.modules.protocol import Firing
from support.hooks import hooks_with, index_of

PARENT = "0a" * 16
ACCOUNT = "1b" * 16


hook = hooks_with(account_id=ACCOUNT, event="CHANNEL_CREATE", uri="https://x.org/in")


def deliver(event, directory, *hooks, module=MODULE):
    numbers = count()
    return deliveries(
        event, module, index_of(*hooks), directory, "c1", lambda: f"{next(numbers):010x}"
    )


def test_an_event_becomes_a_delivery(call, directory):
    (delivery,) = deliver(call(), directory, hook(format="json", max_attempts=4, verb="put"))
    assert (delivery.hook_id, delivery.account_id) == ("h", ACCOUNT)
    assert (delivery.hook_event, delivery.max_attempts) == ("CHANNEL_CREATE", 4)
    assert (delivery.method, delivery.uri) == ("PUT", "https://x.org/in")
    assert delivery.url == delivery.uri
    assert delivery.event_id == "0000000000"
    assert dict(delivery.headers) == {
        "Content-Type": "application/json",
        "X-Hook-ID": "h",
        "X-Account-ID": ACCOUNT,
        "webhook-id": delivery.id,
    }
    payload = json.loads(delivery.body)
    assert (payload["call_id"], payload["cluster_id"]) == ("leg-a", "c1")


def test_an_ancestor_s_hook_is_delivered_in_its_own_account_s_name(call, directory):
    mine = hook("mine")
    theirs = hook("theirs", PARENT, event="all", include_subaccounts=True)
    first, second = deliver(call(), directory, mine, theirs)
    assert (first.hook_id, second.hook_id) == ("mine", "theirs")
    assert second.account_id == dict(second.headers)["X-Account-ID"] == PARENT
    assert second.hook_event == "all"
    assert dict(parse_qsl(second.body.decode()))["account_id"] == ACCOUNT
    assert first.event_id != second.event_id
    assert first.id != second.id


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "CHANNEL_ANSWER"},
        {"modifiers": {"call_direction": "outbound"}},
        {"include_internal_legs": False},
        {"account_id": PARENT},
    ],
)
def test_hooks_that_do_not_match_get_nothing(fields, call, directory):
    assert deliver(call(Channel_Is_Loopback=True), directory, hook(**fields)) == ()


def test_modifiers_see_the_event_s_payload_not_custom_data(call, directory):
    one = hook(modifiers={"call_direction": "inbound"}, custom_data={"call_direction": "mine"})
    (delivery,) = deliver(call(), directory, one)
    assert dict(parse_qsl(delivery.body.decode()))["call_direction"] == "mine"


def test_an_unknown_account_has_no_hooks(call, directory):
    del directory.accounts[ACCOUNT]
    assert deliver(call(), directory, hook()) == ()


@frozen
class Elsewhere:
    """A module of a bus whose accounts are in no database."""

    any_account: bool
    id: str = "elsewhere"

    def responds_to(self, _event):
        return True

    def firing(self, event, _directory):
        account = event.body["account"]
        return Firing(account, "elsewhere", {"a": 1}, any_account=self.any_account)


def test_an_account_of_another_bus_need_not_be_known(directory):
    event, one = Event({"account": "stranger"}), hook("h", "stranger", event="elsewhere")
    assert deliver(event, directory, one, module=Elsewhere(any_account=False)) == ()
    (delivery,) = deliver(event, directory, one, module=Elsewhere(any_account=True))
    assert delivery.account_id == "stranger"


def test_events_of_other_buses_carry_no_id_of_a_kazoo_cluster(directory):
    event, one = Event({"account": ACCOUNT}), hook("h", ACCOUNT, event="elsewhere", format="json")
    for elsewhere, carried in ((True, False), (False, True)):
        index = HookIndex()
        index.put(one)
        module = Elsewhere(any_account=elsewhere)
        (delivery,) = deliveries(event, module, index, directory, "the-cluster")
        assert (b"the-cluster" in delivery.body) is carried


def test_if_it_is_known_its_ancestors_hear_too(directory):
    event = Event({"account": ACCOUNT})
    above = hook("above", PARENT, event="elsewhere", include_subaccounts=True)
    (delivery,) = deliver(event, directory, above, module=Elsewhere(any_account=True))
    assert delivery.hook_id == "above"


def test_other_events_and_calls_of_nobody_are_passed_over(call, directory):
    assert deliver(call("CHANNEL_ANSWER"), directory, hook()) == ()
    assert deliver(call(ccvs={"Account-ID": None}), directory, hook()) == ()


def test_hooks_that_send_the_same_share_one_body(call, directory):
    found = deliver(
        call(),
        directory,
        hook("1"),
        hook("2", PARENT, include_subaccounts=True),
        hook("3", custom_data={"x": "y"}),
        hook("4", custom_data={"x": "z"}),
        hook("5", format="json"),
        hook("6", format="json", verb="get"),
    )
    bodies = {delivery.hook_id: delivery.body for delivery in found}
    assert bodies["1"] is bodies["2"]
    assert len({bodies[id] for id in "1345"}) == 4
    got = next(delivery for delivery in found if delivery.hook_id == "6")
    query = got.request_url.partition("?")[2]
    assert query.encode() == bodies["1"]


@frozen
class SaysWho:
    """A module whose events name their hook themselves."""

    id: str = "says_who"

    def responds_to(self, _event):
        return True

    def firing(self, event, _directory):
        named = parse_hook(event.body["Hook"], {"notifications"})
        return Firing(named.account_id, "notifications", event.body["Data"], hooks=(named,))


def test_an_event_may_bring_its_own_hook(directory):
    named = {
        "_id": "63867000000",
        "uri": "https://flow.example.org/",
        "hook": "notifications",
        "pvt_account_id": "of-no-account-we-know",
        "custom_data": {"type": "all", "x": "y"},
    }
    event = Event({"Msg-ID": "m", "Hook": named, "Data": {"a": 1}})
    bystander = hook("h", event="notifications")
    (delivery,) = deliver(event, directory, bystander, module=SaysWho())
    assert (delivery.hook_id, delivery.url) == ("63867000000", "https://flow.example.org/")
    assert delivery.body == b"a=1&x=y&cluster_id=c1"


def id_of(module_id="m", hook_id="h", **body):
    return delivery_id(
        Event({key.replace("_", "-"): v for key, v in body.items()}), module_id, hook_id
    )


def test_ids_of_deliveries_are_those_of_earlier_releases():
    """A node of another release recognizes a delivery that was made before."""
    event = Event({"Msg-ID": "m1", "Event-Name": "N", "Call-ID": "c1"}, "e", "k", "x")
    text = b'["m1", "N", "c1", "module", "h1"]'
    expected = hashlib.blake2b(text, digest_size=16).hexdigest()
    assert delivery_id(event, "module", "h1") == expected


def test_a_repeated_event_has_the_same_delivery_ids(call, directory):
    first, again = (deliver(call(), directory, hook())[0] for _time in range(2))
    assert first == again
    assert re.fullmatch("[0-9a-f]{32}", first.id)


ONE = {"Msg_ID": "1", "Event_Name": "CHANNEL_CREATE", "Call_ID": "leg"}
CHANGE = {"Msg_ID": "1", "Event_Name": "doc_edited", "Database": "db", "ID": "i"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ONE, ONE | {"Msg_ID": "2"}),
        (ONE, ONE | {"Event_Name": "CHANNEL_ANSWER"}),
        (ONE, ONE | {"Call_ID": "other"}),
        (ONE, ONE | {"hook_id": "i"}),
        (ONE, ONE | {"module_id": "n"}),
        (CHANGE, CHANGE | {"Database": "accounts"}),
        (CHANGE, CHANGE | {"ID": "j"}),
        (CHANGE, CHANGE | {"Database": "dbi", "ID": ""}),
        ({"Event_Name": "order", "Number": 1}, {"Event_Name": "order", "Number": 2}),
    ],
)
def test_different_events_have_different_delivery_ids(one, other):
    assert id_of(**one) != id_of(**other)


def test_what_does_not_identify_a_call_event_does_not_matter():
    assert id_of(**ONE) == id_of(**ONE, Node="switch@two", Timestamp=5)


def test_without_a_message_id_the_bytes_of_the_message_take_part():
    def id_by(content, headers=None):
        event = parse_event(content, None, headers, "shop", "door")
        return delivery_id(event, "m", "h")

    assert id_by(b'{"a": 1}') == id_by(b'{"a": 1}') == id_by(gzip.compress(b'{"a": 1}'), "gzip")
    assert len({id_by(b'{"a": 1}'), id_by(b'{"a": 2}'), id_by(b'{"a":1}')}) == 3
    assert id_of(a=1) != id_of(a=2)


def test_without_a_message_id_exchange_and_key_take_part():
    places = [("shop", "order.paid"), ("shop", "order.sent"), ("till", "order.paid")]
    ids = {delivery_id(Event({"n": 1}, *place), "m", "h") for place in places}
    assert len(ids) == len(places)


def test_a_message_id_tells_equal_messages_apart():
    def id_with(message_id, **body):
        return delivery_id(Event(body, "shop", "door", message_id), "m", "h")

    assert id_with("1", open=True) != id_with("2", open=True)
    assert id_with("1", open=True) == id_with("1", open=True, seen_at=5)
    assert id_with("1", open=True) != id_with(None, open=True) == id_with("", open=True)
    assert id_with("1", **{"Msg-ID": "k"}) == id_with("2", **{"Msg-ID": "k"})


def test_half_a_surrogate_pair_has_an_id_too():
    assert id_of(Msg_ID="\ud800")


def test_event_ids_are_ten_random_hex_digits():
    assert re.fullmatch("[0-9a-f]{10}", new_event_id())
    assert new_event_id() != new_event_id()


def test_a_delivery_pickles_small(call, directory):
    (delivery,) = deliver(call(), directory, hook())
    pickled = pickle.dumps(delivery)
    assert pickle.loads(pickled) == delivery
    assert len(pickled) < len(delivery.body) + len(delivery.source) + 600


def test_an_event_of_another_bus(directory):
    module = evolve(SKEL, id="order", events=("skel",))
    event = Event(
        {
            "Event-Category": "category",
            "Event-Name": "name",
            "Account-ID": ACCOUNT,
            "What": {"items": [], "note": None, "n": 2},
        }
    )
    (delivery,) = deliver(event, directory, hook(event="skel"), module=module)
    assert delivery.body == b"what[n]=2&cluster_id=c1"


def every_form(directory, **headers):
    """A call's payload as it arrives in JSON, in a form, and in a query, by its own message."""
    raw = json.dumps(
        {
            "Event-Category": "call_event",
            "Event-Name": "CHANNEL_CREATE",
            "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
            **headers,
        }
    )
    event = parse_event(raw.encode(), "application/json", None, "callevt", "call.CHANNEL_CREATE.x")
    hooks = hook("json", format="json"), hook("form"), hook("query", verb="get")
    by_hook = {one.hook_id: one for one in deliver(event, directory, *hooks)}
    assert pickle.loads(pickle.dumps(by_hook)) == by_hook
    as_form = parse_qsl(by_hook["form"].body.decode("ascii"), keep_blank_values=True)
    query = by_hook["query"].request_url.partition("?")[2]
    assert parse_qsl(query, keep_blank_values=True) == as_form
    return json.loads(by_hook["json"].body), dict(as_form)


@pytest.mark.parametrize(
    ("text", "arrives"),
    [
        ("a\0b", "a\0b"),
        ("\U0001f4de", "\U0001f4de"),
        ("a\r\nX: y", "a\r\nX: y"),
        ("\u2028", "\u2028"),
    ],
)
def test_odd_texts_arrive_in_every_form(text, arrives, directory):
    in_json, in_form = every_form(directory, **{"Caller-ID-Name": text, "Call-ID": text})
    assert in_json["caller_id_name"] == in_form["caller_id_name"] == arrives
    assert in_json["call_id"] == in_form["call_id"] == arrives


def test_half_a_character_arrives_as_such_in_json_and_replaced_in_a_form(directory):
    in_json, in_form = every_form(directory, **{"Call-ID": "x\ud800"})
    assert (in_json["call_id"], in_form["call_id"]) == ("x\ud800", "x\ufffd")


@pytest.mark.parametrize("number", [10**4000, -(2**64), 0])
def test_numbers_of_any_size_arrive_in_every_form(number, directory):
    in_json, in_form = every_form(directory, **{"From": number, "Call-ID": number})
    assert in_json["from"] == int(in_form["from"]) == number
    assert in_json["call_id"] == in_form["call_id"] == str(number)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}])
def test_the_deepest_event_arrives_in_every_form(wrap, directory):
    deep = "bottom"
    for _level in range(99):
        deep = wrap(deep)
    in_json, in_form = every_form(directory, From=deep)
    assert in_json["from"] == deep
    assert any("bottom" in value for value in in_form.values())


def test_what_is_sent_does_not_show_in_logs(call, directory):
    event = call(**{"Caller-ID-Name": "Secret"})
    (delivery,) = deliver(event, directory, hook())
    assert b"Secret" in delivery.body
    for shown in (event, MODULE.firing(event, directory), delivery):
        assert "Secret" not in repr(shown)


def test_the_size_of_a_delivery_counts_what_is_its_own():
    uri = "https://x.org/in"
    plain = Delivery("d", "e", "h", ACCOUNT, "all", uri, "POST", uri, (), b"12345", source=b"123")
    assert plain.size == plain.bare_size + 8
    headed = evolve(plain, options=Options(headers=(("X-Key", "1234"), ("Y", "12"))))
    assert headed.bare_size == plain.bare_size + 6


def test_contents_with_custom_data_of_hooks_are_kept_up_to_4_megabytes():
    plain, *own = [
        hook(str(n), format="json", custom_data={"k": str(n) * 800_000} if n else {})
        for n in range(4)
    ]
    made = FanOut(Event({}), "m", Firing(ACCOUNT, "e", {}), [plain, *own], None)
    encoded = []
    one, two, three = own
    for each in (plain, one, two, one, three, plain, one, three, two, one):
        before = made.encoded_bytes
        made.make(each)
        encoded.append(made.encoded_bytes > before)
    # The third, and later the second, exceeds the size: the others with data of their own go.
    assert encoded == [True, True, True, False, True, False, True, False, True, True]
