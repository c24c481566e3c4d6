"""Spans at the collector: their places in the trace, what they tell, and what they must not."""

import atexit
import logging
import socket
import threading
import time

import pytest
from attrs import evolve

from callboard.adapters.broker.protocol import IncomingMessage, Properties
from callboard.adapters.telemetry.otlp import QUEUE_SPANS, OtlpTracing
from callboard.adapters.telemetry.otlp import Collector as Target
from callboard.adapters.telemetry.tracing import NoTracing
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.retries.outcome import ClientError, Response
from services import free_port
from support.collector import Collector
from support.patience import patient

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = TraceContext(f"00-{TRACE}-{SPAN}-01", "vendor=1")
UNSAMPLED = TraceContext(f"00-{TRACE}-{SPAN}-00")
MESSAGE = IncomingMessage(7, "callevt", "call.CHANNEL_CREATE.x", b"{}")
SECRET_URL = "https://user:pa55word@hooks.example.com:8443/services/T0/t0ken?key=s3cret#f"
DELIVERY = Delivery(
    "d1", "e1", "h1", "a1", "channel_create", SECRET_URL, "POST", SECRET_URL, (), b"{}"
)


def until(condition, timeout_s=20.0):
    """Wait until it is true."""
    end = time.monotonic() + patient(timeout_s)
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture
def tracing_to():
    """tracing_to(url, …) -> OtlpTracing, closed with the test; `said` is what it reports.

    `times`: of the collector. `close` is patient: the tests look at what has come by then.
    """
    made = []

    def tracing_to(url, *, headers=None, times=None, **options):
        said = []
        target = Target(
            f"{url}/v1/traces",
            headers or {},
            lambda event, **facts: said.append((event, facts)),
            **times or {},
        )
        options = {"close_s": 20.0} | options
        made.append(OtlpTracing(target, {"service.name": "s"}, **options))
        made[-1].said = said
        return made[-1]

    yield tracing_to
    for tracing in made:
        tracing.close()
    logging.getLogger("opentelemetry").propagate = True


def test_the_spans_of_an_event_are_one_trace(collector, tracing_to):
    tracing = tracing_to(collector.url)
    consumed = tracing.consume(MESSAGE, "callboard.events", PARENT)
    matched = tracing.match("channel_create", consumed.context)
    sent = tracing.deliver(evolve(DELIVERY, trace=matched.context), 0)
    sent.answered(Response(204))
    matched.end(deliveries=1)
    consumed.end()
    tracing.close()
    post, match, consume = collector.spans
    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert [consume.parent_id, match.parent_id, post.parent_id] == [
        SPAN,
        consume.span_id,
        match.span_id,
    ]
    assert [consume.name, match.name, post.name] == [
        "consume callboard.events",
        "match channel_create",
        "POST",
    ]
    assert [consume.kind, match.kind, post.kind] == ["consumer", "internal", "client"]
    assert sent.context == TraceContext(f"00-{TRACE}-{post.span_id}-01", "vendor=1")
    assert {span.trace_state for span in collector.spans} == {"vendor=1"}
    assert {span.status for span in collector.spans} == {"unset"}
    assert consume.attributes == {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "process",
        "messaging.operation.name": "consume",
        "messaging.destination.name": "callevt:call.CHANNEL_CREATE.x:callboard.events",
        "messaging.rabbitmq.destination.routing_key": "call.CHANNEL_CREATE.x",
        "messaging.rabbitmq.message.delivery_tag": 7,
        "messaging.message.body.size": 2,
        "callboard.redelivered": False,
    }
    assert match.attributes == {"callboard.module": "channel_create", "callboard.deliveries": 1}
    assert post.attributes == {
        "http.request.method": "POST",
        "http.request.body.size": 2,
        "http.response.status_code": 204,
        "server.address": "hooks.example.com",
        "server.port": 8443,
        "url.full": "https://hooks.example.com:8443/REDACTED",
        "callboard.account.id": "a1",
        "callboard.delivery.id": "d1",
        "callboard.hook.id": "h1",
        "callboard.hook.event": "channel_create",
    }
    assert consume.resource["service.name"] == "s"
    assert "service.version" in consume.resource


def test_the_first_span_of_a_trace_has_no_parent(collector, tracing_to):
    tracing = tracing_to(collector.url)
    span = tracing.consume(
        evolve(MESSAGE, properties=Properties(message_id="m-1"), redelivered=True), "q", None
    )
    span.end()
    tracing.close()
    (sent,) = collector.spans
    assert sent.parent_id == ""
    assert span.context.trace_id == sent.trace_id
    assert span.context.tracestate == ""
    assert span.context.flags & 1
    assert sent.attributes["messaging.message.id"] == "m-1"
    assert sent.attributes["callboard.redelivered"] is True


def test_what_goes_wrong_is_told_by_its_kind(collector, tracing_to):
    tracing = tracing_to(collector.url)
    outcomes = (
        Response(400),
        Response(399),
        ClientError("failed_connect: econnrefused", "to user:pa55word@10.0.0.1"),
    )
    for attempts_made, outcome in enumerate(outcomes):
        tracing.deliver(evolve(DELIVERY, trace=PARENT), attempts_made).answered(outcome)
    tracing.consume(MESSAGE, "q", PARENT).fail("given back")
    tracing.close()
    failed, redirected, refused, given_back = collector.spans
    assert (failed.status, failed.attributes["error.type"]) == ("error", "400")
    assert "http.request.resend_count" not in failed.attributes
    assert (redirected.status, "error.type" in redirected.attributes) == ("unset", False)
    assert redirected.attributes["http.request.resend_count"] == 1
    assert (refused.status, refused.reason) == ("error", "failed_connect: econnrefused")
    assert refused.attributes["error.type"] == "failed_connect: econnrefused"
    assert (given_back.status, given_back.reason) == ("error", "given back")


def test_no_secret_of_a_url_is_told_whatever_is_in_it(collector, tracing_to):
    tracing = tracing_to(collector.url)
    urls = (
        SECRET_URL,
        "http://[::1]:8080/t0ken",
        "http://h:port/t0ken?s3cret",
        "gopher://pa55word",
    )
    for url in urls:
        tracing.deliver(evolve(DELIVERY, url=url, uri=url), 0).answered(Response(200))
    tracing.close()
    assert len(collector.spans) == 4
    told = repr(collector.spans)
    for secret in ("t0ken", "s3cret", "pa55word", "user"):
        assert secret not in told
    assert collector.spans[1].attributes["server.address"] == "::1"


def test_a_text_that_is_no_unicode_costs_nobody_his_spans(collector, tracing_to):
    tracing = tracing_to(collector.url)
    tracing.deliver(evolve(DELIVERY, hook_id="h\ud800"), 0).answered(Response(200))
    tracing.deliver(DELIVERY, 0).answered(Response(200))
    tracing.close()
    assert [span.attributes["callboard.hook.id"] for span in collector.spans] == ["h?", "h1"]


def test_a_ratio_decides_of_the_traces_that_begin_here_only(collector, tracing_to):
    tracing = tracing_to(collector.url, sample_ratio=0.0)
    none = tracing.consume(MESSAGE, "q", None)
    none.end()
    assert not none.context.flags & 1
    child = tracing.match("m", none.context)
    child.end(1)
    assert child.context.trace_id == none.context.trace_id
    assert child.context.parent_id != none.context.parent_id
    tracing.consume(MESSAGE, "q", UNSAMPLED).end()
    tracing.consume(MESSAGE, "recorded", PARENT).end()
    tracing.close()
    assert [span.name for span in collector.spans] == ["consume recorded"]


def test_endpoints_hear_of_no_trace_where_that_is_not_wanted(collector, tracing_to):
    tracing = tracing_to(collector.url, propagate=False)
    span = tracing.deliver(evolve(DELIVERY, trace=PARENT), 0)
    span.answered(Response(200))
    tracing.close()
    assert span.context is None
    assert collector.spans[0].trace_id == TRACE


def test_a_context_is_passed_on_where_opentelemetry_is_switched_off(
    collector, tracing_to, monkeypatch
):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing = tracing_to(collector.url)
    assert tracing.match("m", PARENT).context == PARENT
    assert tracing.match("m", None).context is None
    tracing.close()
    assert not collector.spans


def test_the_collector_gets_its_headers(collector, tracing_to):
    tracing = tracing_to(collector.url, headers={"Authorization": "Bearer x"})
    tracing.match("m", None).end()
    tracing.close()
    ((path, headers),) = collector.requests
    assert path == "/v1/traces"
    assert headers["authorization"] == "Bearer x"


def test_a_collector_that_works_is_not_told_of(collector, tracing_to):
    tracing = tracing_to(collector.url, interval_ms=20)
    for number in range(2):
        tracing.match("m", None).end()
        until(lambda wanted=number + 1: len(collector.spans) >= wanted)
    tracing.close()
    assert tracing.said == []


def test_a_collector_that_is_down_is_told_once_and_then_left_alone(tracing_to):
    port = free_port()
    times = {"export_s": 2.0, "pause_s": 1.0}
    tracing = tracing_to(f"http://127.0.0.1:{port}", times=times, interval_ms=20)
    began = time.monotonic()
    for _ in range(3 * QUEUE_SPANS):  # more than there is room for
        tracing.match("m", None).end()
    assert time.monotonic() - began < patient(5), "spans wait for the collector"
    until(lambda: "collector_down" in dict(tracing.said))
    ((_event, facts),) = [told for told in tracing.said if told[0] == "collector_down"]
    assert "refused" in facts["reason"]
    with Collector(port) as collector:

        def is_up():
            tracing.match("back", None).end()
            return "collector_up" in dict(tracing.said)

        until(is_up)
        assert collector.spans
        assert dict(tracing.said)["collector_up"]["spans_dropped"] >= 1
    events = [event for event, _facts in tracing.said]
    assert len(events) == len(set(events)), "told more than once"


def test_each_warning_of_the_library_is_told_once_until_the_end(tracing_to, caplog):
    caplog.set_level(logging.DEBUG, "opentelemetry")
    tracing = tracing_to(f"http://127.0.0.1:{free_port()}")
    library = logging.getLogger("opentelemetry.sdk.trace")
    for number in range(2):
        library.info("began")
        library.warning("queue %d is full", number)
    tracing.close()
    library.warning("ended")
    assert tracing.said == [("tracing_trouble", {"reason": "queue 0 is full"})]


@pytest.mark.parametrize("status", [400, 500])
def test_a_collector_that_refuses_is_told_once(status, tracing_to, caplog):
    with Collector(status=status) as collector:
        tracing = tracing_to(collector.url, times={"pause_s": 0.0}, interval_ms=20)
        for number in range(1, 4):
            tracing.match("m", None).end()
            until(lambda wanted=number: len(collector.requests) >= wanted)
        tracing.close()
    ((event, facts),) = tracing.said
    assert event == "collector_down"
    assert str(status) in facts["reason"]
    assert not caplog.records, "the library's own lines"


def test_after_a_failure_nothing_is_sent_for_a_time(tracing_to):
    with Collector(status=400) as collector:
        tracing = tracing_to(collector.url, times={"pause_s": 0.2}, interval_ms=20)
        tracing.match("m", None).end()
        until(lambda: tracing.said)
        failed = time.monotonic()

        def is_asked_again():
            tracing.match("m", None).end()
            return len(collector.requests) > 1

        until(is_asked_again)
        assert time.monotonic() - failed > 0.1


def test_nothing_is_left_for_the_exit_of_the_process(tracing_to, monkeypatch):
    """A process that forked this one would wait for the collector at its exit."""
    left = []
    monkeypatch.setattr(atexit, "register", lambda call, *_arguments, **_options: left.append(call))
    tracing_to(f"http://127.0.0.1:{free_port()}")
    assert left == []


@pytest.mark.parametrize(("status", "waits_s"), [(200, 20.0), (500, 0)])
def test_the_end_waits_for_a_batch_only_while_batches_are_taken(
    status, waits_s, tracing_to, monkeypatch
):
    waited, join = [], threading.Thread.join

    def joined(thread, timeout=None):
        waited.append(timeout)
        join(thread, patient(20))

    with Collector(status=status) as collector:
        tracing = tracing_to(collector.url, interval_ms=20)
        tracing.match("m", None).end()
        until(lambda: collector.requests and (status == 200 or tracing.said))
        monkeypatch.setattr(threading.Thread, "join", joined)
        tracing.close()
        monkeypatch.undo()
    assert waited[0] == waits_s or waited[-1] == waits_s


def test_a_hanging_collector_does_not_hold_up_the_end(tracing_to):
    """It returns while the library, which gives up after half a minute, still waits."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        tracing = tracing_to(url, times={"export_s": 3600.0}, close_s=0.1)
        tracing.match("m", None).end()
        tracing.close()
        assert [t for t in threading.enumerate() if t.name.endswith("(shutdown)")]
        listening.settimeout(patient(10))
        connection, _address = listening.accept()
        with connection:
            assert connection.recv(4) == b"POST", "it was tried"


def test_without_tracing_a_context_is_passed_on():
    off = NoTracing()
    assert off.consume(MESSAGE, "q", PARENT).context == PARENT
    assert off.match("m", PARENT).context == PARENT
    assert off.deliver(evolve(DELIVERY, trace=PARENT), 0).context == PARENT
    assert off.deliver(DELIVERY, 0).context is None
    assert NoTracing(propagate=False).deliver(evolve(DELIVERY, trace=PARENT), 0).context is None
