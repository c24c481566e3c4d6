"""Streams arrive in order, whatever happens to their messages on the way."""

from hypothesis import given
from hypothesis import strategies as st

from callboard.actors.base.resequencer import Resequencer


@given(data=st.data(), size=st.integers(min_value=0, max_value=30))
def test_any_order_comes_out_as_it_was_sent(data, size):
    arrivals = data.draw(st.permutations(list(range(size)) + list(range(0, size, 3))))
    stream = Resequencer()
    taken = [message for number in arrivals for message in stream.take(1, number, f"m{number}")]
    assert taken == [f"m{number}" for number in range(size)]


def test_nothing_passes_a_gap():
    stream = Resequencer()
    assert stream.take(1, 1, "b") == []
    assert stream.take(1, 0, "a") == ["a", "b"]


def test_a_new_stream_ends_the_old_one():
    stream = Resequencer()
    assert stream.take(1, 0, "old") == ["old"]
    assert stream.take(1, 2, "waits for ever") == []
    assert stream.take(2, 0, "new") == ["new"]
    assert stream.take(1, 1, "late") == []
    assert stream.take(2, 1, "next") == ["next"]


def test_the_first_stream_may_have_any_number():
    for stream in (0, 1, 7):
        assert Resequencer().take(stream, 0, "first") == ["first"]
