"""The page of metrics is current, and the dashboard asks for metrics that exist."""

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import yaml

from callboard.cli import main
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.catalog import METRICS
from services import missing

DOCS = Path(__file__).parents[1] / "docs"
SUFFIXES = ("_bucket", "_sum", "_count")


def asked_for(text):
    """The metrics that queries name, with the labels they use."""
    return set(re.findall(r"callboard_[a-z_]+", text))


def known():
    names = {metric.name for metric in METRICS}
    histograms = [m.name for m in METRICS if m.kind == catalog.HISTOGRAM]
    return names | {name + suffix for name in histograms for suffix in SUFFIXES}


def expressions():
    dashboard = json.loads((DOCS / "grafana" / "callboard.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return targets + [v["definition"] for v in dashboard["templating"]["list"] if "definition" in v]


def test_the_page_is_current():
    made = runpy.run_path(str(DOCS / "metrics_page.py"))["page"]()
    assert (DOCS / "metrics.md").read_text() == made, (
        "python docs/metrics_page.py > docs/metrics.md"
    )


def test_the_page_and_the_dashboard_ask_for_what_there_is():
    queries = "\n".join([*expressions(), (DOCS / "metrics.md").read_text()])
    assert asked_for(queries) <= known()


def test_the_dashboard_uses_labels_that_there_are():
    labels = {label for metric in METRICS for label in metric.labels} | {"instance", "le"}
    for expression in expressions():
        used = re.findall(r"by \(([^)]*)\)", expression)
        used += re.findall(r"[{,]([a-z]+)=", expression)
        assert {name.strip() for names in used for name in names.split(",")} <= labels


# Alerts


def alerts():
    groups = yaml.safe_load((DOCS / "grafana" / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_alerts_ask_for_metrics_labels_and_values_that_there_are():
    labels = {label for metric in METRICS for label in metric.labels} | {"instance", "le"}
    assert alerts()
    for rule in alerts():
        found = asked_for(rule["expr"])
        assert found, rule
        assert found <= known(), rule
        used = set(re.findall(r"[{,]\s*([a-z]+)=", rule["expr"]))
        for names in re.findall(r"(?:by|on) \(([^)]*)\)", rule["expr"]):
            used |= {name.strip() for name in names.split(",")}
        assert used <= labels, rule
        shown = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        kept = {
            name
            for names in re.findall(r"by \(([^)]*)\)", rule["expr"])
            for name in re.split(r",\s*", names)
        }
        assert shown <= (kept or labels), rule
        text = "\n".join(metric.help for metric in METRICS if metric.name in found)
        for value in re.findall(r'="(\w+)"', rule["expr"]):
            assert re.search(rf"\b{value}\b", text), rule


def test_alerts_have_a_severity_and_say_what_to_do():
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule
        assert set(rule["annotations"]) == {"summary", "description"}, rule
        for word in re.findall(r"`callboard ([\w-]+)", rule["annotations"]["description"]):
            assert word in main.commands, rule
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())


def test_prometheus_takes_the_alerts_and_they_fire_when_they_should():
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "apt-get install --no-install-recommends prometheus")
    tests = Path(__file__).parent / "data" / "alerts.yaml"
    for arguments in (
        ["check", "rules", DOCS / "grafana" / "alerts.yaml"],
        ["test", "rules", tests],
    ):
        run = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr


def test_panels_do_not_overlap():
    dashboard = json.loads((DOCS / "grafana" / "callboard.json").read_text())
    taken = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
