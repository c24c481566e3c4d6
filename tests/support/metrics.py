"""The metrics of a running system, in the form for Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from callboard.actors.messages import GetHealth, GetMetrics, Health, MetricsText


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
