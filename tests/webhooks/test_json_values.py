import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.values.json_values import (
    as_bool,
    as_int,
    as_number,
    as_object,
    as_text,
    identical,
    is_true,
    joined,
    same,
    value_at,
)


@pytest.mark.parametrize(
    ("value", "boolean"),
    [(True, True), (False, False), ("true", True), ("false", False)],
)
def test_booleans_are_read_from_their_names_too(value, boolean):
    assert as_bool(value, not boolean) is boolean


@pytest.mark.parametrize("value", [None, "", "TRUE", "yes", 1, 0, [], {}])
@pytest.mark.parametrize("default", [True, False])
def test_what_is_no_boolean_is_the_default(value, default):
    assert as_bool(value, default) is default


def test_only_true_says_yes():
    assert is_true("true")
    assert not is_true(1)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        ("3", 3),
        ("-3", -3),
        (2.4, 2),
        (2.5, 3),
        (-2.5, -3),
        (-0.4, 0),
        (0.49999999999999994, 0),
        (4503599627370497.0, 4503599627370497),
        ("2.5", 3),
        ("63839500001123456", 63839500001123456),
        (True, None),
        (None, None),
        ("", None),
        ("three", None),
        ("1_000", None),
        (" 5", None),
        ("5 ", None),
        ("٣", None),
        ("+5", 5),
        ("1e3", None),
        ("1.0e3", 1000),
        ("Infinity", None),
        ("9" * 30, 10**30 - 1),
        ("9" * 31, None),
        ("1e999", None),
        ("nan", None),
        (math.inf, None),
        (math.nan, None),
        ([], None),
    ],
)
def test_integers_are_read_leniently(value, number):
    assert as_int(value) == number


@given(st.integers())
def test_an_integer_is_itself(number):
    assert as_int(number) == number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ("", None),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (1.5, "1.5"),
        (0.0, "0.0"),
        (100000.0, "100000.0"),
        (1000000.0, "1.0e+6"),
        (1234567.0, "1234567.0"),
        (-1.5e20, "-1.5e+20"),
        (0.5, "0.5"),
        (0.25, "0.25"),
        (12.5, "12.5"),
        (0.00001, "0.00001"),
        (0.000001, "0.000001"),
        (1.25e-7, "1.25e-7"),
        ({}, "{}"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ([], None),
        ([[]], None),
        (["a", [98, ["c"]]], "abc"),
        ([195, 169], "é"),
        ([200], None),
        ([256], None),
        ([True], None),
        (["a", None], None),
        (["a", {}], None),
    ],
)
def test_texts_are_written_as_kazoo_s(value, text):
    assert as_text(value) == text


def test_what_is_no_object_is_an_empty_one():
    assert as_object({"a": 1}) == {"a": 1}
    assert as_object("a") == {}


@given(st.integers(-(2**53), 2**53))
def test_a_whole_float_and_its_digits_are_that_integer(number):
    assert as_int(float(number)) == as_int(str(number)) == number


@given(st.floats(-1e15, 1e15))
def test_a_fraction_goes_to_the_nearest_integer_as_far_as_the_negative_s(number):
    assert abs(as_int(number) - number) <= 0.5
    assert as_int(-number) == -as_int(number)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        (0.25, 0.25),
        ("7", 7),
        ("-0.25", -0.25),
        ("1e3", None),
        ("1.0e3", 1000.0),
        ("1e999", None),
        (math.inf, None),
        (math.nan, None),
        (10**400, None),
        (-(10**400), None),
        ("seven", None),
        ("", None),
        (True, None),
        (None, None),
        ([1], None),
    ],
)
def test_numbers_are_read_from_strings_too(value, number):
    assert as_number(value) == number
    assert type(as_number(value)) is type(number)


TREE = {"a": {"b": [{"c": 1}, None], "": 2}, "0": "zero", "n": None}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ([], TREE),
        (["0"], "zero"),
        (["n"], None),
        (["a", ""], 2),
        (["a", "b", "0", "c"], 1),
        (["a", "b", "1"], None),
        (["a", "b", "2"], "absent"),
        (["a", "b", "-1"], "absent"),
        (["a", "b", "²"], "absent"),
        (["a", "b", "c"], "absent"),
        (["0", "0"], "absent"),
        (["n", "x"], "absent"),
        (["x"], "absent"),
    ],
)
def test_a_path_leads_through_objects_and_lists(path, found):
    assert value_at(TREE, path, "absent") == found


def test_true_is_not_one():
    assert same(1, 1.0)
    assert same(True, True)
    assert same({"a": [1]}, {"a": [1]})
    assert not same(True, 1)
    assert not same(0, False)
    assert not same("1", 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((1, 1.0), (True, 1), ([1], [1.0]), ({"a": [0]}, {"a": [False]}), ([1], [])),
        *(({}, []), ({"a": 1}, ["a"]), ({"a": 1}, {"b": 1}), ("a", ["a"])),
    ],
)
def test_erlang_s_equality_is_stricter(one, other):
    assert identical(one, one)
    assert not identical(one, other)
    assert not identical(other, one)


def test_a_number_of_thousands_of_digits_is_no_index():
    assert value_at([["a"]], ["0", "0" * 17 + "0"]) == "a"
    assert value_at(["a"], ["1" * 5000], "none") == "none"
    assert value_at(["a"], ["1"], "none") == "none"


@pytest.mark.parametrize(
    ("members", "made"),
    [
        ([], b""),
        (["a", [0, 255, ["b"]]], b"a\x00\xffb"),
        (["é", "\ud800"], b"\xc3\xa9?"),
        ([-1], None),
        ([256], None),
        ([1.0], None),
        ([True], None),
        (["a", [None]], None),
    ],
)
def test_a_list_is_joined_as_erlang_does(members, made):
    assert joined(members) == made
