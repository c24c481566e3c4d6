"""Hooks that clients save at one moment are applied by one request."""

import pytest

from callboard.actors.api.applying import Applying
from callboard.actors.api.asking import Asked
from callboard.actors.messages import ApplyHooks, HooksApplied, NoAnswer
from callboard.actors.messages.paths import HOOK_LISTENER


class Listener:
    """What was asked of it."""

    def __init__(self):
        self.asked = []
        self.applying = Applying(self.asked.append)

    def apply(self, *ids):
        each = [Asked(HOOK_LISTENER, ApplyHooks((("a", id),)), HooksApplied) for id in ids]
        for one in each:
            self.applying.apply(one)
        return [one.future for one in each]

    @property
    def hooks(self):
        return [[id for _account, id in asked.message.hooks] for asked in self.asked]


@pytest.fixture
def listener():
    return Listener()


def test_those_that_come_meanwhile_share_the_next_request(listener):
    one, two, three = listener.apply("1", "2", "3")
    assert listener.hooks == [["1"]]
    listener.asked[0].future.set_result(HooksApplied())
    assert one.result(0) == HooksApplied()
    assert (two.done(), three.done(), listener.hooks) == (False, False, [["1"], ["2", "3"]])
    listener.asked[1].future.set_result(HooksApplied())
    assert (two.result(0), three.result(0)) == (HooksApplied(), HooksApplied())
    listener.apply("4")
    assert listener.hooks[2:] == [["4"]]


def test_a_failure_is_that_of_all_and_the_next_are_asked_for(listener):
    one, two = listener.apply("1", "2")
    listener.asked[0].future.set_exception(NoAnswer("it was restarted"))
    with pytest.raises(NoAnswer):
        one.result(0)
    assert (two.done(), listener.hooks) == (False, [["1"], ["2"]])


def test_a_response_that_never_comes_holds_up_no_later_request(listener):
    one, two = listener.apply("1", "2")
    one.cancel()  # As its thread does in the end.
    (three,) = listener.apply("3")
    assert listener.hooks == [["1"], ["2", "3"]]
    listener.asked[0].future.set_result(HooksApplied())  # Late, and not that of the others.
    assert not two.done()
    assert not three.done()
    listener.asked[1].future.set_result(HooksApplied())
    assert (two.result(0), three.result(0)) == (HooksApplied(), HooksApplied())


def test_one_that_is_cancelled_while_it_waits_is_not_asked_for(listener):
    _one, two, _three = listener.apply("1", "2", "3")
    two.cancel()
    listener.asked[0].future.set_result(HooksApplied())
    assert listener.hooks == [["1"], ["3"]]
