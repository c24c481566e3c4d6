"""Deliveries that are tried again later, from the durable retry queue, whatever dies meanwhile."""

import json
import time
from collections import Counter
from contextlib import ExitStack
from itertools import count

import pytest

from callboard import admin
from callboard.actors.messages import Defer
from callboard.adapters.receiver.server import Answer
from callboard.supervision import Locate, Located
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.retries.retry_message import RetryMessage, as_json
from services import free_port
from support.attempts import recorded_attempts
from support.hooks import prepared_store
from support.patience import patient
from support.running import ACCOUNT, call_event, kill_all

pytestmark = pytest.mark.multiprocess

STANDARD = {
    "delivery__retry_policy": "standard",
    "delivery__retry_steps_s": "2,2,2,2,2,2",
    "disabler__enabled": "false",  # A disabled hook gets nothing more; too many tries fail here.
}
BROKERS = [
    "embedded",
    pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
]


@pytest.fixture(params=BROKERS)
def broker(request):
    """Settings of a broker."""
    if request.param == "embedded":
        return {}
    return {"amqp__url": request.getfixturevalue("amqp_url")}


def calls(receiver, prefix=""):
    return Counter(
        json.loads(r.body)["call_id"] for r in receiver.requests if r.path.startswith(prefix)
    )


def failing(receiver, prefix, times, status=500, **headers):
    """The first requests of each call fail."""
    tries = Counter()

    def answer(request):
        call = json.loads(request.body)["call_id"]
        tries[call] += 1
        return Answer(status, headers=headers) if tries[call] <= times else Answer(200)

    receiver.answer(prefix, answer)


def kept(system):
    return system.node("deliveries/retry_queue").stats.get("kept", 0)


def test_it_is_tried_again_with_its_event_acknowledged_long_before(start, receiver, broker):
    failing(receiver, "/twice", 2)
    steps = ",".join([str(patient(2.0))] * 6)  # The second try comes when all have seen the first.
    system = start(**STANDARD | broker | {"delivery__retry_steps_s": steps})
    system.add_hook(f"{receiver.url}/twice", format="json")
    system.wait_hooks()
    system.publish([call_event(1)])
    receiver.wait_for(1)
    system.wait_settled(2)  # the hook's change and the call
    assert receiver.count == 1, "it was acknowledged only after the second try"
    receiver.wait_for(3, timeout_s=15)
    ids = {request.headers["webhook-id"] for request in receiver.requests}
    assert len(ids) == 1
    queue = system.wait(lambda: (s := system.node("deliveries/retry_queue").stats)["settled"] and s)
    assert queue["kept"] == 2
    system.wait(lambda: system.node("deliveries/retry_queue").stats["in_hand"] == 0)


@pytest.mark.parametrize("victim", ["deliveries/retry_queue", "deliveries/deliverer-1"])
def test_retries_survive_the_death_of(victim, start, receiver, broker):
    failing(receiver, "/once", 1)
    system = start(**STANDARD, **broker)
    system.add_hook(f"{receiver.url}/once", format="json")
    system.wait_hooks()
    system.publish(call_event(n) for n in range(40))
    receiver.wait_for(20)
    system.kill(victim)
    system.wait(
        lambda: len(c := calls(receiver)) == 40 and min(c.values()) >= 2, 30, "two tries of each"
    )


def test_retries_survive_the_death_of_the_whole_system(start, receiver, broker):
    failing(receiver, "/once", 1)
    system = start(**STANDARD, **broker)
    system.add_hook(f"{receiver.url}/once", format="json")
    system.wait_hooks()
    system.publish(call_event(n) for n in range(20))
    system.wait(lambda: kept(system) == 20, what="all put off")
    system.process.kill()
    system.process.wait()
    system.process.stdout.close()
    kill_all(system.family())
    system.wait(lambda: not system.family())
    system.start()
    system.wait(
        lambda: len(c := calls(receiver)) == 20 and min(c.values()) >= 2, 30, "two tries of each"
    )


@pytest.mark.rabbitmq
def test_retries_survive_the_brokers_restart(start, receiver, rabbitmq, amqp_url):
    failing(receiver, "/once", 1)
    system = start(amqp__url=amqp_url, **STANDARD)
    system.add_hook(f"{receiver.url}/once", format="json")
    system.wait_hooks()
    system.publish(call_event(n) for n in range(20))
    system.wait(lambda: kept(system) == 20, what="all put off")
    rabbitmq.stop()
    system.wait(lambda: system.node("deliveries/retry_queue").stats["broker"] == "down")
    rabbitmq.start()
    system.wait(
        lambda: len(c := calls(receiver)) == 20 and min(c.values()) >= 2, 40, "two tries of each"
    )


def test_410_disables_the_hook_at_once(start, receiver, tmp_path, broker):
    store = prepared_store("sqlite://", tmp_path / "data0")
    system = start(**STANDARD, **broker)
    hook = system.add_hook(f"{receiver.url}/status/410", format="json")
    system.wait_hooks()
    system.publish([call_event(1)])
    document = system.wait(lambda: (d := store.get("webhooks", hook))["enabled"] is False and d)
    assert document["pvt_disabled_message"] == "the endpoint answered 410 Gone"
    system.wait_settled(2)
    assert receiver.count == 1
    store.close()


def test_retry_after_is_honoured_whoever_dies_meanwhile(start, receiver, broker):
    failing(receiver, "/busy", 1, 503, **{"Retry-After": "4"})
    system = start(delivery__retry_policy="standard", delivery__retry_steps_s="0.1,0.1", **broker)
    system.add_hook(f"{receiver.url}/busy", format="json")
    system.wait_hooks()
    system.publish([call_event(1)])
    system.wait(lambda: kept(system) == 1)
    system.kill("deliveries")
    receiver.wait_for(2, timeout_s=30)
    first, second = (request.time for request in receiver.requests)
    assert second - first >= 4


def test_the_accounts_policy_is_between_the_hooks_and_the_nodes(start, receiver, tmp_path):
    store = prepared_store("sqlite://", tmp_path / "data0")
    database = f"account/{ACCOUNT[:2]}/{ACCOUNT[2:4]}/{ACCOUNT[4:]}"
    store.ensure_database(database)
    store.save(database, {"_id": "configs_webhooks", "retry_policy": "standard"})
    failing(receiver, "/account", 1)
    failing(receiver, "/hook", 1)
    system = start(delivery__retry_steps_s="1,1")
    system.add_hook(f"{receiver.url}/account", format="json")
    system.add_hook(f"{receiver.url}/hook", format="json", retry_policy="kazoo")
    system.wait_hooks(2)
    system.publish([call_event(1)])
    system.wait(lambda: calls(receiver, "/account").total() == 2)
    assert calls(receiver, "/hook").total() == 1
    store.close()


def test_a_dead_endpoint_holds_up_nobody(start, receiver):
    system = start(amqp__prefetch=100, delivery__request_timeout_ms=2000)
    dead = f"http://127.0.0.1:{free_port()}/"
    accounts = [f"{n:032x}" for n in range(2)]
    system.add_hook(dead, account=accounts[0], format="json", retries=4)
    system.add_hook(f"{receiver.url}/ok", account=accounts[1], format="json")
    system.wait_hooks(2)
    system.publish(call_event(n, account=accounts[0]) for n in range(500))
    began = time.monotonic()
    system.publish(call_event(n, account=accounts[1]) for n in range(500, 700))
    receiver.wait_for(200, timeout_s=30)
    print(f"200 healthy behind 500 dead ones after {time.monotonic() - began:.1f} s")

    def open_circuits():
        stats = [system.node(f"deliveries/deliverer-{n}").stats for n in (1, 2)]
        return sum(s["circuits_open"] for s in stats)

    system.wait(lambda: open_circuits() == 2, what="the open circuits")
    # All is taken from the broker, although the dead endpoint has more than the prefetch.
    system.wait(lambda: system.node("event_bridge").stats["received"] >= 700, what="all taken")


@pytest.mark.parametrize("hanging_endpoints", [1, 6])
def test_hanging_endpoints_hold_up_nobody(start, receiver, hanging_endpoints):
    system = start(amqp__prefetch=200 * hanging_endpoints)
    accounts = [f"{n:032x}" for n in range(2)]
    with ExitStack() as stack:
        hanging = [stack.enter_context(type(receiver)()) for _ in range(hanging_endpoints)]
        for endpoint in hanging:
            system.add_hook(f"{endpoint.url}/hang", account=accounts[0], format="json")
        system.add_hook(f"{receiver.url}/ok", account=accounts[1], format="json")
        system.wait_hooks(hanging_endpoints + 1)
        system.publish(call_event(n, account=accounts[0]) for n in range(500))
        system.publish(call_event(n, account=accounts[1]) for n in range(500, 700))
        system.wait(lambda: len(calls(receiver)) == 200, 9, "all before the first time-out")
        system.wait(lambda: all(endpoint.count for endpoint in hanging), what="requests that hang")
        assert all(endpoint.count <= 2 * 16 for endpoint in hanging)


def test_a_message_that_is_no_delivery_is_set_aside(start, receiver, broker):
    failing(receiver, "/once", 1)
    system = start(**STANDARD, **broker)
    system.add_hook(f"{receiver.url}/once", format="json")
    system.wait_hooks()
    system.wait(lambda: system.node("deliveries/retry_queue").stats.get("broker") == "up")
    system.send(("", "callboard.events.retries", {"version": 99}))
    system.publish([call_event(1)])
    receiver.wait_for(2, timeout_s=15)
    queue = system.wait(
        lambda: (node := system.node("deliveries/retry_queue")).stats["poison"] and node
    )
    assert queue.stats["poison"] == 1
    assert queue.restarts == 0
    request = admin.ListDeadLetters(kind="event")
    (letter,) = system.wait(
        lambda: system.client.ask_actor("redelivery", request, admin.DeadLettersListed).letters
    )
    assert letter.reason == "version 99 is unknown: this Callboard reads 1"
    assert letter.subject.endswith("callboard.events.retries")


def test_a_circuit_opens_and_closes_again(start, receiver):
    system = start(delivery__circuit_failures=3, delivery__workers=1, disabler__enabled="false")
    broken = count()
    dead = free_port()
    system.add_hook(f"http://127.0.0.1:{dead}/ok", format="json")
    system.wait_hooks()
    system.publish(call_event(next(broken)) for _ in range(12))

    def open_circuits():
        return system.node("deliveries/deliverer-1").stats.get("circuits_open")

    system.wait(lambda: open_circuits() == 1, what="the open circuit")
    with type(receiver)(port=dead) as back:
        system.wait(lambda: open_circuits() == 0, 20, "the closed circuit")
        back.wait_for(1)


def test_what_an_open_circuit_holds_back_comes_whoever_dies_meanwhile(start, receiver, broker):
    system = start(
        delivery__circuit_failures=3,
        delivery__workers=1,
        delivery__retry_policy="standard",
        delivery__retry_steps_s=",".join(["2"] * 20),
        disabler__enabled="false",
        **broker,
    )
    dead = free_port()
    system.add_hook(f"http://127.0.0.1:{dead}/ok", format="json")
    system.wait_hooks()
    system.publish(call_event(n) for n in range(12))

    def open_circuits():
        return system.node("deliveries/deliverer-1").stats.get("circuits_open")

    system.wait(lambda: open_circuits() == 1, what="the open circuit")
    system.wait(lambda: kept(system) >= 11, what="what is held back, in the queue")
    system.kill("deliveries")
    system.wait(lambda: open_circuits() == 1, 20, "the circuit open again")
    with type(receiver)(port=dead) as back:
        system.wait(lambda: len(calls(back)) == 12, 40, "all deliveries")
        assert set(calls(back).values()) == {1}


def later(uri, number, **facts):
    """A delivery that is due."""
    body = json.dumps({"call_id": f"call-{number}@switch"}).encode()
    id = f"{number:032x}"
    delivery = Delivery(id, "e", "h", ACCOUNT, "all", uri, "POST", uri, (), body, unstored=True)
    return RetryMessage(delivery, due_ms=1, **facts)


def test_what_found_no_room_for_days_is_given_up_on_record(start, tmp_path, broker):
    store = prepared_store("sqlite://", tmp_path / "data0")
    system = start(
        delivery__circuit_failures=1, delivery__workers=1, delivery__park_hours=1, **broker
    )
    system.wait(lambda: system.node("deliveries/retry_queue").stats.get("broker") == "up")
    uri = f"http://127.0.0.1:{free_port()}/"
    since_ms = int((time.time() - 3601) * 1000)
    parked = [
        later(uri, number, attempts_made=0, deferred_since_ms=since_ms, deferrals=deferrals)
        for number, deferrals in enumerate([1, 1, 1, 100, 100, 1])
    ]
    first, *others = (("", "callboard.events.retries", json.loads(as_json(i))) for i in parked)
    system.send(first)
    system.wait(
        lambda: system.node("deliveries/deliverer-1").stats.get("circuits_open") == 1,
        what="an open circuit",
    )
    system.send(*others)

    def reasons():
        return [attempt.get("client_error") for attempt in recorded_attempts(store, ACCOUNT)]

    given_up = system.wait(
        lambda: [r for r in reasons() if r and r.startswith("endpoint not available for 36")]
    )
    # One tries the circuit, one waits for its turn; of the rounds of others an hour is not true.
    assert 1 <= len(given_up) <= 2
    store.close()


def test_what_is_put_off_twice_is_delivered_once(start, receiver, broker):
    """The word that the first is kept was lost, so the deliverer has sent it again."""
    system = start(**broker)
    system.wait(lambda: system.node("deliveries/retry_queue").stats.get("broker") == "up")
    items = tuple(later(f"{receiver.url}/ok", number, attempts_made=1) for number in (1, 2))
    defer = Defer(1, ("deliveries/deliverer-9", 1), items)
    retries = system.client.ask(system.client.top, Locate("deliveries/retry_queue"), Located).peer
    for kept in (2, 4):
        system.client.system.tell(retries.address, defer)
        system.wait(
            lambda kept=kept: system.node("deliveries/retry_queue").stats.get("kept") == kept
        )
    queue = system.wait(
        lambda: (s := system.node("deliveries/retry_queue").stats)["settled"] == 4 and s
    )
    assert queue["kept"] == 4
    assert calls(receiver) == {"call-1@switch": 1, "call-2@switch": 1}


def test_an_ordered_hook_keeps_its_order_over_a_failing_delivery(start, receiver):
    failed = []

    def answer(request):
        call = json.loads(request.body)["call_id"]
        if call == "call-3@switch" and len(failed) < 2:
            failed.append(call)
            return Answer(500)
        return Answer(200)

    receiver.answer("/ordered", answer)
    system = start(delivery__retry_policy="standard", delivery__retry_steps_s="1,1,1")
    system.add_hook(f"{receiver.url}/ordered", format="json", ordered=True)
    system.wait_hooks()
    for number in range(12):
        system.publish([call_event(number)])
    receiver.wait_for(14, timeout_s=40)
    order = [int(json.loads(r.body)["call_id"].split("@")[0][5:]) for r in receiver.requests]
    assert order == sorted(order)
    assert order.count(3) == 3
