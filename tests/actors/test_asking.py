"""Questions of threads to other actors."""

import pytest

from callboard.actors.api.asking import Asked, Asking
from callboard.actors.messages import NoAnswer, Refused, RefusedByActor
from callboard.actors.messages.paths import TOP
from callboard.supervision import Answer, Peer


@pytest.fixture
def sent():
    return []


@pytest.fixture
def asking(sent):
    return Asking(lambda address, question: sent.append((address, question)))


def test_each_question_has_its_own_answer_in_whatever_order(asking, sent):
    first, second = Asked("a", "one?", str), Asked("a", "two?", str)
    asking.ask(first, "address")
    asking.ask(second, "address")
    (_, one), (_, two) = sent
    assert (one.message, two.message) == ("one?", "two?")
    asking.answered(Answer(two.ref, "two"))
    asking.answered(Answer(one.ref, "one"))
    assert (first.future.result(0), second.future.result(0)) == ("one", "two")
    assert len(asking) == 0


def test_a_late_answer_is_nobody_elses(asking, sent):
    given_up, next_one = Asked("a", "one?", str), Asked("a", "two?", str)
    asking.ask(given_up, "address")
    given_up.future.cancel()
    asking.ask(next_one, "address")
    assert len(asking) == 1
    asking.answered(Answer(sent[0][1].ref, "late"))
    assert not next_one.future.done()


def test_an_answer_that_nobody_waits_for_any_more_harms_nobody(asking, sent):
    asked = Asked("a", "one?", str)
    asking.ask(asked, "address")
    asked.future.cancel()
    asking.answered(Answer(sent[0][1].ref, "one"))
    assert len(asking) == 0


def test_a_refusal_and_what_is_on_the_way_are_told_apart(asking, sent):
    asked = Asked("a", "one?", str)
    asking.ask(asked, "address")
    asking.answered(Answer(sent[0][1].ref, 42))
    assert not asked.future.done()
    asking.answered(Answer(sent[0][1].ref, Refused("no")))
    with pytest.raises(RefusedByActor, match="no"):
        asked.future.result(0)


def test_who_is_down_or_dies_over_it_does_not_answer(asking, sent):
    down, dies, stays, top = (Asked(path, "?", str) for path in ("a", "a", "b", TOP))
    asking.ask(down, None)
    for asked in (dies, stays, top):
        asking.ask(asked, "address")
    other = Peer("b", 1, "b", 2)
    asking.on_peers(
        {"a": Peer("a", 1, "a", 1), "b": other}, {"a": Peer("a", 2, "c", 3), "b": other}
    )
    for asked in (down, dies):
        with pytest.raises(NoAnswer, match="a "):
            asked.future.result(0)
    assert not stays.future.done()
    assert not top.future.done()
    asking.give_up()
    with pytest.raises(NoAnswer):
        top.future.result(0)
