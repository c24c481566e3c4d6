"""Figures of a running system: exact while nobody dies, and never less when somebody does."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from callboard.actors.messages import GetFigures
from callboard.webhooks.metrics.snapshot import Snapshot
from support.metrics import health, metrics
from support.patience import patient
from support.running import call_event

pytestmark = pytest.mark.multiprocess

EVENTS = 120
DELIVERED = ("deliveries_total", "delivered")


def figures_of(system):
    return system.client.ask_actor("metrics", GetFigures(), Snapshot)


def test_counters_add_up_exactly(start, receiver):
    # The hook that always fails is to stay, and nothing to come back from the retry queue.
    system = start(
        kazoo__modules="*", disabler__enabled=False, delivery__waiting_per_endpoint=2 * EVENTS
    )
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.add_hook(f"{receiver.url}/status/500", format="json")
    system.wait_hooks(2)
    system.publish(call_event(n) for n in range(EVENTS))
    system.publish(call_event(n, "CHANNEL_ANSWER") for n in range(7))
    system.send(("callevt", "call.CHANNEL_CREATE.x", ["no event"]))
    receiver.wait_for(2 * EVENTS)
    expected = {
        ("events_total", "channel_create", "fired"): EVENTS,
        ("events_total", "channel_create", "no_hook"): 0,
        ("events_total", "channel_create", "poison"): 1,
        ("events_total", "channel_answer", "no_hook"): 7,
        ("deliveries_made_total", "channel_create"): 2 * EVENTS,
        ("deliveries_total", "delivered"): EVENTS,
        ("deliveries_total", "given_up"): EVENTS,
        ("attempts_total", "2xx"): EVENTS,
        ("attempts_total", "5xx"): EVENTS,
        ("attempts_total", "timeout"): 0,
        ("attempts_failed_total",): EVENTS,
        ("request_duration_seconds_count",): 2 * EVENTS,
        ("delivery_latency_seconds_count",): EVENTS,
        ("hooks",): 2,
        ("requests_in_flight",): 0,
        ("events_in_hand",): 0,
        ("attempts_written_total",): EVENTS,
        ("retry_queue_messages", "due"): 0,
        ("store_up",): 1,
        ("broker_up", "event_bridge"): 1,
        ("child_restarts_total", "deliveries/deliverer-1"): 0,
        ("events_total", "callboard", "fired"): 0,
        # One of the hook that fails, and one of each delivery that was given up.
        ("events_total", "callboard", "no_hook"): 1 + EVENTS,
        # The hooks' two changes are on the bus as well.
        ("messages_received_total",): EVENTS + 7 + 1 + 2 + 1 + EVENTS,
        ("messages_acknowledged_total",): EVENTS + 7 + 1 + 2 + 1 + EVENTS,
    }
    found = {}

    def as_expected():
        found.update(metrics(system))
        return expected.items() <= found.items()

    try:
        system.wait(as_expected)
    except AssertionError:
        assert {key: found.get(key) for key in expected} == expected
    figures = system.wait(lambda: (f := figures_of(system)).request_s.p50 and f)
    assert figures.totals["events"] == EVENTS + 7 + 1 + 2 + 1 + EVENTS
    assert figures.totals["delivered"] == EVENTS
    assert sum(figures.series.rates["events"]) > 0
    assert 0 < figures.request_s.p50 <= figures.request_s.p99


def test_what_a_killed_deliverer_had_counted_stays(start, receiver):
    system = start()
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.wait_hooks(1)
    system.publish(call_event(n) for n in range(EVENTS))
    system.wait(lambda: metrics(system).get(DELIVERED) == EVENTS)
    system.kill("deliveries/deliverer-1")
    system.publish(call_event(n) for n in range(EVENTS, 2 * EVENTS))
    seen = [EVENTS]

    def all_counted():
        seen.append(metrics(system)[DELIVERED])
        return seen[-1] >= 2 * EVENTS

    system.wait(all_counted)
    assert seen == sorted(seen)
    assert seen[-1] == 2 * EVENTS
    restarts = ("child_restarts_total", "deliveries/deliverer-1")
    system.wait(lambda: metrics(system)[restarts] == 1)
    system.wait(lambda: health(system).problems == ())


def test_killed_metrics_are_told_again_what_the_living_have_counted(start, receiver):
    system = start()
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.wait_hooks(1)
    system.publish(call_event(n) for n in range(EVENTS))
    system.wait(lambda: metrics(system).get(DELIVERED) == EVENTS)
    system.kill("metrics")
    system.wait(lambda: metrics(system).get(DELIVERED) == EVENTS)
    figures = figures_of(system)
    assert figures.totals["delivered"] == EVENTS
    assert set(figures.series.rates.get("delivered", (0.0,))) == {0.0}, "long ago, not just now"


def test_retries_are_seen_in_the_queue(start, receiver):
    system = start(delivery__retry_policy="standard", delivery__retry_steps_s="3600,3600")
    system.add_hook(f"{receiver.url}/status/500", format="json")
    system.wait_hooks(1)
    system.publish(call_event(n) for n in range(10))

    def depth():
        found = metrics(system)
        return sum(v for key, v in found.items() if key[0] == "retry_queue_messages")

    system.wait(lambda: depth() == 10)
    system.wait(lambda: metrics(system).get(("deliveries_put_off_total",)) == 10)


@pytest.mark.rabbitmq
def test_readiness_follows_the_broker(start, rabbitmq, amqp_url):
    system = start(amqp__url=amqp_url)
    system.wait(lambda: health(system).ready)
    assert system.run("health").returncode == 0
    rabbitmq.stop()
    system.wait(lambda: not health(system).ready)
    ran = system.run("health")
    assert (ran.returncode, "the broker is down for" in ran.stdout) == (1, True)
    rabbitmq.start()
    system.wait(lambda: health(system).ready, 40)


def test_the_commands(start):
    system = start()
    system.wait(lambda: health(system).ready)
    assert "callboard_events_total" in system.run("metrics").stdout
    assert json.loads(system.run("health", "--json").stdout) == {
        "ready": True,
        "problems": [],
        "details": [],
        "degraded": [],
    }
    shown = json.loads(system.run("top", "--json").stdout)
    assert set(shown) == {"health", "figures", "tree"}
    assert shown["health"]["ready"] is True
    assert shown["figures"]["series"]["step_s"] == 2
    once = system.run("top", "--once").stdout
    assert "deliverer-1" in once
    assert "in the retry queue" in once


class Terminal:
    """A command in a terminal of 40 lines."""

    def __init__(self, system, *arguments):
        self._here, there = pty.openpty()
        size = {"LINES": "40", "COLUMNS": "160", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "callboard.run_system", *arguments],
            env=system.environment | size,
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
        )
        os.close(there)
        self.text = ""

    def wait_for(self, words, timeout_s=30):
        """Wait until these words come, after all that came before."""
        end, self.text = time.monotonic() + patient(timeout_s), ""
        while words not in self.text:
            assert time.monotonic() < end, f"no {words!r} in {self.text!r}"
            if select.select([self._here], (), (), 0.2)[0]:
                self.text += os.read(self._here, 65536).decode(errors="replace")

    def press(self, key):
        os.write(self._here, key)

    def status(self, timeout_s=60):
        """The exit status; what is still written meanwhile is read, or its writer would wait."""
        end = time.monotonic() + patient(timeout_s)
        while self.process.poll() is None:
            assert time.monotonic() < end, "it has not ended"
            if select.select([self._here], (), (), 0.2)[0]:
                with suppress(OSError):  # The other end is closed.
                    os.read(self._here, 65536)
        return self.process.returncode

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._here)


def test_top_goes_on_whatever_dies_and_ends_by_q(start):
    system = start()
    terminal = Terminal(system, "top", "--interval", "0.2")
    try:
        terminal.wait_for("failure_cache")
        system.kill("failure_cache")
        terminal.wait_for("\x1b[7m")  # the restart, in reverse
        system.kill("metrics")
        terminal.wait_for("in the retry queue")
        system.process.send_signal(signal.SIGTERM)
        system.process.wait(60)
        system.process.stdout.close()
        terminal.wait_for("no system is running")
        system.start()
        terminal.wait_for("failure_cache")
        terminal.press(b"q")
        assert terminal.status() == 0
    finally:
        terminal.close()
