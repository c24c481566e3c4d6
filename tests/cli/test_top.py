import io
import json
import time

import attrs
import pytest
from click.testing import CliRunner
from rich.console import Console

from callboard.actors.messages import Health
from callboard.cli import main
from callboard.cli.system.top_view import View, view
from callboard.supervision import TreeNode
from callboard.webhooks.metrics.catalog import DURATIONS_S
from callboard.webhooks.metrics.health import Problem
from callboard.webhooks.metrics.overview import snapshot
from callboard.webhooks.metrics.snapshot import EndpointSeen, Percentiles
from callboard.webhooks.metrics.trend import Trend
from support.metrics import SINCE, SINCE_TEXT, unready

NOW = 1_000_000.0


def node(id, status="running", restarts=0, up_s=100.0, children=()):
    pid, started_at = (1234, NOW - up_s) if status == "running" else (None, None)
    return TreeNode(id, id, "Actor", "", status, pid, started_at, restarts, {}, children)


TREE = node(
    "", children=(node("event_bridge"), node("deliveries", children=(node("deliverer-1"),)))
)
FIGURES = attrs.evolve(
    snapshot({}, {}, Trend(DURATIONS_S), [], now_unix_s=NOW, since_unix_s=NOW - 60),
    request_s=Percentiles(0.0123, 0.5, 2.0),
    endpoints=(EndpointSeen("https://example.com:443", 3, 40, "open", 17),),
    retry_queue={"1s": 0, "5m": 12},
)
WELL = View(TREE, FIGURES, Health(), now_unix_s=NOW)


def shown(seen, *, styled=False):
    console = Console(width=160, record=True, force_terminal=True, file=io.StringIO())
    console.print(view(seen))
    return console.export_text(styles=styled)


RATES = ("events", "fired", "poison", "attempts", "failed_attempts", "delivered", "given_up")
LEVELS = ("in_hand", "in_flight", "waiting", "retry_queue", "hooks")
BUSY = attrs.evolve(
    FIGURES,
    window_s=59.6,
    rates={name: 1.26 * number for number, name in enumerate(RATES, 1)},
    totals={name: 1100 * number for number, name in enumerate((*RATES, "put_off"), 1)},
    levels={name: 1000.4 + number for number, name in enumerate(LEVELS)},
    latency_s=Percentiles(0.001, None, 3.25),
)
WHOLE = """\
actor               pid          up  restarts  status    over 60 s      per second  in all
├─ event_bridge    1234  1 min 40 s         2  running   events                1.3   1,100
└─ deliveries      1234  1 min 40 s            running     with hooks          2.5   2,200
   └─ deliverer-1                              down        quarantined         3.8   3,300
                                                         requests              5.0   4,400
                                                           failed              6.3   5,500
                                                         delivered             7.6   6,600
                                                         exhausted             8.8   7,700
                                                         deferred              0.0   8,800

                                                         milliseconds        p50    p90      p99
                                                         request            12.3  500.0  2,000.0
                                                         event to delivery   1.0      -  3,250.0

                                                         now
                                                         events in progress  1,000
                                                         requests in flight  1,001
                                                         waiting             1,002
                                                         in the retry queue  1,003
                                                         hooks               1,004
                                                         5m: 12

                                                         endpoint                 in flight  \
waiting  circuit  failures
                                                         https://example.com:443          3  \
     40  open           17
"""


def test_the_whole_view():
    children = (
        node("event_bridge", restarts=2),
        node("deliveries", children=(node("deliverer-1", status="down"),)),
    )
    seen = View(node("", children=children), BUSY, None, now_unix_s=NOW)
    _time, *lines = (line.rstrip() for line in shown(seen).splitlines())
    assert lines == WHOLE.splitlines()


def test_one_that_started_by_a_clock_ahead_is_up_for_no_time():
    tree = node("", children=(node("b", up_s=-5.0), node("c", up_s=0.0)))
    text = shown(attrs.evolve(WELL, tree=tree))
    assert [line.split()[2:5] for line in text.splitlines() if "─ " in line][:2] == [
        ["1234", "0", "s"],
        ["1234", "0", "s"],
    ]


def test_the_tree_is_beside_the_figures_if_both_fit():
    def lines(width):
        console = Console(width=width, record=True, force_terminal=True, file=io.StringIO())
        console.print(view(WELL))
        return [line.rstrip() for line in console.export_text().splitlines()]

    needed = max(map(len, lines(160)))
    assert lines(needed) == lines(160)
    assert lines(needed - 1)[1].startswith("over")


def test_the_fifteen_busiest_endpoints_are_shown():
    many = tuple(EndpointSeen(f"https://e{n}.example:443", 0, 0, "closed", 0) for n in range(16))
    text = shown(attrs.evolve(WELL, figures=attrs.evolve(FIGURES, endpoints=many)))
    assert "https://e14.example" in text
    assert "https://e15.example" not in text


def test_everything_is_shown():
    text = shown(WELL)
    for words in ("ready", "├─ event_bridge", "   └─ deliverer-1", "1 min 40 s", "12.3", "2,000.0"):
        assert words in text
    assert "5m: 12" in text
    assert "1s: 0" not in text
    assert "https://example.com:443" in text
    assert "open" in text


def test_why_it_is_not_ready_is_shown():
    text = shown(attrs.evolve(WELL, health=unready("a is down", "the store is down: x")))
    assert f"a is down (since {SINCE_TEXT}); the store is down: x (since {SINCE_TEXT})" in text


def test_what_comes_from_outside_cannot_steer_the_terminal():
    evil = "\x1b[2J\u202e"
    endpoint = EndpointSeen(f"https://e{evil}:443", 0, 0, "open", 1)
    figures = attrs.evolve(FIGURES, endpoints=(endpoint,))
    health = unready(f"the store is down: {evil}")
    text = shown(attrs.evolve(WELL, figures=figures, health=health))
    assert evil not in text
    assert "https://e" + r"\x1b[2J\u202e" + ":443" in text
    assert "the store is down: " + r"\x1b[2J\u202e" in text
    assert r"gone \x1b[2J" in shown(attrs.evolve(WELL, problem=f"gone {evil}"))


def test_a_restart_is_pointed_at_for_a_while():
    def with_bridge(**facts):
        return shown(attrs.evolve(WELL, tree=node("", children=(node("b", **facts),))), styled=True)

    assert "\x1b[7m" in with_bridge(restarts=1, up_s=3.0)
    assert "\x1b[7m" not in with_bridge(restarts=1, up_s=30.0)
    assert "\x1b[7m" not in with_bridge(restarts=0, up_s=3.0)
    assert "\x1b[1;31m" in with_bridge(status="down")


BROKEN = Problem("broker", "the broker is down", SINCE)
LOST = Problem("worker", "machine w is lost", SINCE)


@pytest.mark.parametrize(
    ("health", "colour", "words"),
    [
        (Health(), "32", "ready"),
        (
            Health(degraded=(LOST, LOST)),
            "33",
            f"ready, but degraded: machine w is lost (since {SINCE_TEXT}); "
            f"machine w is lost (since {SINCE_TEXT})",
        ),
        (Health((BROKEN,)), "31", f"not ready: the broker is down (since {SINCE_TEXT})"),
        (Health((BROKEN,), (LOST,)), "31", f"not ready: the broker is down (since {SINCE_TEXT})"),
    ],
)
def test_the_first_line_is_the_time_and_the_health(health, colour, words):
    first = shown(attrs.evolve(WELL, health=health), styled=True).splitlines()[0].rstrip()
    clock, _space, rest = first.partition("  ")
    assert clock == time.strftime("%H:%M:%S", time.localtime(NOW))
    assert rest == f"\x1b[1;{colour}m{words}\x1b[0m"


def test_before_the_health_is_known_the_first_line_is_the_time():
    first = shown(attrs.evolve(WELL, health=None)).splitlines()[0]
    assert first.strip() == time.strftime("%H:%M:%S", time.localtime(NOW))


@pytest.mark.parametrize(
    ("facts", "style"),
    [
        ({}, ""),
        ({"status": "ended"}, ""),
        ({"status": "restarting"}, "\x1b[1;31m"),
        ({"restarts": 1, "up_s": 9.9}, "\x1b[7m"),
        ({"restarts": 1, "up_s": 10.0}, ""),
    ],
)
def test_an_actor_s_row_is_styled_by_its_state(facts, style):
    seen = attrs.evolve(WELL, tree=node("", children=(node("b", **facts),)), figures=None)
    (row,) = (line for line in shown(seen, styled=True).splitlines() if "─ b" in line)
    assert row.startswith(style + "└─ b")
    assert ("\x1b" in row) is bool(style)


def test_an_endpoint_whose_circuit_is_not_closed_is_red():
    endpoints = [EndpointSeen(f"https://{c}.e:443", 0, 0, c, 0) for c in ("open", "closed")]
    figures = attrs.evolve(FIGURES, endpoints=tuple(endpoints))
    text = shown(attrs.evolve(WELL, figures=figures), styled=True)
    assert "\x1b[31mhttps://open.e:443" in text
    assert "\x1b[31mhttps://closed.e:443" not in text


def test_a_row_is_one_line_on_a_terminal_that_is_too_narrow():
    seen = attrs.evolve(WELL, tree=node("", children=(node("an actor of a long name"),)))
    console = Console(width=30, record=True, force_terminal=True, file=io.StringIO())
    console.print(view(attrs.evolve(seen, figures=None)))
    _headline, _header, *rows = console.export_text().splitlines()
    assert len(rows) == 1
    assert "…" in rows[0]


def test_what_is_missing_is_said_and_the_rest_is_shown():
    text = shown(attrs.evolve(WELL, problem="no [answer]"))
    assert "no [answer]" in text
    assert "event_bridge" in text
    assert "no figures" in shown(View(TREE))
    assert "no tree" in shown(View(problem="gone"))


@pytest.mark.parametrize("command", [["health"], ["metrics"], ["top", "--once"], ["top", "--json"]])
def test_without_a_system(command, tmp_path):
    environment = {"CALLBOARD_CONFIG": "/dev/null", "CALLBOARD_DATA_DIR": str(tmp_path)}
    ran = CliRunner().invoke(main, command, env=environment)
    assert ran.exit_code == 1
    assert "no system is running" in ran.output


def test_the_status_without_a_system(tmp_path):
    environment = {"CALLBOARD_CONFIG": "/dev/null", "CALLBOARD_DATA_DIR": str(tmp_path)}
    ran = CliRunner().invoke(main, ["status"], env=environment)
    assert (ran.exit_code, ran.stdout.split()) == (1, ["not", "running", "on", str(tmp_path)])
    ran = CliRunner().invoke(main, ["status", "--json"], env=environment)
    assert (ran.exit_code, json.loads(ran.stdout)) == (
        1,
        {"running": False, "data_dir": str(tmp_path)},
    )


def test_on_a_narrow_terminal_the_tree_is_below_the_figures():
    deep = node("deliveries_sup", children=(node("deliverer-16"), node("retry_queue")))
    seen = View(node("", children=(deep,)), BUSY, Health(), now_unix_s=NOW)
    console = Console(width=80, record=True, force_terminal=True, file=io.StringIO())
    console.print(view(seen))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("over 60 s")
    assert lines.index("actor                pid          up  restarts  status") > 10
    for words in ("   ├─ deliverer-16", "in the retry queue  1,003", "https://example.com:443"):
        assert any(words in line for line in lines), words
    assert not any("…" in line for line in lines)
