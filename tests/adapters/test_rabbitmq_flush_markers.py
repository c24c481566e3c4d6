"""What delay queues dead-letter outlives the kill of RabbitMQ; marks see to it, and do not show."""

import time

import pika
import pytest

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import ConnectionUp, DelayQueue, Properties, Queue, Topology
from callboard.adapters.broker.rabbitmq.flush_markers import KEPT_S, PAUSE_S, TYPE, Marks

DUE = Topology(queue=Queue("due"), prefetch=60_000, delays=(DelayQueue("wait", 500, "due"),))
DIED = {"x-death": []}


class Made:
    """Marks with a clock of their own, and when they were published."""

    def __init__(self):
        self.now, self.published, self._due = 0.0, [], []
        self.taken = True
        self.marks = Marks(
            self._publish,
            lambda seconds, call: self._due.append((self.now + seconds, call)),
        )

    def _publish(self):
        if self.taken:
            self.published.append(self.now)
        return self.taken

    def wait(self, seconds):
        self.now += seconds
        due, self._due = self._due, []
        for at, call in due:
            assert at <= self.now
            call()


def test_a_mark_follows_what_was_dead_lettered_and_nothing_else():
    made = Made()
    for headers in (None, {}, {"other": 1}):
        made.marks.arrived(headers)
    assert made.published == []
    made.marks.arrived(DIED)
    assert made.published == [0.0]


def test_one_mark_is_under_way_at_a_time_and_no_arrival_is_forgotten():
    made = Made()
    for _message in range(100):
        made.marks.arrived(DIED)
    assert made.published == [0.0]
    made.marks.confirmed()
    made.wait(PAUSE_S)
    assert made.published == [0.0, PAUSE_S]
    made.marks.confirmed()
    made.wait(PAUSE_S)
    assert len(made.published) == 2
    made.marks.arrived(DIED)
    assert len(made.published) == 3


def test_a_mark_that_a_blocked_broker_does_not_take_follows_later():
    made = Made()
    made.taken = False
    made.marks.arrived(DIED)
    made.marks.arrived(DIED)
    made.wait(PAUSE_S)
    made.taken = True
    made.marks.go_on()
    made.marks.go_on()
    assert made.published == [PAUSE_S]


def keeps_all(driver, rabbitmq, bodies):
    """Whether these come again when the broker was killed a moment after they came."""
    persistent = Properties(delivery_mode=2)
    driver.publish("wait", *bodies, properties=persistent)
    driver.until(lambda: {*driver.bodies} >= {*bodies})
    end = time.monotonic() + 0.1
    while time.monotonic() < end:  # That their queue has others to write.
        driver.publish("wait", b"another", properties=persistent)
    ups, seen = len(driver.of(ConnectionUp)), len(driver.messages)
    rabbitmq.kill()
    rabbitmq.start()
    driver.up(ups + 1)
    driver.publish("due", b"last", properties=persistent)
    driver.until(lambda: b"last" in driver.bodies[seen:])
    return {*driver.bodies[seen:]} >= {*bodies}


@pytest.mark.rabbitmq
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_what_was_dead_lettered_outlives_kill_9_of_the_broker(drive, rabbitmq):
    """Without marks, none does; on a busy machine the kill may come before the mark is there."""
    driver = drive(DUE, backoff=Backoff(longest_s=0.5)).up()
    rounds = ([b"%d %d" % (number, item) for item in range(100)] for number in range(5))
    assert any(keeps_all(driver, rabbitmq, bodies) for bodies in rounds)


@pytest.mark.rabbitmq
def test_marks_are_neither_received_nor_left(drive, rabbitmq, amqp_url):
    driver = drive(DUE).up()
    driver.publish("wait", b"1", b"2", properties=Properties(delivery_mode=2))
    driver.connection.ack([message.tag for message in driver.receive(2)])
    end = time.monotonic() + 15
    while rabbitmq.messages(amqp_url, "due"):
        assert time.monotonic() < end, "a mark is left"
        driver.step(KEPT_S)
    driver.while_quiet()
    assert sorted(driver.bodies) == [b"1", b"2"]


@pytest.mark.rabbitmq
def test_what_only_looks_like_a_mark_is_received(drive, amqp_url):
    due, events = drive(DUE).up(), drive(Topology(queue=Queue("events"))).up()
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for queue, body in [("due", b"a body"), ("events", b"")]:
            channel.basic_publish("", queue, body, pika.BasicProperties(type=TYPE))
    assert due.receive(1)[0].body == b"a body"
    assert events.receive(1)[0].body == b""
