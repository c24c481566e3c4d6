"""What an event costs at the broker: SQL statements of the embedded one, frames to RabbitMQ."""

import random
import time
from urllib.parse import urlsplit

import pytest

from callboard.adapters.broker.brokers import connect
from callboard.adapters.broker.protocol import Binding, Exchange, Queue, Topology
from callboard.adapters.store.spool import Spool
from performance.counting import statements
from performance.tap import ACK, BODY, HEADER, FrameTap
from services.driver import Driver

EVENTS = 1_000
BATCH = 100
TOPOLOGY = Topology(
    exchanges=(Exchange("callevt"),),
    queue=Queue("events"),
    bindings=(Binding("callevt", "call.#"),),
    prefetch=EVENTS,
)
PUBLISH_ONLY = Topology(exchanges=(Exchange("callevt"),))
BODIES = [b"%d" % number for number in range(EVENTS)]


def begins(seen):
    return sum(statement.startswith("BEGIN") for statement in seen)


def test_the_embedded_broker(within, tmp_path):
    with statements() as seen:
        consumer = Driver(connect("memory://", TOPOLOGY, tmp_path)).up()
        publisher = Driver(connect("memory://", PUBLISH_ONLY, tmp_path)).up()

        def count(what, work):
            seen.clear()
            work()
            figures = {"statements": len(seen), "transactions": begins(seen)}
            within("embedded-broker", {f"{what} 1,000: {n}": c for n, c in figures.items()})

        def acknowledge():
            tags = [message.tag for message in consumer.messages]
            for first in range(0, EVENTS, BATCH):
                consumer.connection.ack(tags[first : first + BATCH])
                consumer.connection.poll()

        count("publish", lambda: publisher.publish("call.x", *BODIES, exchange="callevt"))
        count("receive", lambda: consumer.receive(EVENTS))
        count("acknowledge by the hundred", acknowledge)
        consumer.connection.close()
        publisher.connection.close()
    again = Driver(connect("memory://", TOPOLOGY, tmp_path)).up()
    again.while_quiet()
    assert not again.messages
    again.connection.close()


def test_attempts_that_are_put_on_disk(within, tmp_path):
    with statements() as seen:
        spool = Spool(tmp_path / "spool.sqlite3")
        spool.append([("d", {"a": 0})])
        seen.clear()
        spool.append([("d", {"a": number}) for number in range(BATCH)])
        spool.close()
    figures = {"statements": len(seen), "transactions": begins(seen)}
    within("spool", {f"append 100 at once: {n}": c for n, c in figures.items()})


@pytest.fixture
def tapped(amqp_url, tmp_path):
    """tapped(topology) -> (connection, what it sends)."""
    drivers, taps = [], []
    parts = urlsplit(amqp_url)

    def tapped(topology):
        tap = FrameTap(parts.port).__enter__()
        taps.append(tap)
        url = parts._replace(netloc=f"guest:guest@127.0.0.1:{tap.port}").geturl()
        drivers.append(Driver(connect(url, topology, tmp_path)).up())
        return drivers[-1], tap.frames

    yield tapped
    for driver in drivers:
        driver.connection.close()
    for tap in taps:
        tap.__exit__()


@pytest.mark.rabbitmq
def test_frames_to_rabbitmq(within, tapped, rabbitmq, amqp_url):
    consumer, sent = tapped(TOPOLOGY)
    publisher, published = tapped(PUBLISH_ONLY)
    published.clear()
    publisher.publish("call.x", *BODIES, exchange="callevt")
    assert published[HEADER] == published[BODY] == EVENTS
    within("rabbitmq", {"publish 1,000: frames": published.total()}, room=1)

    tags = [message.tag for message in consumer.receive(EVENTS)]
    mixed = random.Random(1)
    sent.clear()
    for first in range(0, EVENTS, BATCH):
        batch = tags[first : first + BATCH]
        mixed.shuffle(batch)
        consumer.connection.ack(batch)
        consumer.connection.poll()
    end = time.monotonic() + 15
    while rabbitmq.messages(amqp_url, "events"):
        assert time.monotonic() < end, "some are not acknowledged"
        consumer.step(0.05)
    assert sent[ACK]
    figure = {"acknowledge by the hundred 1,000: frames": sent.total()}
    within("rabbitmq", figure, room=1)
