"""Configuration: settings or ConfigError, which names the place."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.actors.base.event_modules import event_modules
from callboard.config import options
from callboard.config.loader import ConfigError, load
from callboard.config.settings import Settings
from support.fuzz import fuzzed, texts

OPTIONS = [option for option in options() if option.section != "node" or option.name != "x"]
MODULE = """
[[modules]]
id = "order_paid"
exchange = "shop"
bindings = ["order.*.paid"]
account = "data.customer.id"
only = { "data.state" = "paid" }
fields = { order = "data.id" }
"""


@pytest.fixture(scope="module")
def file():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "callboard.toml"


def loaded(file, environ):
    try:
        settings = load(file, environ).settings
    except ConfigError as error:
        assert str(error)
        return None
    assert isinstance(settings, Settings)
    repr(settings)
    event_modules(settings)
    return settings


written = (
    texts
    | st.integers()
    | st.sampled_from(
        (
            *("0", "1", "65535", "-1", "1_0", " 7 ", "\u0663", "1e3", "0x10", "9" * 5000),
            *(
                "http://[",
                "http://h:99999",
                "http://a:b@h:1",
                "amqp://",
                "sqlite://",
                "https://[::1]",
            ),
            *("10.0.0.0/8,", "10.0.0.1/8", "::/0", ",", "80,443", "80,,", "1-2", "~", "~nobody/x"),
            *("a@b", "{hostname}@{0}", "{", "true", "No", "debug", "text", "\0"),
        )
    )
).map(str)


def toml_text(text):
    """A TOML basic string of any text but surrogates, which UTF-8 has not."""
    return '"' + "".join(f"\\U{ord(c):08X}" for c in text if not 0xD800 <= ord(c) <= 0xDFFF) + '"'


toml = st.one_of(
    written.map(toml_text),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(("true", "1.5", "nan", "inf", "1979-05-27", "[]", "[1, 'a']", "[[]]", "{}")),
    st.lists(written.map(toml_text), max_size=3).map(lambda items: f"[{', '.join(items)}]"),
)


@fuzzed(3)
@given(st.dictionaries(st.sampled_from([option.variable for option in OPTIONS]), written))
def test_the_environment(file, environ):
    file.write_text("")
    loaded(file, environ)


@fuzzed()
@given(texts, texts)
def test_variables_that_name_nothing(file, name, value):
    file.write_text("")
    loaded(file, {f"CALLBOARD_{name}": value})


@fuzzed(3)
@given(st.lists(st.tuples(st.sampled_from(OPTIONS), toml), max_size=3))
def test_a_file_with_odd_values(file, chosen):
    sections = {}
    for option, value in chosen:
        sections.setdefault(option.section, {})[option.name] = value
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        lines.extend(f"{name} = {value}" for name, value in keys.items())
    file.write_text("\n".join(lines), encoding="utf-8")
    loaded(file, {})


@fuzzed(2)
@given(
    st.sampled_from([line for line in MODULE.splitlines() if "=" in line]),
    toml,
    st.sampled_from(("id", "exchange", "bindings", "account_id", "only", "fields", "x", "name")),
)
def test_modules_with_odd_values(file, line, value, key):
    name = line.partition(" ")[0]
    text = MODULE.replace(line, f"{name} = {value}")
    file.write_text(text, encoding="utf-8")
    loaded(file, {})
    file.write_text(f"{MODULE}\n{key} = {value}", encoding="utf-8")
    loaded(file, {})


@fuzzed(2)
@given(
    st.binary()
    | st.text("[]{}=\"'#.\n\\ua0_-x").map(str.encode)
    | st.sampled_from(
        (b"a=" + b"[" * 100_000, b"[delivery]\nports=" + b"[" * 2000, b"[[modules]]", b"modules=1")
    )
)
def test_a_file_of_anything(file, data):
    file.write_bytes(data)
    loaded(file, {})
