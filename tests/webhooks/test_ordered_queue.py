"""A hook's ordered queue: what is sent next, what waits, and what has ended."""

from attrs import asdict, evolve

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.retries.ordered_queue import OrderedQueue
from callboard.webhooks.retries.retry_message import RetryMessage

NOW_MS = 1_700_000_000_000


def retry(number, **fields):
    body = fields.pop("body", b"{}")
    delivery = Delivery(f"d{number}", "e", "h", "a", "shop", "u", "POST", "u", (), body)
    return evolve(RetryMessage(delivery, 0, 0, deferrals=0), **fields)


def ordered(*retries, **fields):
    made = OrderedQueue(("a", "h"), "q", **fields)
    for tag, one in enumerate(retries, start=1):
        made.take(tag, one, 0.0, NOW_MS)
    return made


def tags(run):
    return [tag for tag, _retry in run]


def end(made, *tags):
    made.end(tags)
    made.recall(0.0, NOW_MS, tags)


def test_a_run_is_in_order_and_the_next_begins_when_all_of_it_are_settled():
    made = ordered(*map(retry, range(22)))
    assert tags(made.run(0.0)) == list(range(1, 21))
    assert made.run(0.0) == []
    end(made, 2, 1)
    assert made.run(0.0) == []
    end(made, *range(3, 21))
    assert tags(made.run(0.0)) == [21, 22]


def test_a_queue_waits_for_nothing_before_the_broker_is_asked():
    assert (ordered().waiting, ordered().run(0.0)) == (0, [])


def test_a_run_ends_with_the_delivery_that_reaches_the_size():
    bare = retry(1, body=b"").delivery.size
    for size, run in ((1_000_000, [1]), (999_999, [1, 2])):
        made = ordered(retry(1, body=b"x" * (size - bare)), retry(2), retry(3, body=b"x" * 1000))
        assert tags(made.run(0.0))[:2] == run


def test_what_returns_keeps_its_place_and_holds_those_behind_it_until_it_is_due():
    made = ordered(retry(1), retry(2), retry(3))
    made.run(0.0)
    end(made, 1)
    later = retry(2, attempts_made=1, due_ms=NOW_MS + 30_000)
    made.back(later, 0.0, NOW_MS)
    made.back(retry(9, due_ms=NOW_MS + 60_000), 0.0, NOW_MS)
    made.recall(5.0, NOW_MS + 5_000, [3, 2])
    assert made.run(29.99) == []
    assert made.run(30.0) == [(2, later), (3, retry(3))]
    end(made, 2, 3)
    assert made.items == {}


def test_what_the_broker_has_redelivered_takes_the_state_that_comes_late():
    made = ordered(retry(1))
    made.run(0.0)
    made.emptied()
    made.take(2, retry(1), 10.0, NOW_MS + 10_000)
    later = retry(1, deferrals=2, due_ms=NOW_MS + 30_000)
    made.back(later, 10.0, NOW_MS + 10_000)
    made.back(retry(1, deferrals=1), 10.0, NOW_MS + 10_000)  # It is older.
    assert made.run(29.99) == []
    assert made.run(30.0) == [(2, later)]


def test_nothing_is_left_of_what_has_ended_or_returned_to_the_broker():
    made = ordered(retry(1), retry(2), retry(3))
    made.run(0.0)
    end(made, 1, 2)
    assert made.emptied() == [3]
    assert asdict(made, recurse=False) == asdict(ordered(), recurse=False)
    made.take(4, retry(4), 5.0, NOW_MS)
    assert made.received_at == 5.0


def test_a_repeat_in_the_same_run_returns_with_the_first():
    made = ordered(retry(1), retry(2), retry(1))
    made.run(0.0)
    again = retry(1, attempts_made=1)
    made.back(again, 0.0, NOW_MS)
    end(made, 2)
    made.recall(0.0, NOW_MS, [1, 3])
    assert made.run(0.0) == [(1, again), (3, again)]


def test_a_run_whose_deliverer_died_is_sent_again():
    made = ordered(retry(1), retry(2), retry(3))
    made.run(0.0)
    end(made, 1)
    made.back(retry(2, attempts_made=1), 0.0, NOW_MS)
    made.recall(0.0, NOW_MS)
    assert [one.attempts_made for _tag, one in made.run(0.0)] == [1, 0]


def test_a_paused_queue_sends_nothing():
    made = ordered(retry(1), paused=True)
    assert made.run(0.0) == []
    made.paused = False
    assert tags(made.run(0.0)) == [1]


def test_what_is_taken_again_waits_for_the_rest_of_its_pause():
    made = ordered(retry(1, attempts_made=2, due_ms=NOW_MS + 7_000), retry(2))
    assert made.run(6.999) == []
    assert tags(made.run(7.0)) == [1, 2]
    assert made.emptied() == [1, 2]
    assert made.run(99.0) == []


def test_what_comes_behind_an_endpoint_that_is_down_is_deferred_as_long():
    """Otherwise each run would wait for `delivery.park_hours` of its own."""
    made = ordered(retry(1))
    made.run(0.0)
    made.back(retry(1, deferred_since_ms=NOW_MS), 0.0, NOW_MS)
    made.recall(0.0, NOW_MS)
    made.run(0.0)
    end(made, 1)  # It was given up.
    made.take(2, retry(2, taken_ms=NOW_MS + 5), 0.0, NOW_MS + 9)
    made.take(3, retry(3, taken_ms=NOW_MS - 5), 0.0, NOW_MS + 9)
    run = made.run(0.0)
    assert [one.deferred_since_ms for _tag, one in run] == [NOW_MS + 5, NOW_MS]


def test_a_delivery_that_had_its_attempt_ends_the_deferral_of_the_queue():
    made = ordered(retry(1))
    made.run(0.0)
    end(made, 1)
    made.take(2, retry(2), 0.0, NOW_MS)
    assert made.run(0.0)[0][1].deferred_since_ms is None
