"""Numbers and texts of a message reach the payload as they stood."""

import json
import pickle
from types import MappingProxyType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callboard.webhooks.deliveries.encoding import form_encode, json_encode
from callboard.webhooks.events.event import PoisonEvent, parse_event
from callboard.webhooks.values.exact_numbers import (
    ExactNumber,
    json_bytes,
    json_written,
    numbers_are_plain,
)

NUMBERS = [
    "3.141592653589793238462643",
    "1.10",
    "1.0",
    "1.00",
    "-0",
    "-0.0",
    "-0.00",
    "0.1",
    "0.00001",
    "1e2",
    "1E+2",
    "10e2",
    "-100E-2",
    "1e-400",
    "5e-324",
    "1.7976931348623157e308",
    "12345678.123456789",
    "9.429199866759897",
    "-9223372036854775809",
    "9007199254740993.5",
    "9007199254740993",
    "18446744073709551616",
    "123456789012345678901234567890",
    "-123456789012345678901234567890",
]


def event(text):
    return parse_event(text.encode(), None, None, "exchange", "key")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_sent_as_it_was_spelt(number):
    body = event(f'{{"a": [{number},{number} , {{"b":{number}}}], "c":{number}}}').body
    sent = json_encode(body).decode()
    assert sent.split() == [
        *("{", '"a":', "[", f"{number},", f"{number},", "{", '"b":', number, "}", "],"),
        *('"c":', number, "}"),
    ]
    escaped = number.replace("+", "%2B")
    assert form_encode(body) == (
        f"a[]={escaped}&a[]={escaped}&a[]=%7B%22b%22%3A{escaped}%7D&c={escaped}"
    )


decimals = st.from_regex(r"\A-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?\Z")


@example("1e-05")
@given(decimals)
def test_any_number_is_sent_as_it_was_spelt(number):
    assert json_encode(event(f'{{"a":{number}}}').body).decode() == f'{{\n  "a": {number}\n}}'


@given(decimals)
def test_a_number_that_is_left_to_orjson_is_spelt_alike(number):
    if numbers_are_plain(f"[{number}]".encode()):
        assert repr(json.loads(number)) == number


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("text", [r"\"", r"\\", r"\\\"", r"\\\\\"1.5", r"1e2\/-0"])
def test_a_number_beside_escaped_quotes_is_sent_as_it_was_spelt(number, text):
    body = event(f'{{"{text}": "{text}", "n": {number}, "m": ["{text}", 1.5]}}').body
    assert f'"n": {number},' in json_encode(body).decode()


@pytest.mark.parametrize(
    "text", ["1.10", "-0", ",1e2,", r"\"1.10,", r"\\", "12345678901234567890.1"]
)
def test_numbers_in_texts_take_no_second_look(text):
    assert numbers_are_plain(f'{{"{text}": "{text}", "n": 12.5, "m": -10}}'.encode())


@pytest.mark.parametrize("text", ["\\ud800", "x\\udfffy", "\\ud800\\ud800"])
def test_half_a_character_is_sent_as_it_was_escaped(text):
    body = event(f'{{"k{text}": ["{text}", "\u00e4"]}}').body
    sent = json_encode(body).decode()
    assert sent.split() == ["{", f'"k{text}":', "[", f'"{text}",', '"\u00e4"', "]", "}"]
    assert json.loads(sent) == body


def test_in_a_form_half_a_character_becomes_the_replacement_character():
    assert form_encode(event('{"a": "x\\ud800"}').body) == "a=x%EF%BF%BD"


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
def test_what_is_no_number_is_refused(number):
    with pytest.raises(PoisonEvent):
        event(f'{{"a": {number}}}')


def test_an_exact_number_is_a_number():
    number = ExactNumber("1.10")
    assert (number, number + 1, str(number)) == (1.1, 2.1, "1.10")
    assert repr(pickle.loads(pickle.dumps(number))) == "1.10"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\u00e4\n"), inner),
    max_leaves=10,
)


@given(json_values)
def test_json_is_written_as_the_standard_library_does(value):
    assert json_written(value, "\n") == json.dumps(value, indent=2, ensure_ascii=False)


@given(json_values)
def test_json_on_one_line_is_written_as_the_standard_library_does(value):
    expected = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert json_written(value, colon=":") == expected


def test_other_mappings_are_objects_and_what_is_no_json_is_refused():
    assert json_bytes({"a": MappingProxyType({"b": ExactNumber("1.0")})}) == b'{"a":{"b":1.0}}'
    with pytest.raises(TypeError):
        json_bytes({"a": {1}})


@pytest.mark.parametrize("text", [rb'{"a\\": 1e5}', rb'{"a\"": 1e5}', rb'{"a\\\"b": 1e5}'])
def test_escaped_quotes_and_backslashes_hide_no_number(text):
    assert not numbers_are_plain(text)


@pytest.mark.parametrize("text", [rb'{"a\\": "1e5"}', rb'{"a": "\"1e5\\"}', b'{"1e5": 5}'])
def test_a_text_that_looks_like_a_number_is_none(text):
    assert numbers_are_plain(text)
