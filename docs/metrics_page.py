"""Prints docs/metrics.md, made of the definitions of the metrics.

python docs/metrics_page.py > docs/metrics.md
"""

from callboard.webhooks.metrics.catalog import METRICS, Metric

HEAD = """\
# Metrics and health

<!-- Made by docs/metrics_page.py: change that, or webhooks/metrics/catalog.py. -->

`/metrics` of the [API](api.md) and `callboard metrics` give every metric in Prometheus' text
format, `/readyz` and `callboard health` say whether the node is ready and why not, `callboard top`
shows both to people.
[grafana/callboard.json](grafana/callboard.json) is a dashboard: import it and choose the data
source.

Every actor counts for itself and tells the actor `metrics` about once a second, if something has
changed. Totals do not go down when an actor dies, and lack at most what it had counted in its last
second; if `metrics` itself dies, they begin anew at what the others have counted since their
starts, which Prometheus takes for a reset. No label grows with hooks, accounts or endpoints.
An event that comes again, because a process died that had it, is counted again.

Several nodes: add the counters up. `callboard_retry_queue_messages` and
`callboard_failures_remembered` are the same on all nodes of a bus: take their maximum.

## Ready

A node is ready when its connections to the broker are up (those to other zones' brokers apart),
the document store answers (it is asked every five seconds), and every actor of the tree runs.

## What to watch

| question | query |
|---|---|
"""

WATCH = {
    "is it up": "min(callboard_broker_up) * min(callboard_store_up)",
    "do events pile up": "callboard_events_in_hand",
    "are endpoints in trouble": "sum(callboard_circuits)",
    "is an endpoint too slow": "rate(callboard_deliveries_parked_total[5m])",
    "are deliveries given up": 'increase(callboard_deliveries_total{outcome="given_up"}[1h])',
    "are events set aside": 'increase(callboard_events_total{outcome="poison"}[1h]) > 0',
    "how long do deliveries take": (
        "histogram_quantile(0.99, sum by (le) "
        "(rate(callboard_delivery_latency_seconds_bucket[5m])))"
    ),
    "does something crash": "increase(callboard_child_restarts_total[1h]) > 0",
}

TABLE = """\

## All metrics

| name | kind | labels | meaning |
|---|---|---|---|
"""


def row(metric: Metric) -> str:
    """A line of the table."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |\n"


def page() -> str:
    """The whole page."""
    watch = "".join(f"| {question} | `{query}` |\n" for question, query in WATCH.items())
    return HEAD + watch + TABLE + "".join(map(row, METRICS))


if __name__ == "__main__":
    print(page(), end="")
