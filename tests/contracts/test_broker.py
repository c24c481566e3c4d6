"""What every `BrokerConnection` does; run against the embedded broker and a real RabbitMQ."""

import base64
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pika
import pytest
from attrs import evolve

from callboard.adapters.broker.brokers import connect, relocate
from callboard.adapters.broker.embedded.connection import LEAST_FREE_BYTES, EmbeddedConnection
from callboard.adapters.broker.protocol import (
    DIRECT,
    FANOUT,
    Binding,
    Blocked,
    BrokerError,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Declared,
    DelayQueue,
    Depths,
    Exchange,
    ExchangesRefused,
    OutgoingMessage,
    Probed,
    Properties,
    Queue,
    Received,
    Removed,
    Returned,
    Topology,
    Unblocked,
    Unconfirmed,
    Unreadable,
)
from callboard.adapters.broker.queues import shared_queue
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from services.driver import Driver
from support.patience import patient

EVENTS = Topology(
    exchanges=(Exchange("callevt"),),
    queue=Queue("events"),
    bindings=(Binding("callevt", "call.#"),),
)
PUBLISH_ONLY = Topology(exchanges=(Exchange("callevt"),))

# Receives messages, says how many, and holds on to them until it is killed.
HOLDER = """
import sys
from pathlib import Path
from services.driver import Driver
from callboard.adapters.broker.protocol import Queue, Topology
from callboard.adapters.broker.brokers import connect
url, folder, queue, count = sys.argv[1:]
driver = Driver(connect(url, Topology(queue=Queue(queue)), Path(folder)))
driver.receive(int(count))
print("holding", flush=True)
driver.until(lambda: False, timeout_s=60)
"""


class Broker:
    """A fresh broker, and the connections a test made to it."""

    def __init__(self, url: str, folder: Path, server=None) -> None:
        self.url = url
        self.folder = folder
        self._server = server
        self._drivers: list[Driver] = []
        self._free = LEAST_FREE_BYTES

    def open(self, topology: Topology) -> Driver:
        if self._server is not None:
            connection = connect(self.url, topology, self.folder, name="test")
        else:
            connection = EmbeddedConnection(self.folder, topology, free_bytes=lambda _: self._free)
        driver = Driver(connection)
        self._drivers.append(driver)
        return driver

    def interrupt(self, driver: Driver) -> None:
        """Make the driver lose its connection, and wait until it is up again."""
        ups = len(driver.of(ConnectionUp))
        if self._server is not None:
            self._server.drop_connections()
        else:  # what takes its connection from an embedded consumer: another one
            other = self.open(Topology(queue=Queue(driver.queue), prefetch=1)).up()
            driver.down()
            other.connection.close()
        driver.up(ups + 1)

    def block(self) -> None:
        """Let the broker be short of something, so that it takes no messages."""
        self._free = LEAST_FREE_BYTES - 1
        if self._server is not None:
            self._server.block_publishers()

    def unblock(self) -> None:
        self._free = LEAST_FREE_BYTES
        if self._server is not None:
            self._server.unblock_publishers()

    def close(self) -> None:
        self.unblock()
        for driver in self._drivers:
            driver.connection.close()


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker(request, tmp_path):
    if request.param == "memory":
        broker = Broker("memory://", tmp_path)
    else:
        server = request.getfixturevalue("rabbitmq")
        broker = Broker(request.getfixturevalue("amqp_url"), tmp_path, server)
    yield broker
    broker.close()


def test_comes_up_with_its_queue(broker):
    driver = broker.open(EVENTS).up()
    assert driver.events == [ConnectionUp("events")]


def test_comes_up_without_a_queue(broker):
    driver = broker.open(PUBLISH_ONLY).up()
    assert driver.events == [ConnectionUp(None)]


def test_the_descriptor_and_the_deadline_are_enough_to_be_driven(broker):
    consumer = broker.open(EVENTS).up()
    descriptor = consumer.connection.fileno()
    publisher = broker.open(PUBLISH_ONLY).up()
    took_s = []
    for number in range(1, 5):
        started = time.monotonic()
        publisher.publish("call.X", b"1", exchange="callevt")
        consumer.receive(number)
        took_s.append(time.monotonic() - started)
    # Woken, not found by the look once a second, which the first may have met by chance.
    assert min(took_s[1:]) < 0.9
    broker.interrupt(consumer)
    assert consumer.connection.fileno() == descriptor


@pytest.mark.parametrize(
    ("pattern", "key", "arrives"),
    [
        ("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE.a%40b", True),
        ("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE.a.b", False),
        ("call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE", False),
        ("*.*.*.*", "doc_edited.db.type", False),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("a.#", "a", True),
        ("a.#", "ab", False),
        ("#.b.#", "a.b.c.d", True),
        ("#.b.#", "a.c", False),
        ("a.*", "a.", True),
        ("*", "", False),
        ("a.#.z", "a.z", True),
        ("a.#.z", "a.b.c.z", True),
        ("a(b", "a(b", True),
        ("a.b", "axb", False),
    ],
)
def test_topic_rules(broker, pattern, key, arrives):
    driver = broker.open(
        Topology(
            exchanges=(Exchange("topics"),),
            queue=Queue("", exclusive=True, durable=False),
            bindings=(Binding("topics", pattern), Binding("topics", "the.end.of.test")),
        )
    ).up()
    driver.publish(key, b"it", exchange="topics")
    driver.publish("the.end.of.test", b"end", exchange="topics")
    driver.until(lambda: b"end" in driver.bodies)
    assert driver.bodies == ([b"it", b"end"] if arrives else [b"end"])


def test_a_message_that_matches_two_bindings_arrives_once(broker):
    driver = broker.open(
        Topology(
            exchanges=(Exchange("topics"),),
            queue=Queue("once"),
            bindings=(Binding("topics", "#"), Binding("topics", "a.*")),
        )
    ).up()
    driver.publish("a.b", b"1", exchange="topics")
    driver.receive(1)
    driver.while_quiet()
    assert driver.bodies == [b"1"]


def test_direct_fanout_and_default_exchange(broker):
    driver = broker.open(
        Topology(
            exchanges=(Exchange("targeted", DIRECT), Exchange("nodes", FANOUT)),
            queue=Queue("mine"),
            bindings=(Binding("targeted", "me.#"), Binding("nodes", "")),
        )
    ).up()
    driver.publish("me.#", b"direct", exchange="targeted")
    driver.publish("me.you", b"not for me", exchange="targeted")
    driver.publish("whatever", b"fanout", exchange="nodes")
    driver.publish("mine", b"default")
    assert [m.exchange for m in driver.receive(3)] == ["targeted", "nodes", ""]
    assert driver.bodies == [b"direct", b"fanout", b"default"]


def test_every_queue_gets_its_copy(broker):
    first = broker.open(EVENTS).up()
    second = broker.open(
        Topology(
            EVENTS.exchanges,
            Queue("", exclusive=True, durable=False),
            (Binding("callevt", "call.X"),),
        )
    ).up()
    first.publish("call.X", b"both", exchange="callevt")
    assert first.receive(1)[0].body == second.receive(1)[0].body == b"both"


def test_what_was_published_arrives_in_order_and_as_it_was(broker):
    driver = broker.open(EVENTS).up()
    bodies = [str(i).encode() for i in range(40)]
    driver.publish("call.X.1", *bodies, exchange="callevt")
    messages = driver.receive(40)
    assert [m.body for m in messages] == bodies
    assert {(m.exchange, m.routing_key, m.redelivered) for m in messages} == {
        ("callevt", "call.X.1", False)
    }
    assert len({m.tag for m in messages}) == 40


def test_properties_and_headers_come_through(broker):
    properties = Properties(
        content_type="application/json",
        content_encoding="gzip",
        message_id="m1",
        correlation_id="c1",
        timestamp=63_900_000_000_000_000,  # Gregorian microseconds, as Kazoo writes them
        delivery_mode=2,
        expiration="60000",
        headers={
            "call-id": "ä@b",
            "int": -1,
            "big": 2**40,
            "true": True,
            "none": None,
            "list": [1, "two", {"three": 3}],
            "table": {"a": {"b": "c"}},
        },
    )
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"x", properties=properties)
    assert driver.receive(1)[0].properties == properties


def test_headers_that_json_lacks_are_left_out_and_the_rest_comes_through(broker):
    foreign = {
        "bytes": b"\xff\x00",
        "decimal": Decimal("1.5"),
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        b"caf\xe9": "x",
        "table": {"a": {b"\xe9": "c"}},
    }
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"x", properties=Properties(headers={**foreign, "call-id": "1"}))
    assert driver.receive(1)[0].properties == Properties(headers={"call-id": "1"})


def test_names_that_are_no_text_make_a_message_unreadable_and_it_can_be_acknowledged(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"bad", properties=Properties(message_id=b"caf\xe9"))
    driver.publish("events", b"good")
    driver.receive(1)
    (unreadable,) = driver.until(lambda: driver.of(Unreadable)).of(Unreadable)[0].messages
    assert unreadable.reason == "message_id is not UTF-8"
    assert unreadable.message.body == b"bad"
    assert unreadable.message.properties.message_id == "caf\ufffd"
    assert b"\x04caf\xe9" in base64.b64decode(unreadable.raw["properties"])
    driver.connection.ack([unreadable.message.tag, driver.messages[0].tag])
    driver.while_quiet()
    broker.interrupt(driver)
    driver.while_quiet()
    assert len(driver.messages) == len(driver.of(Unreadable)) == 1


def test_a_message_without_properties_and_body(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"")
    message = driver.receive(1)[0]
    assert (message.body, message.properties) == (b"", Properties())


def test_what_amqp_cannot_carry_is_refused_at_once(broker):
    driver = broker.open(EVENTS).up()
    for message in (
        OutgoingMessage("", "events", b"", Properties(headers={"set": {1}})),
        OutgoingMessage("", "e" * 256, b""),
        OutgoingMessage("", "events", b"", Properties(message_id="\ud800")),
        OutgoingMessage("", "\ud800", b""),
    ):
        with pytest.raises(BrokerError, match="cannot be encoded"):
            driver.connection.publish(message)
    driver.publish("events", b"the connection is none the worse")
    assert driver.receive(1)
    assert not driver.of(ConnectionDown)


def test_a_large_body(broker):
    body = bytes(range(256)) * 4096
    driver = broker.open(EVENTS).up()
    driver.publish("events", body)
    assert driver.receive(1)[0].body == body


def test_acknowledged_messages_do_not_come_again(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", *(b"%d" % i for i in range(10)))
    tags = [m.tag for m in driver.receive(10)]
    driver.connection.ack([tags[8], tags[0], tags[1], tags[2], tags[4]])
    driver.connection.close()
    again = broker.open(EVENTS).up()
    again.receive(5)
    again.while_quiet()
    assert again.bodies == [b"3", b"5", b"6", b"7", b"9"]
    assert all(m.redelivered for m in again.messages)


def test_acknowledging_twice_is_harmless(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"1", b"2")
    tags = [m.tag for m in driver.receive(2)]
    driver.connection.ack(tags)
    driver.connection.ack([*tags, 4711])
    driver.connection.requeue(tags)
    driver.publish("events", b"3")
    driver.receive(3)
    assert driver.bodies == [b"1", b"2", b"3"]
    assert not driver.of(ConnectionDown)


def test_requeued_messages_come_again_in_order(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"1", b"2", b"3", b"4")
    first = driver.receive(4)
    driver.connection.requeue([first[3].tag, first[0].tag, first[1].tag])
    again = driver.receive(7)[4:]
    assert [(m.body, m.redelivered) for m in again] == [(b"1", True), (b"2", True), (b"4", True)]
    assert not {m.tag for m in again} & {m.tag for m in first}
    driver.connection.ack([m.tag for m in (first[2], *again)])


def test_the_prefetch_bounds_what_is_unacknowledged(broker):
    driver = broker.open(Topology(queue=Queue("bounded"), prefetch=3)).up()
    driver.publish("bounded", *(b"%d" % i for i in range(8)))
    messages = driver.receive(3)
    driver.while_quiet()
    assert len(driver.messages) == 3
    driver.connection.ack([messages[1].tag])
    driver.until(lambda: len(driver.messages) == 4, timeout_s=2)
    driver.while_quiet()
    assert len(driver.messages) == 4
    driver.connection.ack([m.tag for m in driver.messages if m.tag != messages[1].tag])
    driver.receive(7)


def test_a_prefetch_of_zero_is_no_bound(broker):
    driver = broker.open(Topology(queue=Queue("unbounded"), prefetch=0)).up()
    driver.publish("unbounded", *(b"%d" % i for i in range(1500)))
    assert len({m.tag for m in driver.receive(1500)}) == 1500


def test_messages_of_one_poll_are_reported_together(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", *(b"%d" % i for i in range(50)))
    driver.receive(50)
    for message in driver.messages:
        driver.connection.ack([message.tag])
    assert len(driver.of(Received)) < 25
    assert all(event.messages for event in driver.of(Received))


def test_each_publish_is_confirmed_once(broker):
    driver = broker.open(EVENTS).up()
    ids = driver.publish("events", *(b"%d" % i for i in range(200)))
    confirmed = [i for event in driver.of(Confirmed) for i in event.publish_ids]
    assert sorted(confirmed) == ids
    assert len(driver.of(Confirmed)) < 100  # in batches


def test_a_mandatory_message_without_a_queue_is_returned_and_then_confirmed(broker):
    driver = broker.open(PUBLISH_ONLY).up()
    (lost,) = driver.publish("call.X", b"x", exchange="callevt", mandatory=True)
    driver.publish("call.X", b"x", exchange="callevt")
    assert [event.publish_id for event in driver.of(Returned)] == [lost]
    assert "NO_ROUTE" in driver.of(Returned)[0].reason
    returned = driver.events.index(driver.of(Returned)[0])
    assert lost in driver.confirmed
    assert all(
        driver.events.index(event) > returned
        for event in driver.of(Confirmed)
        if lost in event.publish_ids
    )


def test_a_mandatory_message_with_a_queue_is_not_returned(broker):
    driver = broker.open(EVENTS).up()
    bodies = [b"routed", b"lost", b"routed", b"lost"]
    ids = [
        driver.connection.publish(
            OutgoingMessage("callevt", f"{'call' if b == b'routed' else 'x'}.1", b, mandatory=True)
        )
        for b in bodies
    ]
    driver.until(lambda: set(ids) <= driver.confirmed)
    assert [event.publish_id for event in driver.of(Returned)] == [ids[1], ids[3]]


def test_a_publish_to_an_exchange_that_does_not_exist_is_unconfirmed(broker):
    driver = broker.open(PUBLISH_ONLY).up()
    (publish_id,) = driver.publish("k", b"x", exchange="nowhere")
    assert driver.unconfirmed == {publish_id}
    assert "nowhere" in driver.of(Unconfirmed)[0].reason


def test_publishing_while_down_is_unconfirmed(broker):
    mismatch = Topology(exchanges=(Exchange("callevt", FANOUT),))
    broker.open(PUBLISH_ONLY).up()
    driver = broker.open(mismatch)
    driver.down()
    (publish_id,) = driver.publish("k", b"x", exchange="callevt")
    assert driver.unconfirmed == {publish_id}
    assert driver.of(Unconfirmed)[0].reason


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        (Topology(exchanges=(Exchange("callevt", FANOUT),)), ["callevt", "406"]),
        (Topology(exchanges=(Exchange("callevt", durable=True),)), ["callevt", "406"]),
        (Topology(queue=Queue("events", auto_delete=True)), ["events", "406"]),
        (
            Topology(queue=Queue("other"), bindings=(Binding("nowhere", "#"),)),
            ["other", "nowhere", "404"],
        ),
    ],
)
def test_a_refused_declaration_is_told_in_clear_words(broker, topology, words):
    broker.open(EVENTS).up()
    driver = broker.open(topology)
    down = driver.down()
    assert [word for word in words if word not in down.reason] == []
    assert 0 < down.retry_in_s <= 0.1
    assert not driver.of(ConnectionUp)
    driver.until(lambda: len(driver.of(ConnectionDown)) > 2)
    assert driver.of(ConnectionDown)[2].retry_in_s > down.retry_in_s


def test_a_refused_declaration_is_tried_again(broker):
    one = broker.open(Topology(queue=Queue("single", exclusive=True, durable=False))).up()
    two = broker.open(Topology(queue=Queue("single", exclusive=True, durable=False)))
    assert "405" in two.down().reason
    assert "single" in two.down().reason
    one.connection.close()
    two.up()
    two.publish("single", b"1")
    two.receive(1)


def test_generated_queues_have_a_name_each_and_end_with_their_connection(broker):
    private = Topology(queue=Queue("mine.", exclusive=True, durable=False))
    one, two = broker.open(private).up(), broker.open(private).up()
    assert one.queue.startswith("mine.")
    assert two.queue.startswith("mine.")
    assert one.queue != two.queue
    publisher = broker.open(Topology()).up()
    publisher.publish(one.queue, b"1", mandatory=True)
    one.receive(1)
    assert not publisher.of(Returned)
    one.connection.close()
    publisher.publish(one.queue, b"2", mandatory=True)
    assert publisher.of(Returned)


def optional(name, type="topic", **options):
    return Exchange(name, type, optional=True, **options)


def test_an_optional_exchange_that_cannot_be_had_leaves_the_others_their_messages(broker):
    broker.open(Topology(exchanges=(Exchange("house", DIRECT),))).up()
    exchanges = optional("board", FANOUT), optional("house"), optional("shop", durable=True)
    bindings = Binding("board", ""), Binding("house", "#"), Binding("shop", "order.*")
    driver = broker.open(Topology(exchanges, Queue("events"), bindings)).up()
    refused, up = driver.events
    assert up == ConnectionUp("events")
    assert list(refused.reasons) == ["house"]
    assert "406" in refused.reasons["house"]
    publisher = broker.open(Topology()).up()
    for exchange, key in (("board", "x"), ("house", "order.1"), ("shop", "order.1")):
        publisher.publish(key, exchange.encode(), exchange=exchange)
    assert [message.body for message in driver.receive(2)] == [b"board", b"shop"]


def test_optional_exchanges_that_can_all_be_had(broker):
    topology = Topology((optional("shop"),), Queue("events"), (Binding("shop", "#"),))
    assert broker.open(topology).up().events == [ExchangesRefused({}), ConnectionUp("events")]


def test_the_embedded_broker_makes_what_no_other_program_could_have_declared(tmp_path):
    broker = Broker("memory://", tmp_path)
    board = optional("board", FANOUT, passive=True)
    topology = Topology((board, optional("h", "headers")), Queue("events"), (Binding("board", ""),))
    driver = broker.open(topology).up()
    (refused, _up) = driver.events
    assert refused.reasons == {"h": "cannot declare exchange 'h': 503 type 'headers'"}
    publisher = broker.open(Topology()).up()
    publisher.publish("x", b"1", exchange="board")
    driver.receive(1)
    # Of another type than it was made with, it is used as it is.
    other = evolve(board, type="topic")
    again = broker.open(Topology((other,), Queue("second"), (Binding("board", "x"),))).up()
    assert again.events == [ExchangesRefused({}), ConnectionUp("second")]
    broker.close()


@pytest.mark.rabbitmq
def test_exchanges_as_they_exist(rabbitmq, amqp_url, tmp_path):
    broker = Broker(amqp_url, tmp_path, rabbitmq)
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    kept = {"durable": True, "arguments": {"alternate-exchange": "unrouted"}}
    channel.exchange_declare("shop", "topic", **kept)
    channel.exchange_declare("states", "headers", auto_delete=True)
    channel.exchange_declare("inside", "topic", internal=True)
    channel.exchange_bind("inside", "shop", "#")
    topology = Topology(
        (
            optional("absent", passive=True),
            optional("inside", internal=True),
            optional("no type of this broker", "x-nonsense"),
            optional("shop", **kept),
            optional("states", "headers", auto_delete=True),
            optional("states too", "headers", passive=True),
        ),
        Queue("events"),
        (
            Binding("inside", "order.*"),
            Binding("states", "", {"x-match": "all", "state": "paid", "urgent": True}),
            Binding("absent", "#"),
        ),
    )
    driver = broker.open(topology).up(1)
    # For an unknown type RabbitMQ ends the connection; the next one goes on without.
    (refused,) = [event for event in driver.events if isinstance(event, ExchangesRefused)]
    assert sorted(refused.reasons) == ["absent", "no type of this broker", "states too"]
    assert refused.reasons["absent"].startswith("404 NOT_FOUND")
    assert refused.reasons["no type of this broker"].startswith("503 COMMAND_INVALID")
    channel.confirm_delivery()
    channel.basic_publish("shop", "order.1", b"inside")
    for headers in ({"state": "paid"}, {"state": "paid", "urgent": True}):
        channel.basic_publish("states", "", b"s", pika.BasicProperties(headers=headers))
    channel.basic_publish("shop", "other", b"-")
    assert [message.body for message in driver.receive(2)] == [b"inside", b"s"]
    channel.exchange_delete("shop")
    connection.close()
    broker.close()


@pytest.mark.rabbitmq
def test_an_exchange_is_bound_once_it_exists(amqp_url):
    passive = Topology((optional("shop", passive=True),), Queue("events"), (Binding("shop", "#"),))
    driver = Driver(AmqpConnection(amqp_url, passive, look_again_s=0.2)).up()
    assert list(driver.of(ExchangesRefused)[0].reasons) == ["shop"]
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    for found in (2, 4):
        channel.exchange_declare("shop", "topic")
        driver.until(lambda: len(driver.of(ExchangesRefused)) == found)  # noqa: B023
        assert driver.of(ExchangesRefused)[-1].reasons == {}
        channel.basic_publish("shop", "x", b"1")
        driver.receive(found // 2)
        channel.exchange_delete("shop")
        driver.until(lambda: len(driver.of(ExchangesRefused)) == found + 1)  # noqa: B023
    assert len(driver.of(ConnectionUp)) == 1
    connection.close()
    driver.connection.close()


def test_an_auto_delete_queue_ends_with_its_consumer(broker):
    kazoo = Topology(queue=Queue("kazoo", durable=False, auto_delete=True))
    broker.open(kazoo).up().connection.close()
    publisher = broker.open(Topology()).up()
    publisher.publish("kazoo", b"1", mandatory=True)
    assert publisher.of(Returned)


def test_kazoo_arguments_of_queues_are_accepted(broker):
    arguments = {"x-message-ttl": 60000, "x-max-length": 100}
    driver = broker.open(Topology(queue=Queue("limited", arguments=arguments))).up()
    driver.publish("limited", b"1")
    assert [message.body for message in driver.receive(1)] == [b"1"]


def test_a_durable_queue_collects_while_nobody_consumes(broker):
    broker.open(EVENTS).up().connection.close()
    publisher = broker.open(PUBLISH_ONLY).up()
    publisher.publish("call.X", b"1", b"2", exchange="callevt")
    publisher.connection.close()
    consumer = broker.open(EVENTS).up()
    assert [(m.body, m.redelivered) for m in consumer.receive(2)] == [
        (b"1", False),
        (b"2", False),
    ]


def test_what_a_killed_consumer_held_comes_again_in_order(broker):
    setup = broker.open(Topology(queue=Queue("held"))).up()
    setup.publish("held", *(b"%d" % i for i in range(7)))
    setup.connection.close()
    arguments = [broker.url, str(broker.folder), "held", "7"]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    try:
        assert holder.stdout.readline() == b"holding\n"
    finally:
        holder.kill()
        holder.communicate()
    heir = broker.open(Topology(queue=Queue("held"))).up()
    messages = heir.receive(7)
    assert [m.body for m in messages] == [b"%d" % i for i in range(7)]
    assert all(m.redelivered for m in messages)


def test_a_lost_connection_brings_messages_again_and_voids_their_tags(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"1", b"2")
    old = driver.receive(2)
    broker.interrupt(driver)
    new = driver.receive(4)[2:]
    assert [(m.body, m.redelivered) for m in new] == [(b"1", True), (b"2", True)]
    driver.connection.ack([m.tag for m in old])
    driver.connection.requeue([m.tag for m in old])
    driver.publish("events", b"3")  # so that the broker has seen whatever was sent before
    driver.receive(5)
    driver.connection.close()
    again = broker.open(EVENTS).up()
    again.receive(3)
    assert again.bodies == [b"1", b"2", b"3"]


def test_a_lost_connection_is_reported_before_it_is_up_again(broker):
    driver = broker.open(EVENTS).up()
    broker.interrupt(driver)
    kinds = [type(e) for e in driver.events if isinstance(e, ConnectionUp | ConnectionDown)]
    assert kinds[0] is kinds[-1] is ConnectionUp
    assert set(kinds[1:-1]) == {ConnectionDown}
    assert driver.of(ConnectionDown)[0].reason


SOON = DelayQueue("later.300", 300, to="due")
LATER = DelayQueue("later.900", 900, to="due")
DUE = Topology(queue=Queue("due"), delays=(SOON, LATER))


def test_delayed_messages_come_when_they_are_due(broker):
    consumer = broker.open(DUE).up()
    publisher = broker.open(Topology()).up()
    properties = Properties(delivery_mode=2, headers={"n": 1})
    began = time.monotonic()
    publisher.publish("later.900", b"second", properties=properties)
    publisher.publish("later.300", b"first", properties=properties)
    assert publisher.confirmed, "the broker answers for it at once, not when it is due"
    first, second = consumer.receive(2)
    assert time.monotonic() - began >= 0.9
    assert (first.body, second.body) == (b"first", b"second")
    assert first.properties.headers["n"] == 1
    assert (first.exchange, first.routing_key) == ("", "due")
    consumer.connection.ack([first.tag, second.tag])


def test_delays_go_on_while_nobody_consumes(broker):
    broker.open(DUE).up().connection.close()
    publisher = broker.open(Topology()).up()
    publisher.publish("later.300", b"1", b"2", properties=Properties(delivery_mode=2))
    publisher.connection.close()
    # They are due, unseen, when a message that was delayed as long after them is.
    delayed = DelayQueue("witness.300", 300, to="witness")
    witness = broker.open(Topology(queue=Queue("witness"), delays=(delayed,))).up()
    witness.publish("witness.300", b"x", properties=Properties(delivery_mode=2))
    witness.receive(1)
    assert [m.body for m in broker.open(DUE).up().receive(2)] == [b"1", b"2"]


def test_a_delayed_message_that_is_given_back_comes_again_at_once(broker):
    consumer = broker.open(DUE).up()
    consumer.publish("later.300", b"x", properties=Properties(delivery_mode=2))
    (message,) = consumer.receive(1)
    consumer.connection.requeue([message.tag])
    again = consumer.receive(2)[1]
    assert (again.body, again.redelivered) == (b"x", True)


def test_a_delay_that_exists_otherwise_is_refused(broker):
    broker.open(DUE).up()
    other = broker.open(Topology(delays=(DelayQueue("later.300", 500, to="due"),)))
    assert "406" in other.down().reason


WAITING = Topology(
    queue=Queue("due"), prefetch=2, delays=(DelayQueue("wait", 60_000, "due"), LATER)
)


def depths(driver):
    asked = len(driver.of(Depths))
    driver.connection.ask_depths()
    driver.until(lambda: len(driver.of(Depths)) > asked)
    return driver.of(Depths)[-1].messages


def test_depths_are_the_messages_that_wait(broker):
    driver = broker.open(WAITING).up()
    assert depths(driver) == {"due": 0, "wait": 0, "later.900": 0}
    driver.publish("wait", b"1", b"2", b"3", properties=Properties(delivery_mode=2))
    driver.publish("due", *(b"%d" % i for i in range(5)))
    first, second = driver.receive(2)
    assert depths(driver) == {"due": 3, "wait": 3, "later.900": 0}
    driver.connection.ack([first.tag])
    driver.receive(3)
    assert depths(driver)["due"] == 2
    driver.connection.requeue([second.tag])
    driver.receive(4)
    driver.connection.stop_consuming()
    assert depths(driver)["due"] == 2


def test_depths_of_a_connection_without_a_queue(broker):
    broker.open(DUE).up()
    driver = broker.open(Topology(delays=(SOON, LATER))).up()
    assert depths(driver) == {"later.300": 0, "later.900": 0}


def test_depths_are_not_told_while_it_is_down(broker):
    broker.open(DUE).up()
    driver = broker.open(Topology(delays=(DelayQueue("later.300", 500, to="due"),)))
    driver.down()
    driver.connection.ask_depths()
    driver.while_quiet()
    assert not driver.of(Depths)


def test_stop_consuming(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"1", b"2")
    first, _second = driver.receive(2)
    driver.connection.stop_consuming()
    driver.while_quiet()
    driver.publish("events", b"3")
    driver.while_quiet()
    assert driver.bodies == [b"1", b"2"]
    driver.connection.ack([first.tag])
    driver.connection.close()
    again = broker.open(EVENTS).up()
    assert [m.body for m in again.receive(2)] == [b"2", b"3"]


def test_close_twice_and_open_again(broker):
    driver = broker.open(EVENTS).up()
    driver.connection.close()
    driver.connection.close()
    again = Driver(driver.connection)
    again.up()
    again.publish("events", b"1")
    assert again.receive(1)


def test_close_sends_what_was_acknowledged_and_published_just_before(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"1")
    (message,) = driver.receive(1)
    driver.connection.ack([message.tag])
    driver.connection.publish(OutgoingMessage("", "events", b"2"))
    driver.connection.close()
    again = broker.open(EVENTS).up()
    assert [m.body for m in again.receive(1)] == [b"2"]


def test_close_before_it_is_up(broker):
    driver = broker.open(EVENTS)
    started = time.monotonic()
    driver.connection.close()
    assert time.monotonic() - started < patient(2)


# Further queues of a connection

QUEUE_TYPES = pytest.mark.parametrize("type", ["classic", "quorum"])


def declared(driver, queue):
    """Declare a queue; the number of messages that wait in it."""
    before = len(driver.of(Declared))
    driver.connection.declare(queue)
    found = driver.until(lambda: len(driver.of(Declared)) > before).of(Declared)[-1]
    assert found.queue == queue.name
    return found.messages


def numbered(count):
    return [b"%d" % number for number in range(count)]


@QUEUE_TYPES
def test_a_connection_consumes_further_queues_each_with_its_prefetch(broker, type):
    driver = broker.open(Topology(queue=Queue("events"), prefetch=3)).up()
    for name in ("one", "two"):
        assert declared(driver, shared_queue(name, type, single=True)) == 0
        driver.publish(name, *numbered(4), mandatory=True)
    driver.publish("events", *numbered(4))
    driver.connection.consume("one", 2)
    driver.connection.consume("two", 1)
    driver.receive(6)
    driver.while_quiet()
    of = lambda name: [m for m in driver.messages if m.routing_key == name]  # noqa: E731
    assert {name: [m.body for m in of(name)] for name in ("events", "one", "two")} == {
        "events": [b"0", b"1", b"2"],
        "one": [b"0", b"1"],
        "two": [b"0"],
    }
    assert not driver.of(Returned)
    assert declared(driver, shared_queue("one", type, single=True)) == 2
    driver.connection.ack([of("one")[0].tag])
    driver.until(lambda: len(of("one")) == 3)
    driver.while_quiet()
    assert [len(of(name)) for name in ("events", "two")] == [3, 1]


@QUEUE_TYPES
def test_what_is_given_back_to_a_further_queue_keeps_its_place(broker, type):
    driver = broker.open(Topology(queue=Queue("events"))).up()
    queue = shared_queue("single", type, single=True)
    declared(driver, queue)
    driver.publish("single", *numbered(9))
    driver.connection.consume("single", 5)
    first = driver.receive(5)
    driver.connection.ack([first[0].tag])
    driver.receive(6)
    driver.connection.requeue([m.tag for m in driver.messages[1:]])
    driver.receive(11)
    assert [m.body for m in driver.messages[6:11]] == numbered(9)[1:6]
    broker.interrupt(driver)
    declared(driver, queue)
    driver.connection.consume("single", 100)
    driver.receive(19)
    assert [m.body for m in driver.messages[11:]] == numbered(9)[1:]
    assert driver.messages[11].redelivered


@QUEUE_TYPES
def test_a_queue_has_a_single_active_consumer_and_its_successor_gets_all_in_order(broker, type):
    queue = shared_queue("single", type, single=True)
    one = broker.open(Topology(queue=Queue("of-one"))).up()
    declared(one, queue)
    one.connection.consume("single", 3)
    one.publish("single", *numbered(6))
    one.receive(3)
    one.connection.ack([one.messages[0].tag])
    one.receive(4)
    two = broker.open(Topology(queue=Queue("of-two"))).up()
    if broker.url.startswith("amqp"):  # The embedded broker serves one node.
        declared(two, queue)
        two.connection.consume("single", 100)
        two.while_quiet()
        assert two.messages == []
    one.connection.close()
    if not broker.url.startswith("amqp"):
        declared(two, queue)
        two.connection.consume("single", 100)
    two.receive(5)
    assert two.bodies == numbered(6)[1:]


def test_declarations_of_further_queues_end_with_the_connection(broker):
    driver = broker.open(Topology(queue=Queue("events"))).up()
    declared(driver, Queue("more"))
    driver.connection.consume("more", 1)
    driver.connection.stop_consuming()
    driver.publish("more", b"1", mandatory=True)
    driver.while_quiet()
    assert driver.messages == []
    broker.interrupt(driver)
    driver.while_quiet()
    assert driver.messages == []


@QUEUE_TYPES
def test_a_further_queue_that_is_empty_is_deleted(broker, type):
    driver = broker.open(Topology(queue=Queue("events"))).up()
    queue = shared_queue("further", type, single=True)
    declared(driver, queue)
    driver.connection.consume("further", 9)
    driver.publish("further", b"one", mandatory=True)
    driver.receive(1)
    assert removed(driver, queue) == 1
    driver.connection.consume("further", 9)
    driver.connection.ack([driver.messages[0].tag])
    driver.while_quiet()
    assert removed(driver, queue) == 0
    driver.publish("further", b"two", mandatory=True)
    # RabbitMQ cannot delete a quorum queue if it is empty, so that it stays.
    stays = broker.url != "memory://" and type == "quorum"
    assert len(driver.of(Returned)) == (0 if stays else 1)
    assert declared(driver, queue) == (1 if stays else 0)


@QUEUE_TYPES
def test_an_obsolete_queue_is_deleted_whatever_its_type(broker, type):
    driver = broker.open(Topology(queue=Queue("events"))).up()
    queue = shared_queue("obsolete", type, single=True)
    declared(driver, queue)
    driver.connection.consume("obsolete", 9)
    driver.publish("obsolete", b"one", mandatory=True)
    driver.receive(1)
    assert removed(driver, queue, is_obsolete=True) == 1
    driver.connection.consume("obsolete", 9)
    driver.connection.ack([driver.messages[0].tag])
    driver.while_quiet()
    assert removed(driver, queue, is_obsolete=True) == 0
    driver.publish("obsolete", b"two", mandatory=True)
    assert len(driver.of(Returned)) == 1


def removed(driver, queue, **how):
    """Stop to consume a queue; the number of messages that it is kept for."""
    before = len(driver.of(Removed))
    driver.connection.remove(queue, **how)
    found = driver.until(lambda: len(driver.of(Removed)) > before).of(Removed)[-1]
    assert found.queue == queue.name
    return found.messages


@QUEUE_TYPES
def test_wanted_messages_are_moved_in_order_and_the_others_keep_their_places(broker, type):
    """Delayed ones, too, which have no consumer."""
    due = shared_queue("due", type)
    delays = tuple(
        DelayQueue(name, delay_ms, "due", quorum=type == "quorum")
        for name, delay_ms in (("soon", 1_500), ("late", 60_000))
    )
    driver = broker.open(Topology(queue=due, delays=delays, prefetch=1)).up()
    driver.publish("soon", b"a1", b"stays", b"a3")
    driver.publish("late", b"a2")
    driver.connection.close()
    other = broker.open(Topology(queue=Queue("other"))).up()
    other.publish("due", b"a4")
    target = shared_queue("target", type, single=True)

    def arranged(bodies):
        return [(target, OutgoingMessage("", target.name, body)) for body in sorted(bodies)]

    names = ("due", "soon", "late", "missing")
    move = lambda: relocate(  # noqa: E731
        broker.url, broker.folder, names, lambda body: body.startswith(b"a"), arranged, 5.0
    )
    assert (move(), move()) == (4, 0)
    assert declared(other, target) == 4
    other.connection.consume("target", 9)
    assert [message.body for message in other.receive(4)] == [b"a1", b"a2", b"a3", b"a4"]
    driver = broker.open(Topology(queue=due, delays=delays)).up()
    assert [message.body for message in driver.receive(1)] == [b"stays"]
    driver.while_quiet()
    assert len(driver.messages) == 1


def test_a_new_connection_gets_all_unacknowledged_messages_again_in_order(broker):
    driver = broker.open(Topology(queue=Queue("events"), prefetch=5)).up()
    driver.publish("events", *numbered(9))
    driver.receive(5)
    driver.connection.ack([driver.messages[0].tag])
    driver.connection.reconnect("in order")
    driver.until(lambda: driver.of(ConnectionDown))
    before = len(driver.messages)
    driver.until(lambda: len(driver.of(ConnectionUp)) == 2)
    driver.until(lambda: len(driver.messages) == before + 5)
    assert driver.of(ConnectionDown)[-1].reason == "in order"
    assert [m.body for m in driver.messages[before:]] == numbered(6)[1:]
    driver.connection.ack([m.tag for m in driver.messages[before:]])
    driver.until(lambda: len(driver.messages) == before + 8)
    assert [m.body for m in driver.messages[before + 5 :]] == numbered(9)[6:]


@pytest.mark.rabbitmq
def test_a_further_queue_is_left_to_another_consumer(rabbitmq, amqp_url, tmp_path):
    """The embedded broker has one consumer for each queue."""
    broker, queue = Broker(amqp_url, tmp_path, rabbitmq), shared_queue("further", "", single=True)
    drivers = [broker.open(Topology(queue=Queue(name))).up() for name in ("one", "other")]
    for driver in drivers:
        declared(driver, queue)
        driver.connection.consume("further", 9)
        driver.while_quiet()
    assert removed(drivers[0], queue) == 0
    drivers[0].publish("further", b"1", mandatory=True)
    assert [m.body for m in drivers[1].receive(1)] == [b"1"]
    assert not drivers[0].of(Returned)
    broker.close()


def blocked_by_a_probe(broker, driver):
    """Block the broker, and let the connection learn of it.

    A connection process of RabbitMQ may take a message before the alarm reaches it.
    """
    broker.block()
    while not driver.of(Blocked):
        taken = len(driver.of(Probed))
        driver.connection.probe()
        driver.until(lambda: driver.of(Blocked) or len(driver.of(Probed)) > taken)  # noqa: B023


def test_a_probe_tells_whether_messages_are_taken(broker):
    driver = broker.open(EVENTS).up()
    for times in (1, 2):
        driver.connection.probe()
        driver.until(lambda times=times: len(driver.of(Probed)) == times)
    blocked_by_a_probe(broker, driver)
    assert driver.of(Blocked)[0].reason.startswith("low on ")
    taken = len(driver.of(Probed))
    driver.connection.probe()
    driver.while_quiet()
    assert len(driver.of(Probed)) == taken
    assert len(driver.of(Blocked)) == 1
    broker.unblock()
    driver.until(lambda: driver.of(Unblocked))
    driver.connection.probe()
    driver.until(lambda: len(driver.of(Probed)) > taken)
    assert not driver.messages


def test_what_a_blocked_broker_refuses_is_not_published_later(broker):
    driver = broker.open(EVENTS).up()
    driver.publish("events", b"before")
    blocked_by_a_probe(broker, driver)
    ids = [driver.connection.publish(OutgoingMessage("", "events", b"%d" % i)) for i in range(20)]
    driver.until(lambda: driver.unconfirmed >= set(ids))
    (refused,) = driver.of(Unconfirmed)
    assert refused.reason == f"blocked: {driver.of(Blocked)[0].reason}"
    broker.unblock()
    driver.until(lambda: driver.of(Unblocked))
    driver.publish("events", b"after")
    driver.receive(2)
    driver.while_quiet()
    assert driver.bodies == [b"before", b"after"]
    assert not driver.of(ConnectionDown)


@pytest.mark.parametrize("by", ["probe", "publish"])
def test_a_blocked_broker_goes_on_to_give_messages_and_takes_acknowledgements(broker, by):
    waiting = 200
    publisher = broker.open(PUBLISH_ONLY).up()
    publisher.publish("keep", declare_first(broker, "keep"))
    declared = broker.open(Topology(queue=Queue("keep"), prefetch=10)).up()
    declared.receive(1)
    publisher.publish("keep", *(b"%d" % number for number in range(waiting)))
    if by == "probe":
        blocked_by_a_probe(broker, declared)
    else:
        broker.block()
        declared.connection.publish(OutgoingMessage("", "elsewhere", b""))
        declared.until(lambda: declared.of(Blocked))
    taken = 0
    while taken < waiting + 1:
        declared.until(lambda taken=taken: len(declared.messages) > taken)
        new = declared.messages[taken:]
        declared.connection.ack([message.tag for message in new])
        taken += len(new)
    assert len(set(declared.bodies)) == waiting + 1
    declared.while_quiet()
    declared.connection.close()
    again = broker.open(Topology(queue=Queue("keep"))).up()
    again.while_quiet()
    assert not again.messages, "some were not acknowledged"


def test_a_new_connection_to_a_blocked_broker_learns_of_it(broker):
    driver = broker.open(EVENTS).up()
    blocked_by_a_probe(broker, driver)
    broker.interrupt(driver)
    driver.connection.probe()
    driver.until(lambda: len(driver.of(Blocked)) == 2)
    broker.unblock()
    driver.until(lambda: driver.of(Unblocked))
    driver.publish("events", b"1")
    driver.receive(1)


def declare_first(broker, queue):
    """A first message for the queue, which exists then."""
    broker.open(Topology(queue=Queue(queue))).up().connection.close()
    return b"first"
