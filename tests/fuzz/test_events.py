"""Messages of the bus: whatever comes, an event or PoisonEvent, and the next one goes through."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.broker.properties import DecodedProperties, encode
from callboard.adapters.broker.protocol import (
    BrokerError,
    IncomingMessage,
    OutgoingMessage,
    Properties,
)
from callboard.adapters.broker.publications import event_in
from callboard.webhooks.deliveries.delivery import deliveries
from callboard.webhooks.events.changes import (
    AccountGone,
    HookGone,
    HookWritten,
    changed_document,
    hook_change,
    tells_of_an_account,
)
from callboard.webhooks.events.directory import Account
from callboard.webhooks.events.event import Event, PoisonEvent, parse_event
from callboard.webhooks.hooks.doc_type_update import (
    InvalidRequest,
    doc_type_updated,
    parse_doc_type_update,
)
from callboard.webhooks.hooks.failure_window import NotShared, read_shared, shared_body
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.matching import HookIndex
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.discovery import discover
from callboard.webhooks.modules.protocol import EventExchange
from callboard.webhooks.values.kazoo_names import account_of_database
from support.fuzz import ACCOUNT, bodies, changed, fuzzed, texts, values

ENVELOPE = {"App-Name": "an_app", "App-Version": "4.0.0", "Msg-ID": "a1b2c3d4", "Node": "n@h"}
CALL = ENVELOPE | {
    "Event-Category": "call_event",
    "Call-ID": "leg-a",
    "Call-Direction": "inbound",
    "Caller-ID-Name": "Ada",
    "Caller-ID-Number": "1001",
    "Channel-Name": "sofia/inside/1001@pbx.example.org",
    "Timestamp": 63867000000,
    "Request": "+14155550100@pbx.example.org",
    "To": "+14155550100@pbx.example.org",
    "From": "1001@pbx.example.org",
    "Other-Leg-Call-ID": "leg-b",
    "Hangup-Cause": "NORMAL_CLEARING",
    "Duration-Seconds": 3,
    "Custom-Channel-Vars": {"Account-ID": ACCOUNT, "Owner-ID": "ada", "Reseller-ID": "r"},
    "Custom-SIP-Headers": {"X-One": "1"},
}
MESSAGE = ENVELOPE | {
    "Event-Name": "inbound",
    "Message-ID": "m1",
    "Route-Type": "offnet",
    "Route-ID": "carrier",
    "Account-ID": ACCOUNT,
    "From": "+14155550101",
    "To": "+14155550102",
    "Body": "hello",
    "Charges": 0.0075,
    "Custom-Vars": {"Carrier-ID": "example"},
}
CHANGE = ENVELOPE | {
    "Event-Category": "configuration",
    "Event-Name": "doc_edited",
    "ID": "c4c0",
    "Type": "user",
    "Database": f"account%2F{ACCOUNT[:2]}%2F{ACCOUNT[2:4]}%2F{ACCOUNT[4:]}",
    "Rev": "7-abc",
    "Is-Soft-Deleted": False,
    "Account-ID": ACCOUNT,
}
MISSED = ENVELOPE | {
    "Event-Category": "notification",
    "Event-Name": "missed_call",
    "Account-ID": ACCOUNT,
    "Call-ID": "leg-a",
    "Call-Bridged": False,
    "Message-Left": False,
    "Notify": {"a": [1, {"b": 2}]},
}
CALLFLOW = ENVELOPE | {
    "Event-Category": "notification",
    "Event-Name": "webhook",
    "Account-ID": ACCOUNT,
    "Timestamp": 63867000000,
    "Hook": {
        "_id": "h9",
        "pvt_account_id": ACCOUNT,
        "uri": "http://hooks.example/",
        "hook": "all",
        "http_verb": "get",
        "custom_data": {"a": "b"},
    },
    "Data": {"call": "leg-a"},
}
SHOP = {"data": {"id": "o1", "state": "paid", "items": [1], "customer": {"id": ACCOUNT}}}

MODULES = {module.id: module for module in discover().modules}
BUS = BusModule(
    id="order",
    exchange=EventExchange("shop", "topic", True),
    keys=("#",),
    name="order",
    description="",
    account="data.customer.id",
    account_id="",
    only={"data.state": "paid"},
    fields={"order": "data.id", "first": "data.items.0"},
)
SAMPLES = [
    *(
        (MODULES[f"channel_{n}"], CALL | {"Event-Name": f"CHANNEL_{n.upper()}"})
        for n in ("create", "answer", "bridge", "destroy")
    ),
    *((MODULES[kind], MESSAGE | {"Event-Category": kind}) for kind in ("sms", "mms")),
    (MODULES["object"], CHANGE),
    (MODULES["notifications"], MISSED),
    (MODULES["notifications"], CALLFLOW),
    (MODULES["parking"], CALL | {"Event-Name": "PARK_PARKED", "Parking-Slot": "1"}),
    (BUS, SHOP),
]
REQUEST = ENVELOPE | {
    "Event-Category": "configuration",
    "Event-Name": "doc_type_update",
    "Type": "webhook",
    "Action": "account",
    "Account-ID": ACCOUNT,
    "Server-ID": "pid://<0.1.0>/queue",
}
HEADERS = ("Account-ID", "Event-Name", "Custom-Channel-Vars", "Doc", "Database", "Server-ID")


class Accounts:
    """A directory in which everybody is known, and no setting made."""

    def account(self, account_id):
        return Account(account_id, ("parent",))

    def reseller_id(self, _account_id):
        return "reseller"

    def account_by_number(self, _number):
        return ACCOUNT

    def setting(self, _category, _key, default):
        return default


def index_of(*modules):
    """A hook in each form and on each event of these modules."""
    index = HookIndex()
    events = {event for module in modules for event in module.events}
    for event in sorted(events | {"all"}):
        for verb, format in (("post", "json"), ("post", "form-data"), ("get", "json")):
            uri = "http://hooks.example/?a=b"
            hook = Hook(f"{event}-{verb}-{format}", ACCOUNT, uri, event, verb=verb, format=format)
            index.put(hook)
    return index


def test_there_is_a_sample_for_every_module():
    assert {module.id for module, _sample in SAMPLES} == {*MODULES, BUS.id}


@pytest.mark.parametrize(
    ("module", "sample"), SAMPLES, ids=lambda value: getattr(value, "id", None) or ""
)
def test_whatever_a_message_holds_its_neighbour_is_delivered(module, sample):
    index = index_of(module)

    def made(body, encoding=None, content_type="application/json"):
        event = parse_event(body, content_type, encoding, "exchange", "key", None)
        return deliveries(event, module, index, Accounts(), "cluster", lambda: "0" * 10)

    good = json.dumps(sample).encode()
    expected = made(good)
    assert expected

    @fuzzed()
    @given(bodies(changed(sample, HEADERS) | values), st.none() | texts)
    def fuzz(body_and_encoding, content_type):
        try:
            sent = made(*body_and_encoding, content_type)
        except PoisonEvent as poison:
            assert str(poison)
            sent = ()
        for delivery in sent:
            assert isinstance(delivery.body, bytes)
            delivery.request_url.encode(errors="strict")
            if delivery.headers[0] == ("Content-Type", "application/json"):
                json.loads(delivery.body)
        assert made(good) == expected

    fuzz()


@fuzzed()
@given(
    bodies(changed(CHANGE, (*HEADERS, "Type", "ID")) | values),
    texts,
    texts,
    st.none() | texts,
    st.none() | texts,
)
def test_document_changes(body_and_encoding, exchange, key, content_type, message_id):
    body, encoding = body_and_encoding
    properties = Properties(
        content_type=content_type, content_encoding=encoding, message_id=message_id
    )
    try:
        event = event_in(IncomingMessage(1, exchange, key, body, properties, False))
    except PoisonEvent:
        return
    change = hook_change(event)
    assert change is None or isinstance(change, HookWritten | HookGone | AccountGone)
    document = changed_document(event)
    assert document is None or all(isinstance(part, str) for part in document)
    assert not tells_of_an_account(event) or event.name in ("db_created", "doc_created")


@fuzzed()
@given(texts)
def test_names_of_databases(name):
    account_id = account_of_database(name)
    assert account_id is None or (account_id and "/" not in account_id)
    document = changed_document(Event({"Database": name, "ID": name}))
    assert document is None if not name else document[1] == name


@fuzzed(2)
@given(changed(REQUEST, HEADERS) | st.dictionaries(texts, values))
def test_requests_to_enable_hooks(body):
    try:
        request = parse_doc_type_update(body)
    except InvalidRequest as problem:
        assert str(problem)
        return
    assert len((request.reply_to or "").encode()) <= 255
    json.dumps(doc_type_updated(request, "node"))


@fuzzed(3)
@given(
    bodies(
        changed(
            shared_body("node", [(ACCOUNT, "h1", 63867000000000)], [(ACCOUNT, None)]),
        )
        | st.fixed_dictionaries(
            {
                "Origin": values,
                "Failures": st.lists(st.lists(values, min_size=2, max_size=4) | values, max_size=3),
                "Flushes": st.lists(st.lists(values, max_size=3) | values, max_size=3),
            }
        )
    )
)
def test_failures_that_nodes_share(body_and_encoding):
    try:
        shared = read_shared(body_and_encoding[0])
    except NotShared as problem:
        assert str(problem)
        return
    for account_id, hook_id, at in shared.failures:
        assert (type(account_id), type(hook_id), type(at)) == (str, str, int)


@fuzzed(2)
@given(st.none() | texts, st.none() | texts, st.dictionaries(texts, values, max_size=3), texts)
def test_properties_of_messages(content_type, message_id, headers, key):
    properties = Properties(content_type=content_type, message_id=message_id, headers=headers)
    try:
        encoded = encode(OutgoingMessage("e", key, b"", properties))
    except BrokerError as problem:
        assert str(problem)
        return
    assert DecodedProperties().decode(encoded).content_type == content_type
