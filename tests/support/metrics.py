"""The metrics of a running system, in the form for Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from callboard.actors.messages import GetHealth, GetMetrics, Health, MetricsText
from callboard.webhooks.metrics.health import Problem

SINCE, SINCE_TEXT = 1_700_000_000.0, "2023-11-14T22:13:20Z"


def metrics(system):
    """Every sample, by name and label values."""
    text = system.client.ask_actor("metrics", GetMetrics(), MetricsText).text
    return {
        (sample.name.removeprefix("callboard_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def health(system):
    return system.client.ask_actor("metrics", GetHealth(), Health)


def unready(*problems, kind="broker"):
    """The health of a node with these problems, all of them since SINCE."""
    return Health(tuple(Problem(kind, what, SINCE) for what in problems))
