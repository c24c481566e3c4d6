"""A session with a broker, request by request: AMQP 0-9-1, without RabbitMQ."""

import select
import socket
import threading
import time

import pika
import pytest
from pika import spec

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import (
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
    Overdue,
    Probed,
    Properties,
    Queue,
    Removed,
    Returned,
    Topology,
    Unblocked,
    Unconfirmed,
)
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from services import free_port
from support.amqp_peer import AmqpPeer, Peered
from support.descriptors import open_descriptors, opening

EVENTS = Topology(queue=Queue("events"), prefetch=10)
DELAYS = Topology(
    queue=Queue("due"),
    delays=(DelayQueue("wait-1", 1000, "due"), DelayQueue("wait-9", 9000, "due")),
)


@pytest.fixture
def peer():
    peer = AmqpPeer()
    yield peer
    peer.close()


@pytest.fixture
def drive(peer):
    """drive(topology, **options) -> a connection to `peer`."""
    drivers = []

    def drive(topology=EVENTS, **options):
        options = {"backoff": Backoff(0.001, 0.001)} | options
        drivers.append(Peered(peer, topology, **options))
        return drivers[-1]

    yield drive
    peer.close()
    for driver in drivers:
        driver.connection.close()


@pytest.fixture
def clock(monkeypatch):
    """clock(seconds) moves the time of timers."""
    moved, real = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + moved[0])

    def move(seconds):
        moved[0] += seconds

    return move


def fields(method, *names):
    return tuple(getattr(method, name) for name in names)


def acks(link):
    return [fields(method, "delivery_tag", "multiple") for method in link.of("Basic.Ack")]


def nacks(link):
    return [
        fields(method, "delivery_tag", "multiple", "requeue") for method in link.of("Basic.Nack")
    ]


def closed(code, text):
    """The end of a channel, because of the latest request."""
    return lambda _method: [spec.Channel.Close(code, text, 0, 0)]


def message(body=b"x", key="elsewhere", **options):
    return OutgoingMessage("", key, body, **options)


# The way up


def test_what_is_declared_in_which_order(drive):
    arguments = {"x-queue-type": "quorum"}
    topology = Topology(
        (Exchange("callevt"), Exchange("own", "fanout", durable=True)),
        Queue("events", durable=True, arguments=arguments),
        (Binding("callevt", "call.*.*"), Binding("own", "")),
        prefetch=7,
        delays=(DelayQueue("wait", 500, "events"),),
        priority=3,
    )
    driver = drive(topology, name="node one").up()
    assert driver.link.names() == [
        "Channel.Open",
        "Confirm.Select",
        "Exchange.Declare",
        "Exchange.Declare",
        "Queue.Declare",
        "Queue.Declare",
        "Queue.Bind",
        "Queue.Bind",
        "Basic.Qos",
        "Basic.Consume",
    ]
    told = [vars(method) for _channel, method in driver.link.asked]
    exchange, own, delay, queue, bound, to_own, qos, consume = told[2:]
    assert (exchange["exchange"], exchange["type"], exchange["durable"]) == (
        "callevt",
        "topic",
        False,
    )
    assert (own["exchange"], own["type"], own["durable"]) == ("own", "fanout", True)
    assert (delay["queue"], delay["durable"], delay["exclusive"], delay["auto_delete"]) == (
        *("wait", True),
        *(False, False),
    )
    assert delay["arguments"] == {
        "x-message-ttl": 500,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "events",
    }
    assert (queue["queue"], queue["durable"], queue["arguments"]) == ("events", True, arguments)
    assert [(b["queue"], b["exchange"], b["routing_key"]) for b in (bound, to_own)] == [
        ("events", "callevt", "call.*.*"),
        ("events", "own", ""),
    ]
    assert (qos["prefetch_count"], qos["global_qos"]) == (7, False)
    assert (consume["queue"], consume["consumer_tag"], consume["no_ack"]) == (
        *("events", "node one"),
        False,
    )
    assert consume["arguments"] == {"x-priority": 3}
    assert driver.events == [ConnectionUp("events")]


def test_a_queue_of_one_connection_has_a_name_of_its_own(drive, peer):
    topology = Topology(
        queue=Queue("own.", durable=False, exclusive=True, auto_delete=True),
        bindings=(Binding("callevt", "#"),),
    )
    names = {drive(topology).up().queue for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("own.") and len(name) == len("own.") + 32 for name in names)
    declared = peer.links[0].of("Queue.Declare")[0]
    assert fields(declared, "durable", "exclusive", "auto_delete") == (False, True, True)
    assert peer.links[0].of("Queue.Bind")[0].queue == declared.queue
    assert peer.links[0].of("Basic.Consume")[0].arguments == {}


def test_who_only_publishes_declares_exchanges_and_consumes_nothing(drive):
    driver = drive(Topology((Exchange("callevt"),))).up()
    assert driver.link.names() == ["Channel.Open", "Confirm.Select", "Exchange.Declare"]
    assert driver.events == [ConnectionUp(None)]


def test_queues_of_an_earlier_version_are_deleted_unless_they_are_used(drive):
    def delete(method):
        used = method.queue == "old-1"
        return [spec.Channel.Close(406, "in use", 50, 40)] if used else [spec.Queue.DeleteOk(0)]

    driver = drive(Topology(queue=Queue("events"), obsolete=("old-1", "old-2")))
    driver.peer.answers["Queue.Delete"] = delete
    driver.up().asked("Queue.Delete", 2)
    driver.asked("Channel.Close")
    found = [(c, m.queue, m.if_unused) for c, m in driver.link.asked if m.NAME == "Queue.Delete"]
    assert found == [(2, "old-1", True), (3, "old-2", True)]
    assert driver.events == [ConnectionUp("events")]


@pytest.mark.parametrize(
    ("name", "doing"),
    [
        ("Confirm.Select", "turn on publisher confirms"),
        ("Exchange.Declare", "declare topic exchange 'callevt'"),
        ("Queue.Declare", "declare queue 'wait'"),
        ("Queue.Bind", "bind queue 'events' to exchange 'callevt' by 'call.#'"),
        ("Basic.Qos", "set the prefetch to 50"),
        ("Basic.Consume", "consume from queue 'events'"),
    ],
)
def test_what_is_refused_on_the_way_up_is_said(drive, peer, name, doing):
    peer.answers[name] = closed(403, "ACCESS_REFUSED - no")
    driver = drive(
        Topology(
            (Exchange("callevt"),),
            Queue("events"),
            (Binding("callevt", "call.#"),),
            delays=(DelayQueue("wait", 1, "events"),),
        ),
        backoff=Backoff(600, 600),
    )
    assert driver.down().reason == f"cannot {doing}: 403 ACCESS_REFUSED - no"
    driver.settle()
    assert driver.link.is_over


def test_a_queue_of_another_kind_names_the_settings(drive, peer):
    peer.answers["Queue.Declare"] = closed(406, "inequivalent arg 'x-queue-type' for queue")
    assert (
        drive()
        .down()
        .reason.endswith(
            "; it exists as another kind of queue: set amqp.queue_type to that kind, or amqp.queue "
            "to another name (docs/nodes.md)"
        )
    )


def test_an_unknown_host_port_is_named_and_a_virtual_host_too(drive, peer):
    peer.answers["Connection.Open"] = lambda _method: [
        spec.Connection.Close(530, "NOT_ALLOWED - vhost v not found", 10, 40)
    ]
    reason = drive().down().reason
    assert reason.startswith(f"cannot connect to 127.0.0.1:{peer.port}: virtual host refused: ")


@pytest.mark.parametrize(
    ("request_", "limit_s", "doing"),
    [
        ("Queue.Declare", 60.0, "declare queue 'events'"),
        ("Basic.Consume", 1.0, "consume from queue 'events'"),
    ],
)
def test_a_broker_that_says_nothing_is_given_up_in_time(
    drive, peer, clock, request_, limit_s, doing
):
    peer.answers[request_] = lambda _method: []
    driver = drive(set_up_s=60.0, backoff=Backoff(600, 600))
    driver.asked(request_)
    clock(limit_s - 0.1)
    driver.settle()
    assert driver.events == []
    clock(0.2)
    assert driver.down().reason == f"cannot {doing}: no response"
    driver.settle()
    assert driver.link.is_over


def test_a_consumer_that_got_its_response_is_not_given_up(drive, clock):
    driver = drive(set_up_s=25.0, heartbeat_s=60).up()
    assert driver.connection.deadline() - time.monotonic() > 20, "it is not woken for that"
    clock(25.5)
    driver.settle()
    assert driver.of(ConnectionDown) == []


# What arrives


def test_messages_arrive_with_what_they_carry(drive):
    driver = drive().up()
    driver.link.deliver(b"one", b"two", message_id="m", headers={"a": 1}, delivery_mode=2)
    first, second = driver.receive(2)
    assert (first.tag, first.exchange, first.routing_key, first.body) == (
        *(1, "callevt"),
        *("key.1", b"one"),
    )
    assert (second.tag, second.routing_key, second.redelivered) == (2, "key.2", False)
    assert first.properties == Properties(message_id="m", headers={"a": 1}, delivery_mode=2)


def test_tags_of_one_session_are_not_those_of_the_next(drive, peer):
    driver = drive().up()
    driver.link.deliver(b"1", b"2", b"3")
    driver.receive(3)
    peer.links[0].close()
    driver.up(times=2)
    driver.link.deliver(b"1", b"2", b"3")
    assert [each.tag for each in driver.receive(6)[3:]] == [4, 5, 6]
    driver.connection.ack([1, 2, 4])
    driver.settle()
    assert acks(driver.link) == [(1, True)]
    driver.connection.requeue([3, 6])
    driver.settle()
    assert nacks(driver.link) == [(3, False, True)]


def test_one_frame_acknowledges_all_before_the_first_open_one(drive):
    driver = drive().up()
    driver.link.deliver(*[b"x"] * 5)
    driver.receive(5)
    driver.connection.ack([2, 3])
    driver.settle()
    assert acks(driver.link) == []
    driver.connection.ack([1, 99])
    driver.peer.run()  # it is sent at once, not with the next poll
    assert acks(driver.link) == [(3, True)]
    driver.connection.ack([1, 3])
    driver.settle()
    assert acks(driver.link) == [(3, True)]


def test_acknowledgements_behind_an_open_message_wait_for_a_tenth_of_a_second(drive, clock):
    driver = drive().up()
    driver.link.deliver(*[b"x"] * 5)
    driver.receive(5)
    driver.connection.ack([4, 2])
    driver.settle()
    clock(0.09)
    driver.settle()
    assert acks(driver.link) == []
    clock(0.02)
    driver.settle()
    assert acks(driver.link) == [(2, False), (4, False)]
    driver.connection.ack([3])
    driver.settle()
    clock(0.11)
    driver.settle()
    assert acks(driver.link)[2:] == [(3, False)]
    driver.connection.ack([1, 5])
    driver.settle()
    assert acks(driver.link)[3:] == [(5, True)]


def test_more_than_half_of_the_prefetch_does_not_wait(drive):
    driver = drive().up()
    driver.link.deliver(*[b"x"] * 10)
    driver.receive(10)
    driver.connection.ack([2, 3, 4, 5, 6])
    driver.settle()
    assert acks(driver.link) == []
    driver.connection.ack([8])
    driver.settle()
    assert acks(driver.link) == [(tag, False) for tag in (2, 3, 4, 5, 6, 8)]


def test_messages_are_given_back_by_as_few_frames_as_possible(drive):
    driver = drive().up()
    driver.link.deliver(*[b"x"] * 7)
    driver.receive(7)
    driver.connection.ack([4])
    driver.connection.requeue([1, 2, 4, 7, 6, 99])
    driver.settle()
    assert nacks(driver.link) == [(2, True, True), (6, False, True), (7, False, True)]
    driver.connection.requeue([1, 6])
    driver.settle()
    assert len(nacks(driver.link)) == 3


def test_messages_that_are_open_for_too_long_are_reported_once(drive, clock):
    driver = drive(overdue_s=20.0).up()
    driver.link.deliver(*[b"x"] * 4)
    driver.receive(4)
    driver.connection.ack([3])
    for _part in range(20):
        clock(1.0)
        driver.settle(1)
    assert driver.of(Overdue) == []
    driver.link.deliver(b"late", tag=5)
    driver.receive(5)
    clock(1.0)
    driver.settle(1)
    assert driver.of(Overdue) == [Overdue((1, 2, 4))]
    for _part in range(20):
        clock(1.0)
        driver.settle(1)
    assert driver.of(Overdue)[1:] == [Overdue((5,))]


# What is published


def test_messages_are_published_on_a_connection_of_their_own_once_it_is_up(drive, peer):
    driver = drive().up()
    ids = [
        driver.connection.publish(
            OutgoingMessage("callevt", "a.b", b"1", Properties(message_id="m", delivery_mode=2))
        ),
        driver.connection.publish(message(b"2", mandatory=True)),
    ]
    driver.until(lambda: len(peer.links) == 2 and len(driver.link.published) == 2)
    assert peer.links[0].published == []
    assert driver.link.names() == ["Channel.Open", "Confirm.Select"]
    (method, properties, body), (second, _properties, _body) = driver.link.published
    assert fields(method, "exchange", "routing_key", "mandatory") == ("callevt", "a.b", False)
    assert (properties.message_id, properties.delivery_mode, body) == ("m", 2, b"1")
    assert fields(second, "exchange", "routing_key", "mandatory") == ("", "elsewhere", True)
    driver.link.send(spec.Basic.Ack(2, multiple=True))
    driver.settle()
    assert driver.events[1:] == [Confirmed(tuple(ids))]
    driver.connection.publish(message())
    driver.settle()
    assert (len(peer.links), len(driver.link.published)) == (2, 3)


@pytest.mark.parametrize("ack", [spec.Basic.Ack, spec.Basic.Nack])
def test_confirms_of_one_and_of_all_before(drive, ack):
    driver = drive(Topology()).up()
    ids = [driver.connection.publish(message()) for _ in range(5)]
    driver.settle()
    for tag, multiple in ((2, False), (4, True), (5, False)):
        driver.link.send(ack(tag, multiple=multiple))
        driver.settle()
    found = [each.publish_ids for each in driver.of(Confirmed) + driver.of(Unconfirmed)]
    assert found == [(ids[1],), (ids[0], ids[2], ids[3]), (ids[4],)]
    reasons = {each.reason for each in driver.of(Unconfirmed)}
    assert reasons == ({"refused by the broker (basic.nack)"} if ack is spec.Basic.Nack else set())


def test_a_message_that_no_queue_takes_is_returned_by_its_content(drive):
    driver = drive(Topology()).up()
    ids = [
        driver.connection.publish(message(body, key, mandatory=True))
        for body, key in ((b"1", "a"), (b"2", "a"), (b"2", "b"), (b"2", "a"))
    ]
    driver.connection.publish(message(b"2", "a"))
    driver.settle()
    for key in ("b", "a", "a", "a"):
        driver.link.send_back(spec.Basic.Return(312, "NO_ROUTE", "", key), b"2")
    driver.settle()
    assert driver.events[1:] == [Returned(ids[n], "312 NO_ROUTE") for n in (2, 1, 3)]
    driver.link.send(spec.Basic.Ack(1))
    driver.settle()
    driver.link.send_back(spec.Basic.Return(312, "NO_ROUTE", "", "a"), b"1")
    driver.settle()
    assert driver.of(Returned)[3:] == []


def test_a_message_that_amqp_cannot_carry_is_refused_and_takes_no_number(drive):
    driver = drive(Topology()).up()
    with pytest.raises(BrokerError, match="cannot be encoded"):
        driver.connection.publish(message(key="k" * 256))
    sent = driver.connection.publish(message())
    driver.settle()
    driver.link.send(spec.Basic.Ack(1))
    driver.settle()
    assert driver.confirmed == {sent}
    consumer = drive().up()
    with pytest.raises(BrokerError, match="cannot be encoded"):
        consumer.connection.publish(message(key="k" * 256))


def test_a_blocked_broker_gets_nothing_until_it_is_unblocked(drive, peer):
    driver = drive(Topology()).up()
    before = driver.connection.publish(message())
    driver.settle()
    driver.link.send(spec.Connection.Blocked("low on memory"))
    driver.settle()
    refused = [driver.connection.publish(message()) for _ in range(2)]
    driver.connection.probe()
    driver.settle()
    assert len(driver.link.published) == 1
    driver.link.send(spec.Basic.Ack(1), spec.Connection.Unblocked())
    driver.settle()
    driver.connection.publish(message())
    driver.settle()
    assert len(driver.link.published) == 2
    assert driver.events[1:] == [
        Blocked("low on memory"),
        Unconfirmed(tuple(refused), "blocked: low on memory"),
        *[Unblocked(), Confirmed((before,))],
    ]


def test_a_broker_that_blocks_without_a_reason(drive):
    driver = drive(Topology()).up()
    driver.link.send(spec.Connection.Blocked(""))
    driver.settle()
    assert driver.of(Blocked) == [Blocked("the broker says no reason")]


@pytest.mark.parametrize("topology", [Topology(), EVENTS])
def test_probes_are_messages_that_no_queue_takes(drive, topology):
    """They are published first, and their numbers are nobody's."""
    driver = drive(topology).up()
    driver.connection.probe()
    sent = driver.connection.publish(message())
    driver.connection.probe()
    driver.until(lambda: len(driver.link.published) == 3)
    probes = [(m.exchange, m.routing_key, body) for m, _, body in driver.link.published]
    assert sorted(probes)[:2] == [("", "amq.callboard.probe", b"?")] * 2
    assert probes[0] == probes[1 if topology.queue else 2]
    driver.link.send(spec.Basic.Ack(3, multiple=True))
    driver.settle()
    assert driver.of(Probed) == [Probed()] * 2
    assert driver.of(Confirmed) == [Confirmed((sent,))]
    driver.connection.probe()
    driver.settle()
    driver.link.send(spec.Basic.Nack(4))
    driver.settle()
    assert driver.of(Unconfirmed) == []


def test_probes_that_waited_end_with_the_connection(drive, peer):
    driver = drive().up()
    driver.connection.probe()
    driver.link.close()
    driver.up(times=2)
    driver.connection.publish(message())
    driver.until(lambda: peer.links[-1].published)
    driver.settle()
    assert [m.routing_key for m, _, _ in driver.link.published] == ["elsewhere"]


def test_nothing_is_probed_while_the_connection_is_down(drive, peer):
    driver = drive(backoff=Backoff(600, 600)).up()
    driver.link.close()
    driver.down()
    driver.connection.probe()
    for each in (
        driver.connection.ask_depths,
        driver.connection.stop_consuming,
        lambda: driver.connection.declare(Queue("q")),
        lambda: driver.connection.consume("q", 1),
        lambda: driver.connection.remove(Queue("q")),
        lambda: driver.connection.ack([1]),
        lambda: driver.connection.requeue([1]),
        lambda: driver.connection.reconnect("again"),
    ):
        each()
    driver.settle()
    assert driver.events[2:] == []
    assert len(peer.links) == 1


# Delays and their markers


DIED = {"x-death": []}


def test_what_left_a_delay_queue_is_followed_by_a_marker(drive, clock, peer):
    driver = drive(DELAYS).up()
    driver.connection.publish(message())
    driver.until(lambda: len(peer.links) == 2 and driver.link.published)
    consumer, publisher = peer.links
    consumer.deliver(b"1", headers=DIED)
    consumer.deliver(b"2", tag=2, headers=DIED)
    driver.receive(2)
    driver.settle()
    method, properties, body = publisher.published[1]
    assert fields(method, "exchange", "routing_key", "mandatory") == ("", "due", False)
    assert (properties.type, properties.delivery_mode, body) == ("callboard.mark", 2, b"")
    assert len(publisher.published) == 2
    publisher.send(spec.Basic.Ack(2, multiple=True))
    driver.settle()
    assert driver.of(Confirmed) == [Confirmed((1,))]
    clock(0.03)
    driver.settle()
    assert len(publisher.published) == 3


def test_a_marker_is_held_for_a_tenth_of_a_second_and_not_received(drive, clock):
    driver = drive(DELAYS).up()
    driver.link.deliver(b"", type="callboard.mark")
    driver.link.deliver(b"body", tag=2, type="callboard.mark")
    driver.receive(1)
    driver.settle()
    clock(0.09)
    driver.settle()
    assert acks(driver.link) == []
    clock(0.02)
    driver.settle()
    assert acks(driver.link) == [(1, True)]
    assert driver.bodies == [b"body"]


def test_without_delays_an_empty_message_is_one(drive):
    driver = drive().up()
    driver.link.deliver(b"", type="callboard.mark", headers=DIED)
    assert driver.receive(1)[0].body == b""
    driver.settle()
    assert len(driver.peer.links) == 1


def test_a_marker_that_comes_at_the_end_is_left(drive, clock):
    driver = drive(DELAYS, backoff=Backoff(600, 600)).up()
    driver.link.deliver(b"", type="callboard.mark")
    driver.settle()
    driver.link.close()
    driver.down()
    clock(0.2)
    driver.settle()
    assert acks(driver.link) == []


def test_a_marker_waits_for_its_connection_and_for_an_unblocked_broker(drive, peer):
    driver = drive(DELAYS).up()
    driver.link.deliver(b"1", headers=DIED)
    driver.until(lambda: len(peer.links) == 2 and peer.links[1].published)
    publisher = peer.links[1]
    assert publisher.published[0][1].type == "callboard.mark"
    publisher.send(spec.Connection.Blocked("disk"), spec.Basic.Ack(1))
    driver.settle()
    peer.links[0].deliver(b"2", tag=2, headers=DIED)
    driver.until(lambda: len(driver.messages) == 2)
    driver.after(0.03)
    assert len(publisher.published) == 1
    publisher.send(spec.Connection.Unblocked())
    driver.settle()
    assert len(publisher.published) == 2


def test_a_marker_that_is_not_confirmed_is_nobody_s_message(drive, peer):
    driver = drive(DELAYS).up()
    driver.link.deliver(b"1", headers=DIED)
    driver.until(lambda: len(peer.links) == 2 and peer.links[1].published)
    driver.link.close()
    driver.up(times=2)
    assert driver.of(Unconfirmed) == []


def test_replicated_delay_queues_need_no_markers(drive, peer):
    delay = DelayQueue("wait", 1, "due", quorum=True)
    driver = drive(Topology(queue=Queue("due"), delays=(delay,))).up()
    driver.link.deliver(b"1", headers=DIED)
    driver.receive(1)
    driver.settle()
    assert len(peer.links) == 1


# Other queues


def test_depths_are_those_of_all_queues(drive, peer):
    driver = drive(DELAYS).up()
    depths = {"due": 3, "wait-1": 0, "wait-9": 5}
    peer.answers["Queue.Declare"] = lambda m: [spec.Queue.DeclareOk(m.queue, depths[m.queue], 1)]
    driver.connection.ask_depths()
    driver.until(lambda: driver.of(Depths))
    assert driver.events[1:] == [Depths(depths)]
    asked = driver.link.of("Queue.Declare")
    assert [each.queue for each in asked] == ["wait-1", "wait-9", "due"] * 2
    assert [each.passive for each in asked] == [False] * 6


def test_a_publisher_counts_nothing(drive):
    driver = drive(Topology((Exchange("callevt"),))).up()
    driver.connection.ask_depths()
    driver.settle()
    assert driver.link.of("Queue.Declare") == []


def test_a_further_queue_is_declared_and_consumed_with_its_own_prefetch(drive, peer):
    peer.answers["Basic.Consume"] = lambda m: [spec.Basic.ConsumeOk(m.consumer_tag)]
    driver = drive().up()
    peer.answers["Queue.Declare"] = lambda m: [spec.Queue.DeclareOk(m.queue, 4, 0)]
    driver.connection.declare(Queue("more", arguments={"x-single-active-consumer": True}))
    driver.until(lambda: driver.of(Declared))
    assert driver.events[1:] == [Declared("more", 4)]
    declared = driver.asked("Queue.Declare")
    assert (declared.queue, declared.arguments) == ("more", {"x-single-active-consumer": True})
    driver.connection.consume("more", 3)
    consume = driver.asked("Basic.Consume", 2)
    assert driver.link.names()[-2:] == ["Basic.Qos", "Basic.Consume"]
    assert driver.link.of("Basic.Qos")[-1].prefetch_count == 3
    assert (consume.queue, consume.no_ack) == ("more", False)
    driver.settle()
    driver.link.deliver(b"1", consumer=consume.consumer_tag)
    driver.receive(1)
    driver.connection.stop_consuming()
    driver.settle()
    cancelled = [each.consumer_tag for each in driver.link.of("Basic.Cancel")]
    assert cancelled == ["callboard", consume.consumer_tag]


@pytest.mark.parametrize(
    ("type", "obsolete", "waiting", "consumers", "held", "deleted"),
    [
        ("classic", False, 0, 0, 0, (True, True)),
        ("classic", False, 1, 0, 0, None),
        ("classic", False, 0, 1, 0, None),
        ("classic", False, 0, 0, 2, None),
        ("quorum", False, 0, 0, 0, None),
        ("quorum", True, 0, 0, 0, (False, False)),
        ("quorum", True, 1, 0, 0, None),
        ("classic", True, 0, 0, 0, (True, True)),
    ],
)
def test_a_queue_is_deleted_if_nothing_is_left_in_it(
    drive, peer, type, obsolete, waiting, consumers, held, deleted
):
    driver = drive().up()
    queue = Queue("more", arguments={"x-queue-type": "quorum"} if type == "quorum" else {})
    driver.connection.consume("more", 3)
    tag = driver.asked("Basic.Consume", 2).consumer_tag
    driver.settle()
    driver.link.deliver(b"own", tag=1)
    if held:
        driver.link.deliver(*[b"x"] * held, tag=2, consumer=tag)
    driver.receive(1 + held)
    peer.answers["Queue.Declare"] = lambda m: [spec.Queue.DeclareOk(m.queue, waiting, consumers)]
    driver.connection.remove(queue, is_obsolete=obsolete)
    driver.until(lambda: driver.of(Removed))
    driver.settle()
    assert driver.of(Removed) == [Removed("more", waiting + held)]
    assert driver.link.of("Basic.Cancel")[0].consumer_tag == tag
    found = [fields(m, "queue", "if_unused", "if_empty") for m in driver.link.of("Queue.Delete")]
    assert found == ([] if deleted is None else [("more", *deleted)])


# Optional exchanges


OPTIONAL = Topology(
    (
        Exchange("first", "direct", True, True, True, {"x-a": 1}, optional=True),
        Exchange("callevt"),
        Exchange("second", passive=True, optional=True),
    ),
    Queue("events"),
    (
        Binding("first", "one"),
        Binding("callevt", "#"),
        Binding("second", "two", {"x-match": "any"}),
    ),
)


def test_optional_exchanges_are_declared_on_a_channel_of_their_own(drive):
    driver = drive(OPTIONAL).up()
    driver.settle()
    found = [(channel, method) for channel, method in driver.link.asked if channel == 2]
    assert [method.NAME for _channel, method in found] == [
        *("Channel.Open", "Exchange.Declare", "Queue.Bind"),
        *("Exchange.Declare", "Queue.Bind", "Channel.Close"),
    ]
    first, bound, second, to_second = (method for _channel, method in found[1:5])
    assert fields(
        first, "exchange", "type", "passive", "durable", "auto_delete", "internal", "arguments"
    ) == ("first", "direct", False, True, True, True, {"x-a": 1})
    assert fields(bound, "queue", "exchange", "routing_key", "arguments") == (
        *("events", "first"),
        *("one", {}),
    )
    assert fields(second, "exchange", "passive") == ("second", True)
    assert (to_second.routing_key, to_second.arguments) == ("two", {"x-match": "any"})
    on_the_first = [m.exchange for c, m in driver.link.asked if c == 1 and m.NAME == "Queue.Bind"]
    assert on_the_first == ["callevt"]
    assert driver.events == [ExchangesRefused({}), ConnectionUp("events")]


def refusing(*names, close=spec.Channel.Close):
    def answer(method):
        refused = method.exchange in names
        return [close(403, f"no {method.exchange}", 40, 10)] if refused else None

    return answer


def test_an_exchange_is_of_topics_and_neither_durable_nor_internal_unless_it_says_so(drive):
    driver = drive(Topology((Exchange("x", optional=True),), Queue("events"))).up()
    (declared,) = driver.link.of("Exchange.Declare")
    assert fields(
        declared, "type", "passive", "durable", "auto_delete", "internal", "arguments"
    ) == ("topic", False, False, False, False, {})


def test_a_refused_exchange_costs_no_other_and_is_asked_for_again(drive, peer, clock):
    peer.answers["Exchange.Declare"] = refusing("first")
    driver = drive(OPTIONAL, look_again_s=5.0).up()
    refused = ExchangesRefused({"first": "403 no first"})
    assert driver.events == [refused, ConnectionUp("events")]
    bound = [method.exchange for method in driver.link.of("Queue.Bind")]
    assert bound == ["callevt", "second"]
    before = len(driver.link.asked)
    clock(4.9)
    driver.settle()
    assert len(driver.link.asked) == before
    clock(0.2)
    driver.settle(9)
    again = [m.exchange for m in driver.link.of("Exchange.Declare")[3:]]
    assert again == ["first", "second"]
    assert driver.events[2:] == []
    del peer.answers["Exchange.Declare"]
    clock(5.1)
    driver.settle(9)
    assert driver.events[2:] == [ExchangesRefused({})]
    clock(5.1)
    driver.settle(9)
    assert [m.exchange for m in driver.link.of("Exchange.Declare")[7:]] == ["second"]


def test_a_refused_exchange_is_asked_for_again_beside_one_that_is_not(drive, peer, clock):
    peer.answers["Exchange.Declare"] = refusing("first")
    exchanges = tuple(Exchange(name, optional=True) for name in ("first", "second"))
    driver = drive(Topology(exchanges, Queue("events")), look_again_s=5.0).up()
    clock(5.1)
    driver.settle(9)
    asked = [method.exchange for method in driver.link.of("Exchange.Declare")]
    assert asked == ["first", "second", "first"]


def test_exchanges_that_all_exist_are_not_asked_for_again(drive, clock):
    exchange = Exchange("first", optional=True)
    driver = drive(Topology((exchange,), Queue("events")), look_again_s=5.0).up()
    clock(5.1)
    driver.settle(9)
    assert len(driver.link.of("Exchange.Declare")) == 1


def test_an_exchange_that_ends_the_connection_is_left_out(drive, peer):
    peer.answers["Exchange.Declare"] = refusing("first", close=spec.Connection.Close)
    driver = drive(OPTIONAL).up()
    assert len(driver.of(ConnectionDown)) == 1
    reasons = {"first": "403 no first"}
    assert driver.events[1:] == [ExchangesRefused(reasons), ConnectionUp("events")]
    assert [m.exchange for m in driver.link.of("Exchange.Declare")] == ["callevt", "second"]


@pytest.mark.parametrize("refused", [(), ("second",)])
def test_a_broker_that_ends_the_connection_later_has_refused_no_exchange(drive, peer, refused):
    peer.answers["Exchange.Declare"] = refusing(*refused)
    driver = drive(OPTIONAL).up()
    del peer.answers["Exchange.Declare"]
    driver.settle()
    driver.link.send(spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0))
    driver.up(times=2)
    assert driver.of(ExchangesRefused)[1] == ExchangesRefused({})
    assert len(driver.link.of("Exchange.Declare")) == 3


# The way down


def test_the_loss_voids_what_was_received_and_reports_what_was_not_confirmed(drive, peer):
    driver = drive(Topology()).up()
    ids = [driver.connection.publish(message()) for _ in range(3)]
    driver.connection.probe()
    driver.settle()
    driver.link.send(spec.Basic.Ack(2), spec.Channel.Close(404, "NOT_FOUND - no exchange", 60, 40))
    driver.down()
    lost = f"connection to 127.0.0.1:{peer.port} lost: 404 NOT_FOUND - no exchange"
    down = driver.of(ConnectionDown)[0]
    assert (down.reason, 0.0005 <= down.retry_in_s <= 0.001) == (lost, True)
    assert driver.events[1:4] == [
        Confirmed((ids[1],)),
        Unconfirmed((ids[0], ids[2]), lost),
        down,
    ]
    driver.up(times=2)


def test_the_end_of_the_consumer_is_the_end_of_the_connection(drive):
    driver = drive().up()
    driver.link.send(spec.Basic.Cancel("callboard"))
    assert driver.down().reason == "the broker ended the consumer: queue 'events' is gone"
    driver.up(times=2)


def test_messages_of_the_last_moment_are_void(drive):
    driver = drive().up()
    driver.link.deliver(b"1")
    driver.link.send(spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0))
    assert driver.down().reason.endswith("lost: 320 CONNECTION_FORCED")
    assert driver.messages == []


def test_the_loss_of_the_publisher_is_that_of_the_connection(drive, peer):
    driver = drive().up()
    sent = driver.connection.publish(message())
    driver.until(lambda: len(peer.links) == 2 and driver.link.published)
    driver.link.send(spec.Channel.Close(404, "NOT_FOUND", 60, 40))
    reason = driver.down().reason
    assert reason.endswith("lost: 404 NOT_FOUND")
    assert driver.of(Unconfirmed) == [Unconfirmed((sent,), reason)]
    driver.up(times=2)
    assert peer.links[0].is_over
    assert peer.links[1].is_over
    driver.connection.publish(message(b"next"))
    driver.until(lambda: driver.link.published)
    assert [body for _, _, body in driver.link.published] == [b"next"]


def test_nothing_is_received_once_the_publisher_is_lost(drive, peer):
    driver = drive().up()
    driver.connection.publish(message())
    driver.until(lambda: len(peer.links) == 2 and driver.link.published)
    peer.links[0].deliver(b"1")
    peer.links[1].close()
    driver.down()
    assert driver.messages == []


def test_the_loss_of_the_consumer_is_that_of_the_publisher(drive, peer):
    driver = drive().up()
    ids = [driver.connection.publish(message()) for _ in range(2)]
    driver.until(lambda: len(peer.links) == 2 and len(driver.link.published) == 2)
    peer.links[1].send(spec.Basic.Ack(1))
    driver.settle()
    peer.links[0].send(spec.Channel.Close(406, "PRECONDITION_FAILED", 60, 40))
    reason = driver.down().reason
    assert driver.events[1:] == [
        Confirmed((ids[0],)),
        Unconfirmed((ids[1],), reason),
        driver.of(ConnectionDown)[0],
    ]
    driver.up(times=2)
    assert peer.links[1].is_over
    assert len(driver.of(ConnectionDown)) == 1


def test_what_is_published_between_the_two_losses_gets_the_reason(drive, peer, clock):
    driver = drive(close_s=5.0).up()
    driver.connection.publish(message())
    driver.until(lambda: len(peer.links) == 2 and driver.link.published)
    peer.answers["Channel.Close"] = peer.answers["Connection.Close"] = lambda _method: []
    driver.link.close()
    driver.until(lambda: driver.of(Unconfirmed))
    late = driver.connection.publish(message())
    assert select.select([driver.connection], (), (), 0)[0]
    driver.settle()
    (reason,) = {event.reason for event in driver.of(Unconfirmed)}
    assert (driver.of(Unconfirmed)[-1].publish_ids, driver.of(ConnectionDown)) == ((late,), [])
    clock(5.1)
    assert driver.down().reason == reason


def test_a_publisher_that_does_not_close_is_left_in_time(drive, peer, clock):
    driver = drive(close_s=5.0, backoff=Backoff(600, 600)).up()
    driver.connection.publish(message())
    driver.until(lambda: len(peer.links) == 2 and driver.link.published)
    peer.answers["Channel.Close"] = peer.answers["Connection.Close"] = lambda _method: []
    peer.links[0].close()
    driver.down()
    clock(4.9)
    driver.settle()
    assert not peer.links[1].is_over
    clock(0.2)
    driver.until(lambda: peer.links[1].is_over)


def test_the_pause_depends_on_how_long_both_connections_lasted(drive, peer, clock):
    driver = drive(backoff=Backoff(1.0, 64.0)).up()
    driver.connection.publish(message())
    driver.until(lambda: len(peer.links) == 2 and driver.link.published)
    driver.link.close()
    assert 0.5 <= driver.down().retry_in_s <= 1.0
    clock(1.1)
    driver.up(times=2).link.close()
    driver.until(lambda: len(driver.of(ConnectionDown)) == 2)
    assert 1.0 <= driver.down().retry_in_s <= 2.0
    clock(2.1)
    driver.up(times=3)
    clock(100.0)
    driver.link.close()
    driver.until(lambda: len(driver.of(ConnectionDown)) == 3)
    assert driver.down().retry_in_s <= 1.0


def test_its_owner_learns_of_timers_though_the_name_is_not_looked_up_yet(drive, monkeypatch):
    driver = drive().up()
    go, look_up = threading.Event(), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **o: (go.wait(9), look_up(*a, **o))[1])
    driver.settle()
    assert not select.select([driver.connection], (), (), 0)[0]
    driver.connection.publish(message())
    assert select.select([driver.connection], (), (), 0)[0]
    go.set()
    driver.until(lambda: driver.link.published)


def test_what_waits_for_the_publisher_is_unconfirmed_by_the_loss(drive, peer):
    driver = drive().up()
    sent = driver.connection.publish(message())
    peer.links[0].send(spec.Channel.Close(406, "PRECONDITION_FAILED", 60, 40))
    reason = driver.down().reason
    assert driver.of(Unconfirmed) == [Unconfirmed((sent,), reason)]
    driver.up(times=2).settle()
    assert all(link.published == [] for link in peer.links)


def test_a_wanted_end_gives_everything_back(drive, peer):
    driver = drive().up()
    driver.link.deliver(*[b"x"] * 4)
    driver.receive(4)
    driver.connection.ack([3])
    peer.links[0].deliver(b"late", tag=5)
    driver.connection.reconnect("in order")
    assert driver.down().reason == "in order"
    assert acks(peer.links[0]) == [(3, False)]
    assert peer.links[0].of("Basic.Cancel") == []
    assert peer.links[0].names()[-1] == "Channel.Close"
    driver.up(times=2)
    assert len(driver.messages) == 4


def test_a_wanted_end_leads_to_the_same_broker_and_a_loss_to_the_next(drive, peer):
    """One that is wanted while there is no connection is not done."""
    other = AmqpPeer()
    urls = f"amqp://127.0.0.1:{free_port()}/v,{peer.url},{other.url}"
    driver = Peered(peer, EVENTS, url=urls, backoff=Backoff(0.001, 0.001))
    driver.connection.reconnect("too early")
    driver.up()
    assert len(driver.of(ConnectionDown)) == 1
    driver.connection.reconnect("in order")
    driver.up(times=2)
    assert (len(peer.links), len(other.links)) == (2, 0)
    driver.link.close()
    driver.peer = other
    driver.up(times=3)
    assert (len(peer.links), len(other.links)) == (2, 1)
    other.close()
    driver.connection.close()


def test_a_broker_that_does_not_close_is_left_in_time(drive, peer, clock):
    peer.answers["Channel.Close"] = peer.answers["Connection.Close"] = lambda _method: []
    driver = drive(close_s=3.0).up()
    driver.connection.reconnect("in order")
    driver.settle()
    clock(2.9)
    driver.settle()
    assert driver.of(ConnectionDown) == []
    clock(0.2)
    assert driver.down().reason == "in order"


def test_a_silent_broker_is_lost_after_three_halves_of_a_heartbeat(drive, clock):
    driver = drive(heartbeat_s=4, backoff=Backoff(600, 600)).up()
    for _half in range(2):
        clock(2.0)
        driver.settle()
        driver.link.deliver(b"sign of life", tag=len(driver.messages) + 1)
        driver.settle()
    for _half in range(4):  # the last sign of life came after the start of the first
        assert driver.of(ConnectionDown) == []
        clock(2.0)
        driver.settle()
    assert driver.down().reason.endswith("lost: silent for 6 s")
    driver.settle()
    assert driver.link.is_over


def test_without_heartbeats_silence_is_no_loss(drive, peer, clock):
    peer.answers["Connection.StartOk"] = lambda _method: [spec.Connection.Tune(9, 131072, 0)]
    driver = drive(heartbeat_s=0).up()
    clock(1000.0)
    driver.settle()
    assert driver.of(ConnectionDown) == []


def test_closing_says_so_and_gives_messages_back(drive, peer):
    driver = drive(close_s=60.0).up()
    driver.link.deliver(*[b"x"] * 3)
    driver.receive(3)
    driver.connection.ack([2])
    with peer.in_a_thread():
        driver.connection.close()
    assert acks(peer.links[0]) == [(2, False)]
    assert peer.links[0].names()[-1] == "Channel.Close"
    with pytest.raises(BrokerError, match="not open"):
        driver.connection.fileno()
    driver.connection.close()


def test_messages_that_wait_for_their_connection_are_published_before_the_end(drive, peer):
    driver = drive(close_s=60.0).up()
    for number in range(3):
        driver.connection.publish(message(b"%d" % number))
    with peer.in_a_thread():
        driver.connection.close()
    assert [body for _, _, body in peer.links[1].published] == [b"0", b"1", b"2"]
    assert peer.links[1].names()[-1] == "Channel.Close"


def test_a_broker_that_does_not_respond_is_left_after_a_while(drive, peer):
    driver = drive(close_s=0.1).up()
    began = time.monotonic()
    driver.connection.close()
    assert time.monotonic() - began >= 0.1
    peer.run()
    assert peer.links[0].is_over


def test_a_connection_that_is_opened_again_has_other_tags(drive, peer):
    driver = drive(close_s=60.0).up()
    driver.link.deliver(b"1", b"2")
    driver.receive(2)
    with peer.in_a_thread():
        driver.connection.close()
    driver.connection.open()
    driver.up(times=2)
    driver.link.deliver(b"1")
    assert driver.receive(3)[2].tag == 3


def test_a_connection_that_has_stopped_does_not_consume_after_a_loss(drive, peer):
    driver = drive().up()
    driver.connection.stop_consuming()
    driver.settle()
    assert driver.link.of("Basic.Cancel")[0].consumer_tag == "callboard"
    driver.link.close()
    driver.up(times=2)
    driver.settle()
    assert driver.link.of("Basic.Consume") == []
    assert driver.link.names()[-1] == "Basic.Qos"


def test_the_broker_is_told_who_is_connected(drive, peer):
    told = []
    peer.answers["Connection.StartOk"] = told.append
    drive(name="callboard node").up()
    assert told[0].client_properties["connection_name"] == "callboard node"
    assert pika.__version__ == told[0].client_properties["version"]


@pytest.mark.parametrize("steps", range(8))
def test_an_attempt_to_connect_may_end_at_any_step(drive, peer, steps):
    """By its owner, while pika looks up the name, shakes hands, or opens its channel."""
    driver = drive(close_s=0.05)
    driver.settle(steps)
    driver.connection.close()
    with pytest.raises(BrokerError, match="not open"):
        driver.connection.poll()


def test_a_closed_connection_leaves_no_descriptor_open():
    with opening() as opened:
        connection = AmqpConnection(f"amqp://127.0.0.1:{free_port()}", EVENTS)
        connection.open()
    assert opened
    connection.close()
    assert opened.isdisjoint(open_descriptors())
