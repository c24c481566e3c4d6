"""RabbitMQ takes no messages, or is cut off without a word: what need not wait goes on.

`CALLBOARD_TEST_ALARM=10` does ten times as much, with the default heartbeat and prefetch.
"""

import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests

from callboard.adapters.receiver.server import Answer
from support.bus import publish_durably
from support.metrics import metrics
from support.patience import patient
from support.running import ACCOUNT, call_event
from support.slow_proxy import SlowProxy

pytestmark = [
    pytest.mark.multiprocess,
    pytest.mark.faults,
    pytest.mark.rabbitmq,
    pytest.mark.timeout(300),
]

TIMES = int(os.environ.get("CALLBOARD_TEST_ALARM", "0"))
WAITING, PREFETCH, POSTS = (6_000, 1_000, 160) if TIMES else (300, 60, 20)
FAILING = 40
BAD = f"{7:032x}"
HEARTBEAT_S = 8 if TIMES else 2
POSTED_BYTES = 900_000
AT_ONCE_S = 0.1


class Api:
    """A client of the API of a running system."""

    def __init__(self, system):
        system.wait(system.settings.api_place_file.exists, what="the API")
        self.url = json.loads(system.settings.api_place_file.read_text())["url"]
        self.headers = {"X-Auth-Token": system.settings.api_token_file.read_text().strip()}

    def call(self, method, path, data=None):
        """The response, and how long it took."""
        body = None if data is None else json.dumps({"data": data}).encode()
        began = time.monotonic()
        answer = requests.request(
            method,
            self.url + path,
            data=body,
            headers=self.headers,
            timeout=patient(60),
        )
        return answer, time.monotonic() - began

    def post_event(self, number, size=10):
        payload = {"number": number, "text": "x" * size}
        return self.call(
            "POST", "/v2/events", {"name": "a.b", "account_id": ACCOUNT, "payload": payload}
        )

    def problems(self):
        """By kind, what prevents readiness, and since when."""
        answer, _took_s = self.call("GET", "/readyz")
        return {one["kind"]: one for one in answer.json().get("details", ())}


def bridge_bytes(system):
    return psutil.Process(system.node("event_bridge").pid).memory_info().rss


def calls_of(receiver, path):
    return Counter(json.loads(r.body)["call_id"] for r in receiver.requests if r.path == path)


def test_an_alarm_stops_nothing_that_needs_no_publishing(start, receiver, rabbitmq, amqp_url):
    failing, posted, alarm = Counter(), [], threading.Event()

    def succeed(_request):
        alarm.wait(patient(60))
        return Answer(200)

    def fail_once(request):
        alarm.wait(patient(60))
        call = json.loads(request.body)["call_id"]
        failing[call] += 1
        return Answer(200) if failing[call] > 1 else Answer(500)

    def take_posted(request):
        posted.append(json.loads(request.body)["data"]["number"])
        return Answer(200)

    receiver.answer("/good", succeed)
    receiver.answer("/bad", fail_once)
    receiver.answer("/posted", take_posted)
    vhost = amqp_url.rpartition("/")[2]
    with SlowProxy(rabbitmq.port) as proxy:
        system = start(
            amqp__url=f"amqp://guest:guest@127.0.0.1:{proxy.port}/{vhost}",
            amqp__prefetch=PREFETCH,
            amqp__heartbeat_s=HEARTBEAT_S,
            api__enabled="true",
            api__port=0,
            api__events="true",
            delivery__retry_policy="standard",
            delivery__retry_steps_s="1,1",
            delivery__request_timeout_ms=int(patient(60_000)),
            delivery__waiting_per_endpoint=PREFETCH,  # None is deferred for its slow endpoint.
            disabler__enabled="false",
            quotas__events_per_s=1000,
        )
        api = Api(system)
        system.add_hook(f"{receiver.url}/good", format="json")
        system.add_hook(f"{receiver.url}/bad", account=BAD, format="json")
        system.add_hook(f"{receiver.url}/posted", "event", format="json")
        system.wait_hooks(3)
        system.wait(lambda: not api.problems(), 30, "readiness")
        assert api.post_event(0)[0].status_code == 202
        receiver.wait_for(1)
        publish_durably(amqp_url, map(call_event, range(WAITING // 2)))
        publish_durably(amqp_url, [call_event(f"bad{n}", account=BAD) for n in range(FAILING)])
        publish_durably(amqp_url, map(call_event, range(WAITING // 2, WAITING)))

        before = bridge_bytes(system)
        began = time.time()
        rabbitmq.block_publishers()
        try:
            refused_posts(system, api, before)
            alarm.set()
            under_alarm(system, api, receiver, began, rabbitmq, amqp_url)
        finally:
            rabbitmq.unblock_publishers()

        system.wait(lambda: set(failing.values()) == {2} and len(failing) == FAILING, 30, "retries")
        system.wait(lambda: not api.problems(), 30, "readiness")
        assert posted == [0], "what was refused is published later"
        assert api.post_event(1)[0].status_code == 202
        system.wait(lambda: posted == [0, 1])
        assert set(calls_of(receiver, "/good").values()) == {1}
        assert "broker_unblocked" in system.log.read_text()

        cut_off(system, api, proxy)
        assert api.post_event(2)[0].status_code == 202
        system.wait(lambda: posted == [0, 1, 2])
        assert {node.restarts for node in system.tree().below()} == {0}


def refused_posts(system, api, before):
    answer, took_s = api.post_event(100)
    refusals = [(answer, took_s)]
    with ThreadPoolExecutor(8) as pool:
        refusals += pool.map(lambda n: api.post_event(n, POSTED_BYTES), range(101, 101 + POSTS))
    hooks, hooks_took_s = api.call("GET", f"/v2/accounts/{ACCOUNT}/webhooks")
    for answer, _took_s in refusals:
        assert answer.status_code == 503, answer.text
        assert (answer.json()["message"], answer.headers["Retry-After"]) == ("broker_blocked", "5")
    small_s, posted_s = refusals[0][1], sorted(took_s for _answer, took_s in refusals)
    grew = bridge_bytes(system) - before
    print(
        f"{len(refusals)} posts refused, the first after {small_s * 1000:.0f} ms, those of "
        f"{POSTED_BYTES} bytes after at most {posted_s[-1] * 1000:.0f} ms, half within "
        f"{posted_s[len(posted_s) // 2] * 1000:.0f} ms; hooks listed in "
        f"{hooks_took_s * 1000:.0f} ms; event_bridge grew by {grew / 2**20:.0f} MB"
    )
    assert small_s < patient(AT_ONCE_S) * 3
    assert posted_s[-1] < patient(AT_ONCE_S) * 10
    assert hooks.status_code == 200
    assert hooks_took_s < patient(1)
    assert grew < 60 * 2**20


def under_alarm(system, api, receiver, began, rabbitmq, amqp_url):
    system.wait(lambda: len(calls_of(receiver, "/good")) == WAITING, 120, "all deliveries")
    took = time.time() - began
    system.wait(lambda: system.node("event_bridge").stats["in_hand"] <= FAILING, 30)
    held = system.node("event_bridge").stats["in_hand"]
    system.wait(lambda: rabbitmq.messages(amqp_url, "callboard.events") == held, 10)
    print(f"{WAITING} delivered {took:.1f} s after the alarm, {held} wait for their retries")
    assert 0 < held <= FAILING

    def the_bridge_s():
        """The API sees the block with its first post, the bridge looks for it."""
        found = api.problems().get("blocked")
        return found is not None and "event_bridge" in found["what"] and found

    problem = system.wait(the_bridge_s, 15, "the problem")
    assert "low on memory" in problem["what"]
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 1))
    assert since <= problem["since"]
    for command in ("status", "doctor", "health"):
        shown = " ".join(system.run(command).stdout.split())
        assert "the broker takes no messages from " in shown, command
        # Which actors have found out may have changed; the first of them did at the same time.
        assert f"low on memory (since {problem['since']})" in shown, command
    assert "broker_blocked" in system.log.read_text()
    blocked = metrics(system)["broker_blocked_since_seconds", "event_bridge", "low on memory"]
    assert began - 1 < blocked < time.time()
    assert set(api.problems()) == {"blocked"}


def cut_off(system, api, proxy):
    """The broker is cut off: nothing is closed, and nothing comes through."""
    began = time.monotonic()
    proxy.frozen = True
    system.wait(lambda: "broker" in api.problems(), 60, "the loss")
    known_s = time.monotonic() - began
    print(f"the loss was known after {known_s:.1f} s, with a heartbeat of {HEARTBEAT_S} s")
    assert known_s < patient(2 * HEARTBEAT_S + 4)
    proxy.frozen = False
    system.wait(lambda: not api.problems(), 60, "readiness")
