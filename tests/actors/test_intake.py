"""The last defence: a message that ends its actor again and again is quarantined."""

import pytest
import structlog

from callboard.actors.base.intake import Intake, digest_of
from callboard.adapters.broker.protocol import IncomingMessage
from callboard.adapters.local.suspects import Suspects
from callboard.config.time_limits import RESTARTS_WITHIN_S
from callboard.supervision import Timer


class Death(BaseException):
    """kill -9: nothing of the process runs after it."""


class Queue:
    """A broker's queue, an actor that consumes it, and its supervisor."""

    def __init__(self, folder, bodies, *, killers=(), raisers=(), prefetch=50):
        self.folder, self.waiting = folder, list(bodies)
        self.killers, self.raisers, self.prefetch = killers, raisers, prefetch
        self.delivered = set()
        self.handled, self.refused, self.restarts = [], [], []
        self.now = 1000.0

    def start(self):
        """One life of the process; whether it ended by itself."""
        self.timers = []
        suspects = Suspects(self.folder / "suspects", None, lambda: self.now)
        intake = self.intake = Intake(
            lambda: suspects, self.handle, self.refuse, self.timer, 2, structlog.get_logger()
        )
        try:
            while self.waiting:
                page = self.waiting[: self.prefetch]
                messages = [
                    IncomingMessage(n, "e", "k", body, redelivered=body in self.delivered)
                    for n, body in enumerate(page)
                ]
                self.delivered.update(page)
                intake.take(messages)
                while self.timers:
                    seconds, call = self.timers.pop()
                    self.now += seconds
                    call()
        except (Death, ValueError):
            self.restarts.append(self.now)
            return False
        return True

    def timer(self, call):
        queue = self

        class Timer:
            is_set = False

            def within(self, seconds):
                queue.timers.append((seconds, call))

        return Timer()

    def handle(self, messages):
        for message in messages:
            if message.body in self.killers:
                raise Death
            if message.body in self.raisers:
                raise ValueError
        for message in messages:
            self.acknowledge(message, self.handled)

    def refuse(self, unreadable):
        self.acknowledge(unreadable.message, self.refused)

    def acknowledge(self, message, to):
        to.append(message.body)
        self.waiting.remove(message.body)

    def run(self):
        while not self.start():
            self.now += 0.2  # a restart takes a moment
            assert len(self.restarts) < 100

    def most_restarts(self):
        """Within the period in which a supervisor counts them."""
        within_s = RESTARTS_WITHIN_S
        return max(
            sum(first <= at < first + within_s for at in self.restarts) for first in self.restarts
        )


def bodies(count):
    return [str(number).encode() for number in range(count)]


def test_a_message_that_raises_twice_is_quarantined_and_the_others_are_handled(tmp_path):
    queue = Queue(tmp_path, bodies(300), raisers=[b"17"])
    queue.run()
    assert queue.refused == [b"17"]
    assert sorted(queue.handled) == sorted(set(bodies(300)) - {b"17"})
    assert len(queue.restarts) == 2


def test_a_message_that_kills_its_process_is_found_too(tmp_path):
    queue = Queue(tmp_path, bodies(300), killers=[b"17"])
    queue.run()
    assert queue.refused == [b"17"]
    assert len(queue.handled) == 299
    assert len(queue.restarts) == 3


def test_many_such_messages_do_not_use_up_the_restarts_of_a_node(tmp_path):
    raisers, killers = bodies(100)[10:15], bodies(100)[60:65]
    queue = Queue(tmp_path, bodies(100), raisers=raisers, killers=killers, prefetch=20)
    queue.run()
    assert sorted(queue.refused) == sorted(raisers + killers)
    assert len(queue.handled) == 90
    assert queue.most_restarts() <= 2


def test_messages_that_are_redelivered_for_another_reason_are_handled_together(tmp_path):
    queue = Queue(tmp_path, bodies(50))
    queue.delivered.update(bodies(50))
    seen = []
    queue.handle = lambda messages: (seen.append(len(messages)), queue.waiting.clear())
    queue.run()
    assert seen == [50]


def test_a_refused_message_that_is_redelivered_is_refused_again(tmp_path):
    """The process ended before the broker had the acknowledgement."""
    queue = Queue(tmp_path, bodies(3), raisers=[b"1"])
    queue.run()
    assert queue.refused == [b"1"]
    queue.waiting, queue.handled = [b"1"], []
    queue.run()
    assert (queue.refused, len(queue.restarts)) == ([b"1", b"1"], 2)


def test_a_refused_message_is_redelivered_after_the_connection_was_lost(tmp_path):
    """The connection ended before the broker had the acknowledgement; the process goes on."""
    queue = Queue(tmp_path, bodies(3), raisers=[b"1"])
    queue.run()
    queue.waiting = [b"1"]
    queue.start()
    queue.intake.forget()
    queue.waiting = [b"1"]
    queue.intake.take([IncomingMessage(9, "e", "k", b"1", redelivered=True)])
    assert (queue.refused[-2:], len(queue.restarts)) == ([b"1", b"1"], 2)


@pytest.mark.parametrize("how", ["killers", "raisers"])
def test_messages_that_the_dead_process_did_not_have_are_handled_together(tmp_path, how):
    """After a kill all that were delivered are suspected; after an exception, those in its page."""
    queue = Queue(tmp_path, bodies(3), **{how: [b"1"]})
    assert not queue.start()
    if how == "raisers":
        queue.delivered.update(bodies(5))
    queue.waiting, seen = bodies(5), []
    queue.handle = lambda messages: (seen.append(len(messages)), queue.waiting.clear())
    assert queue.start()
    assert seen == [1, 1, 1, 2]


def test_messages_are_recognized_by_each_of_their_parts():
    parts = [
        *(("ab", "c", None, b""), ("a", "bc", None, b""), ("a", "b", "c", b"")),
        *(("a", "b", None, b"c"), ("a", "b", "", b"\0c"), ("a", "\udcff", None, b"c")),
    ]
    digests = [digest_of(*each) for each in parts]
    assert {len(each) for each in digests} == {16}
    assert len(set(digests)) == len(parts)


def test_that_messages_wait_is_logged_once_with_the_seconds(tmp_path):
    suspects = Suspects(tmp_path / "suspects", None, lambda: 1000.04)
    suspects.ended_by(b"1" * 16)
    waits, log = [], structlog.get_logger()
    timer = lambda call: Timer(lambda seconds, _call: waits.append(seconds), call)  # noqa: E731
    intake = Intake(lambda: suspects, None, None, timer, 1, log)
    suspects._clock = lambda: 1003.8
    with structlog.testing.capture_logs() as logs:
        for number in range(2):
            intake.take([IncomingMessage(number, "e", "k", b"")])
    assert [line["seconds"] for line in logs] == [6.2]
    assert waits == [pytest.approx(6.24)]
