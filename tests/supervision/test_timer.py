"""Timers call the functions that they were set with; one may be set to an earlier time."""

import time
from functools import partial

import pytest

from callboard.supervision import (
    TEMPORARY,
    ChildSpec,
    Locate,
    Located,
    SupervisedActor,
    SupervisorSpec,
)
from callboard.supervision.timer import Timer
from support.trees import MULTI, SIMPLE

both_bases = pytest.mark.parametrize(
    "base", [SIMPLE, pytest.param(MULTI, marks=pytest.mark.multiprocess)]
)


class Wakeups:
    """What Thespian does: each wakeup that was asked for comes, the soonest first."""

    def __init__(self):
        self.set = []
        self.called = 0

    def after(self, seconds, call):
        self.set.append((seconds, call))

    def come(self):
        """Whether the timer called its function when the next wakeup came."""
        self.set.sort(key=lambda wakeup: wakeup[0])
        before = self.called
        self.set.pop(0)[1]()
        return self.called > before

    def call(self):
        self.called += 1


def test_it_calls_at_the_earliest_time_it_was_set_to_and_once():
    wakeups, now = Wakeups(), time.monotonic()
    timer = Timer(wakeups.after, wakeups.call)
    timer.at(now + 5)
    timer.at(now + 5)
    timer.at(now + 9)
    assert len(wakeups.set) == 1
    timer.at(now + 1)
    assert 0 < wakeups.set[1][0] <= 1
    assert wakeups.come()
    assert not wakeups.come()


def test_setting_it_anew_each_time_leaves_one_wakeup():
    """What is overtaken a hundred times is not to go on a hundredfold."""
    wakeups, now = Wakeups(), time.monotonic()
    timer = Timer(wakeups.after, wakeups.call)
    for sooner in range(100):
        timer.at(now + 100 - sooner)
    called = 0
    for _coming in range(250):
        if wakeups.set and wakeups.come():
            called += 1
            timer.at(now + 200 + called)
    assert len(wakeups.set) <= 1
    assert called == 151


def test_timers_know_nothing_of_each_other():
    a, b = Wakeups(), Wakeups()
    b.set = a.set
    Timer(a.after, a.call).at(time.monotonic())
    Timer(b.after, b.call).at(time.monotonic() + 1)
    assert a.come()
    assert (a.called, b.called) == (1, 0)
    assert not a.come()
    assert (a.called, b.called) == (1, 1)


def test_it_is_set_until_it_calls():
    wakeups = Wakeups()
    timer = Timer(wakeups.after, lambda: states.append(timer.is_set))
    states = [timer.is_set]
    timer.within(3)
    states.append(timer.is_set)
    assert [seconds for seconds, _call in wakeups.set] == [3]
    wakeups.come()
    assert states == [False, True, False]


def test_it_may_be_set_to_an_earlier_time_only(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    wakeups = Wakeups()
    timer = Timer(wakeups.after, wakeups.call)
    for seconds in (3, 3, 1, 1, 2):
        timer.within(seconds)
    assert [seconds for seconds, _call in wakeups.set] == [3, 1]
    timer.at(100.5)
    assert [seconds for seconds, _call in wakeups.set] == [3, 1, 0.5]
    assert [wakeups.come() for _wakeup in range(3)] == [True, False, False]


def test_it_does_not_call_once_it_is_cleared_unless_it_is_set_again():
    wakeups = Wakeups()
    timer = Timer(wakeups.after, wakeups.call)
    timer.within(3)
    timer.clear()
    assert not timer.is_set
    assert not wakeups.come()
    timer.within(5)
    assert wakeups.come()


class Clock(SupervisedActor):
    """Keeps a list of the calls of its timers."""

    def on_start(self, args):
        self.calls = []
        self.after(0.05, partial(self.calls.append, "after"))
        self.after(-1, partial(self.calls.append, "at once"))
        self.every(0.02, self.again)
        self.timer(partial(self.calls.append, "timer")).within(0.1)

    def again(self):
        self.calls.append("every")
        if self.calls.count("every") == 3:
            self.finish()
            self.after(0.002, partial(self.record, "too late"))

    def record(self, what):
        raise RuntimeError(what)

    def on_stop(self):
        """It ends by itself."""

    def receiveMsg_str(self, _message, sender):
        self.send(sender, list(self.calls))


class Patient(Clock):
    """Goes on."""

    def again(self):
        self.calls.append("every")


def spec(actor):
    return SupervisorSpec((ChildSpec("clock", actor, restart=TEMPORARY),), heartbeat_s=0.1)


@both_bases
def test_a_timer_calls_its_function_on_either_base(grow, base):
    tree = grow(base, spec(Patient))
    tree.wait(lambda top: top.children[0].status == "running")
    clock = tree.ask(tree.top, Locate("clock"), Located).peer.address

    def calls(_tree):
        found = tree.ask(clock, "calls", list)
        return {"at once", "after", "timer"} <= set(found) and found.count("every") > 3

    tree.wait(calls)
    found = tree.ask(clock, "calls", list)
    assert [found.count(once) for once in ("at once", "after", "timer")] == [1, 1, 1]


@both_bases
def test_a_timer_of_an_actor_that_has_ended_does_nothing(grow, base, caplog):
    tree = grow(base, spec(Clock))
    tree.wait(lambda top: top.children[0].status == "ended")
    until = time.monotonic() + 0.2
    tree.wait(lambda _top: time.monotonic() > until)
    assert tree.node("clock").restarts == 0
    assert "too late" not in caplog.text
