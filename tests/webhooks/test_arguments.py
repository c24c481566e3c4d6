"""Arguments of maintenance commands (webhooks.md, section 11)."""

import pytest

from callboard.webhooks.hooks.arguments import (
    BadArgument,
    NotOnThisNode,
    account_argument,
    choice_argument,
    count_argument,
    cursor_argument,
    definition_argument,
    due_argument,
    expiry_argument,
    hook_argument,
    ids_argument,
    key_argument,
    limit_argument,
    place_argument,
    time_argument,
    version_argument,
)

ACCOUNT = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
DATABASE = "a1/b2/c3d4e5f60718293a4b5c6d7e8f90"


@pytest.mark.parametrize(
    "named",
    [
        ACCOUNT,
        ACCOUNT.upper(),
        f"account/{DATABASE}",
        f"account%2F{DATABASE}".replace("/", "%2F"),
        f"account/{DATABASE}-202611",
    ],
)
def test_an_account_is_named_by_its_id_or_its_database(named):
    assert account_argument(named) == ACCOUNT


def test_an_account_of_another_bus_is_named_as_it_is():
    assert account_argument("customer-7") == "customer-7"


@pytest.mark.parametrize("bad", ["", " ", "a b", "account/a1/b2", "a%2Fb", "é", "a\n", None, 7, []])
def test_what_names_no_account_is_refused(bad):
    with pytest.raises(BadArgument, match="names no account: give its id, or its database"):
        account_argument(bad)


@pytest.mark.parametrize(
    ("given", "taken"),
    [("60000", 60000), (60000, 60000), ("1500.5", 1501), (1500.4, 1500), ("6.0e4", 60000)],
)
def test_integers_may_be_written_as_floats(given, taken):
    assert expiry_argument(given) == taken


@pytest.mark.parametrize("bad", ["", "abc", "1m", "6 0", None, True, [], float("nan")])
def test_no_integer_is_refused_in_kazoos_words(bad):
    with pytest.raises(BadArgument) as expiry:
        expiry_argument(bad)
    assert str(expiry.value) == "error in expiry time, must be an integer (milliseconds)"
    with pytest.raises(BadArgument) as count:
        count_argument(bad)
    assert str(count.value) == "error in count, must be an integer"


@pytest.mark.parametrize("bad", [0, -1, 10**12])
def test_numbers_that_mean_nothing_are_refused_with_what_is_allowed(bad):
    with pytest.raises(BadArgument, match=r"\(milliseconds\) from 1 to 86400000$"):
        expiry_argument(bad)
    with pytest.raises(BadArgument, match=r"integer from 1 to 10000$"):
        count_argument(bad)
    assert (count_argument(1), count_argument("10000")) == (1, 10000)


def test_a_definition_is_named_with_or_without_the_prefix():
    known = {"parking", "object"}
    assert definition_argument("parking", known) == "webhooks_parking"
    assert definition_argument("webhooks_parking", known) == "webhooks_parking"
    for bad in ("park", "webhooks_", "", None, ["parking"]):
        with pytest.raises(BadArgument, match="there are object, parking"):
            definition_argument(bad, known)


def test_hooks_pages_and_versions_are_checked_too():
    assert hook_argument("h") == "h"
    assert cursor_argument((), 1) == ()
    assert cursor_argument(("a",), 1) == ("a",)
    assert key_argument(()) is None
    assert key_argument(("a", "h")) == ("a", "h")
    assert place_argument(()) is None
    assert place_argument(("63867000000", "l1")) == (63_867_000_000, "l1")
    assert limit_argument(7, 100) == 7
    assert limit_argument(700, 100) == 100
    version_argument(1, 1)
    for check, bad in [
        (hook_argument, ""),
        (hook_argument, None),
        (lambda v: cursor_argument(v, 1), ("a", "b")),
        (lambda v: cursor_argument(v, 1), (7,)),
        (lambda v: cursor_argument(v, 1), "a"),
        (key_argument, ("a",)),
        (place_argument, ("63867000000",)),
        (place_argument, ("yesterday", "l1")),
        (place_argument, ("-1", "l1")),
        (place_argument, ("9" * 5000, "l1")),
        (lambda v: limit_argument(v, 100), 0),
        (lambda v: limit_argument(v, 100), "7"),
        (lambda v: limit_argument(v, 100), True),
        (lambda v: version_argument(v, 1), 2),
        (lambda v: version_argument(v, 1), "1"),
    ]:
        with pytest.raises(BadArgument):
            check(bad)


@pytest.mark.parametrize("check", [due_argument, lambda time: place_argument((time, "l1"))])
def test_of_a_time_that_is_none_a_hundred_characters_are_shown(check):
    with pytest.raises(BadArgument) as problem:
        check("x" * 5000)
    assert str(problem.value) == f"'{'x' * 100}' is no page's end: it is no time"


@pytest.mark.parametrize(
    ("check", "digits"),
    [(due_argument, 16), (lambda time: place_argument((time, "l1"))[0], 12)],
)
def test_a_time_has_at_most_so_many_digits(check, digits):
    assert check("9" * digits) == 10**digits - 1
    with pytest.raises(BadArgument):
        check("9" * (digits + 1))


def test_ids_are_given_once_and_so_many_at_a_time():
    assert ids_argument((), 3) == ()
    assert ids_argument(("b", "a", "b"), 3) == ("b", "a")
    for bad in (["a"], "a", ("a", ""), ("a", 7), None):
        with pytest.raises(BadArgument, match="is no tuple of ids"):
            ids_argument(bad, 3)
    with pytest.raises(BadArgument, match=r"^3 ids are given: 2 are taken at a time$"):
        ids_argument(("a", "a", "b"), 2)


def test_a_time_is_of_the_years_1970_to_9999():
    last_s = 253_402_300_799.5
    assert [time_argument(time) for time in (0, 1.5, last_s)] == [0.0, 1.5, last_s]
    for bad in (-1, 253_402_300_800, float("nan"), True, "1", None):
        with pytest.raises(BadArgument, match=r"is no time in Unix seconds$"):
            time_argument(bad)


def test_a_choice_is_one_of_the_words():
    assert choice_argument("all", ("one", "all")) == "all"
    with pytest.raises(BadArgument, match=r"^'none' is none of one, all$"):
        choice_argument("none", ("one", "all"))


def test_where_no_definition_is_known_that_is_said():
    with pytest.raises(BadArgument, match=r"'parking' is no hook definition: there are none$"):
        definition_argument("parking", ())


def test_what_a_node_does_not_permit_names_the_setting():
    refused = NotOnThisNode("it is 0", "delivery.waiting_index_mb")
    assert (str(refused), refused.setting) == ("it is 0", "delivery.waiting_index_mb")
