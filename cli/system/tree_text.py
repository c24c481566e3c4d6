"""The supervision tree and its nodes, as text."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from callboard.cli.terminal.output import print_table
from callboard.supervision import TreeNode


def print_tree(top: TreeNode) -> None:
    """The tree as a table: actor, process, uptime, restarts and figures.

    A narrow terminal shows no figures: those are in `callboard status`, too.
    """
    rows: list[tuple[object, ...]] = [
        ("callboard", top.actor, top.pid, "", "", top.status, "", "webhooks_sup")
    ]
    rows += [(f"{branch}{n.id}", *_cells(n)) for branch, n in branches(top, "")]
    print_table(
        ("actor", "class", "pid", "uptime", "restarts", "status", "figures", "in Kazoo"),
        rows,
        optional=("figures", "in Kazoo", "class"),
    )


def _cells(node: TreeNode) -> tuple[object, ...]:
    uptime = age(time.time() - node.started_at) if node.started_at else ""
    figures = figures_text(node.stats)
    return node.actor, node.pid, uptime, node.restarts, node.status, figures, node.label


def branches(node: TreeNode, indent: str) -> Iterator[tuple[str, TreeNode]]:
    """Every descendant, with the lines that lead to it."""
    for child in node.children:
        last = child is node.children[-1]
        yield indent + ("└─ " if last else "├─ "), child
        yield from branches(child, indent + ("   " if last else "│  "))


def figures_text(stats: Mapping[str, Any]) -> str:
    """The figures for people, without zeros."""
    return " ".join(f"{name}={value}" for name, value in stats.items() if value != 0)


def age(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
