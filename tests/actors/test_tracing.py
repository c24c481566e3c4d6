"""What the settings make of an actor's tracing, and of the events that a bridge has in hand."""

import pytest

from callboard.actors.base.tracing import tracing
from callboard.actors.events.event_spans import EventSpans
from callboard.adapters.broker.protocol import IncomingMessage, Properties
from callboard.config import AmqpSettings, NodeSettings, Settings, TracingSettings
from callboard.config.logs import logger
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.retries.outcome import Response
from support.collector import Collector

PARENT = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
DELIVERY = Delivery(
    "d", "e", "h", "a", "all", "http://h/", "POST", "http://h/", (), b"", trace=PARENT
)


def message(tag, headers=None):
    return IncomingMessage(tag, "e", "k", b"{}", Properties(headers=headers or {}))


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture
def tracing_with():
    """tracing_with(**settings) -> the tracing of an actor."""
    made = []

    def tracing_with(**settings):
        settings = Settings(
            node=NodeSettings(name="n@h"),
            amqp=AmqpSettings(url="amqp://bus"),
            tracing=TracingSettings(**settings),
        )
        made.append(tracing(settings, "event_bridge", logger(), own_process=False))
        return made[-1]

    yield tracing_with
    for one in made:
        one.close()


@pytest.mark.parametrize("propagate", [True, False])
@pytest.mark.parametrize("on", [True, False])
def test_endpoints_hear_of_the_trace_if_they_may(propagate, on, tracing_with, collector):
    endpoint = collector.url if on else ""
    span = tracing_with(endpoint=endpoint, propagate=propagate).deliver(DELIVERY, 0)
    span.answered(Response(200))
    assert (span.context is not None) == propagate
    if on:
        assert collector.wait_for_spans(1)[0].trace_id == PARENT.trace_id


def test_settings_say_where_spans_go_and_who_sends_them(tracing_with, collector):
    tracing_with(endpoint=f"{collector.url}/otlp", headers="x-key=k", service_name="hooks").match(
        "m", None
    ).end()
    (span,) = collector.wait_for_spans(1)
    ((path, headers),) = collector.requests
    assert (path, headers["x-key"]) == ("/otlp", "k")
    assert span.resource["service.name"] == "hooks"
    assert span.resource["service.instance.id"] == "n@h/event_bridge"


def test_no_trace_is_recorded_where_the_ratio_is_nought(tracing_with, collector):
    tracing = tracing_with(endpoint=collector.url, sample_ratio=0)
    tracing.match("begun here", None).end()
    tracing.match("begun elsewhere", PARENT).end()
    assert [span.name for span in collector.wait_for_spans(1)] == ["match begun elsewhere"]


def test_each_event_in_hand_has_a_span_until_it_is_settled(tracing_with, collector):
    spans = EventSpans(tracing_with(endpoint=collector.url), "q")
    told = spans.begin(message(1, {"traceparent": PARENT.traceparent}))
    for tag in (2, 3, 4):
        spans.begin(message(tag))
    spans.end([1, 7])
    spans.fail("given back", [2])
    spans.fail("lost")
    spans.end([1, 2, 3, 4])  # they are no longer in hand
    sent = {
        span.attributes["messaging.rabbitmq.message.delivery_tag"]: span
        for span in collector.wait_for_spans(4)
    }
    assert {tag: span.reason for tag, span in sent.items()} == {
        1: "",
        2: "given back",
        3: "lost",
        4: "lost",
    }
    assert sent[1].parent_id == PARENT.parent_id
    assert told.parent_id == sent[1].span_id
    assert sent[1].attributes["messaging.system"] == "rabbitmq"


def test_what_is_in_hand_when_the_bridge_stops_is_sent_with_the_others(collector):
    """The tracing is closed with the spans, and sends what it has: nothing else closes it."""
    settings = Settings(tracing=TracingSettings(endpoint=collector.url))
    spans = EventSpans(tracing(settings, "event_bridge", logger(), own_process=False), "q")
    spans.begin(message(1))
    spans.close()
    assert [span.reason for span in collector.spans] == ["stopped"]


def test_the_context_of_an_event_goes_with_it_although_nothing_is_traced():
    """`tracing.propagate`: what others have begun goes on."""
    headers = {"traceparent": PARENT.traceparent}
    spans = EventSpans(tracing(Settings(), "event_bridge", logger(), own_process=False), "q")
    found = spans.begin(message(1, headers))
    assert found is not None
    assert found.traceparent == PARENT.traceparent
    assert spans.begin(message(2)) is None
    spans.close()
