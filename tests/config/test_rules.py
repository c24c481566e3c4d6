"""Which values a key may have: each rule at its ends, and its words in messages."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from callboard.config import rules
from callboard.config.options import options

A_NETWORK = ip_network("10.0.0.0/8")

CASES = {
    "a whole number from 2 to 5": (
        rules.whole(2, 5),
        {2: 2, 5: 5, "3": 3},
        [1, 6, "six", 3.0, True, None, [3]],
    ),
    "one of a, b": (rules.choice("a", "b"), {"a": "a", "b": "b"}, ["c", "", None, 1]),
    "a number from 0 to 1": (
        rules.fraction(),
        {0: 0.0, 1: 1.0, "0.5": 0.5},
        [-0.01, 1.01, "x", True, None, "nan"],
    ),
    "true or false": (
        rules.flag(),
        {
            **{True: True, "true": True, "YES": True, "1": True},
            **{False: False, "false": False, "No": False, "0": False},
        },
        ["on", "", 1, None],
    ),
    "three letters": (rules.text("three letters", "[a-z]{3}"), {"abc": "abc"}, ["abcd", "ab", 3]),
    "a URL: memory:// or amqp://user:password@host:port/…, amqps://user:password@host:port/…": (
        rules.url("memory", "amqp", "amqps"),
        {
            "memory://": "memory://",
            "amqp://h": "amqp://h",
            "amqps://u:p@h:1/x": "amqps://u:p@h:1/x",
        },
        [
            "memory:",
            "amqp://",
            "http://h",
            "amqp://h:99999",
            "amqp://h/ x",
            "amqp://h/x\ty",
            "h",
            7,
        ],
    ),
    "a URL: memory:// or amqp://user:password@host:port/…, or a list of such URLs": (
        rules.cluster("memory", "amqp"),
        {
            "memory://": "memory://",
            "amqp://u:p@h": "amqp://u:p@h",
            "amqp://a:1/v, amqp://b": "amqp://a:1/v,amqp://b",
            "amqp://a amqp://b,amqp://c": "amqp://a,amqp://b,amqp://c",
            ("amqp://u:p,q@a", "amqp://b"): "amqp://u:p,q@a,amqp://b",
        },
        ["", (), "amqp://a,", "amqp://a http://b", "amqp://a memory://", ("amqp://a", 7), 7],
    ),
    "a list of URLs, or of lists of them: amqp://user:password@host:port/…": (
        rules.clusters("amqp"),
        {
            "": (),
            "amqp://a  amqp://b": ("amqp://a", "amqp://b"),
            ("amqp://a",): ("amqp://a",),
            "amqp://a,amqp://b amqp://c": ("amqp://a,amqp://b", "amqp://c"),
            (("amqp://a", "amqp://b"), "amqp://c"): ("amqp://a,amqp://b", "amqp://c"),
        },
        ["http://a", "amqp://a http://b", "://a", "://", "//a", 7, ((),)],
    ),
    "true, false or empty": (
        rules.flag_or_empty(),
        {"": None, None: None, "yes": True, False: False},
        ["on", 2],
    ),
    "an IP address": (
        rules.address(),
        {"127.0.0.1": "127.0.0.1", "::1": "::1", "0:0::1": "::1"},
        ["localhost", 7, "127.0.0.256"],
    ),
    "a list of networks such as 10.0.0.0/8, fd00::/8": (
        rules.networks(),
        {
            "": (),
            " 10.0.0.0/8 ,, fd00::/8": (A_NETWORK, ip_network("fd00::/8")),
            ("10.0.0.0/8",): (A_NETWORK,),
            (A_NETWORK,): (A_NETWORK,),
        },
        ["10.0.0.1/8", "x", 7],
    ),
    "a list of ports such as 80, 443": (
        rules.ports(),
        {"": (), "1, 65535,": (1, 65535), (80, "443"): (80, 443)},
        ["0", "65536", "x", 80],
    ),
    "a list of red, blue": (
        rules.names("red", "blue"),
        {"": (), "red": ("red",), " blue , red,": ("blue", "red"), ("red", ""): ("red",)},
        ["green", "red blue", 7, ("red", 7)],
    ),
    "a list of origins such as https://portal.example.com": (
        rules.origins(),
        {
            "": (),
            "https://A.example/, http://b:8080,": ("https://a.example", "http://b:8080"),
            ("https://a",): ("https://a",),
            "https://shop.mx/": ("https://shop.mx",),
        },
        ["ftp://a", "https://", "https://a/b", "https://u@a", 7, (7,)],
    ),
    "a list of seconds above 0 such as 5, 300, 1800": (
        rules.durations(),
        {"5, 0.5": (5.0, 0.5), (2_592_000,): (2_592_000.0,)},
        ["", "0", "-1", "2592001", (True,), (None,), (), "x", "5,"],
    ),
    "a list, not empty, of letters": (
        rules.strings("letters", "[a-z]"),
        {("a", "b"): ("a", "b")},
        [(), "a", ("ab",), (1,), None],
    ),
    "a list, not empty, of words": (
        rules.strings("words", "[a-z]+", optional=True),
        {(): (), ("ab",): ("ab",)},
        [[], "a", ("a1",), None],
    ),
    "a list of ids": (
        rules.identifiers(),
        {"": (), "a, b-1,": ("a", "b-1"), ("a", " b "): ("a", "b")},
        ["a b", "a" * 129, 7, (7,)],
    ),
    "a list of letters": (
        rules.words("letters", "[a-z]"),
        {"": (), "a, b,": ("a", "b"), ("a", ""): ("a",)},
        ["ab", 7, (7,)],
    ),
    "names": (
        rules.table("names", rules.whole(1, 2)),
        {},
        [{"a": 3}, [], "a", None],
    ),
    "samples": (
        rules.json_tables("samples"),
        {(): ()},
        ["", {}, None, 7, [1], [{"a": float("nan")}]],
    ),
    "a text, a number, true or false": (
        rules.scalar(),
        {"a": "a", 2: 2, 1.5: 1.5, True: True},
        [None, [], {}],
    ),
}


@pytest.mark.parametrize("allowed", CASES)
def test_a_rule(allowed):
    rule, permitted, refused = CASES[allowed]
    assert rule.allowed == allowed
    for written, value in permitted.items():
        converted = rule(written)
        assert (converted, type(converted)) == (value, type(value)), written
    for written in refused:
        with pytest.raises(ValueError) as problem:
            rule(written)
        assert str(problem.value) == f"must be {allowed}"


@pytest.mark.parametrize("written", ["", {}, set(), None, 7, [{"a": 1}, "b"], [{"a": 3}]])
def test_what_is_no_list_of_tables_is_refused(written):
    with pytest.raises((TypeError, ValueError)):
        rules.tables("tables", rules.whole(1, 2)).convert(written)


def test_a_table_and_a_list_keep_their_values():
    assert rules.table("names", rules.whole(1, 2))({"a": 1, "b": "2"}) == {"a": 1, "b": 2}
    assert rules.strings("letters", "[a-z]")(["a"]) == ("a",)
    assert rules.tables("tables", rules.whole(1, 2))([{"a": 1}, {}]) == ({"a": 1}, {})
    assert rules.json_tables("samples")([{"a": [None]}]) == ({"a": [None]},)


def test_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    rule = rules.path(lambda: Path("default"))
    assert rule("") == rule(None) == Path("default")
    assert rule("~/a") == tmp_path / "a"
    assert rule("/a/b") == rule(Path("/a/b")) == Path("/a/b")
    with pytest.raises(ValueError, match=r"^must be a path$"):
        rule(7)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://user:sesame@host/", "amqp://user:***@host/"),
        ("http://:sesame@a and http://u:p@b/", "http://:***@a and http://u:***@b/"),
        ("amqp://user:a@b@host/", "amqp://user:***@host/"),
        ("amqp://user@host/", "amqp://user@host/"),
        ("a:b@c", "a:b@c"),
        ("amqp://u:p@a,amqp://u:q@b", "amqp://u:***@a,amqp://u:***@b"),
        ("amqp://a,amqp://u:q@b", "amqp://a,amqp://u:***@b"),
    ],
)
def test_passwords_of_urls_are_hidden(text, shown):
    assert rules.mask(text) == shown


LIMITS = Path(__file__).parents[1] / "data" / "setting_limits.txt"
"""The defaults and limits of all settings, as docs/reference tells them."""


def test_defaults_and_limits():
    found = [
        f"{o.key} | {o.default!r} | {o.rule.allowed} | {o.rule.type.__name__}"
        + (" | secret" if o.secret else "")
        for o in options()
    ]
    assert sorted(found) == LIMITS.read_text().splitlines()


def test_the_contrast_of_dark_colours_is_that_of_wcag():
    """Relative luminance: a part of at most 0.04045 (10 of 255) is divided by 12.92."""
    for ground, colour in (("#f4f4f2", "#000000"), ("#f4f4f2", "#0a0b0a"), ("#797979", "#0a0a0a")):
        assert rules.readable_colour(ground)(colour) == colour
    for ground in ("#767676", "#787878"):
        with pytest.raises(ValueError, match=rf"contrast of 4\.5 to {ground}"):
            rules.readable_colour(ground)("#0a0a0a")
