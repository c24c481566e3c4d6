"""`callboard status`, `tree`, `health`, `metrics` and `top` of a system that answers."""

import json
import time

import pytest
from attrs import asdict, evolve

from callboard.actors.messages import GetFigures, GetHealth, GetMetrics, Health, MetricsText
from callboard.actors.system.data_lock import Owner
from callboard.cli.system import attached, top
from callboard.supervision import GetTree, TreeNode
from callboard.webhooks.metrics.catalog import DURATIONS_S
from callboard.webhooks.metrics.health import Problem
from callboard.webhooks.metrics.overview import snapshot
from callboard.webhooks.metrics.trend import Trend
from support.metrics import SINCE, SINCE_TEXT, unready

NOW_S = 1_800_000_000.0


def node(id, status="running", restarts=0, children=(), **stats):
    return TreeNode(id, id, "Actor", "", status, 7, NOW_S - 61, restarts, stats, tuple(children))


WELL = node("", children=[node("cache", restarts=2, hooks=3, failures=0), node("ended", "ended")])
BROKEN = evolve(WELL, children=(node("cache", "down", restarts=1), node("table", "down")))
LOST = Problem("worker", "machine w is lost", SINCE)


@pytest.fixture
def system(running, monkeypatch):
    """The same, of the process 42, which runs for 100 s."""
    monkeypatch.setattr(time, "time", lambda: NOW_S)
    owner = Owner(42, "multiprocTCPBase", "127.0.0.1", 1900, NOW_S - 100.04)
    monkeypatch.setattr(attached, "owner_of", lambda _settings: owner)
    return running


def test_the_status_of_a_complete_system(system):
    system.answer(GetTree, WELL)
    system.answer(GetHealth, Health())
    ran = system.run("status")
    assert (ran.exit_code, [" ".join(line.split()) for line in ran.stdout.splitlines()]) == (
        0,
        [
            "running for 1 min 40 s (process 42), 2 actors, tree whole",
            "ready",
            "actor figures",
            "cache hooks=3",
        ],
    )
    assert system.asked == [("top", GetTree()), ("metrics", GetHealth())]


def test_the_status_of_a_system_that_lacks_actors(system):
    system.answer(GetTree, BROKEN)
    system.answer(GetHealth, unready("a is down"))
    ran = system.run("status")
    assert (ran.exit_code, ran.stdout.splitlines()[:2]) == (
        1,
        [
            "running for 1 min 40 s (process 42), 2 actors, tree not complete: cache, table",
            f"not ready: a is down (since {SINCE_TEXT})",
        ],
    )


@pytest.mark.parametrize(
    ("tree", "exit_code", "whole", "down", "restarts"),
    [(WELL, 0, True, [], 2), (BROKEN, 1, False, ["cache", "table"], 1)],
)
def test_the_status_for_programs(system, tree, exit_code, whole, down, restarts):
    system.answer(GetTree, tree)
    system.answer(GetHealth, Health(degraded=(LOST,)))
    ran = system.run("status", "--json")
    figures = {"cache": {"hooks": 3, "failures": 0}} if whole else {}
    assert (ran.exit_code, json.loads(ran.stdout)) == (
        exit_code,
        {
            "running": True,
            "whole": whole,
            "not_running": down,
            "ready": True,
            "problems": [],
            "details": [],
            "degraded": [{"kind": "worker", "what": "machine w is lost", "since": SINCE_TEXT}],
            "pid": 42,
            "uptime_s": 100.0,
            "restarts": restarts,
            "actors": figures,
        },
    )


def test_the_tree(system):
    system.answer(GetTree, WELL, WELL)
    head, top_row, cache, ended = system.run("tree").stdout.splitlines()
    assert head.split() == ["actor", "class", "pid", "uptime", "restarts", "status", "figures"]
    assert top_row.split() == ["callboard", "Actor", "7", "running"]
    up = ["7", "1", "min", "1", "s"]
    assert cache.split() == ["├─", "cache", "Actor", *up, "2", "running", "hooks=3"]
    assert ended.split() == ["└─", "ended", "Actor", *up, "0", "ended"]
    shown = json.loads(system.run("tree", "--json").stdout)
    assert shown == json.loads(json.dumps(asdict(WELL)))


@pytest.mark.parametrize(
    ("health", "exit_code", "lines"),
    [
        (Health(), 0, ["ready"]),
        (
            Health(degraded=(LOST,)),
            0,
            ["ready", f"degraded: machine w is lost (since {SINCE_TEXT})"],
        ),
        (
            unready("a is down", "b is down"),
            1,
            [f"not ready: {one} is down (since {SINCE_TEXT})" for one in "ab"],
        ),
    ],
)
def test_the_health(system, health, exit_code, lines):
    system.answer(GetHealth, health, health)
    ran = system.run("health")
    assert (ran.exit_code, ran.stdout.splitlines()) == (exit_code, lines)
    ran = system.run("health", "--json")
    assert (ran.exit_code, json.loads(ran.stdout)) == (exit_code, health.as_plain())
    assert system.asked == [("metrics", GetHealth())] * 2


def test_the_metrics_are_printed_as_they_are(system):
    system.answer(GetMetrics, MetricsText("# HELP a b\na 1\n", "text/plain"))
    assert system.run("metrics").stdout == "# HELP a b\na 1\n"
    assert system.asked == [("metrics", GetMetrics())]


FIGURES = snapshot({}, {}, Trend(DURATIONS_S), [], now_unix_s=NOW_S, since_unix_s=NOW_S - 60)


@pytest.mark.parametrize("options", [("--once",), ()])
def test_the_view_is_printed_once_where_there_is_no_terminal(system, monkeypatch, options):
    monkeypatch.setattr(top, "attach", attached.attach)
    system.answer(GetTree, WELL)
    system.answer(GetFigures, FIGURES)
    system.answer(GetHealth, Health())
    ran = system.run("top", *options)
    lines = ran.stdout.splitlines()
    assert (ran.exit_code, lines[0].split()[1:]) == (0, ["ready"])
    assert lines[1].split()[:5] == ["actor", "pid", "up", "restarts", "status"]
    # The figures are beside the tree, as a page has 160 columns.
    assert "  status    over 0 s   " in lines[1]
    assert system.asked == [
        ("top", GetTree()),
        ("metrics", GetFigures()),
        ("metrics", GetHealth()),
    ]


def test_programs_get_the_whole_view(system, monkeypatch):
    monkeypatch.setattr(top, "attach", attached.attach)
    system.answer(GetTree, WELL)
    system.answer(GetFigures, FIGURES)
    system.answer(GetHealth, Health())
    shown = json.loads(system.run("top", "--json").stdout)
    assert list(shown) == ["health", "figures", "tree"]
    assert shown["health"] == Health().as_plain()
    assert shown["tree"] == json.loads(json.dumps(asdict(WELL)))
    assert {"rates", "totals", "levels"} <= shown["figures"].keys()
