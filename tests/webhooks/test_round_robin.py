from callboard.webhooks.dispatch.concurrency import ConcurrencyLimiter
from callboard.webhooks.dispatch.round_robin import RoundRobin

NEW, OTHER = "new", "other"


def started(slots, **requests):
    """A limiter with so many requests in flight since second 0, by endpoint, and its turns."""
    limiter, number = ConcurrencyLimiter(slots), 0
    for endpoint, count in requests.items():
        for _request in range(count):
            number += 1
            limiter.begin(endpoint, number, 0.0, "hook")
    return limiter, RoundRobin(limiter)


def account():
    """That of all hooks at these endpoints."""
    return "account"


def test_an_endpoint_that_was_dropped_while_it_had_no_room_has_no_turn():
    limiter, turns = started(4, busy=3)  # Three quarters of the slots: room for no doubtful one.
    turns.put(NEW, 0.0, account)
    assert turns.next(0.0) is None
    turns.drop(NEW)
    limiter.end(1, 0.0, reached=None)
    assert turns.next(0.0) is None


def test_one_that_had_no_room_goes_first_when_there_is_some():
    limiter, turns = started(4, busy=3)
    turns.put(NEW, 0.0, account)
    assert turns.next(0.0) is None
    turns.put(OTHER, 0.0, account)
    limiter.end(1, 0.0, reached=None)
    assert [turns.next(0.0) for _turn in range(3)] == [NEW, OTHER, None]


def test_one_whose_request_ended_is_among_those_without_one():
    limiter, turns = started(8, busy=5, new=1)  # Six: room for the first request of each only.
    turns.put(NEW, 0.0, account)
    turns.put(OTHER, 0.0, account)
    assert turns.next(0.0) == OTHER
    limiter.begin("busy", 7, 0.0, "hook")
    limiter.end(6, 0.5, reached=None)
    turns.put(NEW, 0.5, account)
    assert turns.next(0.5) == NEW


def test_one_that_proved_quick_needs_no_room_for_doubtful_ones():
    limiter, turns = started(16, busy=14, new=1)  # Seven eighths and one: room for no doubtful one.
    turns.put(NEW, 0.0, account)
    assert turns.next(0.0) is None
    limiter.end(15, 0.5, reached=True)
    turns.put(NEW, 0.5, account)
    assert turns.next(0.5) == NEW


def test_one_that_proved_quick_goes_on_though_no_doubtful_one_may():
    limiter, turns = started(16, busy=14, new=1)
    turns.put(NEW, 0.0, account)
    assert turns.next(0.0) is None
    limiter.begin("busy", 16, 0.5, "hook")
    limiter.end(15, 0.5, reached=True)
    turns.put(NEW, 0.5, account)
    assert turns.next(0.5) == NEW


def test_one_that_proved_quick_meanwhile_has_one_turn_and_the_first():
    limiter, turns = started(8, busy=5, new=1)  # Six: room for the first request of each only.
    turns.put(NEW, 0.0, account)
    assert turns.next(0.0) is None
    turns.put(OTHER, 0.0, account)
    limiter.end(6, 0.5, reached=True)
    turns.put(NEW, 0.5, account)
    assert [turns.next(0.5) for _turn in range(3)] == [NEW, OTHER, None]


def test_one_that_proved_quick_meanwhile_is_not_overtaken_by_those_behind_it():
    limiter, turns = started(6, busy=2, first=1, other=1)  # Four: no room for second requests.
    turns.put("first", 0.0, account)
    turns.put(OTHER, 0.0, account)
    assert turns.next(0.0) is None
    limiter.end(3, 0.5, reached=True)
    turns.put("first", 0.5, account)
    assert [turns.next(0.5) for _turn in range(3)] == ["first", OTHER, None]
