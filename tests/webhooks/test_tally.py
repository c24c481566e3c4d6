import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.catalog import METRICS, Metric
from callboard.webhooks.metrics.tally import (
    Distribution,
    FigureSet,
    Histogram,
    Tally,
    nothing,
    quantile,
)

BUCKETS = (1.0, 2.0, 4.0)
COUNTED = Metric("callboard_counted_total", "Counted.", labels=("kind",))
LEVEL = Metric("callboard_level", "A level.", catalog.GAUGE)
SPREAD = Metric("callboard_spread", "A spread.", catalog.HISTOGRAM, (), BUCKETS)


def observed(*values):
    histogram = Histogram(BUCKETS)
    for value in values:
        histogram.observe(value)
    return histogram.distribution()


def test_bounds_belong_to_their_bucket():
    assert observed(0, 1, 1.1, 2, 4, 4.1, 99) == Distribution((2, 2, 1, 2), 111.2)


def test_distributions_are_added_and_subtracted():
    assert observed(1, 3) + observed(9) == observed(1, 3, 9)
    assert observed(1, 3, 9) - observed(9) == observed(1, 3)


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ((), 0.5, None),
        ((0.5,), 1.0, 1.0),
        ((0.5, 0.5, 0.5, 0.5), 0.5, 0.5),
        ((1.5, 1.5, 1.5, 1.5), 0.5, 1.5),
        ((0.5, 1.5, 3, 3), 0.5, 2.0),
        ((0.5, 1.5, 3, 3), 0.75, 3.0),
        ((3,), 0.0, 2.0),
        ((99, 100), 0.5, 4.0),
    ],
)
def test_quantiles(values, part, expected):
    assert quantile(BUCKETS, observed(*values), part) == expected


@given(st.lists(st.floats(0, 4), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_in_the_bucket_of_the_value_it_stands_for(values, part):
    found = quantile(BUCKETS, observed(*values), part)
    exact = sorted(values)[max(0, -(-int(part * len(values) * 1e6) // 1_000_000) - 1)]
    edges = [0.0, *BUCKETS]
    below = max((e for e in edges if e < exact), default=0.0)
    assert found >= below


def test_a_tally_counts_sets_and_observes():
    tally = Tally()
    tally.count(COUNTED, "a")
    tally.count(COUNTED, "a", by=3)
    tally.count(COUNTED, "b", by=0)
    tally.set(LEVEL, 7)
    tally.observe(SPREAD, 1.5)
    before = tally.figures()
    tally.count(COUNTED, "a")
    tally.set(COUNTED, 12, "b")
    tally.observe(SPREAD, 1.5)
    assert before == FigureSet(
        {("callboard_counted_total", ("a",)): 4, ("callboard_counted_total", ("b",)): 0},
        {("callboard_level", ()): 7},
        {("callboard_spread", ()): observed(1.5)},
    )
    assert tally.figures().counters["callboard_counted_total", ("b",)] == 12
    assert tally.figures() != before


def test_nothing_has_a_place_for_every_bucket():
    assert nothing(BUCKETS) + observed(3) == observed(3)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions_of_prometheus(metric):
    assert metric.name.endswith("_total") == (metric.kind == catalog.COUNTER)
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.kind == catalog.HISTOGRAM)
    assert list(metric.buckets) == sorted(metric.buckets)
    assert not {"hook", "account", "endpoint", "uri"} & set(metric.labels)


def test_no_name_is_taken_twice():
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_buckets_are_those_that_dashboards_know():
    seconds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
    sizes = (1, 2, 5, 10, 20, 50, 100, 200, 500)
    found = {metric.name: metric.buckets for metric in METRICS if metric.buckets}
    assert found == {
        "callboard_batch_size": sizes,
        "callboard_delivery_latency_seconds": seconds,
        "callboard_request_duration_seconds": seconds,
        "callboard_store_probe_duration_seconds": seconds,
    }
