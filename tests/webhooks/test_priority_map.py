from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.values.priority_map import PriorityMap


def test_the_least_comes_first_and_of_equals_the_earlier():
    priorities = PriorityMap()
    for key, rank in [("b", 2), ("a", 1), ("c", 1), ("d", 0)]:
        priorities.set(key, rank)
    priorities.set("a", 1)
    priorities.drop("d")
    priorities.drop("unknown")
    assert priorities.first() == (1, "a")
    assert list(priorities.pop_until(1)) == ["a", "c"]
    assert list(priorities.pop_until(1)) == []
    assert (len(priorities), "b" in priorities, "a" in priorities) == (1, True, False)


def test_a_key_has_its_latest_rank():
    priorities = PriorityMap()
    for rank in (5, 3, 7):
        priorities.set("a", rank)
        assert (priorities.first(), priorities.rank("a")) == ((rank, "a"), rank)
    assert list(priorities.pop_until(6)) == []


def test_a_key_that_is_set_again_while_others_are_taken_comes_again():
    priorities = PriorityMap()
    priorities.set("a", 1)
    came = []
    for key in priorities.pop_until(3):
        came.append(key)
        priorities.set(key, len(came) + 1)
    assert came == ["a", "a", "a"]


def test_keys_that_change_often_take_no_more_room():
    """Nor does each change look at all others."""
    priorities, rebuilt = PriorityMap(), 0
    priorities.set("first", 0)
    for number in range(10_000):
        before = priorities._heap
        priorities.set(number % 10, 10_000 - number)
        rebuilt += priorities._heap is not before
        assert len(priorities._heap) <= 2 * 11 + 64
    assert rebuilt <= 10_000 / 64
    assert list(priorities.pop_until(10_000)) == ["first", *range(9, -1, -1)]


def test_keys_are_in_order_whenever_stale_entries_were_cleared():
    for changes in range(60, 90):
        priorities, ranks = PriorityMap(), {}
        for number in range(changes):
            key, rank = number % 7, number * 37 % 101
            priorities.set(key, rank)
            ranks[key] = rank
        assert list(priorities.pop_until(101)) == sorted(ranks, key=ranks.__getitem__)


steps = st.tuples(
    st.sampled_from(["set", "set", "drop", "pop"]), st.integers(0, 5), st.integers(0, 9)
)


@given(st.lists(steps, max_size=300))
def test_it_is_a_sorted_dictionary(steps):
    priorities, model = PriorityMap(), {}
    for step, key, rank in steps:
        if step == "set":
            priorities.set(key, rank)
            model[key] = rank
        elif step == "drop":
            priorities.drop(key)
            model.pop(key, None)
        else:
            popped = list(priorities.pop_until(rank))
            assert sorted(popped) == sorted(k for k in model if model[k] <= rank)
            ranks = [model.pop(k) for k in popped]
            assert ranks == sorted(ranks)
        first = priorities.first()
        assert (first and first[0]) == min(model.values(), default=None)
        assert len(priorities) == len(model)
