"""On one cluster with Kazoo's own application: each event goes to one of the two."""

import json

import pika
import pytest

from support.cluster import prepared
from support.running import call_event, outgoing

pytestmark = [pytest.mark.multiprocess, pytest.mark.rabbitmq]

EVENTS = 40
KAZOO = {"x-message-ttl": 60_000, "x-max-length": 100}


@pytest.mark.parametrize("first", ["kazoo", "callboard"])
def test_each_event_goes_to_one_of_them(start, receiver, amqp_url, couchdb_url, tmp_path, first):
    prepared(couchdb_url, tmp_path).close()
    settings = {"amqp__url": amqp_url, "couchdb__url": couchdb_url, "amqp__join_kazoo": True}
    kazoo = pika.BlockingConnection(pika.URLParameters(amqp_url)).channel()

    def consume_as_kazoo():
        kazoo.exchange_declare("callevt", "topic")
        kazoo.queue_declare("webhooks_shared_listener", auto_delete=True, arguments=KAZOO)
        kazoo.queue_bind("webhooks_shared_listener", "callevt", "call.CHANNEL_CREATE.*")
        taken = []

        def take(_channel, method, _properties, body):
            if method.exchange == "callevt":  # Our modules bind the queue to other events as well.
                taken.append(json.loads(body)["Call-ID"])

        kazoo.basic_consume("webhooks_shared_listener", take, auto_ack=True)
        return taken

    if first == "kazoo":
        taken = consume_as_kazoo()
        system = start(**settings)
    else:
        system = start(**settings)
        taken = consume_as_kazoo()
    system.add_hook(f"{receiver.url}/hook", format="json")
    for number in range(EVENTS):
        exchange, key, body, content_type = outgoing(call_event(number))
        kazoo.basic_publish(exchange, key, body, pika.BasicProperties(content_type=content_type))

    def all_are_there():
        kazoo.connection.process_data_events(0.02)
        return len(taken) + receiver.count >= EVENTS

    system.wait(all_are_there, what="every event at one of them")
    ours = [json.loads(request.body)["call_id"] for request in receiver.requests]
    assert sorted(ours + taken) == sorted(f"call-{n}@switch" for n in range(EVENTS))
    assert ours
    assert taken
    kazoo.connection.close()
