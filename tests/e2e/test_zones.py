"""A cluster of two zones: each has a broker of its own, and both the same documents."""

import json

import pika
import pytest

from callboard.webhooks.events.changes import document_change
from support.cluster import prepared
from support.running import ACCOUNT, call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.rabbitmq]


@pytest.fixture
def zones(rabbitmq):
    """The URLs of the brokers of two zones."""
    return rabbitmq.vhost(), rabbitmq.vhost()


def tell(url, event, document):
    key, body = document_change(event, "webhooks", document, "kazoo@elsewhere")
    connection = pika.BlockingConnection(pika.URLParameters(url))
    properties = pika.BasicProperties(content_type="application/json")
    connection.channel().basic_publish("configuration", key, json.dumps(body).encode(), properties)
    connection.close()


def test_a_hook_of_another_zone_is_in_effect_here_and_events_stay_there(
    start, receiver, zones, tmp_path
):
    here, there = zones
    folder = tmp_path / "data0"
    folder.mkdir()
    store = prepared("sqlite://", folder)
    system = start(amqp__url=here, amqp__zones=there)
    system.wait(lambda: system.node("zone_listener-1").stats.get("broker") == "up")
    system.wait(lambda: system.node("hook_table").stats.get("loaded"))

    hook = {"_id": "h", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "format": "json"}
    hook |= {"uri": f"{receiver.url}/h", "hook": "channel_create", "name": "h"}
    hook["_rev"] = store.save("webhooks", hook)
    tell(there, "doc_created", hook)
    system.wait(lambda: system.node("responders/channel_create").stats.get("hooks") == 1)
    system.publish([call_event(1)])
    receiver.wait_for(1)

    system.kill("zone_listener-1")
    system.wait(lambda: system.node("zone_listener-1").stats.get("broker") == "up")
    store.delete("webhooks", "h", hook["_rev"])
    tell(there, "doc_deleted", hook)
    system.wait(lambda: system.node("responders/channel_create").stats.get("hooks") == 0)
    store.close()


def test_a_zone_that_is_away_harms_nobody(start, receiver, zones):
    system = start(amqp__url=zones[0], amqp__zones="amqp://guest:secret@127.0.0.1:1/zone")
    system.add_hook(f"{receiver.url}/h", format="json")
    system.publish([call_event(1)])
    receiver.wait_for(1)
    assert {node.restarts for node in system.tree().below()} == {0}
    shown = system.run("config", "show").stdout
    assert "amqp://guest:***@127.0.0.1:1/zone" in shown
    assert "secret@" not in shown + system.log.read_text()
