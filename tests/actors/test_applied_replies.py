"""Replies that wait until changes are in effect share barriers."""

import pytest

from callboard.actors.hooks.changes import AppliedReplies
from callboard.config.time_limits import APPLY_S


class Waiting:
    def __init__(self):
        self.sent, self.barriers, self.timers = [], [], []
        send = lambda to, reply: self.sent.append((to, reply))  # noqa: E731
        after = lambda seconds, call: self.timers.append((seconds, call))  # noqa: E731
        self.replies = AppliedReplies(send, after, self.barriers.append)

    def reply(self, *names):
        for name in names:
            self.replies.reply(f"to {name}", name)

    @property
    def names(self):
        return [name for _to, name in self.sent]


@pytest.fixture
def waiting():
    return Waiting()


def test_changes_while_a_barrier_is_out_share_the_next_one(waiting):
    waiting.reply("a", "b", "c")
    (first,) = waiting.barriers
    assert waiting.sent == []
    waiting.replies.applied(first)
    assert waiting.sent == [("to a", "a")]  # b and c may have come behind the barrier
    waiting.reply("d")
    _first, second = waiting.barriers
    waiting.replies.applied(second)
    assert waiting.names == ["a", "b", "c"]
    waiting.replies.applied(waiting.barriers[-1])
    assert waiting.names == ["a", "b", "c", "d"]
    assert len(waiting.barriers) == 3


def test_one_that_comes_when_none_is_out_has_its_own(waiting):
    waiting.reply("a")
    waiting.replies.applied(waiting.barriers[0])
    waiting.reply("b")
    assert len(waiting.barriers) == 2
    waiting.replies.applied(waiting.barriers[1])
    assert waiting.names == ["a", "b"]


def test_a_barrier_that_is_lost_holds_nothing_up(waiting):
    waiting.reply("a", "b")
    (seconds, time_out), _b = waiting.timers
    assert seconds == APPLY_S
    time_out()
    assert waiting.names == ["a"]
    assert len(waiting.barriers) == 2
    waiting.replies.applied(waiting.barriers[1])
    assert waiting.names == ["a", "b"]
    for _seconds, late in waiting.timers:
        late()
    assert (waiting.names, len(waiting.barriers)) == (["a", "b"], 2)


@pytest.mark.parametrize("ticket", [0, -1])
def test_barriers_of_others_are_no_replies(waiting, ticket):
    waiting.reply("a")
    waiting.replies.applied(ticket)
    assert (waiting.sent, len(waiting.barriers)) == ([], 1)
