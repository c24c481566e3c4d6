"""JSON values from a stream: each at once, in any form, in bounded memory."""

import io
import itertools
import json
import os
import tracemalloc
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.cli.events.json_stream import CHUNK, JsonStream, NotJson


def values(*chunks):
    """What each of the chunks completes, the end at last."""
    stream = JsonStream()
    return [stream.feed(chunk.encode()) for chunk in (*chunks, "")]


def test_each_line_is_a_value_as_soon_as_it_is_there():
    assert values('{"a":1}\n', '{"b":2}\n{"c"', ":3}\n") == [
        [{"a": 1}],
        [{"b": 2}],
        [{"c": 3}],
        [],
    ]


def test_a_line_need_not_have_an_end():
    assert values('{"a":1}') == [[{"a": 1}], []]


@pytest.mark.parametrize(
    "text",
    ['[{"a":1},{"b":"[,]"}]', ' [\n{"a":1} ,\n{"b":"[,]"}\n] \n', '{"a":\n1}\n\n{"b":"[,]"}',
     '\ufeff[{"a":1},{"b":"[,]"}]', '{"a":1}{"b":"[,]"}'],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_list_and_any_layout_are_the_same_values(text, size):
    data = text.encode()
    stream = JsonStream()
    chunks = [data[n : n + size] for n in range(0, len(data), size)]
    read = [value for chunk in [*chunks, b""] for value in stream.feed(chunk)]
    assert read == [{"a": 1}, {"b": "[,]"}]


@pytest.mark.parametrize("text", ["", "\n \n", "[]", " [ ]\n"])
def test_nothing_is_no_value(text):
    assert values(text) == [[], []]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1 is not JSON: Expecting property name"),
        ('{}\n{"a":1}\n{"a" 1}\n{}\n', "line 3 is not JSON: Expecting ':'"),
        ("[{} {}]", "line 1 is not JSON: a comma is missing"),
        ("[{}\n,,{}]", "line 2 is not JSON: Expecting value"),
        ("[{},\n{}", "line 2 is not JSON: the list has no end"),
        ('{"a":"x\n"}', "line 1 is not JSON: Invalid control character"),
        ('{}\nnothing\n', "line 2 is not JSON: Expecting value"),
        ("\n}", "line 2 is not JSON: Expecting value"),
        ("\n[{}\n{}]", "line 3 is not JSON: a comma is missing in the list"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_with_its_line(text, says):
    with pytest.raises(NotJson) as refused:
        values(text)
    assert str(refused.value).startswith(says)


def test_a_line_that_is_no_json_is_refused_before_the_end():
    stream = JsonStream()
    with pytest.raises(NotJson, match="line 1"):
        stream.feed(b'{"a" 1}\n')


def test_other_bytes_than_utf_8_are_refused():
    with pytest.raises(NotJson, match="line 2 is not JSON: 'utf-8' codec"):
        list(JsonStream().read(io.BytesIO(b'{}\n"' + b"\xff")))


def test_lines_of_earlier_chunks_count():
    stream = JsonStream()
    assert stream.feed(b"\n") == stream.feed(b"\n ") == []
    with pytest.raises(NotJson, match=r"^line 3 "):
        stream.feed(b"}\n")
    with pytest.raises(NotJson, match=r"^line 2 "):
        JsonStream().feed(b'\n"\xff')


def test_numbers_are_values_where_something_follows_them():
    assert values("1 2\n3", "4 ") == [[1, 2], [34], []]


def test_a_long_value_is_tried_again_when_it_is_twice_as_long():
    stream = JsonStream()
    assert stream.feed(b'{"a":1', full=True) == []
    assert stream.feed(b"}    ", full=True) == []
    assert stream.feed(b" ", full=True) == [{"a": 1}]
    stream = JsonStream()
    assert stream.feed(b'{"a":1', full=True) == []
    assert stream.feed(b"}") == [{"a": 1}]


class Chunks:
    def __init__(self, *chunks):
        self.left, self.sizes = [*chunks, b""], []

    def read1(self, size):
        self.sizes.append(size)
        return self.left.pop(0)


def test_values_are_there_with_the_read_that_completes_them():
    file = Chunks(b'{"a":1', b"}", b'\n{"b":2}')
    assert list(JsonStream().read(file)) == [[{"a": 1}], [{"b": 2}]]
    assert file.sizes == [65_536] * 4


values_of_objects = st.recursive(
    st.none() | st.integers() | st.text(max_size=5), partial(st.lists, max_size=3), max_leaves=6
)
objects = st.dictionaries(st.text(max_size=3), values_of_objects, max_size=3)


cuts = st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=1, max_size=9)
"""Sizes of chunks, and whether each is full; again from the first one after the last."""


@given(st.lists(objects, max_size=5), st.booleans(), st.sampled_from([None, 1]), cuts)
def test_whatever_is_written_is_read_wherever_it_is_cut(written, as_list, indent, cuts):
    text = json.dumps(written, indent=indent, ensure_ascii=False)
    if not as_list:
        text = "\n".join(json.dumps(each, indent=indent, ensure_ascii=False) for each in written)
    rest, read, stream = text.encode(), [], JsonStream()
    for size, full in itertools.cycle(cuts):
        read += stream.feed(rest[:size], full=full)
        rest = rest[size:]
        if not rest:
            break
    assert read + stream.feed(b"") == written


class LongList(io.RawIOBase):
    """A list on one line, of 100,000 events."""

    def __init__(self):
        event = b'{"event":"%032d"},' % 7
        some = event * 1000
        self.parts = iter([b"[", *[some] * 100, b"{}]"])
        self.rest = b""

    def read1(self, size):
        while len(self.rest) < size and (part := next(self.parts, None)):
            self.rest += part
        chunk, self.rest = self.rest[:size], self.rest[size:]
        return chunk


def test_a_list_of_any_length_takes_the_memory_of_one_read():
    tracemalloc.start()
    try:
        count = sum(map(len, JsonStream().read(LongList())))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 100_001
    assert peak < 32 * CHUNK


def test_a_pipe_is_read_while_its_writer_goes_on():
    here, there = os.pipe()
    with os.fdopen(here, "rb") as file:
        stream = JsonStream().read(file)
        for number in range(3):
            os.write(there, b'{"n":%d}\n' % number)
            assert next(stream) == [{"n": number}]
        os.close(there)
        assert list(stream) == []
