"""A timer that may be set to an earlier time, and never becomes two."""

import time

from callboard.actors.base.timer import Alarm


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
    timers, alarm, now = Timers(), Alarm("a"), time.monotonic()
    alarm.set(now + 5, timers.after)
    alarm.set(now + 9, timers.after)
    assert len(timers.set) == 1
    alarm.set(now + 1, timers.after)
    assert 0 < timers.set[1][0] <= 1
    assert alarm.rings(timers.come())
    assert not alarm.rings(timers.come())


def test_setting_it_anew_each_time_leaves_one_timer():
    """What is overtaken a hundred times is not to go on a hundredfold."""
    timers, alarm, now = Timers(), Alarm("a"), time.monotonic()
    for sooner in range(100):
        alarm.set(now + 100 - sooner, timers.after)
    rung = 0
    for _coming in range(250):
        if timers.set and alarm.rings(timers.come()):
            rung += 1
            alarm.set(now + 200 + rung, timers.after)
    assert len(timers.set) <= 1
    assert rung == 151


def test_a_timer_of_another_name_is_none_of_its():
    timers, alarm = Timers(), Alarm("a")
    alarm.set(time.monotonic(), timers.after)
    assert not alarm.rings(("b", 1))
    assert not alarm.rings("a")
    assert alarm.rings(("a", 1))
