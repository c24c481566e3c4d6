"""Uptimes, figures and branches of `callboard tree`."""

import pytest
from attrs import evolve

from callboard.cli.system.tree_text import age, branches, figures_text, print_tree
from callboard.supervision import TreeNode


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59.99, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (3661, "1 h 1 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
        (2 * 86_400 + 5 * 3600 + 59 * 60, "2 d 5 h"),
        (400 * 86_400, "400 d 0 h"),
    ],
)
def test_an_uptime_has_its_two_largest_units(seconds, text):
    assert age(seconds) == text


def node(id, *children):
    return TreeNode(id, id, "Actor", "", "running", 1, 2.0, 0, {}, children)


def test_branches_lead_to_every_descendant():
    top = node("top", node("a", node("b"), node("c", node("d"))), node("e", node("f")))
    assert [branch + child.id for branch, child in branches(top, "")] == [
        "├─ a",
        "│  ├─ b",
        "│  └─ c",
        "│     └─ d",
        "└─ e",
        "   └─ f",
    ]


@pytest.mark.parametrize("label", ["", "webhooks_cache"])
def test_without_kazoo_no_column_names_its_actors(label, capsys):
    print_tree(node("callboard", evolve(node("failure_cache"), label=label)))
    out = capsys.readouterr().out
    assert "failure_cache" in out
    assert (
        ("in Kazoo" in out) == ("webhooks_sup" in out) == ("webhooks_cache" in out) == bool(label)
    )


def test_figures_are_shown_without_zeros():
    assert figures_text({"broker": "up", "received": 7, "works": 0}) == "broker=up received=7"


def test_the_top_is_the_first_row_and_has_no_uptime_restarts_or_figures(capsys):
    child = TreeNode("cache", "cache", "Cache", "", "running", 7, None, 3, {"failures": 2}, ())
    print_tree(evolve(node("callboard", evolve(child, label="webhooks_cache")), pid=42))
    headers, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert headers == [
        *("actor", "class", "pid", "uptime", "restarts", "status", "figures"),
        *("in", "Kazoo"),
    ]
    assert rows == [
        ["callboard", "Actor", "42", "running", "webhooks_sup"],
        ["└─", "cache", "Cache", "7", "3", "running", "failures=2", "webhooks_cache"],
    ]
