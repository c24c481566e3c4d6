from prometheus_client.parser import text_string_to_metric_families

from callboard.adapters.telemetry.prometheus import exposition
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.tally import Tally
from callboard.webhooks.values.event_outcomes import FIRED


def families(tally):
    figures = tally.figures()
    text = exposition(figures.counters, figures.distributions, figures.gauges)
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_every_metric_of_the_catalog_is_there_with_its_help_and_type():
    found = families(Tally())
    for metric in catalog.METRICS:
        family = found[metric.name.removesuffix("_total")]
        assert (family.documentation, family.type) == (metric.help, metric.kind)


def test_values_come_through_with_their_labels():
    tally = Tally()
    tally.count(catalog.EVENTS, "sms", FIRED, by=3)
    tally.count(catalog.MESSAGES_RECEIVED, by=12)
    tally.set(catalog.BROKER_UP, 1, 'a "quoted"\nactor')
    found = families(tally)
    (event,) = found["callboard_events"].samples
    assert (event.labels, event.value) == ({"event": "sms", "outcome": "fired"}, 3)
    assert [s.value for s in found["callboard_messages_received"].samples] == [12]
    assert [s.value for s in found["callboard_messages_requeued"].samples] == [0]
    (up,) = found["callboard_broker_up"].samples
    assert up.labels == {"actor": 'a "quoted"\nactor'}


def test_histograms_are_cumulative_and_end_with_infinity():
    tally = Tally()
    for seconds in (0.002, 0.002, 0.3, 100):
        tally.observe(catalog.REQUEST_SECONDS, seconds)
    samples = families(tally)["callboard_request_duration_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.5"], buckets["60.0"]) == (0, 2, 3, 3)
    assert buckets["+Inf"] == 4
    assert {s.value for s in samples if s.name.endswith("_count")} == {4}
    assert {s.value for s in samples if s.name.endswith("_sum")} == {100.304}
