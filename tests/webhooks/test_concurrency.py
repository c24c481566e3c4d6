"""Who may have a slot: one that answers always finds one, however many hang."""

import math
from random import Random

import pytest

from callboard.webhooks.dispatch.circuit_breaker import CircuitLimits, Circuits
from callboard.webhooks.dispatch.concurrency import ConcurrencyLimiter
from callboard.webhooks.dispatch.dispatcher import Dispatcher, DispatchLimits
from callboard.webhooks.hooks.options import NO_OPTIONS

SLOTS = 32


class Traffic:
    """Endpoints that always have something to send; those of `hanging` take ten seconds."""

    def __init__(self, slots=SLOTS):
        circuits = Circuits(CircuitLimits(), Random(1).random)
        self.dispatcher = Dispatcher(DispatchLimits(slots=slots, keeping_up=500), circuits)
        self.under_way = {}
        self.keys = iter(range(1_000_000))
        self.now = 0.0

    def offer(self, endpoint, count=40):
        for _item in range(count):
            key = str(next(self.keys))
            self.dispatcher.add(key, key, endpoint, "hook", NO_OPTIONS, self.now)

    def start(self):
        """Give turns as long as there are any; how many by endpoint are under way."""
        while len(self.under_way) < 1000 and (turn := self.dispatcher.next(self.now)) is not None:
            self.under_way[turn.number] = turn
        endpoints = [turn.endpoint for turn in self.under_way.values()]
        return {endpoint: endpoints.count(endpoint) for endpoint in endpoints}

    def end(self, endpoint, reached=True):
        for number, turn in list(self.under_way.items()):
            if turn.endpoint == endpoint:
                self.dispatcher.done(self.under_way.pop(number), self.now, reached)

    def answer(self, endpoint, count=40):
        """Offer so many to an endpoint that answers at once, and see them all answered."""
        self.offer(endpoint, count)
        rounds = 0
        while self.start().get(endpoint):
            self.end(endpoint)
            rounds += 1
        return rounds


@pytest.fixture
def traffic():
    return Traffic()


def test_one_endpoint_has_its_sixteen(traffic):
    traffic.offer("a")
    assert traffic.start() == {"a": 16}


@pytest.mark.parametrize(
    ("slots", "share"), [(1, 1), (2, 1), (3, 2), (4, 2), (7, 4), (8, 4), (31, 16), (32, 16)]
)
@pytest.mark.parametrize("known", [True, False])
def test_no_endpoint_takes_more_than_it_leaves(slots, share, known):
    traffic = Traffic(slots)
    if known:
        traffic.answer("a")
    traffic.offer("a")
    assert traffic.start() == {"a": share}


def test_those_that_hang_leave_a_share_to_one_of_which_nothing_is_known(traffic):
    for hanging in "ab":
        traffic.offer(hanging)
    assert traffic.start() == {"a": 11, "b": 11}
    assert traffic.answer("healthy") <= 40 // 4


@pytest.mark.parametrize("count", [3, 8, 20])
def test_a_new_endpoint_gets_its_chance_beside_many_that_hang(traffic, count):
    for number in range(count):
        traffic.offer(f"hanging{number}")
    assert sum(traffic.start().values()) == 24
    assert traffic.answer("healthy") > 0
    assert not traffic.dispatcher.next(traffic.now)


def test_one_that_is_known_to_answer_finds_a_slot_beside_any_number_that_hang(traffic):
    traffic.answer("known")
    for number in range(200):
        traffic.offer(f"hanging{number}")
    assert sum(traffic.start().values()) == 28
    traffic.now = 5.0
    assert traffic.answer("known") <= 40 // 2 + 1


def test_those_that_begin_to_hang_all_at_once_leave_one_too(traffic):
    for endpoint in ("a", "b", "known"):
        traffic.answer(endpoint)
    for endpoint in "ab":
        traffic.offer(endpoint)
    assert traffic.start() == {"a": 11, "b": 11}
    assert traffic.answer("known") > 0


def test_one_that_took_long_is_doubtful_until_it_answers_quickly():
    traffic = Traffic(slots=8)
    traffic.answer("a")
    for number in range(7):
        traffic.offer(f"hanging{number}", 1)
    assert len(traffic.start()) == 7
    traffic.offer("a", 1)
    assert traffic.start()["a"] == 1
    traffic.now = 2.0
    traffic.end("a")
    traffic.offer("a", 1)
    assert "a" not in traffic.start()
    traffic.end("hanging0", reached=False)
    assert traffic.start()["a"] == 1
    traffic.end("a")
    traffic.offer("hanging0", 1)
    assert len(traffic.start()) == 7
    assert traffic.answer("a") > 0


def test_slots_of_which_there_is_one_are_used():
    traffic = Traffic(slots=1)
    for endpoint in "abc":
        traffic.offer(endpoint, 1)
    served = []
    while under_way := traffic.start():
        (endpoint,) = under_way
        served.append(endpoint)
        traffic.now += 10.0
        traffic.end(endpoint, reached=endpoint == "b")
    assert served == ["a", "b", "c"]


def test_the_age_of_the_oldest_request_in_flight():
    limiter = ConcurrencyLimiter(8)
    assert limiter.oldest_s("a", 5.0) == 0.0
    limiter.begin("a", 1, 5.0, "hook")
    limiter.begin("a", 2, 6.0, "hook")
    assert (limiter.oldest_s("a", 8.0), limiter.oldest_s("b", 8.0)) == (3.0, 0.0)
    limiter.end(1, 8.0, True)
    assert limiter.oldest_s("a", 8.5) == 2.5


def test_a_late_response_that_is_the_first_sign_of_its_lateness_counts_once():
    limiter = ConcurrencyLimiter(8)
    limiter.begin("a", 1, 0.0, "hook")
    limiter.end(1, 5.0, True)
    limiter.begin("a", 2, 5.0, "hook")
    limiter.end(2, 5.5, True)
    assert not limiter.is_doubtful("a", 5.5)


def test_of_ten_thousand_quick_endpoints_the_one_with_the_oldest_response_is_forgotten():
    limiter = ConcurrencyLimiter(8)
    ends = [*range(10_000), 0]
    for now, endpoint in enumerate(ends):
        limiter.begin(str(endpoint), now, now, "hook")
        limiter.end(now, now, True)
    end = len(ends)
    for number in range(2):
        limiter.begin("1", end + number, end, "hook")
    assert not limiter.is_doubtful("1", end)
    assert limiter.doubtful(end) == 0
    limiter.begin("new", end + 2, end, "hook")
    limiter.end(end + 2, end, True)
    assert limiter.is_doubtful("1", end)
    assert not limiter.is_doubtful("0", end)
    assert limiter.doubtful(end) == 2  # Those in flight to the forgotten one.
    assert limiter.doubtful(end + 1.5) == 2  # They are late, too.


def test_a_late_request_that_moves_makes_the_other_endpoint_doubtful():
    limiter = ConcurrencyLimiter(8)
    for number, endpoint in enumerate("ab"):
        limiter.begin(endpoint, number, 0.0, "hook")
        limiter.end(number, 0.0, True)
    for number, endpoint, began in ((3, "a", 0.0), (4, "a", 4.5), (5, "b", 4.5)):
        limiter.begin(endpoint, number, began, "hook")
    assert limiter.doubtful(5.0) == 2
    assert (limiter.is_doubtful("a", 5.0), limiter.is_doubtful("b", 5.0)) == (True, False)
    limiter.move(3, "b", 5.0)
    assert (limiter.of("a"), limiter.of("b"), len(limiter)) == (1, 2, 3)
    assert (limiter.endpoint(3), limiter.age_s(3, 5.0), limiter.oldest_s("b", 5.0)) == ("b", 5, 5)
    assert (limiter.is_doubtful("a", 5.0), limiter.is_doubtful("b", 5.0)) == (False, True)
    assert limiter.doubtful(5.0) == 2
    assert limiter.end(3, 5.25, None) == 5.25
    assert limiter.doubtful(5.25) == 0
    assert limiter.oldest_s("b", 5.25) == 0.75


@pytest.mark.parametrize("reached", [False, True])
def test_an_end_counts_the_other_requests_of_its_endpoint_by_its_response(reached):
    limiter = ConcurrencyLimiter(8)
    for number in range(3):
        limiter.begin("a", number, 0.0, "hook")
    limiter.end(0, 0.5, not reached)
    assert limiter.doubtful(0.5) == (2 if reached else 0)
    limiter.end(1, 0.5, reached)
    assert limiter.doubtful(0.5) == (0 if reached else 1)
    limiter.end(2, 0.5, None)
    assert limiter.doubtful(0.5) == 0


@pytest.mark.parametrize("look", ["is_doubtful", "doubtful", "move"])
def test_whatever_is_done_first_sees_that_a_request_has_become_late(look):
    limiter = ConcurrencyLimiter(8)
    limiter.begin("a", 1, 0.0, "hook")
    limiter.end(1, 0.0, True)
    limiter.begin("a", 2, 0.0, "hook")
    if look == "is_doubtful":
        assert limiter.is_doubtful("a", 1.5)
    elif look == "doubtful":
        assert limiter.doubtful(1.5) == 1
    else:
        limiter.move(2, "b", 1.5)
        limiter.end(2, 1.5, None)
        assert not limiter.is_doubtful("a", 1.5)


@pytest.mark.parametrize(
    ("slots", "rooms"),
    [(2, [0]), (4, [3, 3, 0]), (8, [7, 7, 7, 7, 7, 1, 0])],
)
def test_doubtful_endpoints_have_three_quarters_and_an_eighth_for_the_first_of_each(slots, rooms):
    """While one slot is in use; by the number of requests to doubtful endpoints, from 1."""
    limiter = ConcurrencyLimiter(slots)
    limiter.begin("a", 1, 0.0, "hook")
    assert [limiter.room_for_doubtful(doubtful) for doubtful in range(1, slots)] == rooms


def test_nothing_is_left_of_requests_that_have_ended():
    limiter = ConcurrencyLimiter(8)
    for number, endpoint in enumerate("aabcc"):
        limiter.begin(endpoint, number, 0.0, "hook")
    assert limiter.became_late(2.0) == [(number, "hook") for number in range(5)]
    limiter.move(2, "c", 2.0)
    for number in range(5):
        limiter.end(number, 3.0, False)
    assert vars(limiter) == vars(ConcurrencyLimiter(8))


@pytest.mark.parametrize(("took_s", "quick"), [(0.5, True), (1.0, True), (1.001, False)])
def test_a_response_within_a_second_is_quick(took_s, quick):
    limiter = ConcurrencyLimiter(8)
    limiter.begin("a", 1, 0.0, "hook")
    assert limiter.became_late(took_s) == ([] if quick else [(1, "hook")])
    limiter.end(1, took_s, True)
    assert limiter.quick_at("a") == (took_s if quick else -math.inf)
    assert limiter.is_doubtful("a", took_s) is not quick
