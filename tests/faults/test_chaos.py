"""Random processes are killed all the time, the broker twice: nothing is lost.

`make chaos` runs it at full size: 20,000 events over 200 hooks on 20 endpoints.
"""

import json
import logging
import os
import time
from collections import defaultdict

import pytest
from attrs import frozen

from support.attempts import recorded_attempts
from support.chaos import BrokerKiller, Killer, Publisher, causes
from support.endpoints import Endpoints
from support.hooks import prepared_store, save_account, save_hook
from support.patience import patient
from support.running import call_event

pytestmark = [
    pytest.mark.multiprocess,
    pytest.mark.faults,
    pytest.mark.rabbitmq,
    # It starts systems again and again, within limits of time that a full machine cannot keep.
    pytest.mark.alone,
]


@frozen
class Size:
    events: int
    hooks: int
    per_s: float
    drain_s: float


SIZES = {
    "modest": Size(1_500, 40, per_s=50, drain_s=60),
    "full": Size(20_000, 200, per_s=100, drain_s=1_200),
}
CHOSEN = os.environ.get("CALLBOARD_CHAOS", "modest")
SIZE = SIZES[CHOSEN]
SEED = int(os.environ.get("CALLBOARD_CHAOS_SEED", "1"))

MANNERS = ("refuse", "hang", "flaky", "drip", *["ok"] * 16)
SETTINGS = {
    "actors__max_restarts": 1000,  # The kills are ours: giving up on them is another test's.
    "delivery__request_timeout_ms": 500,
    "delivery__connect_timeout_ms": 500,
    "delivery__circuit_failures": 1_000_000,  # What an open circuit parks would take hours.
    "kazoo__modules": "*",  # Every kind of process is to die.
    "disabler__enabled": "false",  # A disabled hook gets nothing, and nothing is to be counted.
}

Due = tuple[str, str]
"""A hook's path at its endpoint, and an event's call id."""


def account_of(number):
    return f"{number:032x}"


def build(store, urls):
    """Two hooks an account, on different endpoints; the paths of the hooks, by account."""
    accounts = [account_of(number) for number in range(SIZE.hooks // 2)]
    paths = {}
    for number, account in enumerate(accounts):
        save_account(store, account)
        second = (number + 7 + number // len(urls)) % len(urls)
        paths[account] = []
        for endpoint in (number % len(urls), second):
            path = f"/{MANNERS[endpoint]}/{account}-{endpoint}"
            save_hook(store, urls[endpoint] + path, account)
            paths[account].append(path)
    return paths


def given_up(store, accounts):
    """What is recorded as given up, by (path, call id)."""
    found = set()
    for account in accounts:
        for attempt in recorded_attempts(store, account):
            answered = attempt.get("reason") == "bad response code"
            if answered or attempt.get("retries_left") == "retries exceeded":
                path = "/" + attempt["uri"].split("/", 3)[3]
                found.add((path, json.loads(attempt["req_body"])["call_id"]))
    return found


@pytest.fixture
def quiet_pika(monkeypatch):
    """A broker that is down is no news here, and pika would tell it in thousands of lines."""
    monkeypatch.setattr(logging.getLogger("pika"), "disabled", True)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("pika."):
            monkeypatch.setattr(logging.getLogger(name), "disabled", True)


@pytest.mark.usefixtures("quiet_pika")
def test_published_is_delivered_or_recorded(start, rabbitmq, amqp_url, tmp_path, let_others_in):
    store = prepared_store("sqlite://", tmp_path / "data0")
    with Endpoints(tmp_path / "arrivals", MANNERS) as endpoints:
        paths = build(store, endpoints.urls)
        accounts = list(paths)
        system = start(amqp__url=amqp_url, **SETTINGS)
        system.wait(lambda: system.node("responders/channel_create").stats["hooks"] == SIZE.hooks)
        bodies = [call_event(n, account=accounts[n % len(accounts)]) for n in range(SIZE.events)]
        due = {
            (path, body["Call-ID"])
            for body in bodies
            for path in paths[body["Custom-Channel-Vars"]["Account-ID"]]
        }
        began = time.monotonic()
        publisher = Publisher(amqp_url, bodies, SIZE.per_s)
        brokers = BrokerKiller(rabbitmq, publisher, (SIZE.events // 3, SIZE.events * 2 // 3))
        killer = Killer(system, SEED)
        publisher.start()
        brokers.start()
        killer.work(
            while_=lambda: not brokers.failure and (publisher.is_alive() or brokers.is_alive())
        )
        brokers.end(0)
        publisher.end(0)
        chaos_s = time.monotonic() - began
        let_others_in()  # It only waits for what hangs.

        answered, settled, recorded = defaultdict(list), set(), set()

        def unsettled():
            answered.clear()
            for arrival in endpoints.arrivals():
                if arrival.outcome == "200":
                    answered[arrival.path, arrival.call_id].append(arrival.at_s)
            settled.clear()
            settled.update(answered)
            if not any(path.startswith("/ok") for path, _call in due - settled):
                recorded.update(given_up(store, accounts))
            return due - settled - recorded

        system.detach()
        end = time.monotonic() + patient(SIZE.drain_s)
        while (missing := unsettled()) and time.monotonic() < end:
            time.sleep(1.0)
        delivered = settled & due
        repeats = [(times[0], again) for times in answered.values() for again in times[1:]]
        kills = [kill[:2] for kill in (*killer.history, *brokers.history)]
        print(
            f"\n{CHOSEN} size, seed {SEED}: {publisher.published} events published, "
            f"{len(due)} deliveries due over {SIZE.hooks} hooks on {len(MANNERS)} endpoints\n"
            f"{sum(killer.kills.values())} processes and {brokers.kills} brokers killed in "
            f"{chaos_s:.0f} s: {dict(sorted(killer.kills.items()))}\n"
            f"ended by itself: {len(killer.ended_by_itself)}, starts refused meanwhile: "
            f"{killer.refused_starts}; settled {time.monotonic() - began:.0f} s "
            f"after the first event\n"
            f"delivered {len(delivered)} + given up and recorded {len(recorded - delivered)} = "
            f"{len(delivered | recorded)} of {len(due)}; lost {len(missing)}\n"
            f"duplicates: {len(repeats)} deliveries answered 200 again, after the loss of "
            f"{dict(causes(repeats, kills).most_common())}; "
            f"{publisher.repeated} tries to publish repeated"
        )
        assert not missing, f"{len(missing)} lost, such as {sorted(missing)[:5]}\n{system.tail()}"
        assert brokers.kills == 2
        assert not killer.ended_by_itself, "\n".join(killer.ended_by_itself)
    store.close()
