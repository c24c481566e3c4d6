"""A timer that may be set to an earlier time, and never becomes two."""

import time

from callboard.actors.base.timer import Timer


class Timers:
    """What Thespian does: each timer that was set comes, the soonest first."""

    def __init__(self):
        self.set = []

    def after(self, seconds, payload):
        self.set.append((seconds, payload))

    def come(self):
        self.set.sort(key=lambda timer: timer[0])
        return self.set.pop(0)[1]


def test_it_rings_at_the_earliest_time_it_was_set_to_and_once():
    timers, timer, now = Timers(), Timer("a"), time.monotonic()
    timer.set(now + 5, timers.after)
    timer.set(now + 9, timers.after)
    assert len(timers.set) == 1
    timer.set(now + 1, timers.after)
    assert 0 < timers.set[1][0] <= 1
    assert timer.rings(timers.come())
    assert not timer.rings(timers.come())


def test_setting_it_anew_each_time_leaves_one_timer():
    """What is overtaken a hundred times is not to go on a hundredfold."""
    timers, timer, now = Timers(), Timer("a"), time.monotonic()
    for sooner in range(100):
        timer.set(now + 100 - sooner, timers.after)
    rung = 0
    for _coming in range(250):
        if timers.set and timer.rings(timers.come()):
            rung += 1
            timer.set(now + 200 + rung, timers.after)
    assert len(timers.set) <= 1
    assert rung == 151


def test_a_timer_of_another_name_is_none_of_its():
    timers, timer = Timers(), Timer("a")
    timer.set(time.monotonic(), timers.after)
    assert not timer.rings(("b", 1))
    assert not timer.rings("a")
    assert timer.rings(("a", 1))
