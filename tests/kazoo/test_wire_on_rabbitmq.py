"""Exchanges, queues and bindings on a broker, and what is published there."""

import json
import re

import pika
import pytest

from support.receiver import Receiver
from support.running import ACCOUNT as OURS
from support.running import RunningSystem, call_event

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
    "configuration": {
        *("doc_created.#", "doc_edited.#", "doc_deleted.#"),
        *("db_created.#", "db_edited.#", "db_deleted.#", "db_views_updated.#"),
    },
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
        system = RunningSystem(folder, kazoo__modules="*", amqp__url=url)
        try:
            for actor in ("event_bridge", "hook_listener", "maintenance"):
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
        assert found == OF_EVENTS | {"callboard.operational": {"#"}}
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

    def test_an_event_that_only_the_operator_has_bound_reaches_its_module(self, bus):
        """Kazoo goes by the body alone; here that is for what came through no module's binding."""
        bus.system.add_hook(f"{bus.receiver.url}/lost", "channel_destroy", format="json")
        key = "call.CHANNEL_DISCONNECTED.*"
        bus.channel.queue_bind("callboard.events", "callevt", key)
        body = call_event(2, "CHANNEL_DISCONNECTED")
        bus.system.send(("callevt", "call.CHANNEL_DISCONNECTED.x", body))
        bus.receiver.wait_for(lambda got: any(request.path == "/lost" for request in got))
        (request,) = (request for request in bus.receiver.requests if request.path == "/lost")
        assert json.loads(request.body)["hook_event"] == "channel_destroy"
        bus.channel.queue_unbind("callboard.events", "callevt", key)
