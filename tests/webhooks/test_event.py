import gzip
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.webhooks.events.event import (
    Event,
    PoisonEvent,
    parse_event,
    too_deep,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def parse(body, content_type="application/json", content_encoding=None):
    return parse_event(body, content_type, content_encoding, "callevt", "call.X.y")


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.booleans())
def test_any_json_object_is_an_event_zipped_or_not(body, zipped):
    raw = json.dumps(body).encode()
    event = parse(gzip.compress(raw), content_encoding="gzip") if zipped else parse(raw)
    assert event == Event(body, "callevt", "call.X.y")


@given(st.binary(), st.sampled_from([None, "gzip"]))
def test_arbitrary_bytes_are_an_event_or_poison_and_nothing_else(body, encoding):
    try:
        event = parse(body, content_encoding=encoding)
    except PoisonEvent:
        return
    assert isinstance(event.body, dict)


@pytest.mark.parametrize("number", [2**63 - 1, 2**64 - 1, 2**64, -(2**63) - 1, 10**40])
def test_an_integer_of_any_size_stays_one(number):
    assert parse(json.dumps({"a": [number]}).encode()).body == {"a": [number]}
    assert isinstance(parse(b'{"a": %d}' % number).body["a"], int)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_in_another_form_of_unicode_is_read(encoding):
    assert parse('{"a": "ü"}'.encode(encoding)).body == {"a": "ü"}


def test_half_a_surrogate_pair_is_read():
    assert parse(b'{"a": "\\ud800"}').body == {"a": "\ud800"}


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/octet-stream"])
@pytest.mark.parametrize("encoding", [None, "", "utf-8", "identity"])
def test_json_is_tried_whatever_the_message_is_called(content_type, encoding):
    assert parse(b'{"a": 1}', content_type, encoding).body == {"a": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\x83h\x02", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": NaN}', "NaN is no JSON value"),
        (b'{"a": -Infinity}', "no JSON value"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[]", "JSON list, not an object"),
        (b"null", "JSON NoneType, not an object"),
        (b'{"a":' * (101) + b"1" + b"}" * (101), "nested deeper than 100"),
    ],
)
def test_what_is_no_json_object_is_poison(body, reason):
    with pytest.raises(PoisonEvent, match=reason):
        parse(body)


def test_nesting_up_to_the_limit_is_fine():
    body = b'{"a":' * 100 + b"1" + b"}" * 100
    assert parse(body).body["a"]


def test_erlang_terms_are_poison():
    with pytest.raises(PoisonEvent, match="publish JSON"):
        parse(b'{"a": 1}', "application/erlang")


ZIPPED = gzip.compress(b"{}", mtime=0)


@pytest.mark.parametrize("body", [b"", b"no gzip", ZIPPED[:-4], ZIPPED[:-8] + b"\0" * 8])
def test_damaged_gzip_is_poison(body):
    with pytest.raises(PoisonEvent):
        parse(body, content_encoding="gzip")


def test_gzip_may_come_in_several_members_and_in_capitals():
    body = gzip.compress(b'{"a":') + gzip.compress(b" 1}")
    assert parse(body, content_encoding="GZIP").body == {"a": 1}


def test_a_gzip_bomb_is_refused():
    bomb = gzip.compress(b" " * (16_777_217) + b"{}")
    with pytest.raises(PoisonEvent, match="grows beyond"):
        parse(bomb, content_encoding="gzip")


def test_accessors_read_texts_only():
    event = Event(
        {
            "Event-Category": "configuration",
            "Event-Name": "doc_edited",
            "Msg-ID": "m",
            "Account-ID": "a",
            "Database": "d",
            "ID": "i",
        }
    )
    assert (event.category, event.name, event.msg_id) == ("configuration", "doc_edited", "m")
    assert (event.account_id, event.database, event.document_id) == ("a", "d", "i")
    assert Event({"Account-ID": 5}).account_id is None


def test_poison_survives_pickling():
    assert str(pickle.loads(pickle.dumps(PoisonEvent("why")))) == "why"


def test_a_gzip_body_may_be_as_large_as_the_limit():
    plain = b'{"a": 1}'.ljust(16_777_216)
    assert parse(gzip.compress(plain), content_encoding="gzip").body == {"a": 1}
    with pytest.raises(PoisonEvent, match="grows beyond 16777216 bytes"):
        parse(gzip.compress(plain + b" "), content_encoding="gzip")


def test_where_it_came_from_stays_with_it():
    event = parse_event(b"{}", None, None, "shop", "order.paid", "m-1")
    assert (event.exchange, event.routing_key, event.message_id) == ("shop", "order.paid", "m-1")
    assert parse(b"{}").message_id is None


@pytest.mark.parametrize(
    ("value", "levels"),
    [([], 1), ({}, 1), ([1], 1), ([[], []], 2), ({"a": [1, {"b": 2}], "c": 3}, 3)],
)
def test_levels_are_those_of_objects_and_lists(value, levels):
    assert not too_deep(value, levels)
    assert too_deep(value, levels - 1)


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "abc"])
def test_a_value_that_is_no_object_and_no_list_has_no_level(value):
    assert not too_deep(value, 0)


def test_levels_without_end_are_too_many():
    endless = []
    endless.append(endless)
    assert too_deep(endless)
