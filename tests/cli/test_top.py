import io

import attrs
import pytest
from click.testing import CliRunner
from rich.console import Console

from callboard.actors.messages import Health
from callboard.cli import main
from callboard.cli.system.top_view import View, view
from callboard.supervision import TreeNode
from callboard.webhooks.metrics.catalog import DURATIONS_S
from callboard.webhooks.metrics.overview import snapshot
from callboard.webhooks.metrics.snapshot import EndpointSeen, Percentiles
from callboard.webhooks.metrics.trend import Trend

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
WELL = View(TREE, FIGURES, Health(True), now_unix_s=NOW)


def shown(seen, *, styled=False):
    console = Console(width=160, record=True, force_terminal=True, file=io.StringIO())
    console.print(view(seen))
    return console.export_text(styles=styled)


def test_everything_is_shown():
    text = shown(WELL)
    for words in ("ready", "├─ event_bridge", "   └─ deliverer-1", "1 min 40 s", "12.3", "2,000.0"):
        assert words in text
    assert "5m: 12" in text
    assert "1s: 0" not in text
    assert "https://example.com:443" in text
    assert "open" in text


def test_why_it_is_not_ready_is_shown():
    text = shown(attrs.evolve(WELL, health=Health(False, ("a is down", "the store is down: x"))))
    assert "not ready: a is down; the store is down: x" in text


def test_what_comes_from_outside_cannot_steer_the_terminal():
    evil = "\x1b[2J\u202e"
    endpoint = EndpointSeen(f"https://e{evil}:443", 0, 0, "open", 1)
    figures = attrs.evolve(FIGURES, endpoints=(endpoint,))
    unready = Health(False, (f"the store is down: {evil}",))
    text = shown(attrs.evolve(WELL, figures=figures, health=unready))
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
