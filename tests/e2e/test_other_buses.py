"""`[[modules]]` tables serve buses that are not Kazoo's, whatever their exchanges are like."""

import json

import pika
import pytest

from callboard.actors.messages import Published, PublishEvents

pytestmark = pytest.mark.multiprocess

CONFIGURATION = """
[[modules]]
id = "Order_Paid"
exchange = "shop"
bindings = ["order.*.paid"]
account = "customer.id"
only = { "test" = false }
fields = { order = "id", total = "total.amount" }

[[modules]]
id = "news"
exchange = "board"
exchange_type = "fanout"
bindings = [""]
account_id = "everybody"

[[modules]]
id = "copy"
exchange = "board"
exchange_type = "fanout"
bindings = [""]
account_id = "other"
raw = true

[[modules]]
id = "alarm"
exchange = "house"
exchange_type = "direct"
exchange_durable = false
bindings = ["door.*"]
account_id = "everybody"

[[modules]]
id = "contradicts"
exchange = "house"
bindings = ["#"]
account_id = "everybody"
"""


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.rabbitmq])])
def system(request, start, tmp_path):
    config = tmp_path / "callboard.toml"
    config.write_text(CONFIGURATION)
    if request.param == "embedded":
        return start(config=config)
    url = request.getfixturevalue("amqp_url")
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.exchange_declare("shop", "topic", durable=True)
    channel.exchange_declare("board", "fanout", durable=True)
    channel.exchange_declare("house", "direct", durable=False)
    connection.close()
    return start(config=config, amqp__url=url)


def publish(system, *events):
    encoded = tuple(
        (exchange, key, json.dumps(body).encode(), "application/json")
        for exchange, key, body in events
    )
    return system.client.ask_actor("event_bridge", PublishEvents(encoded), Published, 30)


def test_their_messages_arrive_as_the_table_says(system, receiver):
    for event, account in (
        ("Order_Paid", "7"),
        ("news", "everybody"),
        ("alarm", "everybody"),
        ("copy", "other"),
        ("all", "everybody"),
    ):
        system.add_hook(f"{receiver.url}/{event}", event, account, format="json")
    order = {"id": "o1", "test": False, "customer": {"id": 7}, "total": {"amount": 9.5}}
    published = publish(
        system,
        ("shop", "order.1.paid", order | {"test": True}),
        ("shop", "order.1.sent", order),
        ("shop", "order.1.paid", order | {"customer": {}}),
        ("shop", "order.1.paid", order),
        ("board", "any.key", {"text": "hello"}),
        ("house", "door.front", {"open": True}),
        ("house", "door.*", {"open": False}),
    )
    assert (published.count, published.unroutable) == (7, 2)
    arrived = receiver.wait_for(6)
    assert sorted((request.path, request.body.decode()) for request in arrived) == [
        ("/Order_Paid", json.dumps({"order": "o1", "total": 9.5}, indent=2)),
        ("/alarm", json.dumps({"open": False}, indent=2)),
        ("/all", json.dumps({"open": False}, indent=2)),
        ("/all", json.dumps({"text": "hello"}, indent=2)),
        ("/copy", json.dumps({"text": "hello"})),
        ("/news", json.dumps({"text": "hello"}, indent=2)),
    ]
    system.wait_settled(5)
    assert "responders/contradicts" not in system.paths()
    assert "exchange house is topic and durable here" in system.log.read_text()


@pytest.mark.parametrize("system", ["real"], indirect=True)
@pytest.mark.rabbitmq
def test_equal_messages_that_have_ids_arrive_both(system, receiver, amqp_url):
    system.add_hook(f"{receiver.url}/news", "news", "everybody", format="json")
    system.wait(lambda: system.node("responders/news").stats.get("hooks") == 1)
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    for id in ("1", "2"):
        properties = pika.BasicProperties(content_type="application/json", message_id=id)
        channel.basic_publish("board", "", b'{"door": "opened"}', properties)
    connection.close()
    first, second = receiver.wait_for(2)
    assert first.body == second.body
    assert first.headers["webhook-id"] != second.headers["webhook-id"]
