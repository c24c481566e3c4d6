"""What a deliverer has in hand: nothing is begun twice, and nothing settled that is not safe."""

from pathlib import Path

import pytest
from attrs import evolve

from callboard.adapters.local.delivered_ids import DeliveredIds
from callboard.webhooks.acknowledgement.receipts import Receipt, Receipts
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.dispatch.jobs import Jobs, queue_of
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.policy import KazooPolicy, StandardPolicy

DELIVERY = Delivery("i", "e", "h", "a", "all", "http://x:80/p", "POST", "http://x/", (), b"{}", 3)
NO_FILE = Path("/nowhere/finished.ids")
"""What cannot be a file is kept in memory."""
BRIDGE, QUEUE = ("event_bridge", 1), ("deliveries/retry_queue", 1)


class Hand:
    """Jobs whose sources send one delivery a share."""

    def __init__(self, journal=None):
        self.receipts = Receipts()
        self.now = 1e9
        self.journal = journal or DeliveredIds(NO_FILE, lambda _error: None, lambda: self.now)
        self.jobs = Jobs(self.receipts, "kazoo", (5.0,), self.journal)
        self._shares = 0

    def take(self, source, retry=None, delivery=DELIVERY):
        self._shares += 1
        share = str(self._shares)
        self.receipts.take(source, share, {self._shares: 1})
        return self.jobs.take(delivery, Receipt(source, share, self._shares), retry)

    def settled(self, source):
        path = source[0]
        if path not in self.receipts.paths():
            return []
        return [tag for _part, tags in self.receipts.report(path).settled for tag in tags]


@pytest.fixture
def hand():
    return Hand()


def test_a_delivery_is_begun_once_and_settles_all_that_wait(hand):
    job = hand.take(BRIDGE)
    assert job.endpoint == "http://x:80"
    assert hand.take(BRIDGE) is None
    assert hand.settled(BRIDGE) == []
    hand.jobs.finish(job)
    assert hand.settled(BRIDGE) == [1, 2]
    assert len(hand.jobs) == 0


def test_what_is_finished_is_settled_at_once(hand):
    hand.jobs.finish(hand.take(BRIDGE))
    hand.settled(BRIDGE)
    assert hand.take(BRIDGE) is None
    assert hand.settled(BRIDGE) == [2]
    assert hand.jobs.repeats == 1


def test_what_another_has_finished_is_settled_at_once(hand):
    hand.jobs.finish(hand.take(BRIDGE))
    successor = Hand(hand.journal)
    assert successor.take(BRIDGE) is None
    assert successor.settled(BRIDGE) == [1]
    other = evolve(DELIVERY, id="j")
    assert successor.take(BRIDGE, delivery=other) is not None


def test_the_policy_is_the_deliverys_or_the_nodes(hand):
    assert hand.take(BRIDGE).policy == KazooPolicy()
    other = evolve(DELIVERY, id="j", options=Options(policy="standard"))
    job = hand.take(BRIDGE, delivery=other)
    assert job.policy == StandardPolicy((5.0,))
    job.attempts_made = 1
    assert job.attempts_left == 1


def test_what_is_put_off_is_settled_when_it_is_kept_and_comes_back_as_it_was(hand):
    job = hand.take(BRIDGE)
    job.attempts_made, job.history, job.deferred_since_s = 1, ((5, "timeout"),), 7.5
    retry = job.defer(2000, now_unix_s=10.0)
    assert (retry.due_ms, retry.left, retry.deferrals) == (12_000, ("2s",), 1)
    assert hand.settled(BRIDGE) == []
    hand.jobs.deferred(job)
    assert hand.settled(BRIDGE) == [1]

    # Its event comes again: it is known, and not begun beside the one that comes back.
    assert hand.take(BRIDGE) is None
    assert hand.settled(BRIDGE) == [2]

    back = hand.take(QUEUE, retry)
    assert (back.attempts_made, back.history, back.deferred_since_s) == (1, ((5, "timeout"),), 7.5)
    assert back.deferrals == 1
    hand.jobs.finish(back)
    assert hand.settled(QUEUE) == [3]


@pytest.mark.parametrize(
    ("taken_at", "clock", "taken_ms"),
    [(None, 99.0, 10_000), (98.5, 99.0, 9_500), (100.0, 99.0, 10_000)],
)
def test_a_deferred_delivery_says_when_its_event_was_taken(hand, taken_at, clock, taken_ms):
    job = hand.take(BRIDGE)
    job.taken_at = taken_at
    assert job.defer(2000, 10.0, clock).taken_ms == taken_ms


def test_deliveries_in_order_wait_in_a_queue_of_their_own():
    ordered = evolve(DELIVERY, options=Options(ordered=True))
    assert (queue_of(DELIVERY), queue_of(ordered)) == ("h", "h in order")


def test_it_is_known_which_messages_were_taken_before_a_time_and_how_many_are_deferred(hand):
    job = hand.take(BRIDGE)
    assert hand.jobs.held_before(1e12) == []
    job.held_since = 5.0
    assert (hand.jobs.held_before(5.0), hand.jobs.held_before(5.1)) == ([], [job])
    assert hand.jobs.deferrals == 0
    job.defer(2000, now_unix_s=10.0)
    hand.jobs.deferred(job)
    assert hand.jobs.deferrals == 1


def test_a_copy_that_is_quicker_than_the_word_of_it_is_begun(hand):
    job = hand.take(BRIDGE)
    retry = job.defer(2000, now_unix_s=10.0)
    back = hand.take(QUEUE, retry)
    assert back is not None
    assert back is not job
    assert hand.settled(BRIDGE) == [1]
    hand.jobs.deferred(job)  # The late word says nothing of the new one.
    assert len(hand.jobs) == 1
    assert hand.settled(QUEUE) == []


def test_an_older_copy_waits_for_the_newer_one_to_be_kept(hand):
    first = hand.take(BRIDGE).defer(2000, now_unix_s=10.0)
    job = hand.take(QUEUE, first)
    job.defer(2000, now_unix_s=20.0)
    assert hand.take(QUEUE, first) is None
    hand.settled(BRIDGE)
    assert hand.settled(QUEUE) == []
    hand.jobs.deferred(job)
    assert hand.settled(QUEUE) == [2, 3]


def test_after_an_hour_the_same_event_is_meant_to_come_again(hand):
    hand.jobs.finish(hand.take(BRIDGE))
    hand.now += 3599
    assert hand.take(BRIDGE) is None
    hand.now += 2
    assert hand.take(BRIDGE) is not None


def test_what_was_put_off_long_ago_is_not_waited_for(hand):
    job = hand.take(BRIDGE)
    job.defer(5000, 0.0)
    hand.jobs.deferred(job)
    assert hand.take(BRIDGE) is None
    hand.now += 3661  # It is remembered by the minute.
    assert hand.take(BRIDGE) is not None


def test_what_the_retry_queue_has_is_not_begun_by_another_deliverer(hand):
    job = hand.take(BRIDGE)
    first = job.defer(5000, 0.0)
    hand.jobs.deferred(job)
    successor = Hand(hand.journal)
    assert successor.take(BRIDGE) is None
    assert successor.settled(BRIDGE) == [1]
    back = successor.take(QUEUE, first)
    assert back.deferrals == 1
    # The event comes again: the retry queue has it still.
    assert successor.take(BRIDGE) is None
    assert successor.settled(BRIDGE) == [3]


def test_an_older_copy_is_settled_if_the_retry_queue_has_a_newer_one(hand):
    first = hand.take(BRIDGE).defer(5000, 0.0)
    job = hand.take(QUEUE, first)
    second = job.defer(5000, 0.0)
    hand.jobs.deferred(job)
    successor = Hand(hand.journal)
    assert successor.take(QUEUE, first) is None
    assert successor.settled(QUEUE) == [1]
    assert successor.take(QUEUE, second) is not None


def test_an_attempt_whose_answer_was_got_is_not_made_again(hand):
    hand.take(BRIDGE)
    hand.journal.answered(DELIVERY.id, 1, 503)
    job = Hand(hand.journal).take(BRIDGE)
    assert (job.answered, job.attempts_made) == (503, 1)
    retry = job.defer(5000, 0.0)
    later = Hand(hand.journal).take(QUEUE, retry)
    assert (later.answered, later.attempts_made) == (None, 1)
    hand.journal.answered(DELIVERY.id, 2, 404)
    later = Hand(hand.journal).take(QUEUE, retry)
    assert (later.answered, later.attempts_made) == (404, 2)
