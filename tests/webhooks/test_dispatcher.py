import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callboard.webhooks.dispatch.circuit_breaker import CircuitLimits, Circuits
from callboard.webhooks.dispatch.dispatcher import (
    CIRCUIT_OPEN,
    FULL,
    Dispatcher,
    DispatchLimits,
    EndpointFigures,
)
from callboard.webhooks.dispatch.hook_queue import HookQueue
from callboard.webhooks.hooks.options import NO_OPTIONS, Options
from callboard.webhooks.hooks.uris import endpoint_of
from support.fuzz import examples

ORDERED = Options(ordered=True)
TEN_A_SECOND = Options(rate_per_s=10.0)


def dispatcher(failures=3, **limits):
    circuits = Circuits(CircuitLimits(failures, first_pause_s=10.0), lambda: 0.999_999)
    return Dispatcher(DispatchLimits(**limits), circuits)


def add(made, *keys, endpoint="e", hook="h", options=NO_OPTIONS, now=0.0):
    answers = [made.add(key, key, endpoint, hook, options, now) for key in keys]
    return answers[0] if len(keys) == 1 else answers


def turns(made, now=0.0, most=1000):
    found = []
    while len(found) < most and (turn := made.next(now)) is not None:
        found.append(turn)
    return found


def items(made, now=0.0, most=1000):
    return [turn.item for turn in turns(made, now, most)]


def ended(made, turn, now=0.0, reached=True):
    return made.done(turn, now, reached)


def finished(made, now=0.0):
    """The items that have turns one after another."""
    found = []
    while (turn := made.next(now)) is not None:
        found.append(turn.item)
        ended(made, turn, now)
    return found


def opened(made, now=0.0, endpoint="e"):
    """A dispatcher after so many errors that the endpoint's circuit is open."""
    for number in range(3):
        add(made, f"bad{number}", endpoint=endpoint, now=now)
        ended(made, made.next(now), now, reached=False)
    return made


# Endpoints


@pytest.mark.parametrize(
    ("uri", "endpoint"),
    [
        ("https://example.org/hook?x=1", "https://example.org:443"),
        ("https://EXAMPLE.org:443", "https://example.org:443"),
        ("http://example.org", "http://example.org:80"),
        ("http://user:secret@example.org:8080/", "http://example.org:8080"),
        ("http://[::1]:80/", "http://[::1]:80"),
        ("http://[::1/", "http://[::1/"),
        ("http://example.org:port/", "http://example.org:port/"),
        ("http://example.org:99999/", "http://example.org:99999/"),
        ("ftp://example.org/", "ftp://example.org/"),
        ("http:///path", "http:///path"),
        ("example.org", "example.org"),
        ("", ""),
    ],
)
def test_the_endpoint_of_a_uri(uri, endpoint):
    assert endpoint_of(uri) == endpoint


# Room and turns


def test_endpoints_take_turns_and_so_do_their_hooks():
    made = dispatcher()
    add(made, "a1", "a2", "a3", endpoint="a", hook="h")
    add(made, "a4", "a5", endpoint="a", hook="i")
    add(made, "b1", endpoint="b")
    assert items(made) == ["a1", "b1", "a4", "a2", "a5", "a3"]
    assert (len(made), made.in_flight) == (0, 6)


def test_accounts_take_turns_at_an_endpoint_whatever_the_number_of_their_hooks():
    made = dispatcher(in_flight=1, waiting=1000)
    for account, hooks in (("many", 100), ("one", 1)):
        for hook in range(hooks):
            for number in range(2):
                key = f"{account} {hook} {number}"
                made.add(key, key, "e", f"{account} {hook}", NO_OPTIONS, 0.0, account)
    turns = [item.split()[0] for item in finished(made)]
    assert turns[:5] == ["many", "one", "many", "one", "many"]
    assert (turns.count("many"), turns.count("one")) == (200, 2)


def test_accounts_take_turns_whatever_the_number_of_their_endpoints():
    """One with a hundred endpoints had a hundred turns for each of another account."""
    made = dispatcher(waiting=1000)

    def add(account, endpoint):
        made.add(account, account, endpoint, endpoint, NO_OPTIONS, 0.0, account)

    for number in [*range(100)] * 3:
        add("many", f"e{number}")
    assert [made.next(0.0).item for _ in range(5)] == ["many"] * 5
    for endpoint in ("a", "a", "b"):
        add("one", endpoint)
    add("other", "c")
    assert [made.next(0.0).item for _ in range(7)] == [
        *("many", "one", "other"),
        *("many", "one"),
        *("many", "one"),
    ]
    assert items(made) == ["many"] * (300 - 8)


def test_an_account_that_was_idle_has_saved_no_turns():
    made = dispatcher(waiting=1000)
    for number in range(50):
        made.add("busy", "busy", f"e{number}", "h", NO_OPTIONS, 0.0, "busy")
    assert len(turns(made, most=40)) == 40
    for number in range(50):
        made.add("late", "late", f"f{number}", "h", NO_OPTIONS, 0.0, "late")
    assert items(made, most=20).count("late") == 10


def test_a_full_endpoint_holds_up_nobody_else():
    made = dispatcher(in_flight=1)
    add(made, "a1", "a2", endpoint="a")
    add(made, "b1", endpoint="b")
    first, other = turns(made)
    assert (first.item, other.item) == ("a1", "b1")
    ended(made, other)
    assert items(made) == []
    ended(made, first)
    assert items(made) == ["a2"]


def test_what_finds_no_room_is_to_be_parked():
    made = dispatcher(waiting=2)
    assert add(made, "1", "2", "3", "4") == [None, None, FULL, FULL]
    assert add(made, "5", endpoint="other") is None
    assert (len(made), made.deferred) == (3, 2)
    assert items(made, most=1) == ["1"]
    assert add(made, "3") is None


@pytest.mark.parametrize("options", [ORDERED, TEN_A_SECOND])
def test_hooks_that_may_have_to_wait_wait_by_themselves(options):
    made = dispatcher(waiting=1, hook_waiting=2)
    assert add(made, "1", "2", "3", options=options) == [None, None, FULL]
    assert add(made, "4", "5", hook="plain") == [None, FULL]
    assert add(made, "6", hook="i", options=options) is None


def test_a_hook_that_changes_its_options_changes_where_it_waits():
    made = dispatcher(waiting=2, hook_waiting=2)
    add(made, "1", "2", hook="h")
    assert add(made, "3", hook="plain") == FULL
    assert add(made, "4", hook="h", options=ORDERED) == FULL
    assert add(made, "3", hook="plain") is None
    assert add(made, "5", hook="h") == FULL
    assert sorted(items(made)) == ["1", "2", "3"]


def test_a_turn_ends_once():
    made = dispatcher()
    add(made, "1")
    turn = made.next(0)
    ended(made, turn)
    with pytest.raises(ValueError, match="turn 1 of 1 has ended before"):
        ended(made, turn)


def test_draining_takes_what_waits_and_leaves_what_is_under_way():
    made = dispatcher(in_flight=1)
    add(made, "1", "2", "3")
    add(made, "o1", "o2", hook="o", options=ORDERED)
    add(made, "r1", "r2", endpoint="f", options=Options(rate_per_s=0.1))
    under_way = turns(made)
    assert [turn.item for turn in under_way] == ["1", "r1"]
    assert sorted(made.drain()) == ["2", "3", "o1", "o2", "r2"]
    assert (len(made), made.in_flight, made.wake_at(), made.next(99)) == (0, 2, None, None)
    for turn in under_way:
        ended(made, turn, 99)
    assert (made.in_flight, made.endpoints) == (0, 0)
    assert add(made, "4", now=99) is None
    assert items(made, 99) == ["4"]


# Circuits


def test_an_open_circuit_lets_nothing_run_and_little_wait():
    made = opened(dispatcher())
    assert add(made, "1", "2") == [None, CIRCUIT_OPEN]
    assert items(made, 9) == []
    assert made.wake_at() == pytest.approx(10, rel=1e-5)


def test_an_opening_circuit_sheds_what_waits():
    made = dispatcher(in_flight=3, open_waiting=2)
    add(made, *"abc")
    under_way = turns(made)
    add(made, *"123456")
    add(made, "o1", "o2", "o3", hook="o", options=ORDERED)
    assert ended(made, under_way[0], reached=False) == []
    assert ended(made, under_way[1], reached=False) == []
    assert ended(made, under_way[2], reached=False) == ["6", "5", "4", "3", "o3"]
    assert (len(made), made.deferred) == (4, 5)
    assert made.next(0) is None


def test_a_hook_that_lost_all_its_items_has_no_turn():
    made = dispatcher(failures=1)
    add(made, "bad", hook="p")
    bad = made.next(0)
    add(made, "h1", hook="h")
    add(made, "i1", hook="i")
    assert len(ended(made, bad, reached=False)) == 1
    ended(made, made.next(10), 10)
    assert (made.next(10), len(made), made.endpoints) == (None, 0, 0)


def test_the_latest_items_of_a_hook_are_shed():
    made = dispatcher(failures=1, open_waiting=2)
    add(made, "bad", hook="p")
    bad = made.next(0)
    add(made, "1", "2", "3", options=ORDERED)
    assert ended(made, bad, reached=False) == ["3"]


def test_a_late_answer_closes_the_circuit_and_needs_no_probe():
    made = dispatcher(failures=1)
    add(made, "bad", "late")
    bad, late = turns(made)
    ended(made, bad, reached=False)
    add(made, "1")
    assert made.wake_at() is not None
    ended(made, late, 1, reached=True)
    assert made.wake_at() is None
    assert items(made, 1) == ["1"]


def test_a_probe_that_reaches_the_endpoint_closes_the_circuit():
    made = opened(dispatcher(open_waiting=3))
    add(made, "1", "2", "3")
    probe = made.next(10)
    assert (probe.item, probe.probe, made.next(10)) == ("1", True, None)
    assert made.wake_at() is None
    ended(made, probe, 11, reached=True)
    assert [(turn.item, turn.probe) for turn in turns(made, 11)] == [("2", False), ("3", False)]


def test_a_probe_that_fails_opens_the_circuit_for_longer():
    made = opened(dispatcher(open_waiting=3))
    add(made, "1", "2", "3")
    assert ended(made, made.next(10), 12, reached=False) == ["3", "2"]
    assert add(made, "2", now=21.9) == CIRCUIT_OPEN
    assert add(made, "2", now=22.1) is None
    assert made.next(31.9) is None
    assert made.next(32).item == "2"


@pytest.mark.parametrize("options", [NO_OPTIONS, ORDERED, TEN_A_SECOND])
def test_nothing_waits_for_endpoints_that_are_left_alone_for_long(options):
    """Else thousands of them would hold as many events in hand."""
    made = opened(dispatcher())
    add(made, "probe", hook="p", options=options)
    ended(made, made.next(10), 10, reached=False)
    add(made, "probe", hook="p", options=options, now=30)
    ended(made, made.next(30), 30, reached=False)
    assert [add(made, str(n), hook=str(n), options=options, now=31) for n in range(9)] == [
        CIRCUIT_OPEN
    ] * 9
    assert (len(made), made.wake_at()) == (0, None)
    # Whatever comes back when a request may go is the probe.
    assert add(made, "5", hook="5", options=options, now=75) is None
    assert made.next(75).probe


def test_a_probe_that_says_nothing_gives_way_to_another():
    made = opened(dispatcher(open_waiting=3))
    add(made, "1", "2")
    ended(made, made.next(10), 12, reached=None)
    assert made.next(12).probe


def test_an_open_circuit_is_of_no_concern_to_other_endpoints():
    made = opened(dispatcher())
    assert add(made, "1", "2", endpoint="other") == [None, None]
    assert items(made) == ["1", "2"]


def test_figures_name_the_endpoints_in_trouble_first():
    made = opened(dispatcher(in_flight=1), endpoint="open")
    add(made, "1", endpoint="idle")
    add(made, "2", "3", "4", endpoint="busy")
    turns(made)
    assert made.figures(0) == [
        EndpointFigures("open", in_flight=0, waiting=0, circuit="open", failures=3),
        EndpointFigures("busy", in_flight=1, waiting=2, circuit="closed", failures=0),
        EndpointFigures("idle", in_flight=1, waiting=0, circuit="closed", failures=0),
    ]
    assert made.figures(10, most=1)[0].circuit == "half-open"


def test_the_busiest_endpoint_is_the_one_with_the_most_under_way_and_waiting():
    made = dispatcher(in_flight=2)
    add(made, "1", "2", endpoint="two")
    add(made, "3", endpoint="one")
    turns(made)
    assert [figures.endpoint for figures in made.figures(0)] == ["two", "one"]


def test_the_limits_by_default():
    """20 for an ordered hook, 1 while a circuit is open: docs/architecture.md."""
    made = DispatchLimits()
    assert (made.in_flight, made.waiting, made.hook_waiting) == (16, 100, 20)
    assert (made.open_waiting, made.keeping_up, made.slots) == (1, 0, 1024)


# Order


def test_an_ordered_hook_runs_one_at_a_time():
    made = dispatcher()
    add(made, "o1", "o2", hook="o", options=ORDERED)
    add(made, "p1", "p2", hook="p")
    first, *others = turns(made)
    assert [first.item, *(turn.item for turn in others)] == ["o1", "p1", "p2"]
    ended(made, first)
    assert items(made) == ["o2"]


def test_an_ordered_hook_that_is_limited_too_runs_one_at_a_time_and_at_its_rate():
    made = dispatcher()
    both = Options(ordered=True, rate_per_s=1000.0)
    add(made, "1", "2", options=ORDERED)
    turn = made.next(0)
    add(made, "3", options=both)
    assert items(made) == []
    ended(made, turn)
    assert finished(made) == ["2", "3"]


def test_what_is_taken_back_of_an_ordered_hook_is_in_order():
    made = dispatcher()
    add(made, *"1234", hook="o", options=ORDERED)
    add(made, "p", hook="p")
    assert items(made) == ["1", "p"]
    assert made.take_back({"o", "unknown"}, 0.0) == ["2", "3", "4"]
    assert len(made) == 0


def test_a_hook_that_is_ordered_no_more_waits_for_nothing():
    made = dispatcher()
    add(made, "1", "2", options=ORDERED)
    assert items(made) == ["1"]
    add(made, "3")
    assert items(made) == ["2", "3"]


# Rate


def test_a_limited_hook_keeps_its_rate_and_holds_up_no_other():
    made = dispatcher()
    add(made, "1", "2", options=TEN_A_SECOND)
    add(made, "p1", hook="p")
    assert items(made) == ["1", "p1"]
    assert made.wake_at() == pytest.approx(0.1)
    assert items(made, 0.09) == []
    assert items(made, 0.11) == ["2"]


def test_a_high_rate_may_be_used_a_tenth_of_a_second_ahead():
    made = dispatcher(in_flight=99, hook_waiting=99)
    add(made, *map(str, range(50)), options=Options(rate_per_s=100.0))
    assert len(items(made)) == 10
    assert len(items(made, 0.055)) == 5
    assert len(items(made, 0.055)) == 0
    assert len(items(made, 100.0)) + len(items(made, 100.001)) == 10


def test_a_rate_is_kept_while_nothing_waits():
    made = dispatcher()
    add(made, "1", options=TEN_A_SECOND)
    ended(made, made.next(0), 0.01)
    add(made, "2", options=TEN_A_SECOND, now=0.02)
    assert items(made, 0.02) == []
    assert items(made, 0.1) == ["2"]


def test_a_limit_that_is_raised_counts_from_now_on():
    made = dispatcher()
    add(made, "1", "2", options=Options(rate_per_s=0.001))
    assert items(made) == ["1"]
    add(made, "3", options=TEN_A_SECOND)
    assert items(made, 0.11) == ["2"]
    assert items(made, 0.22) == ["3"]


@pytest.mark.parametrize(("before", "after"), [(2.0, 10.0), (10.0, 2.0), (10.0, 10.0)])
def test_after_a_change_of_rate_the_next_runs_at_the_faster_of_both(before, after):
    made = dispatcher()
    add(made, "1", options=Options(rate_per_s=before))
    assert items(made) == ["1"]
    add(made, "2", options=Options(rate_per_s=after))
    assert items(made, 0.09) == []
    assert items(made, 0.11) == ["2"]


def test_a_limit_that_is_lifted_holds_nothing():
    made = dispatcher()
    add(made, "1", "2", options=Options(rate_per_s=0.001))
    assert items(made) == ["1"]
    add(made, "3")
    assert items(made) == ["2", "3"]


@pytest.mark.parametrize("waiting", [(), ("waits",)])
def test_the_end_of_a_limit_that_was_lifted_concerns_no_one(waiting):
    made = dispatcher()
    add(made, "1", *waiting, options=Options(rate_per_s=0.001))
    ended(made, made.next(0), 0.01)
    add(made, "2", now=0.02)
    assert finished(made, 0.02) == [*waiting, "2"]
    assert made.next(1001) is None
    assert made.endpoints == 0


# Memory


def test_nothing_is_remembered_of_what_has_ended():
    made = dispatcher(hook_waiting=1)
    for number in range(300):
        options = [NO_OPTIONS, ORDERED, TEN_A_SECOND][number % 3]
        add(made, "1", "2", endpoint=f"e{number}", hook=f"h{number}", options=options)
    while all_turns := turns(made, 5):
        for turn in all_turns:
            ended(made, turn, 5)
    assert made.endpoints == 100
    made.next(6)
    assert made.endpoints == 0
    assert (len(made), made.in_flight, made.wake_at()) == (0, 0, None)


def test_a_circuit_that_is_closed_lets_its_items_run_at_once():
    made = opened(dispatcher())
    add(made, "waits")
    assert items(made, 1.0) == []
    assert made.close_circuit("e", 1.0)
    assert items(made, 1.0) == ["waits"]
    assert not made.close_circuit("another", 1.0)


# Everything at once

HOOKS = {
    "plain": NO_OPTIONS,
    "other": NO_OPTIONS,
    "ordered": ORDERED,
    "limited": Options(rate_per_s=2.0),
    "both": Options(ordered=True, rate_per_s=50.0),
}
endpoints = st.sampled_from("abc")


class AnyUse(RuleBasedStateMachine):
    """Adds, turns, failures, returns and time in any order, beside a plain model."""

    @initialize(
        in_flight=st.integers(1, 3),
        waiting=st.integers(1, 4),
        hook_waiting=st.integers(1, 4),
        open_waiting=st.integers(1, 2),
        failures=st.integers(1, 4),
        slots=st.sampled_from([1, 2, 3, 4, 6, 8, 1000]),
    )
    def begin(self, failures, **limits):
        self.limits = DispatchLimits(**limits)
        self.circuits = Circuits(CircuitLimits(failures, 1.0, 8.0), lambda: 0.5)
        self.made = Dispatcher(self.limits, self.circuits)
        self.now = 100.0
        self.where = {}  # item: (endpoint, hook); in the order of their first add
        self.waiting, self.away, self.ended = set(), set(), set()
        self.arrived, self.numbers = {}, itertools.count()
        self.running = {}  # item: turn
        self.began = {}  # item: when its latest turn began
        self.quick = set()  # endpoints whose latest answer was
        self.starts = {}  # (endpoint, hook): times
        self.overtakers = {}  # ready (endpoint, hook): who had turns since

    def answer(self, item, answer):
        self.away.discard(item)
        if answer is None:
            self.waiting.add(item)
            self.arrived[item] = next(self.numbers)
        else:
            assert answer in (FULL, CIRCUIT_OPEN)
            self.away.add(item)

    def give(self, item):
        endpoint, hook = self.where[item]
        return self.made.add(item, str(item), endpoint, hook, HOOKS[hook], self.now)

    def earlier(self, item):
        """Items of the same hook that came before, and wait or run."""
        place = self.where[item]
        return [
            i
            for i in (*self.waiting, *self.running)
            if self.where[i] == place and self.arrived[i] < self.arrived[item]
        ]

    def under_way(self, endpoint):
        return [i for i in self.running if self.where[i][0] == endpoint]

    def doubtful(self, endpoint):
        oldest = min((self.began[i] for i in self.under_way(endpoint)), default=self.now)
        return endpoint not in self.quick or self.now - oldest > 1.0

    def has_thread(self, endpoint):
        if len(self.under_way(endpoint)) >= self.limits.slots - len(self.running):
            return False
        doubtful = [i for i in self.running if self.doubtful(self.where[i][0])]
        eighths = 6 if self.under_way(endpoint) else 7
        most = max(1, self.limits.slots * eighths // 8)
        return not self.doubtful(endpoint) or len(doubtful) < most

    def within_rate(self, place):
        """When the next item may start, by all starts so far."""
        rate = HOOKS[place[1]].rate_per_s
        if rate is None:
            return True
        paid = 0.0
        for at in self.starts.get(place, ()):
            paid = max(paid, at) + 1 / rate
        return paid - max(0.1 - 1 / rate, 0) <= self.now

    def ready(self):
        found = set()
        for item in self.waiting:
            place = endpoint, hook = self.where[item]
            if (
                len(self.under_way(endpoint)) < self.limits.in_flight
                and self.has_thread(endpoint)
                and self.circuits.allows(endpoint, self.now)
                and not (HOOKS[hook].ordered and self.earlier(item))
                and self.within_rate(place)
            ):
                found.add(place)
        return found

    @rule(endpoint=endpoints, hook=st.sampled_from(sorted(HOOKS)), count=st.integers(1, 4))
    def add(self, endpoint, hook, count):
        for _item in range(count):
            item = len(self.where)
            self.where[item] = endpoint, hook
            self.answer(item, self.give(item))

    @rule(data=st.data())
    @precondition(lambda self: self.away)
    def come_back(self, data):
        item = data.draw(st.sampled_from(sorted(self.away)))
        self.answer(item, self.give(item))

    @rule(times=st.integers(1, 4))
    def take_turns(self, times):
        for _time in range(times):
            self.take_turn()

    def take_turn(self):
        ready = self.ready()
        turn = self.made.next(self.now)
        assert (turn is None) == (not ready), (turn, ready, self.now)
        if turn is None:
            return None
        item, place = turn.item, (turn.endpoint, turn.hook)
        assert place == self.where[item]
        assert turn.key == str(item)
        assert place in ready
        assert turn.probe == (not self.circuits.is_closed(turn.endpoint))
        self.waiting.remove(item)
        self.running[item] = turn
        self.began[item] = self.now
        self.starts.setdefault(place, []).append(self.now)
        self.check_fairness(ready, place)
        return turn

    def check_fairness(self, ready, place):
        """Nobody who is ready is overtaken twice: no endpoint by another, no hook in its own."""
        overtakers = {}
        for other in ready - {place}:
            before = self.overtakers.get(other, [])
            if place[0] == other[0]:
                before = [o for o in before if o[0] == other[0]]
            overtakers[other] = [*before, place]
            strangers = [o[0] for o in overtakers[other] if o[0] != other[0]]
            own = [o for o in overtakers[other] if o[0] == other[0]]
            assert len(own) == len(set(own))
            assert len(strangers) == len(set(strangers))
        self.overtakers = overtakers

    @rule(data=st.data(), reached=st.sampled_from([True, True, False, False, None]))
    @precondition(lambda self: self.running)
    def end(self, data, reached):
        item = data.draw(st.sampled_from(sorted(self.running)))
        self.finish(item, reached, data.draw(st.booleans()))

    def finish(self, item, reached, returns):
        endpoint, quick = self.where[item][0], self.now - self.began[item] <= 1.0
        if reached and quick:
            self.quick.add(endpoint)
        elif reached is not None:
            self.quick.discard(endpoint)
        shed = self.made.done(self.running.pop(item), self.now, reached)
        (self.away if returns else self.ended).add(item)
        assert len(shed) == len(set(shed))
        assert self.waiting >= set(shed)
        self.waiting -= set(shed)
        self.away |= set(shed)

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.1, 0.5, 1.0, 5.0]))
    def wait(self, seconds):
        self.now += seconds
        self.overtakers = {}

    @rule()
    def wait_until_something_is_ready(self):
        while self.take_turn() is not None:
            pass
        at = self.made.wake_at()
        if at is not None:
            assert at > self.now
            self.now = at - min(1e-6, (at - self.now) / 2)
            assert not self.ready()
            self.now = at
            self.overtakers = {}

    @invariant()
    def counts_agree(self):
        assert len(self.made) == len(self.waiting)
        assert self.made.in_flight == len(self.running)
        figures = {f.endpoint: f for f in self.made.figures(self.now)}
        for endpoint in "abc":
            waiting = [i for i in self.waiting if self.where[i][0] == endpoint]
            found = figures.get(endpoint)
            assert (found.waiting if found else 0) == len(waiting)
            assert (found.in_flight if found else 0) == len(self.under_way(endpoint))

    @invariant()
    def limits_hold(self):
        for endpoint in "abc":
            under_way = self.under_way(endpoint)
            assert len(under_way) <= self.limits.in_flight
            if not self.circuits.is_closed(endpoint):
                assert sum(self.running[i].probe for i in under_way) <= 1
            by_hook = dict.fromkeys(HOOKS, 0)
            for item in self.waiting:
                by_hook[self.where[item][1]] += self.where[item][0] == endpoint
            is_open = not self.circuits.is_closed(endpoint)
            common = self.limits.open_waiting if is_open else self.limits.waiting
            apart = self.limits.open_waiting if is_open else self.limits.hook_waiting
            assert by_hook["plain"] + by_hook["other"] <= common
            assert max(by_hook["limited"], by_hook["ordered"], by_hook["both"]) <= apart

    @invariant()
    def order_holds(self):
        for item in self.running:
            if HOOKS[self.where[item][1]].ordered:
                assert not self.earlier(item)

    def teardown(self):
        if not hasattr(self, "made"):
            return
        for _round in range(100 * len(self.where) + 100):
            if not (self.waiting or self.running or self.away):
                break
            for item in sorted(self.away):
                self.answer(item, self.give(item))
            while self.take_turn() is not None:
                pass
            for item in sorted(self.running):
                self.finish(item, True, False)
            self.now += 1
            self.overtakers = {}
        assert self.ended == set(self.where)
        self.made.next(self.now + 60)
        assert (self.made.endpoints, self.made.wake_at()) == (0, None)


AnyUse.TestCase.settings = settings(max_examples=examples(2), stateful_step_count=40, deadline=None)
TestAnyUse = AnyUse.TestCase


# Withdrawing what cannot run


def test_what_runs_soon_or_when_another_is_done_is_not_withdrawn():
    made = dispatcher(in_flight=1)
    add(made, "1", "2", options=ORDERED)
    add(made, "a", "b", hook="limited", options=TEN_A_SECOND)
    add(made, "x", "y", hook="plain")
    turn = made.next(0.0)
    assert made.withdraw(0.0, 30.0) == []
    ended(made, turn)
    assert len(finished(made)) + len(finished(made, now=1.0)) == 5


def test_a_low_rate_does_not_hold_items_for_long():
    made = dispatcher()
    rare = Options(rate_per_s=0.01)
    add(made, "1", "2", "3", options=rare)
    assert items(made) == ["1"]
    assert made.wake_at() == 100.0
    assert sorted(made.withdraw(0.0, 30.0)) == ["2", "3"]
    assert made.wake_at() is None
    assert made.withdraw(0.0, 30.0) == []


# Endpoints that keep up


def keeping_up():
    return dispatcher(in_flight=2, waiting=3, keeping_up=6)


def test_an_endpoint_of_which_nothing_is_known_may_have_more_waiting():
    made = keeping_up()
    assert add(made, *"123456") == [None] * 6
    assert add(made, "7") == FULL


def test_one_that_takes_its_time_may_not():
    made = keeping_up()
    add(made, "a", "b")
    turns(made)
    # The oldest request takes two seconds by now; four items at two at a time would take four.
    assert add(made, *"1234", now=2.0) == [None] * 3 + [FULL]
    assert made.withdraw(2.0, 30.0) == []


def test_what_is_too_much_is_withdrawn_once_it_does_not_keep_up():
    made = keeping_up()
    add(made, "a", "b")
    turns(made)
    assert add(made, *"123456") == [None] * 6
    # For a second it may be that we are busy, or the network: nothing is put off for that.
    assert made.withdraw(1.0, 30.0) == []
    assert made.withdraw(1.1, 30.0) == ["6", "5", "4"]
    assert len(made) == 3


def test_requests_that_took_long_count_although_none_has_yet():
    made = keeping_up()
    add(made, "0")
    turn = made.next(0.0)
    for number in range(1, 11):
        now = number * 4.0
        add(made, str(number), now=now)
        following = made.next(now)
        ended(made, turn, now=now)
        turn = following
    # The one that is under way has just begun, but requests take about 2.6 s.
    assert add(made, "a", *"1234", now=40.0) == [None] * 3 + [FULL] * 2


def test_a_hook_whose_rate_was_removed_owes_nothing_when_it_has_one_again():
    queue = HookQueue("h")
    queue.set_options(ordered=False, rate_per_s=0.01)
    for number in range(3):
        queue.put(str(number), number)
    queue.take(1000.0)
    assert queue.runs_at() > 1000.0
    for rate_per_s in (None, 0.01):
        queue.set_options(ordered=False, rate_per_s=rate_per_s)
        assert queue.runs_at() < 1000.0
