"""What only a real RabbitMQ can show."""

import socket
import struct
import time

import pika
import pytest
from pika import exceptions as errors
from pika.adapters.utils.connection_workflow import (
    AMQPConnectionWorkflowFailed,
    AMQPConnectorSocketConnectError,
)

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.properties import DecodedProperties
from callboard.adapters.broker.protocol import (
    Binding,
    BrokerError,
    ConnectionDown,
    ConnectionUp,
    Exchange,
    OutgoingMessage,
    Overdue,
    Properties,
    Queue,
    Topology,
    Unconfirmed,
)
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from callboard.adapters.broker.rabbitmq.relocation import relocate
from callboard.adapters.broker.rabbitmq.session import describe
from services import free_port
from services.driver import Driver
from services.rabbitmq import wait_until
from support.patience import patient
from support.slow_proxy import SlowProxy

EVENTS = Topology(queue=Queue("events"))
PERSISTENT = Properties(delivery_mode=2)
BEYOND_DATES = 63_900_000_000_000_000


def value(kind: bytes, layout: str, number) -> bytes:
    """A header table's entry named by its kind."""
    return b"\x01" + kind + kind + struct.pack(layout, number)


TABLE = value(b"T", ">Q", BEYOND_DATES) + value(b"d", ">d", 1.5) + value(b"f", ">f", 0.25)
HEADERS_ONLY = struct.pack(">HI", 1 << 13, len(TABLE)) + TABLE


class ForeignProperties(pika.BasicProperties):
    """Headers as a client other than pika may write them."""

    def encode(self):
        return [HEADERS_ONLY]


@pytest.fixture
def drive():
    drivers = []

    def drive(url, topology=EVENTS, **options) -> Driver:
        drivers.append(Driver(AmqpConnection(url, topology, **options)))
        return drivers[-1]

    yield drive
    for driver in drivers:
        driver.connection.close()


def test_headers_that_pika_cannot_read():
    assert DecodedProperties().decode(HEADERS_ONLY).headers == {
        "T": BEYOND_DATES,
        "d": 1.5,
        "f": 0.25,
    }


def test_pika_decodes_headers_with_our_class():
    frame = pika.frame.Header(1, 0, ForeignProperties()).marshal()
    _size, header = pika.frame.decode_frame(frame)
    assert header.properties.headers["T"] == BEYOND_DATES


REFUSED = OSError(111, "Connection refused")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.ChannelClosedByBroker(404, "NOT_FOUND - no queue"), "404 NOT_FOUND - no queue"),
        (errors.ConnectionClosedByBroker(320, "CONNECTION_FORCED"), "320 CONNECTION_FORCED"),
        (errors.ProbableAuthenticationError("403"), "login refused: 403"),
        (errors.ProbableAccessDeniedError("530"), "virtual host refused: 530"),
        (errors.AMQPHeartbeatTimeout("no heartbeat"), "no heartbeat"),
        (REFUSED, "Connection refused"),
        (errors.AMQPConnectionError(REFUSED), "Connection refused"),
        (AMQPConnectorSocketConnectError(REFUSED), "Connection refused"),
        (AMQPConnectionWorkflowFailed([ValueError("first"), REFUSED]), "Connection refused"),
        (ValueError("other"), "ValueError('other')"),
        (
            errors.IncompatibleProtocolError("('lost', ConnectionResetError(104, 'reset'))"),
            "TLS: the server ended the connection at once: it may demand a client certificate",
        ),
        (errors.IncompatibleProtocolError("StreamLostError: EOF"), "StreamLostError: EOF"),
    ],
)
def test_an_error_in_words(error, words):
    assert describe(error) == words


def test_nobody_listens(drive):
    driver = drive(f"amqp://127.0.0.1:{free_port()}/")
    assert "Connection refused" in driver.down().reason
    assert "127.0.0.1" in driver.down().reason


@pytest.mark.parametrize("topology", [Topology(), EVENTS], ids=["publisher", "consumer"])
def test_what_is_published_without_a_session_is_reported_unconfirmed_once(drive, topology):
    """What came before the broker ended the attempt to connect, and what came after it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"amqp://127.0.0.1:{server.getsockname()[1]}/"
        driver = drive(url, topology, backoff=Backoff(first_s=600, longest_s=600))
        driver.while_quiet()
        message = OutgoingMessage("", "events", b"1", PERSISTENT)
        early = [driver.connection.publish(message) for _ in range(2)]
        driver.while_quiet()
        server.accept()[0].close()
        reason = driver.down().reason
        late = [driver.connection.publish(message) for _ in range(2)]
        driver.while_quiet()
    reported = [(event.publish_ids, event.reason) for event in driver.of(Unconfirmed)]
    assert reported == [(tuple(early), "not connected yet"), (tuple(late), reason)]
    assert len(driver.of(ConnectionDown)) == 1


def test_the_pauses_grow_up_to_the_longest(drive):
    driver = drive(f"amqp://127.0.0.1:{free_port()}/", backoff=Backoff(0.01, 0.05))
    driver.until(lambda: len(driver.of(ConnectionDown)) >= 6)
    pauses = [event.retry_in_s for event in driver.of(ConnectionDown)]
    assert pauses[0] <= 0.01
    assert all(0.025 <= pause <= 0.05 for pause in pauses[4:])


def test_backoff_begins_anew_after_a_good_connection():
    backoff = Backoff(first_s=1, longest_s=100)
    for _ in range(5):
        backoff.pause_s(lasted_s=0)
    assert backoff.pause_s(lasted_s=3) >= 16
    assert backoff.pause_s(lasted_s=65) <= 1


@pytest.mark.rabbitmq
class TestWithRabbitMQ:
    def test_wrong_password(self, drive, amqp_url):
        driver = drive(amqp_url.replace(":guest@", ":SECRET@"))
        assert "login refused" in driver.down().reason
        assert "SECRET" not in driver.down().reason

    def test_no_such_virtual_host(self, drive, rabbitmq):
        driver = drive(rabbitmq.url.replace("%2F", "nowhere"))
        assert "nowhere" in driver.down().reason

    def test_a_host_name_is_resolved(self, drive, amqp_url):
        driver = drive(amqp_url.replace("127.0.0.1", "localhost")).up()
        assert not driver.of(ConnectionDown)

    def test_foreign_headers_do_not_end_the_connection(self, drive, amqp_url):
        driver = drive(amqp_url).up()
        sender = pika.BlockingConnection(pika.URLParameters(amqp_url))
        sender.channel().basic_publish("", "events", b"x", ForeignProperties())
        sender.close()
        (message,) = driver.receive(1)
        assert message.properties.headers == {"T": BEYOND_DATES, "d": 1.5, "f": 0.25}
        assert not driver.of(ConnectionDown)

    def test_a_queue_that_is_deleted_is_declared_again(self, drive, amqp_url):
        driver = drive(amqp_url).up()
        admin = pika.BlockingConnection(pika.URLParameters(amqp_url))
        admin.channel().queue_delete("events")
        admin.close()
        assert "events" in driver.down().reason
        driver.up(times=2)
        driver.publish("events", b"1")
        driver.receive(1)

    def test_heartbeats_keep_an_idle_connection(self, drive, amqp_url):
        driver = drive(f"{amqp_url}?heartbeat=1").up()
        end = time.monotonic() + 3.5  # RabbitMQ gives up after two to three seconds of silence
        driver.until(lambda: time.monotonic() > end or driver.of(ConnectionDown))
        assert not driver.of(ConnectionDown)

    @pytest.mark.parametrize("publishes", [False, True])
    def test_a_broker_that_is_cut_off_is_lost_within_two_heartbeats(
        self, drive, amqp_url, rabbitmq, publishes
    ):
        with SlowProxy(rabbitmq.port) as proxy:
            url = amqp_url.replace(f":{rabbitmq.port}", f":{proxy.port}")
            driver = drive(url, heartbeat_s=1).up()
            if publishes:
                driver.publish("events", b"1")
            proxy.frozen = True
            cut_at = time.monotonic()
            assert driver.down().reason.endswith("lost: silent for 1.5 s")
            assert time.monotonic() - cut_at < patient(2.5)
            proxy.frozen = False
            driver.up(times=2)
            driver.connection.close()

    def test_a_url_names_its_own_heartbeat(self, drive, amqp_url):
        driver = drive(f"{amqp_url}?heartbeat=1", heartbeat_s=60).up()
        with_default = drive(amqp_url, heartbeat_s=60).up()
        ends = [each.connection.deadline() - time.monotonic() for each in (driver, with_default)]
        assert ends[0] < 1 < ends[1]

    def test_who_consumes_publishes_on_another_connection(self, drive, amqp_url, rabbitmq):
        vhost = amqp_url.rpartition("/")[2]
        here = f'[1 || P <- rabbit_networking:connections(), [{{vhost, <<"{vhost}">>}}]'
        count = f"length({here} =:= (catch rabbit_networking:connection_info(P, [vhost]))])"
        driver = drive(amqp_url).up()
        assert rabbitmq.erlang(count) == "1"
        driver.publish("events", b"1", b"2")
        assert rabbitmq.erlang(count) == "2"
        publisher = drive(amqp_url, Topology()).up()
        publisher.publish("events", b"3")
        assert rabbitmq.erlang(count) == "3"
        for each in (driver, publisher):
            each.connection.close()
        # The broker forgets a connection a moment after its end.
        wait_until(lambda: rabbitmq.erlang(count) == "0", "end of all connections", patient(5))

    def test_the_loss_of_either_is_the_loss_of_both(self, drive, amqp_url):
        driver = drive(amqp_url, backoff=Backoff(0.01, 0.05)).up()
        driver.publish("events", b"1")
        driver.receive(1)
        sent = driver.connection.publish(OutgoingMessage("no such exchange", "", b""))
        assert "no exchange" in driver.down().reason
        assert sent in driver.unconfirmed
        driver.up(times=2)
        assert [m.redelivered for m in driver.receive(2)] == [False, True]
        driver.publish("events", b"2")
        driver.receive(3)

    def test_what_is_published_before_the_end_is_published(self, drive, amqp_url, rabbitmq):
        driver = drive(amqp_url).up()
        driver.connection.publish(OutgoingMessage("", "events", b"1", PERSISTENT))
        driver.connection.close()
        assert rabbitmq.messages(amqp_url, "events") == 1

    def test_a_broker_short_of_memory_keeps_publishes_waiting(self, drive, amqp_url, rabbitmq):
        driver = drive(amqp_url).up()
        rabbitmq.block_publishers()
        try:
            ids = [
                driver.connection.publish(OutgoingMessage("", "events", b"%d" % i))
                for i in range(100)
            ]
            driver.while_quiet()
            assert not driver.confirmed
        finally:
            rabbitmq.unblock_publishers()
        driver.until(lambda: driver.confirmed == set(ids))
        assert not driver.of(ConnectionDown)

    def test_closing_while_the_broker_does_not_answer_takes_a_second(
        self, drive, amqp_url, rabbitmq
    ):
        driver = drive(amqp_url).up()
        opening = drive(amqp_url)
        with rabbitmq.frozen():
            started = time.monotonic()
            driver.connection.close()
            opening.connection.close()
            assert time.monotonic() - started < patient(3)

    def test_a_restarted_broker_is_found_again_with_what_it_kept(self, drive, amqp_url, rabbitmq):
        topology = Topology(
            (Exchange("callevt"),), Queue("events"), (Binding("callevt", "call.#"),)
        )
        driver = drive(amqp_url, topology, backoff=Backoff(longest_s=0.5)).up()
        driver.publish("call.1", b"kept", exchange="callevt", properties=PERSISTENT)
        (message,) = driver.receive(1)
        rabbitmq.stop()
        driver.until(lambda: any("refused" in e.reason for e in driver.of(ConnectionDown)))
        (lost,) = driver.publish("call.2", b"lost", exchange="callevt")
        assert lost in driver.unconfirmed
        rabbitmq.start()
        driver.up(times=2)
        again = driver.receive(2)[1]
        assert (again.body, again.redelivered) == (b"kept", True)
        assert again.tag != message.tag
        # The exchange was not durable: it was declared again, and bound.
        driver.publish("call.3", b"new", exchange="callevt")
        assert driver.receive(3)[2].body == b"new"
        assert len(driver.of(ConnectionUp)) == 2


@pytest.mark.timeout(45)
def test_moving_messages_ends_in_time_if_the_broker_falls_silent(drive, rabbitmq, amqp_url):
    """pika waits for a response until two of the broker's heartbeats, of a minute, are missed."""
    driver = drive(amqp_url).up()
    driver.publish("events", b"1")
    driver.connection.close()
    with SlowProxy(rabbitmq.port) as proxy:
        url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/{amqp_url.rpartition('/')[2]}"

        def fall_silent(bodies):
            proxy.frozen = True
            return [(Queue("target"), OutgoingMessage("", "target", body)) for body in bodies]

        began = time.monotonic()
        with pytest.raises(BrokerError):
            relocate(url, ("events",), lambda _body: True, fall_silent, 2.0)
        assert time.monotonic() - began < patient(4)


def test_messages_that_are_not_acknowledged_in_time_are_reported_once(drive, amqp_url):
    driver = drive(amqp_url, overdue_s=0.4).up()
    driver.publish("events", b"1", b"2", b"3")
    first, *others = [message.tag for message in driver.receive(3)]
    driver.connection.ack([others[0]])
    driver.until(lambda: driver.of(Overdue))
    driver.publish("events", b"4")
    last = driver.receive(4)[3].tag
    driver.until(lambda: len(driver.of(Overdue)) == 2)
    assert [event.tags for event in driver.of(Overdue)] == [(first, others[1]), (last,)]
    driver.connection.requeue([first])
    assert driver.receive(5)[4].redelivered
    assert not driver.of(ConnectionDown)


def test_the_loss_by_a_consumer_timeout_names_the_setting(drive, rabbitmq, amqp_url):
    with rabbitmq.consumer_timeout(0.5):
        driver = drive(amqp_url).up()
        driver.publish("events", b"1")
        reason = driver.down().reason
    assert "delivery acknowledgement on channel 1 timed out" in reason
    assert "set amqp.consumer_timeout_s to the broker's consumer_timeout" in reason
