"""That the guard barks: what costs twice as much is over its bound, and bounds can be renewed."""

import json
import sqlite3

import pytest

from performance import counting
from performance.bounds import Bounds, over, rounded


def spent(times):
    """A cost that a change may double."""
    for number in range(times):
        json.dumps({"n": number})


def statements(times):
    with counting.statements() as seen:
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE t (n INTEGER)")
        seen.clear()
        connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(times)])
        connection.rollback()
        connection.close()
    return sum(statement.startswith("INSERT") for statement in seen)


def c_calls(times):
    with counting.c_calls() as calls:
        for _ in range(times):
            len("")
    return calls["builtins", "len"]


COUNTS = {
    "instructions": lambda times: counting.instructions(lambda: spent(times)),
    "statements": statements,
    "c_calls": c_calls,
    "blocks_kept": lambda times: counting.blocks_kept(lambda: [str(n) for n in range(times)]),
}


@pytest.mark.parametrize("way", COUNTS)
def test_a_doubled_cost_is_over_its_bound(way):
    count = COUNTS[way]
    count(10)
    once, again, doubled = count(1_000), count(1_000), count(2_000)
    bounds = Bounds({"t": {"n": rounded(once * 1.25)}})
    assert bounds.problem("t", "n", again, 1.25) is None
    assert "make bounds" in bounds.problem("t", "n", doubled, 1.25)


def test_a_count_may_reach_its_bound_and_needs_one():
    assert over("n", 3, 3) is None
    assert over("n", 3.01, 3) == "n: 3.01 counted, the bound is 3. If it has to be: make bounds"
    assert "no bound" in over("n", 0, None)


def test_bounds_are_set_anew_with_room(tmp_path):
    file = tmp_path / "bounds.toml"
    first = Bounds.read(file)
    for name, counted, room in [("a", 100, 1.25), ("b", 0.123, 2), ("c", 7, 1)]:
        first.problem("one", name, counted, room)
    first.problem("other", "kept: as it is", 5, 1)
    first.write(file)
    assert Bounds.read(file).tables == {
        "one": {"a": 125, "b": 0.25, "c": 7},
        "other": {"kept: as it is": 5},
    }

    second = Bounds.read(file)
    second.problem("one", "a", 50, 1.25)
    second.write(file)
    assert Bounds.read(file).tables == {"one": {"a": 63}, "other": {"kept: as it is": 5}}
    assert '"a" = 63 # 50\n' in file.read_text()
