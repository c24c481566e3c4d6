"""The documentation, the help texts and the default settings avoid the words of a list.

The list is tests/data/prose_words.toml. `make lint` runs this file.
"""

from functools import cache

import pytest

from support.prose import LIST, findings, read_rules, texts, unused_exceptions

RULES = read_rules(LIST.read_text())


@cache
def read_texts():
    """Read by the tests: each worker would take seconds to read them while it collects tests."""
    return texts(RULES)


def test_no_text_uses_a_word_of_the_list():
    found = [line for name, text in read_texts().items() for line in findings(RULES, name, text)]
    assert not found, "\n" + "\n".join(found)


def test_every_exception_is_needed():
    assert list(unused_exceptions(RULES, read_texts())) == []


def test_each_kind_of_text_is_read():
    expected = {"README.md", "docs/adr/0001-embedded-broker-in-sqlite.md", "config/default.toml"}
    expected |= {
        "cli/hooks/commands.py",
        "embed.py",
        "callboard --help",
        "callboard hooks add --help",
    }
    expected |= {"reference: endpoints", "reference: settings"}
    found = read_texts()
    assert expected <= found.keys()
    assert all(found[name].strip() for name in expected)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.md", "fine\nNobody waits.", ['a.md:2: "Nobody": write a noun']),
        ("a.md", "it is\nset\naside here", ['a.md:2: "set aside": write quarantine']),
        ("a.md", "offset aside", []),
        ("a.md", "## what is it\nwhat is it", ['a.md:2: "what is": write the noun']),
        ("b.md", "nobody", []),
        ("a.md", "URI uri", ['a.md:1: "uri": write URL']),
    ],
)
def test_a_word_is_found_with_its_line(name, text, expected):
    rules = read_rules(
        '[[words]]\nword = "nobody"\nwrite = "a noun"\n'
        '[[words]]\nword = "set aside"\nwrite = "quarantine"\n'
        '[[words]]\nword = "what is"\nwrite = "the noun"\nheadings = false\n'
        '[[words]]\nword = "uri"\nwrite = "URL"\ncase = true\n'
        '[[exceptions]]\nfile = "b.md"\nword = "nobody"\nreason = "a name"\n'
    )
    assert list(findings(rules, name, text)) == expected


def test_an_exception_needs_a_reason():
    with pytest.raises(ValueError, match="no reason"):
        read_rules('words = []\n[[exceptions]]\nfile = "a.md"\nword = "nobody"\n')
