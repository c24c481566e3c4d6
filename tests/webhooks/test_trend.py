import json

from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.catalog import DURATIONS_S
from callboard.webhooks.metrics.overview import merged, sample, snapshot
from callboard.webhooks.metrics.snapshot import EndpointSeen, Percentiles, as_plain
from callboard.webhooks.metrics.tally import Histogram, nothing
from callboard.webhooks.metrics.trend import Sample, Trend
from callboard.webhooks.values.event_outcomes import FIRED, NO_HOOK


def events(count, *durations_s, level=0):
    histogram = Histogram(DURATIONS_S)
    for duration_s in durations_s:
        histogram.observe(duration_s)
    values = histogram.distribution()
    return Sample({"events": count}, values, nothing(DURATIONS_S), {"waiting": level})


def run(trend, per_step, steps, first=0):
    for step in range(first, first + steps):
        trend.take(step * 2.0, 1000 + step * 2.0, events(step * per_step))
    return trend


def test_rates_are_over_the_last_minute():
    trend = run(Trend(DURATIONS_S), 20, 100)
    rates, _request, _latency = trend.recent()
    assert rates == {"events": 10.0}
    assert trend.window_s == 60.0


def test_before_there_is_a_minute_it_is_over_what_there_is():
    trend = Trend(DURATIONS_S)
    assert trend.recent() == ({}, Percentiles(), Percentiles())
    assert trend.window_s == 0.0
    trend.take(0, 0, events(5))
    assert trend.recent()[0] == {"events": 0.0}
    trend.take(2, 2, events(9))
    assert trend.recent()[0] == {"events": 2.0}


def test_what_is_long_ago_is_not_in_the_rate():
    trend = run(Trend(DURATIONS_S), 1000, 50)
    for step in range(50, 100):
        trend.take(step * 2.0, 0, events(49_000))
    assert trend.recent()[0] == {"events": 0.0}


def test_percentiles_are_of_what_was_measured_meanwhile():
    trend = Trend(DURATIONS_S)
    slow = [9.0] * 1000
    trend.take(0, 0, events(0, *slow))
    trend.take(2, 2, events(0, *slow, *[0.03] * 98, 0.8, 0.8))
    _rates, request_s, latency_s = trend.recent()
    assert 0.025 < request_s.p50 < request_s.p90 <= 0.05
    assert 0.5 < request_s.p99 <= 1.0
    assert latency_s == Percentiles()


def test_latencies_are_those_measured_meanwhile_too():
    trend = Trend(DURATIONS_S)
    for time, durations_s in ((0, [9.0] * 100), (2, [9.0] * 100 + [0.03] * 100)):
        request, latency = events(0), events(0, *durations_s).request
        trend.take(time, time, Sample({"events": 0}, request.request, latency, {}))
    assert 0.025 < trend.recent()[2].p50 <= trend.recent()[2].p99 <= 0.05


def test_a_point_of_the_series_covers_two_steps():
    trend = Trend(DURATIONS_S)
    for step, count in enumerate((0, 0, 0, 40, 40, 40)):
        trend.take(2 * step, 1000 + 2 * step, events(count))
    assert trend.series().rates["events"] == (0.0, 0.0, 0.0, 10.0, 10.0, 0.0)


def test_the_series_is_bounded_and_in_step():
    trend = run(Trend(DURATIONS_S), 20, 1000)
    series = trend.series()
    assert len(series.at_unix_s) == 600.0 / 2.0 == 300
    assert series.at_unix_s[-1] == 1000 + 999 * 2.0
    assert set(series.rates["events"]) == {10.0}
    assert len(series.levels["waiting"]) == len(series.request_s["p99"]) == 300


KEY = (catalog.EVENTS.name, ("sms", FIRED))


def test_what_was_not_there_before_was_zero():
    trend = Trend(DURATIONS_S)
    none = nothing(DURATIONS_S)
    trend.take(0, 1000, Sample({}, none, none, {}))
    trend.take(2, 1002, Sample({"events": 8}, none, none, {"waiting": 3}))
    series = trend.series()
    assert series.rates == {"events": (0.0, 4.0)}
    assert series.levels == {"waiting": (0.0, 3)}


def test_the_snapshot_is_plain_json_in_a_known_shape():
    trend = Trend(DURATIONS_S)
    counters = {
        KEY: 7,
        (catalog.EVENTS.name, ("sms", NO_HOOK)): 2,
        (catalog.ATTEMPTS.name, ("5xx",)): 3,
        (catalog.CHILD_RESTARTS.name, ("event_bridge",)): 1,
    }
    gauges = {
        (catalog.RETRY_QUEUE_MESSAGES.name, ("5s",)): 4.0,
        (catalog.RETRY_QUEUE_MESSAGES.name, ("due",)): 1.0,
        (catalog.CIRCUITS.name, ("open",)): 2.0,
    }
    trend.take(0, 1000, sample(counters, {}, gauges))
    seen = snapshot(counters, gauges, trend, [], now_unix_s=1000, since_unix_s=900)
    found = json.loads(json.dumps(as_plain(seen)))
    assert found["totals"]["events"] == 9
    assert (found["totals"]["fired"], found["totals"]["no_hook"]) == (7, 2)
    assert found["events"] == {"sms": 9}
    assert found["attempts"] == {"5xx": 3}
    assert found["retry_queue"] == {"5s": 4, "due": 1}
    assert found["levels"]["retry_queue"] == 5
    assert found["levels"]["circuits_open"] == 2
    assert found["restarts"] == {"event_bridge": 1}
    assert found["series"]["at_unix_s"] == [1000]
    assert set(found["rates"]) == set(found["totals"])


def test_an_endpoint_of_several_deliverers_is_one():
    seen = merged(
        [
            EndpointFigures("http://a:80", 2, 1, "closed", 0),
            EndpointFigures("http://b:80", 0, 1, "open", 12, "timeout", 99.0),
            EndpointFigures("http://a:80", 3, 4, "closed", 2, "closed", 1.5),
            EndpointFigures("http://b:80", 1, 0, "half-open", 15, "failed_connect", 60.9),
        ]
    )
    assert seen == (
        EndpointSeen("http://b:80", 1, 1, "open", 15, "failed_connect", 60),
        EndpointSeen("http://a:80", 5, 5, "closed", 2, "closed", 1),
    )


def test_of_equal_failures_the_first_error_is_told():
    seen = merged(
        EndpointFigures("http://a:80", 0, 1, "open", 5, error) for error in ("first", "second")
    )
    assert [(one.failures, one.error) for one in seen] == [(5, "first")]


def test_only_the_worst_and_busiest_endpoints_are_told():
    seen = merged(EndpointFigures(f"http://{n}:80", n, 0, "closed", 0) for n in range(200))
    assert len(seen) == 50
    assert seen[0].endpoint == "http://199:80"


def test_of_equally_busy_endpoints_the_failing_ones_come_first():
    seen = merged(
        [
            EndpointFigures("http://c:80", 0, 4, "closed", 0),
            EndpointFigures("http://b:80", 2, 2, "closed", 0),
            EndpointFigures("http://d:80", 4, 0, "closed", 3),
            EndpointFigures("http://a:80", 9, 9, "closed", 0),
            EndpointFigures("http://e:80", 0, 0, "half-open", 1),
        ]
    )
    assert [one.endpoint[7] for one in seen] == ["e", "a", "d", "b", "c"]


TOTALS = {
    "messages": "messages_received_total",
    "acknowledged": "messages_acknowledged_total",
    "events": "events_total sms skipped",
    "fired": "events_total sms fired",
    "no_hook": "events_total sms no_hook",
    "no_account": "events_total sms no_account",
    "filtered": "events_total sms filtered",
    "poison": "events_total sms poison",
    "made": "deliveries_made_total sms",
    "attempts": "attempts_total 2xx",
    "failed_attempts": "attempts_failed_total",
    "delivered": "deliveries_total delivered",
    "given_up": "deliveries_total given_up",
    "put_off": "deliveries_put_off_total",
    "parked": "deliveries_parked_total",
}
LEVELS = {
    "in_hand": "events_in_hand",
    "in_flight": "requests_in_flight",
    "waiting": "deliveries_waiting",
    "retrying": "deliveries_retrying",
    "retry_queue": "retry_queue_messages 5s",
    "attempts_waiting": "attempts_waiting",
    "hooks": "hooks",
    "circuits_open": "circuits open",
    "circuits_half_open": "circuits half_open",
}


def figures(names):
    """A number for each metric, counted from 1, by its name and labels."""
    keys = [(f"callboard_{name}", tuple(labels)) for name, *labels in map(str.split, names)]
    return {key: number for number, key in enumerate(keys, 1)}


def test_each_figure_is_that_of_its_metric():
    found = sample(figures(TOTALS.values()), {}, figures(LEVELS.values()))
    of_events = {"events": 3 + 4 + 5 + 6 + 7 + 8}
    assert found.totals == dict(zip(TOTALS, range(1, 16), strict=True)) | of_events
    assert found.levels == dict(zip(LEVELS, range(1, 10), strict=True))
    empty = sample({}, {}, {})
    assert empty.totals == dict.fromkeys(TOTALS, 0)
    assert empty.levels == dict.fromkeys(LEVELS, 0)


def test_the_durations_are_those_of_requests_and_of_events():
    request, delivery = Histogram(DURATIONS_S), Histogram(DURATIONS_S)
    request.observe(0.2)
    delivery.observe(3.0)
    spread = {
        ("callboard_request_duration_seconds", ()): request.distribution(),
        ("callboard_delivery_latency_seconds", ()): delivery.distribution(),
    }
    found = sample({}, spread, {})
    assert (found.request.sum, found.latency.sum) == (0.2, 3.0)
