"""JMESPath: what is refused with its place, what expressions result in, and what they may take."""

import json
import re
import time

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.expressions.evaluation import compiled
from callboard.webhooks.expressions.functions import FUNCTIONS, WrongType, equal
from callboard.webhooks.expressions.parsing import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_NODES,
    InvalidExpression,
    parse,
)
from callboard.webhooks.expressions.work import TooMuchWork, Work
from callboard.webhooks.values.exact_numbers import ExactNumber, json_read
from support.fuzz import fuzzed

DOCUMENT = {
    "n": 3,
    "zero": 0,
    "half": 0.5,
    "text": "abc",
    "ünï": "é",
    "empty": "",
    "no": False,
    "yes": True,
    "null": None,
    "o": {"b": 2, "a": 1},
    "list": [3, 1, 2],
    "texts": ["b", "a", "c"],
    "nested": [[1, [2]], [], 3],
    "items": [
        {"id": 1, "name": "b", "tags": ["x", "y"], "price": 2.5},
        {"id": 2, "name": "a", "tags": [], "price": 1},
        {"id": 3, "tags": ["z"], "price": 7, "gift": True},
    ],
}

# By the specification of JMESPath; the library, which others use, gives the same.
ALIKE = re.split(
    r" ;; |\n",
    r"""n
missing ;; o.a ;; o.missing.b ;; "text" ;; "ünï" ;; @ ;; @.n ;; null ;; empty ;; list[0]
list[-1] ;; list[9] ;; text[0] ;; list[1:] ;; list[::-1] ;; list[:2] ;; o[0] ;; items[*].name
items[].tags[] ;; items[].tags ;; o.* ;; nested[] ;; nested[][] ;; text[]
items[?id > `1`].name ;; items[?gift].id ;; items[?name == 'a'] | [0].id ;; items[?!gift].id
[n, text] ;; {x: n, y: missing} ;; missing.{x: n} ;; missing.[n] ;; items[*].{i: id, n: name}
n == `3` ;; n == `3.0` ;; n != `3` ;; text == 'abc' ;; o == `{"a": 1, "b": 2}` ;; n < `4`
n <= `3` ;; n < `3` ;; n >= `3`
n > `3` ;; n >= `4` ;; o < `4` ;; null < `1` ;; yes < `2` ;; yes && n ;; no && n
no || text ;; empty || o ;; zero || text ;; !no ;; !zero ;; !missing ;; !empty
(no || yes) && text ;; missing || 'x' ;; `[]` || 'x' ;; `{}` || 'x' ;; null == missing
abs(`-3`) ;; abs(`-0.5`) ;; avg(list) ;; avg(`[]`) ;; ceil(half) ;; floor(half) ;; sum(list)
contains(texts, 'a') ;; contains(text, 'bc') ;; contains(list, `9`) ;; ends_with(text, 'c')
starts_with(text, 'a') ;; join('-', texts) ;; join('', `[]`) ;; keys(o) ;; values(o)
length(text) ;; length(list) ;; length(o) ;; map(&id, items) ;; map(&missing, items)
max(list) ;; max(texts) ;; max(`[]`) ;; min(list) ;; min(texts) ;; max_by(items, &id).id
min_by(items, &price).id ;; max_by(`[]`, &id) ;; merge(o, `{"a": 9, "c": 3}`) ;; merge(o)
not_null(missing, null, text) ;; not_null(missing) ;; reverse(list) ;; reverse(text)
sort(list) ;; sort(texts) ;; sort_by(items, &price)[].id ;; sort_by(`[]`, &x) ;; sum(`[]`)
to_array(n) ;; to_array(list) ;; to_number('3') ;; to_number('3.5') ;; to_number('x')
to_number(list) ;; to_number(n) ;; to_number(yes) ;; to_string(n) ;; to_string(text)
to_string(o) ;; to_string(yes) ;; to_string(null) ;; type(n) ;; type(text) ;; type(yes)
type(null) ;; type(o) ;; type(list) ;; items[?contains(tags, 'x')].id
sort_by(items[?price > `1`], &price)[-1].id ;; items[*].tags[0] ;; items[*].tags[?@ == 'x'][]
length(items[?price > `1`]) > `1` ;; list[?@ > `1`] ;; items[1:].id | [0] ;; *.a
o | keys(@) | sort(@) ;; o.[a, b] | sum(@) ;; items[0] == items[0] ;; items[0] == items[1]
list == `[3, 1, 2]` ;; list == `[3, 1]`""",
)


def result(text, document=DOCUMENT, units=100_000):
    return compiled(text).of(document, Work(units))


@pytest.mark.parametrize("text", ALIKE)
def test_it_results_in_what_the_library_results_in(text):
    expected = jmespath.search(text, DOCUMENT)
    assert json.dumps(result(text)) == json.dumps(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Other than the library, which takes Python's comparisons for JSON's, or fails.
        ("contains(`[1]`, `true`)", False),
        ("contains(`[true]`, `1`)", False),
        ("`[1]` == `[true]`", False),
        ('`{"a": 0}` == `{"a": false}`', False),
        ("contains(text, `1`)", False),
        ("text < n", None),
        ("'a' < 'b'", True),
        ("to_number('nan')", None),
        ("to_number('Infinity')", None),
        ("to_number('1_000')", None),
        ("to_number(' 5')", None),
        ("to_number('1e999')", None),
        ("to_number('" + "9" * 5000 + "')", None),
        ("to_number('" + "0." + "9" * 399 + "')", None),
        ("to_number('" + "0." + "9" * 398 + "')", 1.0),
        ('sort(`["a"]`)', ["a"]),
        ('to_string(`"é"`)', "é"),
        ('to_string(`["é", 1.5]`)', '["é",1.5]'),
    ],
)
def test_it_results_in_what_json_has(text, expected):
    found = result(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        *("starts_with(missing, 'a')", "join(', ', items[*].price)", "join('', [n])", "length(n)"),
        *("sum(texts)", "sum([yes])", "avg(text)", "max([`1`, 'a'])", "sort(items)", "keys(list)"),
        *("sort_by(items, &name)", "sort_by(items, &tags)", "max_by(items, &missing)", "abs('1')"),
        *("merge(list)", "map(&id, o)", "reverse(n)", "contains(n, `1`)", "ends_with(text, `1`)"),
        *("sum([`1e308`, `1e308`])", "avg([`1" + "0" * 400 + "`, `1`])"),
    ],
)
def test_a_function_has_no_result_for_values_of_other_types(text):
    with pytest.raises(WrongType) as refused:
        result(text)
    name = text.partition("(")[0]
    assert name in str(refused.value)


def test_the_reason_names_the_argument_and_the_types():
    with pytest.raises(WrongType) as refused:
        result("join(', ', missing)")
    assert str(refused.value) == (
        "argument 2 of join must be of the type array of strings, and is of the type null"
    )


def test_numbers_keep_their_spelling():
    document = json_read(b'{"price": 1.10, "count": 1e2, "other": 2.5}')
    found = result("{p: price, c: count, more: price > `1`, s: to_string(price)}", document)
    assert isinstance(found["p"], ExactNumber)
    assert (found["p"].text, found["c"].text) == ("1.10", "1e2")
    assert (found["more"], found["s"]) == (True, "1.10")
    assert result("sum([price, other])", document) == pytest.approx(3.6)
    assert result("sort([price, count, other])[0]", document).text == "1.10"
    assert result("price == `1.1`", document)


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 0, "it is empty"),
        (" \n", 0, "it is empty"),
        ("a.", 2, "not expected"),
        ("a ==", 4, "ends too early"),
        ("a = b", 2, "unknown token"),
        ("a[?b", 4, "ends too early"),
        ("a b", 2, "'b' is not expected"),
        ("a.'b'", 2, "not expected"),
        ("[a,,b]", 3, "not expected"),
        ("lenght(a)", 0, "there is no function lenght"),
        ("a && lenght(b)", 5, "there is no function lenght"),
        ("a && length(b, c)", 5, "length takes 1 argument, and has 2"),
        ("[a, join(b)]", 4, "join takes 2 arguments, and has 1"),
        ("not_null()", 0, "not_null takes at least 1 argument, and has 0"),
        ("x || sort_by(a, b)", 5, "argument 2 of sort_by is an expression after &"),
        ("length(&a)", 0, "argument 1 of length is no expression after &"),
        ("a || &b", 5, "& belongs before an argument"),
        ("a[::0]", 2, "the step of a slice is 0"),
        ("a == `b`", 5, "holds JSON"),
        ("`b`", 0, "holds JSON"),
        ("a == `NaN`", 5, "no JSON value"),
        ("a == `[1, Infinity]`", 5, "no JSON value"),
        ("a == 'b", 5, "unclosed"),
        ("é", 0, "unknown token"),
        ("a" * (MAX_CHARACTERS + 1), MAX_CHARACTERS, "at most 8192 are allowed"),
        ("(" * 4000, 0, "nested deeper than 50 levels"),
        ("!" * 4000, 0, "nested deeper than 50 levels"),
        (" || ".join("a" * (MAX_DEPTH + 1)), 0, "nested deeper than 50 levels"),
        ("`" + "[" * 51 + "]" * 51 + "`", 0, "nested deeper than 50 levels"),
        ("`" + "[" * 4000 + "]" * 4000 + "`", 0, "nested deeper than 50 levels"),
        (".".join("a" * MAX_NODES), 0, "more than 1000 steps"),
        ("a[" + "9" * 5000 + "]", 0, "too many digits"),
    ],
)
def test_a_mistake_is_refused_with_its_place(text, position, reason):
    with pytest.raises(InvalidExpression) as refused:
        parse(text)
    assert reason in refused.value.reason
    assert refused.value.position == position
    assert str(refused.value).endswith(f" at character {position + 1}")


def test_of_a_long_mistake_200_characters_are_shown():
    with pytest.raises(InvalidExpression) as refused:
        parse('`"' + "b" * 500 + "`")
    assert refused.value.reason == 'bad token "' + "b" * 189


def test_what_is_at_a_bound_is_accepted():
    parse("a" * MAX_CHARACTERS)
    parse(" || ".join("a" * MAX_DEPTH))
    assert parse(".".join("a" * (MAX_NODES - 1))).nodes == MAX_NODES
    parse("`" + "[" * 50 + "]" * 50 + "`")


def test_it_knows_which_members_are_read():
    assert compiled("_event.x == 'y' && items[?a].{b: c}").names == {
        "_event",
        "x",
        "items",
        "a",
        "c",
    }


MANY = {
    "items": [{"n": n, "t": "x" * 40, "o": {"a": [n]}} for n in range(5_000)],
    "s": "y" * 500_000,
}
HEAVY = [
    "|".join(["[@, @][]"] * 40),
    "|".join(["[@, @]"] * 25) + "| to_string(@)",
    "|".join(["[@, @]"] * 25) + "| @ == @",
    "|".join(["[s, s].join('', @).{s: @}"] * 15),
    "items[*].[n, t, n, t, n, t, n, t][] | sort_by(@, &to_string(@)) | map(&to_string(@), @)",
    "items[*].{a: n, b: t, c: to_string(o), d: join('-', [t, t, to_string(n)])} | to_string(@)",
    "[items, items, items, items, items, items, items][] | [@, @, @][] | sort_by(@, &t)",
    "[items, items, items, items, items, items][] | max_by(@, &t)",
    '[items, items, items, items, items][] | [?o != `{"a": [-1]}`] | [?o == o] | [?t == t]',
    "[s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s] | [?contains(@, 'z')]",
    "map(&map(&map(&@, [@, @, @, @, @, @, @, @, @]), [@, @, @, @, @, @, @, @, @]), items)",
    "join(s, [s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s])",
    "[items, items, items, items] | [*].{a: [*].merge(o, o, o, o)} | [*].a[].keys(@)",
    "map(&reverse(@), [items, items, items, items, items, items, items, items]) | [@, @, @][][]"
    "| [@, @][]",
    "merge({a: s, b: s}, {c: s}) | [@, @, @, @, @, @, @, @, @, @, @, @] | to_string(@)",
]


@pytest.mark.parametrize("text", HEAVY)
def test_no_expression_takes_more_than_it_may(text):
    """Each has some ten times as much to do, or would never end."""
    began, work = time.process_time(), Work(100_000)
    with pytest.raises(TooMuchWork):
        compiled(text).of(MANY, work)
    assert time.process_time() - began < 1  # It takes some 0.02 s.


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_that_looks_at_all_members_counts_them(name):
    constant = {"abs", "ceil", "floor", "type", "to_array", "not_null", "length", "to_number"}
    ends = {"starts_with", "ends_with"}
    lists = {
        "numbers": list(range(2_000)),
        "texts": ["a"] * 2_000,
        "object": {str(n): n for n in range(2_000)},
    }
    calls = {
        **dict.fromkeys(("avg", "sum"), "{}(numbers)"),
        **dict.fromkeys(("max", "min", "sort", "reverse", "to_string"), "{}(texts)"),
        **dict.fromkeys(("keys", "values", "merge"), "{}(object)"),
        **dict.fromkeys(("max_by", "min_by", "sort_by"), "{}(numbers, &@)"),
        "map": "map(&@, numbers)",
        "contains": "contains(numbers, 'x')",
        "join": "join('', texts)",
    }
    if name in constant | ends:
        return
    work = Work(1_000_000)
    compiled(calls[name].format(name)).of(lists, work)
    assert 1_000_000 - work.left >= 2_000


SIZED = {
    "one": [1],
    "text": "x" * 320,
    "short": "y" * 160,
    "glue": "-" * 16,
    "texts": ["t" * 16] * 32,
    "numbers": list(range(32)),
    "object": {f"key {n:012}": n for n in range(10)},
    "lists": [[1, 2]] * 8,
}
UNITS = {
    # A step is a unit: each name, literal, operator and member of a list in brackets.
    "@": 1,
    "!text": 2,
    "text || short": 3,
    "missing && short": 3,
    "[text, short]": 3,
    "{a: text, b: short}": 5,
    "texts[0]": 3,
    # 16 characters of texts that are compared are one.
    "text == text": 3 + 20,
    "text == short": 3,
    "text < text": 3 + 20,
    "text < short": 3 + 10,
    # A member that is looked at is one, and each step taken for it.
    "texts == texts": 3 + 32 + 32,
    "texts == numbers": 3 + 32,
    "object == object": 3 + 10,
    "texts[1:]": 4 + 32 + 31,
    "texts[*].a": 2 + 32,
    "object.*": 2 + 10,
    "numbers[?@ < `99`].a": 2 + 32 * (3 + 1),
    "lists[]": 3 + 8 + 16 + 16,
    # A call is five more steps, and looks at each member for its type, where that matters.
    "length(texts)": 7,
    "type(texts)": 7,
    "sum(numbers)": 7 + 32,
    "avg(numbers)": 7 + 32,
    "join(glue, texts)": 8 + 32 + (32 + 32) + 32,
    "reverse(texts)": 7 + 32,
    "reverse(text)": 7 + 20,
    "contains(texts, 'x')": 8 + 32,
    "contains(texts, glue)": 8 + 32 + 32,
    "contains(text, 'x')": 8 + 1 + 20,
    "keys(object)": 7 + 10,
    "values(object)": 7 + 10,
    "merge(object, object)": 8 + 20,
    "map(&a, texts)": 7 + 32,
    "map(&!a, texts)": 7 + 32 * 2,
    # What compares all members takes six rounds for 32 of them.
    "min(numbers)": 7 + 32 + 6 * 32,
    "max(numbers)": 7 + 32 + 6 * 32,
    "sort(numbers)": 7 + 32 + 6 * 32,
    "sort(one)": 7 + 1 + 1,
    "sort(texts)": 7 + 2 * 32 + 6 * (32 + 32),
    "sort_by(numbers, &@)": 7 + 32 + 6 * 32,
    "min_by(texts, &@)": 7 + 32 + 6 * (32 + 32),
    "max_by(numbers, &@)": 7 + 32 + 6 * 32,
    # What is written as text is looked at with all its members and their names.
    "to_string(text)": 7,
    "to_string(numbers)": 7 + 33 + 32,
    "to_string(texts)": 7 + 33 + 2 * 32,
    "to_string(object)": 7 + 11 + (10 + 10) + 10,
}


@pytest.mark.parametrize(("text", "units"), UNITS.items())
def test_an_expression_takes_these_units_and_may_take_no_fewer(text, units):
    work = Work(units)
    compiled(text).of(SIZED, work)
    assert work.left == 0
    with pytest.raises(TooMuchWork):
        compiled(text).of(SIZED, Work(units - 1))


def test_a_value_is_nested_in_at_most_100_levels():
    def nested(levels, value):
        for _level in range(levels):
            value = [value]
        return value

    Work(1_000).take_whole(nested(100, "x"))
    with pytest.raises(TooMuchWork, match="the value is nested deeper than 100 levels"):
        Work(1_000).take_whole(nested(101, "x"))


@pytest.mark.parametrize("part", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_values_are_compared_to_150_levels(part):
    def nested(levels):
        value = 1
        for _level in range(levels):
            value = part(value)
        return value

    assert equal(nested(150), nested(150), Work(1_000))
    with pytest.raises(TooMuchWork, match="nested deeper than 150 levels"):
        equal(nested(151), nested(151), Work(1_000))


def test_a_right_number_of_arguments_has_no_fault():
    assert [FUNCTIONS["not_null"].wrong_number(given) for given in (1, 2)] == ["", ""]


@pytest.mark.parametrize("name", ["sort_by", "min_by", "max_by"])
def test_what_cannot_be_compared_is_named(name):
    items = {"items": [{"a": 1}, {"a": "x"}]}
    with pytest.raises(WrongType) as refused:
        compiled(f"{name}(items, &a)").of(items, Work(1_000))
    reason = f"{name} compares by strings, or by numbers, and has number and string"
    assert str(refused.value) == reason


def test_plain_steps_are_few_units():
    work = Work(1_000)
    text = "amount.total > `100` && starts_with(customer.country, 'D')"
    assert compiled(text).of({"amount": {"total": 150}, "customer": {"country": "DE"}}, work)
    assert 1_000 - work.left < 20


def test_a_value_counts_as_often_as_it_would_be_written():
    once, twice = Work(10_000), Work(10_000)
    once.take_whole(MANY["items"][:100])
    twice.take_whole([MANY["items"][:100]] * 2)
    assert 10_000 - twice.left == pytest.approx(2 * (10_000 - once.left), abs=5)


def test_a_deep_value_is_refused_before_it_could_end_the_process():
    deep = 0
    for _level in range(150):
        deep = [deep]
    with pytest.raises(TooMuchWork, match="nested deeper than 100 levels"):
        Work(10_000).take_whole(deep)
    assert result("@ == @", deep)
    with pytest.raises(TooMuchWork, match="nested deeper than 150 levels"):
        result("@ == @", [deep])


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-2, 2)
    | st.sampled_from(["", "a", "b", "é", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=12,
)
LEAVES = st.sampled_from(["a", "b", "c", "@", "`1`", "'a'", "`true`", "`null`", "`[1, 2]`", "`{}`"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({}.{})".format, inner, st.sampled_from(["a", "b", "*"])),
        st.builds("({} || {})".format, inner, inner),
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} == {})".format, inner, inner),
        st.builds("(!{})".format, inner),
        st.builds("({}[?{}])".format, inner, inner),
        st.builds("({}[*].{})".format, inner, st.sampled_from(["a", "[a, @]", "{x: b}"])),
        st.builds("({}[])".format, inner),
        st.builds("({}[{}])".format, inner, st.sampled_from(["0", "-1", "1:", "::-1"])),
        st.builds("({} | {})".format, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{x: {}, y: {}}}".format, inner, inner),
        st.builds("type({})".format, inner),
        st.builds("to_array({})".format, inner),
        st.builds("not_null({}, {})".format, inner, inner),
    ),
    max_leaves=8,
)


def _alike(one, other):
    """Whether JSON values are the same; the library may compare numbers with booleans."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@fuzzed(10)
@given(text=EXPRESSIONS, document=VALUES)
def test_any_expression_results_in_what_the_library_results_in(text, document):
    found = result(text, document)
    expected = jmespath.search(text, document)
    if not _alike(found, expected):
        # Python's == within lists and objects takes 1 for true.
        assert "==" in text
        assert {True, False} & set(_leaves(document) + _leaves(json.loads("[true]")))


def _leaves(value):
    if isinstance(value, dict):
        return [leaf for member in value.values() for leaf in _leaves(member)]
    if isinstance(value, list):
        return [leaf for member in value for leaf in _leaves(member)]
    return [value]


@fuzzed(10)
@given(text=st.text(st.sampled_from("ab.[]{}()*?|&!=<>`'\",:@0-1 é\\"), max_size=30))
def test_any_text_is_parsed_or_refused(text):
    try:
        tree = parse(text)
    except InvalidExpression as refused:
        assert 0 <= refused.position <= len(text)
    else:
        assert tree.nodes >= 1
