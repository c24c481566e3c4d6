"""The queues that nodes share on a real RabbitMQ: replicated ones, and who is served first."""

import pika
import pytest

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import ConnectionUp, DelayQueue, Properties, Queue, Topology
from callboard.adapters.broker.queues import shared_queue

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
