"""The page of metrics is current, and the dashboard asks for metrics that exist."""

import json
import re
import runpy
from pathlib import Path

from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.catalog import METRICS

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
