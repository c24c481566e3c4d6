"""Hooks in trouble have a side queue, and leave the other hooks of their endpoint theirs."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callboard.webhooks.dispatch.circuit_breaker import CircuitLimits, Circuits
from callboard.webhooks.dispatch.dispatcher import Dispatcher, DispatchLimits
from callboard.webhooks.dispatch.trouble import (
    Trouble,
    endpoint_of_side,
    is_side,
    side_of,
)
from callboard.webhooks.hooks.options import NO_OPTIONS, Options
from support.fuzz import examples

HOST = "https://chat.example:443"
SIDE = "https://chat.example:443 (hooks in trouble)"
FIRST, SECOND = (HOST, "first"), (HOST, "second")


def dispatcher(failures=3, **limits):
    circuits = Circuits(CircuitLimits(failures, first_pause_s=10.0), lambda: 0.999_999)
    return Dispatcher(DispatchLimits(**limits), circuits), circuits


def add(made, hook, *keys, now=0.0, endpoint=HOST, options=NO_OPTIONS):
    return [made.add(key, key, endpoint, hook, options, now) for key in keys]


def turns(made, now=0.0):
    found = []
    while (turn := made.next(now)) is not None:
        found.append(turn)
    return found


def answered(made, hook, reached, now, key="one"):
    """One request of the hook from its beginning to its end, `now`; where it was sent."""
    add(made, hook, key, now=now)
    turn = made.next(now)
    made.done(turn, now, reached)
    return turn.endpoint


def in_trouble(made, hook="bad"):
    """Let this hook get no response, others one, and it none again; at 1, 2 and 3 seconds."""
    for number, (each, reached) in enumerate([(hook, False), ("good", True), (hook, False)], 1):
        assert answered(made, each, reached, number) == HOST


# Who is in trouble


def test_a_lane_and_its_endpoint_have_names():
    assert side_of(HOST) == side_of(SIDE) == SIDE
    assert endpoint_of_side(SIDE) == endpoint_of_side(HOST) == HOST
    assert (is_side(SIDE), is_side(HOST)) == (True, False)


def test_two_errors_with_a_response_to_another_between_are_trouble():
    trouble = Trouble()
    assert not trouble.failed(FIRST, 10.0, responded_at=9.0)
    assert not trouble.failed(FIRST, 12.0, responded_at=10.0)
    assert FIRST not in trouble
    assert trouble.failed(FIRST, 13.0, responded_at=10.5)
    assert FIRST in trouble
    assert trouble.failed(FIRST, 14.0, responded_at=float("-inf"))
    assert SECOND not in trouble


@pytest.mark.parametrize(("quickly", "stays"), [(True, False), (False, True)])
def test_a_quick_response_ends_it(quickly, stays):
    trouble = Trouble()
    trouble.failed(FIRST, 1.0, 0.0)
    trouble.failed(FIRST, 3.0, 2.0)
    trouble.responded(FIRST, quickly)
    assert (FIRST in trouble) == stays


@pytest.mark.parametrize("quickly", [True, False])
def test_any_response_between_two_errors_is_one(quickly):
    trouble = Trouble()
    trouble.failed(FIRST, 1.0, 0.0)
    trouble.responded(FIRST, quickly)
    assert len(trouble) == 0
    assert not trouble.failed(FIRST, 3.0, 2.0)


def test_the_hook_that_failed_longest_ago_is_forgotten():
    trouble = Trouble(most=2)
    trouble.failed(FIRST, 1.0, 0.0)
    trouble.failed(SECOND, 1.0, 0.0)
    trouble.failed(FIRST, 3.0, 2.0)
    trouble.failed((HOST, "third"), 3.0, 2.0)
    assert len(trouble) == 2
    assert FIRST in trouble
    assert not trouble.failed(SECOND, 4.0, 2.0), "as if for the first time"


# What that means


def test_a_hook_in_trouble_has_a_quarter_of_the_requests_and_the_others_the_rest():
    made, _circuits = dispatcher(in_flight=8)
    in_trouble(made)
    add(made, "bad", *range(5), now=3.0)
    add(made, "good", *range(10, 20), now=3.0)
    found = turns(made, 3.0)
    assert [turn.endpoint for turn in found].count(SIDE) == 2
    assert len(found) == 8
    (one, *_others) = [turn for turn in found if turn.endpoint == HOST]
    made.done(one, 3.0, True)
    assert made.next(3.0).endpoint == HOST


def test_its_items_take_no_room_from_the_others_and_its_errors_open_only_its_circuit():
    made, circuits = dispatcher(in_flight=8, waiting=2)
    in_trouble(made)
    assert add(made, "bad", 1, 2, 3, now=3.0) == [None, None, "full"]
    assert add(made, "good", 4, 5, 6, now=3.0) == [None, None, "full"]
    for _error in range(2):
        turn = next(turn for turn in turns(made, 3.0) if turn.endpoint == SIDE)
        made.done(turn, 3.0, False)
        add(made, "bad", "more", now=3.0)
    made.done(turns(made, 3.0)[-1], 3.0, False)
    assert circuits.is_closed(HOST)
    assert not circuits.is_closed(SIDE)


def test_items_that_wait_leave_their_room_to_the_others_when_their_hook_gets_into_trouble():
    made, _circuits = dispatcher(in_flight=8, waiting=2)
    answered(made, "bad", False, 1.0)
    answered(made, "good", True, 2.0)
    add(made, "bad", 1, now=3.0)
    turn = made.next(3.0)
    assert add(made, "bad", 2, 3, now=3.0) == [None, None]
    made.done(turn, 3.0, False)
    assert add(made, "good", 4, 5, 6, now=3.0) == [None, None, "full"]
    assert add(made, "bad", 7, now=3.0) == ["full"]


def test_it_is_among_the_others_again_after_a_quick_response():
    made, _circuits = dispatcher(in_flight=8)
    in_trouble(made)
    assert answered(made, "bad", True, 4.0) == SIDE
    assert answered(made, "bad", True, 5.0) == HOST
    assert (made.endpoints, made.in_flight, len(made)) == (0, 0, 0)


def test_what_hangs_leaves_the_slots_of_the_others_when_it_is_late():
    made, _circuits = dispatcher(in_flight=4)
    answered(made, "good", True, 0.0)
    add(made, "bad", 1, 2, 3, now=0.5)
    late = turns(made, 0.5)
    assert len(late) == 3
    made.next(1.6)  # They are late.
    answered(made, "good", True, 1.7)
    made.done(late[0], 2.0, False)  # No response, and another had one since it was late.
    add(made, "bad", 4, 5, now=2.0)
    add(made, "good", 6, 7, now=2.0)
    assert [turn.endpoint for turn in turns(made, 2.0)] == [SIDE, HOST]
    assert made.in_flight == 4


def test_an_endpoint_that_answers_none_has_none_in_trouble():
    made, circuits = dispatcher(failures=6, in_flight=8)
    answered(made, "good", True, 0.0)
    for number in range(1, 4):
        for hook in ("first", "second"):
            assert answered(made, hook, False, float(number)) == HOST
    assert not circuits.is_closed(HOST)


def test_the_only_hook_of_an_endpoint_has_all_its_requests():
    made, _circuits = dispatcher(failures=1000, in_flight=8)
    for second in range(20):
        assert answered(made, "only", second % 3 == 0, float(second)) == HOST


def test_few_requests_are_not_shared_out():
    made, _circuits = dispatcher(in_flight=3)
    in_trouble(made)
    assert answered(made, "bad", False, 4.0) == HOST


def test_the_order_of_a_hook_and_its_waiting_items_go_with_it():
    made, _circuits = dispatcher(in_flight=8)
    add(made, "bad", 1, 2, 3, now=0.0, options=Options(ordered=True))
    made.done(made.next(0.0), 0.0, False)
    add(made, "good", 10, now=1.0)
    second, other = turns(made, 1.0)
    assert (second.item, other.item) == (2, 10)
    made.done(other, 1.0, True)
    made.done(second, 2.0, False)
    add(made, "bad", 4, now=2.0, options=Options(ordered=True))
    (third,) = turns(made, 2.0)
    assert (third.item, third.endpoint) == (3, SIDE)
    made.done(third, 2.0, True)
    (fourth,) = turns(made, 2.0)
    assert (fourth.item, fourth.endpoint) == (4, HOST)


HOOKS = {"good": NO_OPTIONS, "bad": NO_OPTIONS, "ordered": Options(ordered=True)}


class AnyTrouble(RuleBasedStateMachine):
    """Hooks get into trouble and out of it at any time: nothing is lost, and limits hold."""

    @initialize(in_flight=st.integers(4, 9), failures=st.integers(1, 6))
    def begin(self, in_flight, failures):
        self.limits = DispatchLimits(in_flight, waiting=4, hook_waiting=3)
        self.circuits = Circuits(CircuitLimits(failures, 1.0, 4.0), lambda: 0.5)
        self.made = Dispatcher(self.limits, self.circuits)
        self.now, self.hooks, self.running = 100.0, {}, {}
        self.waiting, self.away, self.ended = set(), set(), set()

    def give(self, item):
        endpoint, hook = self.hooks[item]
        refused = self.made.add(item, str(item), endpoint, hook, HOOKS[hook], self.now)
        (self.away if refused else self.waiting).add(item)

    @rule(endpoint=st.sampled_from("ab"), hook=st.sampled_from(sorted(HOOKS)))
    def add(self, endpoint, hook):
        item = len(self.hooks)
        self.hooks[item] = endpoint, hook
        self.give(item)

    @rule()
    def come_back(self):
        again, self.away = sorted(self.away), set()
        for item in again:
            self.give(item)

    @rule()
    def take_turns(self):
        while (turn := self.made.next(self.now)) is not None:
            self.waiting.remove(turn.item)
            self.running[turn.item] = turn

    @rule(data=st.data(), reached=st.sampled_from([True, False, False, None]))
    @precondition(lambda self: self.running)
    def end(self, data, reached):
        self.finish(data.draw(st.sampled_from(sorted(self.running))), reached)

    def finish(self, item, reached):
        shed = set(self.made.done(self.running.pop(item), self.now, reached))
        assert shed <= self.waiting
        self.waiting -= shed
        self.away |= shed
        self.ended.add(item)

    @rule(seconds=st.sampled_from([0.01, 0.4, 1.1, 5.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule(hook=st.sampled_from(sorted(HOOKS)))
    def take_back(self, hook):
        taken = self.made.take_back({hook}, self.now)
        assert {item for item in self.waiting if self.hooks[item][1] == hook} == set(taken)
        self.waiting -= set(taken)
        self.away |= set(taken)

    @invariant()
    def counts_and_limits_hold(self):
        assert (len(self.made), self.made.in_flight) == (len(self.waiting), len(self.running))
        for endpoint in "ab":
            hooks = [self.hooks[item] for item in self.running if self.hooks[item][0] == endpoint]
            assert len(hooks) <= self.limits.in_flight
            assert hooks.count((endpoint, "ordered")) <= 1
            figures = [f for f in self.made.figures(self.now) if f.endpoint[0] == endpoint]
            assert sum(f.in_flight for f in figures) == len(hooks)
            assert sum(f.waiting for f in figures) == sum(
                self.hooks[item][0] == endpoint for item in self.waiting
            )

    def teardown(self):
        if not hasattr(self, "made"):
            return
        for _round in range(100 * len(self.hooks) + 100):
            if not (self.waiting or self.running or self.away):
                break
            self.come_back()
            self.take_turns()
            for item in sorted(self.running):
                self.finish(item, True)
            self.now += 1
        assert self.ended == set(self.hooks)
        self.made.next(self.now + 60)
        assert (self.made.endpoints, self.made.wake_at()) == (0, None)


AnyTrouble.TestCase.settings = settings(
    max_examples=examples(3), stateful_step_count=60, deadline=None
)
TestAnyTrouble = AnyTrouble.TestCase
