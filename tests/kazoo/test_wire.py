"""Exchanges, queues, bindings, dispatch, bodies and their validation: Kazoo's side of the wire."""

import json
import re

import pika
import pytest

from callboard.adapters.receiver import Receiver
from callboard.webhooks.changes import document_change
from callboard.webhooks.event import PoisonEvent
from callboard.webhooks.names import encode_segment
from support.kazoo import (
    ACCOUNT,
    ENVELOPE,
    NODE,
    call,
    change,
    encoded_database,
    message,
)
from support.running import ACCOUNT as OURS
from support.running import RunningSystem, call_event

# Routing keys


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        pytest.param("AZaz09-~_", "AZaz09-~_", id="what stays"),
        pytest.param("a b", "a+b", id="a space is a plus"),
        pytest.param("a.b", "a%2Eb", id="a dot"),
        pytest.param("a@b", "a%40b", id="an at sign"),
        pytest.param("a+b%2F", "a%2Bb%252F", id="what escaping makes is escaped"),
        pytest.param("é", "%C3%A9", id="bytes, not characters, in upper case"),
        pytest.param("*", "*", id="a star alone"),
        pytest.param("#", "#", id="a hash alone"),
        pytest.param("", "", id="nothing"),
        pytest.param("a*", "a%2A", id="a star within"),
    ],
)
def test_a_segment_of_a_routing_key(value, wanted):
    assert encode_segment(value) == wanted


DOCUMENT = {
    "_id": "a.b@c",
    "_rev": "2-x",
    "pvt_type": "webhook",
    "pvt_account_id": ACCOUNT,
    "pvt_created": 1,
    "pvt_modified": 2,
    "uri": "https://secret.example/",
}


@pytest.mark.parametrize("event", ["doc_created", "doc_edited", "doc_deleted"])
def test_of_a_change_only_the_id_is_encoded(event):
    key, _body = document_change(event, "webhooks", DOCUMENT, NODE)
    assert key == f"{event}.webhooks.webhook.a%2Eb%40c"
    key, _body = document_change(event, "account/2f/3e/4d", DOCUMENT, NODE)
    assert key == f"{event}.account%2F2f%2F3e%2F4d.webhook.a%2Eb%40c"


def test_a_change_tells_what_kazoo_s_data_layer_tells():
    _key, body = document_change("doc_edited", "webhooks", DOCUMENT, NODE)
    assert re.fullmatch("[0-9a-f]{32}", body.pop("Msg-ID"))
    assert body == {
        "App-Name": "datamgr",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": "doc_edited",
        "Node": NODE,
        "ID": "a.b@c",
        "Type": "webhook",
        "Database": "webhooks",
        "Rev": "2-x",
        "Account-ID": ACCOUNT,
        "Date-Created": 2,  # Kazoo swaps the two
        "Date-Modified": 1,
        "Is-Soft-Deleted": False,
    }


def test_a_soft_delete_is_a_deletion():
    _key, body = document_change("doc_deleted", "webhooks", DOCUMENT | {"pvt_deleted": True}, NODE)
    assert (body["Event-Name"], body["Is-Soft-Deleted"]) == ("doc_deleted", True)


# Dispatch: by category and name

DISPATCHED = {
    ("call_event", "CHANNEL_CREATE"): "channel_create",
    ("call_event", "CHANNEL_ANSWER"): "channel_answer",
    ("call_event", "CHANNEL_BRIDGE"): "channel_bridge",
    ("call_event", "CHANNEL_DESTROY"): "channel_destroy",
    ("call_event", "PARK_PARKED"): "parking",
    ("call_event", "PARK_RETRIEVED"): "parking",
    ("call_event", "PARK_ABANDONED"): "parking",
    ("notification", "new_account"): "notifications",
    ("notification", "customer_update"): "notifications",
    ("configuration", "doc_created"): "object",
    ("configuration", "doc_edited"): "object",
    ("configuration", "doc_deleted"): "object",
    ("configuration", "db_created"): "object",
    ("configuration", "db_edited"): "object",
    ("configuration", "db_deleted"): "object",
    ("configuration", "db_views_updated"): "object",
    ("sms", "inbound"): "sms",
    ("mms", "inbound"): "mms",
    ("call_event", "CHANNEL_HOLD"): None,
    ("call_event", "channel_create"): None,
    ("call_event", "inbound"): None,
    ("channel_event", "CHANNEL_CREATE"): None,
    ("configuration", "doc_type_update"): None,
    ("configuration", "doc_moved"): None,
    ("sms", "outbound"): None,
    ("sms", "delivery"): None,
    ("mms", "resume"): None,
    ("category", "name"): None,
    (None, "CHANNEL_CREATE"): None,
    ("call_event", None): None,
}
EVERYTHING = {
    **call(),
    **ENVELOPE,
    "ID": "d",
    "Type": "webhook",
    "Database": encoded_database(ACCOUNT),
    "Account-ID": ACCOUNT,
    "Message-ID": "1",
    "Body": "b",
    "From": "1",
    "To": "2",
    "Action": "account",
}


@pytest.mark.parametrize("pair", DISPATCHED, ids=str)
def test_who_responds_to_which_category_and_name(pair, cluster):
    for module in cluster.modules:
        cluster.hook(module.id, _id=module.id)
    body = EVERYTHING | dict(zip(("Event-Category", "Event-Name"), pair, strict=True))
    wanted = DISPATCHED[pair]
    assert cluster.fired(body) == ([] if wanted is None else [wanted])


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.dumps(call()), id="an object"),
        pytest.param(f" {json.dumps(call(), indent=1)}\n", id="in whatever layout"),
        pytest.param(json.dumps(call(Note="é")), id="escaped characters"),
        pytest.param(json.dumps(call(Note="é"), ensure_ascii=False), id="UTF-8"),
    ],
)
def test_a_json_body_plain_or_gzip(body, cluster):
    id = cluster.hook()
    for zipped in (False, True):
        assert cluster.fired(body.encode(), zipped=zipped) == [id]


# Validation

SMS = message("sms", "inbound", Message_ID="1", Body="b", From="1", To="2", Account_ID=ACCOUNT)
NEW_USER = message("notification", "new_user", Account_ID=ACCOUNT, User_ID="u")
REMINDER = message(
    "notification",
    "bill_reminder",
    Account_ID=ACCOUNT,
    Due_Date=1,
    Items=[{}],
    Timestamp=1,
)
PARKED = call("PARK_PARKED")
VALID = {
    "parking": PARKED,
    "object": change(),
    "sms": SMS,
    "mms": SMS | {"Event-Category": "mms"},
    "notifications": NEW_USER,
}
REQUIRED = {
    "parking": ["Call-ID"],
    "object": ["ID", "Database"],
    "sms": ["Message-ID", "Body", "From", "To"],
    "mms": ["Message-ID", "Body", "From", "To"],
    "notifications": ["Account-ID", "User-ID"],
}
DEFAULTS = ["App-Name", "App-Version", "Msg-ID"]  # Category and name decide who sees it at all.


@pytest.mark.parametrize("kind", VALID)
def test_what_is_valid_fires_whatever_else_it_says(kind, cluster):
    id = cluster.hook(kind)
    assert cluster.fired(VALID[kind] | {"Unheard-Of": {"a": [None]}}) == [id]


@pytest.mark.parametrize(
    ("kind", "header"), [(kind, h) for kind in VALID for h in DEFAULTS + REQUIRED[kind]]
)
def test_without_a_default_or_required_header_nothing_fires(kind, header, cluster):
    cluster.hook("all")
    body = {name: value for name, value in VALID[kind].items() if name != header}
    with pytest.raises(PoisonEvent, match=f"{header} is missing"):
        cluster.fire(body)


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("header", DEFAULTS)
@pytest.mark.parametrize("kind", VALID)
def test_null_and_empty_count_as_there(kind, header, value, cluster):
    id = cluster.hook(kind)
    assert cluster.fired(VALID[kind] | {header: value}) == [id]


WRONG = [
    ("parking", "Custom-Application-Vars", "text"),
    ("parking", "Custom-SIP-Headers", []),
    ("parking", "Fax-Info", "text"),
    ("parking", "Custom-Channel-Vars", "text"),
    ("object", "ID", 7),
    ("object", "Rev", 7),
    ("object", "Is-Soft-Deleted", "perhaps"),
    *(
        ("sms", header, 7)
        for header in ("To", "From", "Request", "Message-ID", "System-ID", "Body")
    ),
    ("sms", "Custom-Vars", "text"),
    ("sms", "Route-Type", "sideways"),
    ("mms", "Body", ["part"]),
]
RIGHT = [
    ("parking", "Custom-Application-Vars", {}),
    ("parking", "Custom-SIP-Headers", {"X": "y"}),
    ("parking", "Fax-Info", {}),
    ("object", "Rev", "1-x"),
    ("object", "Is-Soft-Deleted", True),
    ("object", "Is-Soft-Deleted", "false"),
    ("sms", "Request", "1@pbx"),
    ("sms", "System-ID", "s"),
    ("sms", "Custom-Vars", {}),
    ("sms", "Route-Type", "offnet"),
    ("sms", "Route-Type", "onnet"),
]


@pytest.mark.parametrize(("kind", "header", "value"), WRONG)
def test_a_header_of_the_wrong_type_or_value_makes_a_message_invalid(kind, header, value, cluster):
    cluster.hook("all")
    with pytest.raises(PoisonEvent, match=f"{header} is not "):
        cluster.fire(VALID[kind] | {header: value})


@pytest.mark.parametrize(("kind", "header", "value"), RIGHT)
def test_one_of_the_right_type_does_not(kind, header, value, cluster):
    id = cluster.hook(kind)
    assert cluster.fired(VALID[kind] | {header: value}) == [id]


@pytest.mark.parametrize(
    ("header", "value"),
    [("Due-Date", 0), ("Due-Date", "1"), ("Items", [1]), ("Payment-Token", []), ("Account-ID", "")],
)
def test_notifications_are_held_to_their_definitions(header, value, cluster):
    cluster.hook("notifications")
    assert cluster.fired(REMINDER)
    with pytest.raises(PoisonEvent, match=f"{header} is not "):
        cluster.fire(REMINDER | {header: value})


@pytest.mark.parametrize(
    "name", ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_DESTROY"]
)
def test_channel_events_are_not_validated(name, cluster):
    id = cluster.hook(name)
    bare = {"Event-Category": "call_event", "Event-Name": name}
    bare |= {"Custom-Channel-Vars": {"Account-ID": ACCOUNT}, "Fax-Info": "text"}
    assert cluster.fired(bare) == [id]


# One system on RabbitMQ

TOPICS = ("callevt", "callmgr", "configuration", "im", "notifications")
EVENT_QUEUE = "callboard.events"
NOTIFICATIONS = """
account: cf_notification low_balance new number_feature_manual_action reminder service_added topup
    transaction zone_change
fax: inbound inbound_error outbound outbound_error outbound_smtp_error
number: cnam_request port_cancel port_comment port_pending port_rejected port_request
    port_scheduled port_unconfirmed ported
registration: denied_emergency_bridge emergency_bridge
sip: deregister first_occurrence missed_call register
system: alert
user: customer_update new password_recovery
voicemail: deleted full new saved
webhook: callflow disabled
"""
OF_EVENTS = {
    "callevt": {
        *(f"call.CHANNEL_{name}.*" for name in ("CREATE", "ANSWER", "BRIDGE", "DESTROY")),
        *(f"call.PARK_{name}.*" for name in ("PARKED", "RETRIEVED", "ABANDONED")),
    },
    # Kazoo's is `#`, which in a durable queue would keep requests that nobody takes.
    "configuration": {"*.*.*.*"},
    "im": {"sms.inbound.offnet.*", "mms.inbound.offnet.*"},
    "notifications": {
        f"notifications.{category}.{suffix}"
        for category, suffixes in re.findall(r"(\w+): ([^:]*)(?:\n|$)", NOTIFICATIONS)
        for suffix in suffixes.split()
    },
}


class Bus:
    """A system on a virtual host of its own, and what lies there."""

    def __init__(self, rabbitmq, url, system, receiver):
        self.system = system
        self.receiver = receiver
        self._rabbitmq = rabbitmq
        self._vhost = url.rpartition("/")[2]
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()

    def close(self):
        self._connection.close()

    def bindings(self):
        """Keys by (exchange, queue)."""
        text = self._rabbitmq.erlang(
            "[{element(4, element(2, B)), element(3, B), element(4, element(4, B))}"
            f' || B <- rabbit_binding:list(<<"{self._vhost}">>)]'
        )
        found = {}
        for exchange, key, queue in re.findall(
            r'{<<"([^"]+)">>,<<"([^"]*)">>,<<"([^"]+)">>}', text
        ):
            found.setdefault((exchange, queue), set()).add(key)
        return found

    def listen(self, exchange, key):
        """A queue of our own."""
        queue = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.queue_bind(queue, exchange, key)
        return queue

    def next(self, queue):
        """(method, properties, body) of the next message."""

        def got():
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            return method and (method, properties, json.loads(body))

        return self.system.wait(got, what="a message")


@pytest.fixture(scope="module")
def bus(rabbitmq, tmp_path_factory):
    url = rabbitmq.vhost()
    folder = tmp_path_factory.mktemp("wire") / "data"
    with Receiver() as receiver:
        system = RunningSystem(folder, amqp__url=url)
        try:
            for actor in ("event_bridge", "hook_listener"):
                system.wait(lambda actor=actor: system.node(actor).stats.get("broker") == "up")
            bus = Bus(rabbitmq, url, system, receiver)
            yield bus
            bus.close()
        finally:
            system.close()


on_rabbitmq = [pytest.mark.rabbitmq, pytest.mark.multiprocess]


class TestOnRabbitMQ:
    pytestmark = on_rabbitmq

    @pytest.mark.parametrize(
        ("name", "kind"), [*((name, "topic") for name in TOPICS), ("targeted", "direct")]
    )
    def test_exchanges_are_declared_as_kazoo_declares_them(self, name, kind, bus):
        bus.channel.exchange_declare(name, passive=True)
        # Another declaration than the one that exists would close the channel (406).
        bus.channel.exchange_declare(
            name, kind, durable=False, auto_delete=False, internal=False, arguments=None
        )

    def test_the_bindings_of_events_are_kazoo_s_but_for_one(self, bus):
        found = {
            exchange: keys
            for (exchange, queue), keys in bus.bindings().items()
            if queue == EVENT_QUEUE
        }
        assert found == OF_EVENTS
        assert len(found["notifications"]) == 38 + 1  # voicemail_deleted, too

    def test_each_node_hears_of_changes_on_a_queue_of_its_own(self, bus):
        of_changes = [
            keys
            for (exchange, queue), keys in bus.bindings().items()
            if exchange == "configuration" and "*.webhooks.webhook.*" in keys
        ]
        assert len(of_changes) == 1
        assert "doc_deleted.*.account.*" in of_changes[0]

    def test_requests_to_enable_hooks_again_are_bound(self, bus):
        keys = {key for (exchange, _), found in bus.bindings().items() for key in found}
        assert "configuration.doc_type_update.webhook" in keys

    def test_a_saved_hook_is_told_as_kazoo_s_data_layer_tells_it(self, bus):
        queue = bus.listen("configuration", "doc_created.webhooks.webhook.*")
        id = bus.system.add_hook(f"{bus.receiver.url}/told")
        method, properties, body = bus.next(queue)
        assert method.routing_key == f"doc_created.webhooks.webhook.{id}"
        assert properties.content_type == "application/json"
        assert (body["ID"], body["Account-ID"], body["Type"]) == (id, OURS, "webhook")
        assert "Doc" not in body
        assert properties.delivery_mode is None

    @pytest.mark.xfail(strict=True, reason="we publish without a timestamp")
    def test_and_with_its_time_in_gregorian_microseconds(self, bus):
        queue = bus.listen("configuration", "doc_created.webhooks.webhook.*")
        bus.system.add_hook(f"{bus.receiver.url}/timed", "object")
        _method, properties, _body = bus.next(queue)
        assert properties.timestamp > 63_000_000_000_000_000

    def test_a_message_without_content_type_is_taken(self, bus):
        bus.system.add_hook(f"{bus.receiver.url}/untyped", "channel_answer")
        body = json.dumps(call_event(1, "CHANNEL_ANSWER")).encode()
        bus.channel.basic_publish("callevt", "call.CHANNEL_ANSWER.call-1", body)
        bus.receiver.wait_for(lambda got: any(request.path == "/untyped" for request in got))

    @pytest.mark.xfail(strict=True, reason="a module sees only what came through its own bindings")
    def test_the_body_alone_decides_who_sees_a_message(self, bus):
        bus.system.add_hook(f"{bus.receiver.url}/dispatched", "channel_bridge")
        bus.system.send(("callevt", "call.CHANNEL_DESTROY.x", call_event(2, "CHANNEL_BRIDGE")))
        bus.system.send(("callevt", "call.CHANNEL_BRIDGE.y", call_event(3, "CHANNEL_BRIDGE")))
        got = bus.receiver.wait_for(lambda got: any("call-3" in str(r.body) for r in got))
        bus.system.wait(lambda: bus.system.node("event_bridge").stats["in_hand"] == 0)
        assert any("call-2" in str(request.body) for request in bus.receiver.requests), len(got)
