from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.values.priority_map import Ranking


def test_the_least_comes_first_and_of_equals_the_earlier():
    ranking = Ranking()
    for key, rank in [("b", 2), ("a", 1), ("c", 1), ("d", 0)]:
        ranking.set(key, rank)
    ranking.set("a", 1)
    ranking.drop("d")
    ranking.drop("unknown")
    assert ranking.first() == (1, "a")
    assert list(ranking.pop_until(1)) == ["a", "c"]
    assert list(ranking.pop_until(1)) == []
    assert (len(ranking), "b" in ranking, "a" in ranking) == (1, True, False)


def test_a_key_has_its_latest_rank():
    ranking = Ranking()
    for rank in (5, 3, 7):
        ranking.set("a", rank)
        assert (ranking.first(), ranking.rank("a")) == ((rank, "a"), rank)
    assert list(ranking.pop_until(6)) == []


def test_a_key_that_is_set_again_while_others_are_taken_comes_again():
    ranking = Ranking()
    ranking.set("a", 1)
    came = []
    for key in ranking.pop_until(3):
        came.append(key)
        ranking.set(key, len(came) + 1)
    assert came == ["a", "a", "a"]


def test_keys_that_change_often_take_no_more_room():
    ranking = Ranking()
    ranking.set("first", 0)
    for number in range(10_000):
        ranking.set(number % 10, number)
    assert len(ranking._heap) < 100
    assert list(ranking.pop_until(10_000)) == ["first", *range(10)]


steps = st.tuples(
    st.sampled_from(["set", "set", "drop", "pop"]), st.integers(0, 5), st.integers(0, 9)
)


@given(st.lists(steps, max_size=300))
def test_it_is_a_sorted_dictionary(steps):
    ranking, model = Ranking(), {}
    for step, key, rank in steps:
        if step == "set":
            ranking.set(key, rank)
            model[key] = rank
        elif step == "drop":
            ranking.drop(key)
            model.pop(key, None)
        else:
            popped = list(ranking.pop_until(rank))
            assert sorted(popped) == sorted(k for k in model if model[k] <= rank)
            ranks = [model.pop(k) for k in popped]
            assert ranks == sorted(ranks)
        first = ranking.first()
        assert (first and first[0]) == min(model.values(), default=None)
        assert len(ranking) == len(model)
