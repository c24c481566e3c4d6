"""Foreign publishers on a real RabbitMQ: no message stops a node, and each has a known end.

`CALLBOARD_TEST_EDGE=5000 python -m pytest -s --timeout 3600 tests/faults/test_foreign_messages.py`
sends so many arbitrary messages among as many good ones.
"""

import json
from collections import Counter

import pika
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from callboard.actors.events.unclaimed import NO_MODULE
from callboard.adapters.repositories.dead_letters import DATABASE
from callboard.adapters.store import stores
from callboard.adapters.store.protocol import DatabaseMissing
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.dead_letters import body_of
from callboard.webhooks.retries.retry_message import RetryMessage, as_json
from support.amqp import MESSAGES, Encoded, properties, texts
from support.bus import CHANGE, UPDATE
from support.fuzz import changed, values
from support.running import ACCOUNT, call_event, outgoing

pytestmark = [pytest.mark.multiprocess, pytest.mark.faults, pytest.mark.rabbitmq]

BATCH = 25
EVENTS, RETRIES = "callboard.events", "callboard.events.retries"
NUMBER = "number"
"""Replaced in a body by the number of its message."""

words = texts.map(lambda text: text.replace(b".", b"_")[:100])
"""A word of a routing key."""


@st.composite
def foreign(draw):
    """Exchange, routing key, properties, and the body: an event, a delivery, or anything."""
    word, anything = draw(words), st.binary(max_size=50) | values.map(json.dumps).map(str.encode)
    place = draw(
        st.sampled_from(("event", "event", "retry", "retry", "direct", "change", "update"))
    )
    match place:
        case "event":
            where = ("callevt", b"call.CHANNEL_CREATE." + word)
            body = draw(st.just("event") | anything)
        case "retry":
            where = ("", RETRIES.encode())
            body = draw(st.just("retry") | anything)
        case "direct":
            where = ("", EVENTS.encode())
            body = draw(anything)
        case "change":
            where = ("configuration", b"doc_edited.webhooks.webhook." + word)
            body = json.dumps(draw(changed(CHANGE))).encode()
        case _:
            where = ("configuration", b"configuration.doc_type_update.webhook")
            body = json.dumps(draw(changed(UPDATE))).encode()
    return (*where, draw(properties()), body)


class Publisher:
    """Publishes and waits for each confirm; RabbitMQ ends the connection at what it cannot read."""

    def __init__(self, url):
        self._url = url
        self.refused = Counter()
        self._connect()

    def _connect(self):
        self.connection = pika.BlockingConnection(pika.URLParameters(self._url))
        self._channel = self.connection.channel()
        self._channel.confirm_delivery()

    def publish(self, exchange, key, body, encoded):
        """Whether the broker has taken it."""
        try:
            self._channel.basic_publish(exchange, key, body, encoded)
        except pika.exceptions.AMQPError as error:
            self.refused[str(error)[:80]] += 1
            self._connect()
            return False
        return True


def delivery(url, number):
    made = Delivery(
        id=f"{number:032x}",
        event_id="e",
        hook_id="h",
        account_id=ACCOUNT,
        hook_event="CHANNEL_CREATE",
        uri=url,
        method="POST",
        url=url,
        headers=(("content-type", "application/json"),),
        body=json.dumps({"call_id": call(number)}).encode(),
        unstored=True,
    )
    return as_json(RetryMessage(made, attempts_made=0, due_ms=0))


def call(number):
    return call_event(number)["Call-ID"]


def letters(system):
    store = stores.connect("sqlite://", system.settings.data.dir)
    try:
        return [*store.documents(DATABASE)]
    except DatabaseMissing:
        return []
    finally:
        store.close()


def named_in(letter):
    """The call of a quarantined event or delivery, if its body is one."""
    try:
        body = json.loads(body_of(letter))
        return body.get("Call-ID") or json.loads(body["delivery"]["body"])["call_id"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def test_every_message_is_delivered_or_quarantined_and_nothing_restarts(
    start, receiver, rabbitmq, amqp_url
):
    system = start(kazoo__modules="*", amqp__url=amqp_url)
    hook = f"{receiver.url}/ok"
    system.add_hook(hook, format="json")
    system.wait_hooks()
    system.wait(lambda: system.node("deliveries/retry_queue").stats.get("broker") == "up")
    publisher = Publisher(amqp_url)
    good, told = [], []
    published = Counter()

    @settings(
        max_examples=max(1, MESSAGES // BATCH),
        deadline=None,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(foreign(), min_size=BATCH, max_size=BATCH))
    def send(messages):
        for exchange, key, encoded, content in messages:
            number = len(good) + len(told) + published["others"]
            body = content
            if content == "event":
                body = json.dumps(call_event(number)).encode()
            elif content == "retry":
                body = delivery(hook, number)
            if publisher.publish(exchange, key, body, Encoded(encoded)):
                if isinstance(content, str):
                    told.append(call(number))
                else:
                    published["others"] += 1
                    published["direct"] += key == EVENTS.encode()
            number = len(good) + len(told) + published["others"]
            exchange, key, body, content_type = outgoing(call_event(number))
            sent = pika.BasicProperties(content_type=content_type, delivery_mode=2)
            assert publisher.publish(exchange, key, body, sent)
            good.append(call(number))

    send()

    def arrived():
        return Counter(json.loads(request.body)["call_id"] for request in receiver.requests)

    def quarantined():
        return Counter(named_in(letter) for letter in letters(system))

    def all_ended():
        return {*good, *told} <= {*arrived(), *quarantined()}

    system.wait(all_ended, 90 + MESSAGES / 20, "an end for each message")
    for queue in (EVENTS, RETRIES):
        system.wait(lambda name=queue: rabbitmq.messages(amqp_url, name) == 0, 90, queue)
    system.wait(
        lambda: (stats := system.node("event_bridge").stats)["received"] == stats["acknowledged"]
    )

    def direct():
        return sum(letter["routing_key"] == EVENTS for letter in letters(system))

    def no_module():
        return sum(letter["reason"] == NO_MODULE for letter in letters(system))

    system.wait(lambda: direct() + no_module() == published["direct"], 90, "dead letters")
    bridge = system.node("event_bridge").stats
    delivered, aside = arrived(), quarantined()
    assert all(delivered[name] == 1 and name not in aside for name in good)
    assert all(delivered[name] + aside[name] == 1 for name in told)
    assert {node.path: node.restarts for node in system.tree().below() if node.restarts} == {}
    print(
        f"\ngood {len(good)}: delivered once each; arbitrary {len(told) + published['others']}"
        f" (refused by RabbitMQ: {dict(publisher.refused)}): {len(told)} of them events or"
        f" deliveries, delivered {sum(delivered[n] for n in told)},"
        f" quarantined {sum(aside[n] for n in told)};"
        f" dead letters {sum(aside.values())}, restarts 0; bridge {bridge}"
    )
    assert sum(aside.values()), "nothing was quarantined"


def test_the_messages_of_issue_stop_no_node(start, receiver, rabbitmq, amqp_url):
    """Names that are not UTF-8: 300 good events behind them are delivered and acknowledged."""
    system = start(kazoo__modules="*", amqp__url=amqp_url)
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.wait_hooks()
    publisher = Publisher(amqp_url)
    name = b"caf\xe9"
    exchange, key, body, _type = outgoing(call_event(0))
    retry = delivery(f"{receiver.url}/ok", 1)
    sent = pika.BasicProperties
    publisher.publish(exchange, key, body, sent(headers={name: "x"}))
    publisher.publish(exchange, key, body, sent(message_id=name))
    publisher.publish(exchange, b"call.CHANNEL_CREATE." + name, body, sent())
    publisher.publish("", RETRIES, retry, sent(message_id=name))
    publisher.publish("", RETRIES, retry, sent(headers={name: "x"}))
    publisher.publish("", RETRIES, b"\xff", sent())
    for number in range(2, 302):
        publisher.publish(*outgoing(call_event(number))[:3], sent())
    expected = {call(number) for number in range(302)}
    receiver.wait_for(302)
    assert {json.loads(request.body)["call_id"] for request in receiver.requests} == expected
    system.wait(lambda: len(letters(system)) == 4)
    for queue in (EVENTS, RETRIES):
        system.wait(lambda name=queue: rabbitmq.messages(amqp_url, name) == 0, 30, queue)
    reasons = Counter(letter["reason"] for letter in letters(system))
    assert reasons["message_id is not UTF-8"] == 2
    assert reasons["the routing key is not UTF-8"] == 1
    assert {node.path: node.restarts for node in system.tree().below() if node.restarts} == {}
