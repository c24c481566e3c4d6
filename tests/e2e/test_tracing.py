"""One trace from the message on the bus to the endpoint's answer, through real processes."""

import json
import os
import subprocess
import sys

import pytest

from callboard.adapters.receiver.server import Answer
from services import free_port
from support.bus import publish_with_headers
from support.collector import Collector
from support.patience import patient
from support.running import call_event

pytestmark = pytest.mark.multiprocess

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
TRACED = {"traceparent": PARENT, "tracestate": "vendor=1"}


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


def of_trace(spans, trace=TRACE):
    return [span for span in spans if span.trace_id == trace]


def parent_sent(request):
    version, trace, span, flags = request.headers["traceparent"].split("-")
    assert (version, flags) == ("00", "01")
    return trace, span


@pytest.mark.parametrize(
    "broker", ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
)
def test_an_event_is_one_trace_from_its_message_to_the_answer(
    broker, start, receiver, collector, request
):
    url = {} if broker == "embedded" else {"amqp__url": request.getfixturevalue("amqp_url")}
    system = start(tracing__endpoint=collector.url, tracing__service_name="hooks", **url)
    for path in ("/a", "/b"):
        system.add_hook(f"{receiver.url}{path}", format="json", headers={"x-own": "kept"})
    system.wait_hooks(2)
    publish_with_headers(system, call_event(1), TRACED)
    requests = receiver.wait_for(2)
    spans = collector.wait_for(lambda spans: len(found := of_trace(spans)) >= 4 and found)
    assert len(spans) == 4
    by_name = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    (consume,) = by_name["consume callboard.events"]
    (match,) = by_name["match channel_create"]
    tries = by_name["POST"]
    assert consume.parent_id == SPAN
    assert match.parent_id == consume.span_id
    assert {span.parent_id for span in tries} == {match.span_id}
    assert {parent_sent(request) for request in requests} == {(TRACE, s.span_id) for s in tries}
    assert {(r.headers["tracestate"], r.headers["x-own"]) for r in requests} == {
        ("vendor=1", "kept")
    }
    assert all(consume.began <= s.began <= s.ended <= consume.ended for s in spans)
    assert {span.attributes["http.response.status_code"] for span in tries} == {200}
    processes = {span.resource["service.instance.id"].rpartition("@")[2] for span in spans}
    assert len({process.partition("/")[2] for process in processes}) >= 3
    assert {span.resource["service.name"] for span in spans} == {"hooks"}
    system_name = "rabbitmq" if broker == "rabbitmq" else "callboard"
    assert consume.attributes["messaging.system"] == system_name


def test_a_retried_delivery_keeps_its_trace(start, receiver, collector):
    tries = []

    def answer(request):
        tries.append(request)
        return Answer(500 if len(tries) == 1 else 200)

    receiver.answer("/once", answer)
    system = start(
        tracing__endpoint=collector.url,
        delivery__retry_policy="standard",
        delivery__retry_steps_s="1,1",
    )
    system.add_hook(f"{receiver.url}/once", format="json")
    system.wait_hooks()
    publish_with_headers(system, call_event(1), TRACED)
    sent = [parent_sent(request) for request in receiver.wait_for(2, timeout_s=20)]
    posts = collector.wait_for(
        lambda spans: len(p := [s for s in of_trace(spans) if s.name == "POST"]) == 2 and p
    )
    first, second = sorted(posts, key=lambda span: span.began)
    assert sent == [(TRACE, first.span_id), (TRACE, second.span_id)]
    assert first.parent_id == second.parent_id
    assert (first.status, second.status) == ("error", "unset")
    assert second.attributes["http.request.resend_count"] == 1
    system.wait(lambda: system.node("deliveries/retry_queue").stats["kept"] == 1)


def test_an_unreachable_collector_harms_nothing(start, receiver):
    port = free_port()
    system = start(tracing__endpoint=f"http://127.0.0.1:{port}", delivery__workers=1)
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.wait_hooks()
    system.wait(lambda: "collector_down" in system.log.read_text(), what="the line of the log")
    system.publish(call_event(number) for number in range(800))
    receiver.wait_for(800, timeout_s=60)
    system.wait_settled(801)
    assert all(node.restarts == 0 for node in system.tree().below())
    lines = [line for line in system.log.read_text().splitlines() if "collector_down" in line]
    actors = [line.partition("actor=")[2].split()[0] for line in lines]
    assert len(actors) == len(set(actors)), "one line for each process"
    assert "opentelemetry" not in system.log.read_text().replace("callboard[tracing]", "")


def test_a_context_is_passed_on_without_tracing_and_only_a_valid_one(start, receiver):
    system = start()
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.wait_hooks()
    publish_with_headers(system, call_event(1), TRACED)
    publish_with_headers(
        system, call_event(2), {"traceparent": PARENT.upper(), "tracestate": "a=1"}
    )
    publish_with_headers(system, call_event(3), {})
    heard = {
        json.loads(request.body)["call_id"]: {
            name: text for name, text in request.headers.items() if name.startswith("trace")
        }
        for request in receiver.wait_for(3)
    }
    assert heard == {"call-1@switch": TRACED, "call-2@switch": {}, "call-3@switch": {}}


PROGRAM = """
import importlib, pkgutil, sys
import callboard.actors, callboard.cli, callboard.embed, callboard.run_system
for package in (callboard.actors, callboard.cli):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
from callboard.actors.base.tracing import check, tracing
from callboard.config import Settings
check(Settings().tracing)
tracing(Settings(), "event_bridge", None).close()
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "google"))))
"""


def test_without_tracing_opentelemetry_is_not_imported():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("[]\n", "")


def test_it_does_not_start_without_what_makes_spans(tmp_path):
    """As where the extra is not installed: its packages cannot be found."""
    (tmp_path / "opentelemetry.py").write_text("")
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "CALLBOARD_CONFIG": os.devnull,
        "CALLBOARD_DATA_DIR": str(tmp_path),
        "CALLBOARD_TRACING_ENDPOINT": "http://127.0.0.1:4318",
    }
    command = [sys.executable, "-m", "callboard.run_system", "start"]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=patient(60)
    )
    assert run.returncode == 2
    assert "pip install '.[tracing]' in a checkout" in run.stderr
