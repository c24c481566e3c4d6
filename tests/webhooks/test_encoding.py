import json
import re
from datetime import date
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callboard.webhooks.deliveries.delivery import delivery_of
from callboard.webhooks.deliveries.encoding import (
    content,
    content_type,
    converted,
    form_encode,
    json_encode,
)
from callboard.webhooks.values.json_values import joined
from support.hooks import hooks_with

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
json_values = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
payloads = st.dictionaries(texts, json_values, max_size=5)


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [
        ({}, ""),
        ({"a": "b", "c": "d"}, "a=b&c=d"),
        ({"b": 1, "a": 2}, "b=1&a=2"),
        ({"a": ""}, "a="),
        ({"a": -7}, "a=-7"),
        ({"a": 1.5}, "a=1.5"),
        ({"a": 0.1}, "a=0.1"),
        ({"a": True, "b": False}, "a=true&b=false"),
        ({"a": {"b": 1}}, "a[b]=1"),
        ({"a": {"b": {"c": "d"}}}, "a[b][c]=d"),
        ({"a": [1, "x"]}, "a[]=1&a[]=x"),
        ({"a": {"b": [1, 2]}}, "a[b][]=1&a[b][]=2"),
        ({"a": [{"b": 1}]}, "a[]=%7B%22b%22%3A1%7D"),
        ({"a": [[65, "x", []], []]}, "a[]=Ax&a[]="),
        ({"a": [[200]]}, "a[]=%C8"),
        ({"a": [[1, True]]}, "a[]=%5B1%2Ctrue%5D"),
        ({"a": 1, "b": {}, "c": [], "d": 2}, "a=1&d=2"),
        ({"a": None, "b": 1}, "b=1"),
        ({"a": [None, 1]}, "a[]=null&a[]=1"),
        ({"a": {"b": None}}, ""),
        ({"a": "x y&z=1+2/ü"}, "a=x+y%26z%3D1%2B2%2F%C3%BC"),
        ({"a": ".-~_"}, "a=.-~_"),
        ({"a": "%20"}, "a=%2520"),
        ({"a\0": "\0"}, "a%00=%00"),
        ({"a": 2**70}, "a=1180591620717411303424"),
        ({"a": 1e21}, "a=1e%2B21"),
        ({"a": ["\ud800", {"b": "\ud800"}]}, "a[]=%EF%BF%BD&a[]=%7B%22b%22%3A%22%5Cud800%22%7D"),
        ({"a b&": {"c]": 1}}, "a+b%26[c%5D]=1"),
        ({"a": "\ud800"}, "a=%EF%BF%BD"),
    ],
)
def test_form_encoding(payload, encoded):
    assert form_encode(payload) == encoded


class JsonOf:
    """Equals any JSON text of the value: writers spell the exponents of numbers differently."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, text):
        return json.loads(text) == self.value


def flattened(name, value):
    """The pairs that a form decoder must find."""
    match value:
        case None:
            return []
        case bool():
            return [(name, json.dumps(value))]
        case dict():
            return [pair for key, v in value.items() for pair in flattened(f"{name}[{key}]", v)]
        case list():
            return [(f"{name}[]", element(v)) for v in value]
    return [(name, str(value))]


def element(value):
    """An element of a list; a list of texts is one text."""
    if isinstance(value, list) and (text := joined(value)) is not None:
        return text.decode(errors="replace")
    if isinstance(value, dict | list):
        return JsonOf(value)
    return value if isinstance(value, str) else json.dumps(value)


@settings(max_examples=50)
@given(payloads)
@example({"": [[0.000015240251710181017]]})
def test_a_form_decoder_gets_every_pair_back_in_order(payload):
    decoded = parse_qsl(form_encode(payload), keep_blank_values=True)
    assert decoded == [pair for key, value in payload.items() for pair in flattened(key, value)]


@settings(max_examples=50)
@given(payloads)
def test_a_form_has_only_safe_characters_and_no_stray_joints(payload):
    encoded = form_encode(payload)
    assert re.fullmatch(r"(?:[A-Za-z0-9.~_+=&\[\]-]|%[0-9A-F]{2})*", encoded)
    assert "&&" not in encoded
    assert not encoded.startswith("&")
    assert not encoded.endswith("&")


@settings(max_examples=50)
@given(payloads)
def test_json_is_the_payload(payload):
    assert json.loads(json_encode(payload)) == payload


def test_json_is_indented_utf_8():
    assert json_encode({"a": {"b": "ü"}, "c": []}) == (
        '{\n  "a": {\n    "b": "ü"\n  },\n  "c": []\n}'.encode()
    )


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("neighbour", [None, 2**70, "\ud800"])
def test_json_has_no_such_number(number, neighbour):
    with pytest.raises(ValueError, match="JSON"):
        json_encode({"b": neighbour, "a": number})


@pytest.mark.parametrize("value", [date(2026, 1, 1), b"bytes", {1, 2}])
def test_what_is_no_json_is_not_made_to_be_some(value):
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_encode({"a": value})


@pytest.mark.parametrize("payload", [{"a": 2**64}, {"a": -(2**64)}, {"a": None, "b": [{}, []]}])
def test_json_is_written_the_same_by_whom_ever(payload):
    assert json_encode(payload) == json.dumps(payload, indent=2).encode()


def test_half_a_surrogate_pair_does_not_stop_a_delivery():
    assert json_encode({"a": "\ud800"}) == b'{\n  "a": "\\ud800"\n}'


hook = hooks_with(id="h1", account_id="a1", uri="https://example.org/in")


def request_for(hook, payload):
    form = content_type(hook)
    return delivery_of(hook, form, content(form, payload), id="d", event_id="e")


NAMES = {"X-Hook-ID": "h1", "X-Account-ID": "a1", "webhook-id": "d"}


@pytest.mark.parametrize("verb", ["post", "put"])
@pytest.mark.parametrize(
    ("format", "content_type", "body"),
    [
        ("form-data", "application/x-www-form-urlencoded", b"a=1"),
        ("json", "application/json", b'{\n  "a": 1\n}'),
    ],
)
def test_post_and_put_carry_the_payload_in_the_body(verb, format, content_type, body):
    request = request_for(hook(verb=verb, format=format), {"a": 1})
    assert (request.method, request.url) == (verb.upper(), "https://example.org/in")
    assert dict(request.headers) == NAMES | {"Content-Type": content_type}
    assert request.body == body


@pytest.mark.parametrize("format", ["form-data", "json"])
@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("https://example.org/in", "https://example.org/in?a=1"),
        ("https://example.org/in?", "https://example.org/in?a=1"),
        ("https://example.org/in?x=y", "https://example.org/in?x=y&a=1"),
        ("https://example.org/in?x=y&", "https://example.org/in?x=y&a=1"),
        ("https://example.org/in?x=y#part", "https://example.org/in?x=y&a=1"),
        ("https://example.org/in#what?", "https://example.org/in?a=1"),
    ],
)
def test_get_carries_the_payload_in_the_query(format, uri, url):
    request = request_for(hook(verb="get", format=format, uri=uri), {"a": 1})
    assert (request.method, request.request_url, request.request_body) == ("GET", url, b"")
    assert dict(request.headers) == NAMES


def test_get_with_nothing_to_say_leaves_the_uri_alone():
    assert request_for(hook(verb="get"), {"a": None}).request_url == "https://example.org/in"


@settings(max_examples=50)
@given(payloads)
def test_a_get_s_query_is_the_form(payload):
    url = request_for(hook(verb="get"), payload).request_url
    assert urlsplit(url).query == form_encode(payload)


@given(st.dictionaries(texts, texts))
def test_flat_texts_make_the_round_trip(payload):
    assert dict(parse_qsl(form_encode(payload), keep_blank_values=True)) == payload


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("form", "sent", "source", "raw", "becomes"),
    [
        ("text/xml", b"<a/>", b"", True, ("text/xml", b"<a/>", b"")),
        (FORM, b"a=1", b'{"a":1}', False, ("application/json", b'{\n  "a": 1\n}', b"")),
        (FORM, b"a=1", b"", False, (FORM, b"a=1", b"")),
        ("application/json", b'{"a":1}', b"", False, ("application/json", b'{"a":1}', b"")),
    ],
)
def test_a_content_in_the_form_of_a_hook_that_wants_json_now(form, sent, source, raw, becomes):
    hook = hooks_with(format="json")("h")
    assert converted(hook, form, sent, source, raw=raw) == becomes
