import random

import pytest

from callboard.webhooks.metrics.tally import Distribution, FigureSet
from callboard.webhooks.metrics.totals import Totals, grown

COUNT = ("callboard_counted_total", ())
LEVEL = ("callboard_level", ())
SPREAD = ("callboard_spread", ())


def counted(count, level=0, *spread):
    spread = spread or (0, 0)
    return FigureSet({COUNT: count}, {LEVEL: level}, {SPREAD: Distribution(spread, 0.0)})


def test_what_is_told_again_is_counted_once():
    totals = Totals()
    assert totals.take(("a", 1), 1, counted(5))
    assert totals.take(("a", 1), 2, counted(8))
    assert not totals.take(("a", 1), 2, counted(8))
    assert totals.take(("b", 1), 1, counted(10))
    assert totals.counters[COUNT] == 18


def test_a_successor_begins_at_nothing_and_the_total_goes_on():
    totals = Totals()
    totals.take(("a", 1), 1, counted(5, 3, 4, 1))
    totals.take(("a", 2), 1, counted(2, 1, 1, 0))
    assert totals.counters[COUNT] == 7
    assert totals.distributions[SPREAD].counts == (5, 1)


def test_late_words_of_the_dead_and_overtaken_ones_are_void():
    totals = Totals()
    totals.take(("a", 2), 2, counted(5))
    assert not totals.take(("a", 2), 1, counted(4))
    assert not totals.take(("a", 1), 9, counted(99))
    assert totals.counters[COUNT] == 5


def test_totals_never_go_down_in_whatever_order_it_is_told():
    told = [((path, life), n, counted(n)) for path in "ab" for life in (1, 2) for n in range(1, 9)]
    for seed in range(50):
        random.Random(seed).shuffle(told)
        totals, before = Totals(), 0
        for sender, number, figures in told:
            totals.take(sender, number, figures)
            assert totals.counters[COUNT] >= before
            before = totals.counters[COUNT]
        assert totals.counters[COUNT] >= 16, "the last lives are told in full"


def test_gauges_are_those_of_the_living_together():
    totals = Totals()
    totals.take(("a", 1), 1, counted(0, 3))
    totals.take(("b", 7), 1, counted(0, 4))
    assert totals.gauges({"a": 1, "b": 7}) == {LEVEL: 7}
    assert totals.gauges({"b": 7}) == {LEVEL: 4}
    assert totals.gauges({"a": 2, "b": 7}) == {LEVEL: 4}, "the successor has told nothing yet"
    assert totals.reported({"a": 2, "b": 7, "c": 1}) == {"b"}


def test_one_that_has_ended_is_not_waited_for_but_its_successor_is():
    totals = Totals()
    assert totals.reported({"a": 1}) == frozenset()
    totals.take(("a", 1), 1, counted(0))
    assert totals.reported({"a": 1}) == totals.reported({}) == {"a"}
    assert totals.reported({"a": 2}) == frozenset()


@pytest.mark.parametrize("first", [2, 40])
def test_what_happened_before_it_was_first_told_here_is_known_apart(first):
    totals = Totals()
    totals.take(("a", 1), first, counted(1000, 0, 5, 5))
    totals.take(("a", 1), first + 1, counted(1003, 0, 6, 5))
    totals.take(("b", 1), 1, counted(7, 0, 1, 1))
    counters, distributions = totals.since_begin()
    assert (totals.counters[COUNT], counters[COUNT]) == (1010, 10)
    assert distributions[SPREAD].counts == (2, 1)


def test_the_table_of_senders_is_bounded_and_makes_room():
    totals = Totals()
    for number in range(1000):
        totals.take((f"a{number}", 1), 1, counted(1))
    assert not totals.take(("late", 1), 1, counted(1))
    totals.forget(["a0"])
    assert totals.take(("late", 1), 1, counted(1))
    assert len(totals) == 2
    assert totals.counters[COUNT] == 1000 + 1


def test_growth_of_counts_that_begin_anew():
    assert (grown(3, 5), grown(5, 5), grown(5, 2)) == (2, 0, 2)
