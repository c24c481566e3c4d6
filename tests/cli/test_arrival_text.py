"""What is shown of an arrival, whatever is in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.receiver import ReceivedRequest
from callboard.adapters.receiver.arrivals import Attempt
from callboard.adapters.receiver.listener import Arrival
from callboard.cli.tryout.arrival_text import as_object, content, lines


def arrival(body=b"", **headers):
    request = ReceivedRequest("POST", "/a", "", headers, body, 1.5, 1)
    return Arrival(request, Attempt(None, 1, False, None), None, "200")


@pytest.mark.parametrize(
    ("body", "type", "shown"),
    [
        (b"", "", None),
        (b'{"a": [1]}', "application/json", {"a": [1]}),
        (b"a=1&b=%20&a=2", "application/x-www-form-urlencoded", {"a": "2", "b": " "}),
        (b"a=1", "text/plain", "a=1"),
        (b"NaN", "application/json", "NaN"),
        (b"\xff", "application/json", "\ufffd"),
    ],
)
def test_a_body_is_shown_as_what_it_is(body, type, shown):
    assert content(arrival(body, **{"content-type": type}).request) == shown


@given(st.binary(), st.text())
def test_nothing_that_arrives_moves_the_cursor(body, header):
    seen = arrival(body, **{"x-header": header})
    assert all(line.isprintable() for line in lines(seen))
    assert json.loads(json.dumps(as_object(seen), allow_nan=False))["headers"]["x-header"] == header
