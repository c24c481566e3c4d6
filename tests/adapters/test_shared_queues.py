"""The queues that nodes share on a real RabbitMQ: replicated ones, and who is served first."""

import pika
import pytest
from attrs import evolve

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import (
    ConnectionDown,
    ConnectionUp,
    DelayQueue,
    Properties,
    Queue,
    Topology,
)
from callboard.adapters.broker.queues import LINGERS_MS, queue_of_running_nodes, shared_queue
from services.rabbitmq import wait_until

pytestmark = pytest.mark.rabbitmq

EVENTS = shared_queue("events", "quorum")
SOON = DelayQueue("soon", 300, to="events", quorum=True)
QUORUM = Topology(queue=EVENTS, delays=(SOON,))
RABBITMQ_4_DROPS_AFTER = 20


def vhost_of(amqp_url):
    return pika.URLParameters(amqp_url).virtual_host


def kind(rabbitmq, amqp_url, queue):
    vhost = vhost_of(amqp_url)
    name = f'rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)'
    return rabbitmq.erlang(f"amqqueue:get_type(element(2, rabbit_amqqueue:lookup({name})))")


def test_the_kind_is_what_was_asked_for(drive, rabbitmq, amqp_url):
    drive(QUORUM).up()
    drive(Topology(queue=shared_queue("others", "classic"))).up()
    assert kind(rabbitmq, amqp_url, "events") == "rabbit_quorum_queue"
    assert kind(rabbitmq, amqp_url, "soon") == "rabbit_quorum_queue"
    assert kind(rabbitmq, amqp_url, "others") == "rabbit_classic_queue"


def test_what_was_confirmed_outlives_kill_9_of_the_broker_though_it_was_not_persistent(
    drive, rabbitmq
):
    driver = drive(QUORUM, backoff=Backoff(longest_s=0.5)).up()
    driver.publish("events", b"Kazoo sends it so", properties=Properties())
    driver.receive(1)
    # Killed before it has written its tables, 3.10 has the queue but not its log, and it never has
    # a leader again.
    written = rabbitmq.erlang("lists:usort([dets:sync(Table) || Table <- dets:all()])")
    assert written == "[ok]"
    rabbitmq.kill()
    rabbitmq.start()
    driver.until(lambda: len(driver.of(ConnectionUp)) == 2, timeout_s=60)
    again = driver.receive(2)[1]
    assert (again.body, again.redelivered) == (b"Kazoo sends it so", True)


def test_a_message_is_never_dropped_however_often_it_was_given_back(drive):
    assert EVENTS.arguments["x-delivery-limit"] > 1_000_000
    driver = drive(QUORUM).up()
    driver.publish("events", b"x")
    for times in range(1, 2 * RABBITMQ_4_DROPS_AFTER):
        driver.connection.requeue([driver.receive(times)[-1].tag])
    assert driver.receive(2 * RABBITMQ_4_DROPS_AFTER)[-1].body == b"x"


def test_delayed_messages_come_when_they_are_due(drive):
    driver = drive(QUORUM).up()
    driver.publish("soon", b"1", b"2", properties=Properties(delivery_mode=2))
    assert sorted(message.body for message in driver.receive(2)) == [b"1", b"2"]


def test_a_consumer_that_is_not_answered_is_tried_again(drive, rabbitmq, amqp_url):
    topology = Topology(queue=EVENTS)
    drive(topology).up().connection.close()
    replica = f"whereis('{vhost_of(amqp_url)}_events')"
    assert rabbitmq.erlang(f"sys:suspend({replica})") == "ok"
    driver = drive(topology, backoff=Backoff(longest_s=0.2), set_up_s=0.5)
    try:
        assert driver.down().reason == "cannot consume from queue 'events': no response"
    finally:
        rabbitmq.erlang(f"sys:resume({replica})")
    driver.up()


@pytest.mark.parametrize("exists", ["classic", "quorum"])
def test_a_queue_of_another_kind_is_told_with_what_to_do(drive, exists):
    drive(Topology(queue=shared_queue("events", exists))).up()
    wanted = "quorum" if exists == "classic" else "classic"
    reason = drive(Topology(queue=shared_queue("events", wanted))).down().reason
    assert "cannot declare queue 'events': 406" in reason
    assert "amqp.queue_type" in reason


def test_another_difference_is_not_taken_for_one_of_the_kind(drive):
    drive(Topology(queue=Queue("events"))).up()
    reason = drive(Topology(queue=Queue("events", auto_delete=True))).down().reason
    assert "406" in reason
    assert "amqp.queue_type" not in reason


@pytest.mark.parametrize("type", ["classic", "quorum"])
def test_the_consumer_of_higher_priority_is_served_first_and_the_other_gets_the_rest(drive, type):
    queue = shared_queue("events", type)
    standby = drive(Topology(queue=queue, prefetch=4)).up()
    preferred = drive(Topology(queue=queue, prefetch=4, priority=5)).up()
    publisher = drive(Topology()).up()

    publisher.publish("events", *(b"%d" % n for n in range(4)))
    preferred.receive(4)
    standby.while_quiet()
    assert standby.bodies == []

    publisher.publish("events", b"beyond its prefetch")
    assert standby.receive(1)[0].body == b"beyond its prefetch"

    preferred.connection.close()
    assert len(standby.receive(4)) == 4  # and one waits for room


def test_a_queue_of_running_nodes_goes_away_with_the_last_of_them(drive, rabbitmq, amqp_url):
    queue = queue_of_running_nodes("requests", "classic")
    one, other = drive(Topology(queue=queue)).up(), drive(Topology(queue=queue)).up()
    one.connection.close()
    assert other.publish("requests", b"x", mandatory=True)
    assert other.receive(1)[0].body == b"x"
    other.connection.close()
    wait_until(lambda: rabbitmq.queues(amqp_url) == [], "end of the queue", 10)


def test_so_does_a_replicated_one_after_a_while(drive, rabbitmq, amqp_url):
    queue = queue_of_running_nodes("requests", "quorum")
    assert (queue.auto_delete, queue.arguments["x-expires"]) == (False, LINGERS_MS)
    soon = evolve(queue, arguments={**queue.arguments, "x-expires": 300})
    driver = drive(Topology(queue=soon)).up()
    driver.while_quiet()
    driver.while_quiet()
    assert [name for name, *_ in rabbitmq.queues(amqp_url)] == ["requests"]
    driver.connection.close()
    wait_until(lambda: rabbitmq.queues(amqp_url) == [], "end of the queue", 10)


def test_a_queue_of_an_earlier_version_goes_once_it_is_unused(drive, rabbitmq, amqp_url):
    earlier = Topology(queue=Queue("old", durable=False, auto_delete=True))
    upgraded = Topology(queue=queue_of_running_nodes("new", "classic"), obsolete=("old",))
    still_there = drive(earlier).up()
    both = drive(upgraded).up()
    both.while_quiet()
    assert [name for name, *_ in rabbitmq.queues(amqp_url)] == ["new", "old"]
    assert not both.of(ConnectionDown)
    still_there.connection.close()
    wait_until(lambda: len(rabbitmq.queues(amqp_url)) == 1, "end of the old queue", 10)

    channel = pika.BlockingConnection(pika.URLParameters(amqp_url)).channel()
    channel.queue_declare("old", auto_delete=True)  # its node died before it consumed
    again = drive(upgraded).up()
    again.until(lambda: len(rabbitmq.queues(amqp_url)) == 1)
    assert both.publish("new", b"x")
    assert not both.of(ConnectionDown)
