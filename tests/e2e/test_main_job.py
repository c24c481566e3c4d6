"""Published events arrive as requests: on the embedded parts, and on the real servers."""

import json
import re

import couchdb
import pika
import pytest

from callboard.adapters.store import stores
from support.attempts import recorded_attempts
from support.patience import patient
from support.running import ACCOUNT, call_event
from support.stores import BOTH, urls

EVENTS = 1000

pytestmark = pytest.mark.multiprocess


@pytest.fixture(params=BOTH)
def system(request, start):
    settings = urls(request)
    if settings:
        prepare_cluster(settings["couchdb__url"])
    return start(**settings)


def prepare_cluster(url):
    """What a Kazoo cluster has in its store before any webhooks app starts."""
    server = couchdb.Server(url)
    for name, document in {
        "accounts": {"_id": ACCOUNT, "pvt_type": "account", "pvt_tree": []},
        "system_config": {"_id": "webhooks", "default": {"log_successful_attempts": True}},
        "services": {"_id": ACCOUNT, "pvt_reseller_id": "the-reseller"},
    }.items():
        (server[name] if name in server else server.create(name)).save(document)


def queue_depth(url, queue):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        return connection.channel().queue_declare(queue, passive=True).method.message_count
    finally:
        connection.close()


def arrived(requests):
    return {json.loads(request.body)["call_id"] for request in requests}


def test_a_thousand_events_arrive_with_the_right_bodies_and_headers(system, receiver, request):
    hook = system.add_hook(f"{receiver.url}/hook", format="json")
    system.wait_hooks()
    system.publish(call_event(number) for number in range(EVENTS))
    requests = receiver.wait_for(lambda got: len(got) >= EVENTS, timeout_s=60)

    assert len(requests) == EVENTS
    assert arrived(requests) == {f"call-{number}@switch" for number in range(EVENTS)}
    one = requests[0]
    assert (one.method, one.path) == ("POST", "/hook")
    assert one.headers["content-type"] == "application/json"
    assert one.headers["x-hook-id"] == hook
    assert one.headers["x-account-id"] == ACCOUNT
    payload = json.loads(one.body)
    assert re.fullmatch("[0-9a-f]{32}", payload.pop("cluster_id"))
    assert {k: v for k, v in payload.items() if k not in ("call_id", "reseller_id")} == {
        "account_id": ACCOUNT,
        "call_direction": "inbound",
        "request": "+15556783945@acme.example.com",
        "emergency_resource_used": False,
        "is_internal_leg": False,
        "local_resource_used": True,
        "timestamp": 63_839_500_001,
        "hook_event": "channel_create",
    }
    system.wait_settled(EVENTS)
    if "amqp" in system.settings.amqp.url:
        assert payload["reseller_id"] == "the-reseller"
        assert queue_depth(system.settings.amqp.url, system.settings.amqp.queue) == 0
        check_attempts(system, hook)


def check_attempts(system, hook):
    store = stores.connect(system.settings.couchdb.url, system.settings.data.dir)

    def attempts():
        found = recorded_attempts(store, ACCOUNT)
        return found if len(found) >= EVENTS else []

    attempt, *_others = system.wait(attempts, timeout_s=30, what="all attempts in the store")
    store.close()
    assert (attempt["hook_id"], attempt["hook_event"]) == (hook, "CHANNEL_CREATE")
    assert (attempt["result"], attempt["resp_status_code"]) == ("success", "200")
    assert attempt["req_headers"]["x-hook-id"] == hook


def test_form_data_and_get_carry_the_same_payload(start, receiver):
    system = start()
    system.add_hook(f"{receiver.url}/form", format="form-data")
    system.add_hook(f"{receiver.url}/get?a=b", http_verb="get")
    system.publish([call_event(1)])
    by_path = {request.path: request for request in receiver.wait_for(2)}
    form, get = by_path["/form"], by_path["/get"]
    assert form.headers["content-type"] == "application/x-www-form-urlencoded"
    assert b"&request=%2B15556783945%40acme.example.com&" in form.body
    assert (get.method, get.body) == ("GET", b"")
    assert get.query == "a=b&" + form.body.decode()


def test_a_failing_endpoint_is_tried_again_and_given_up_on_record(start, receiver):
    system = start(delivery__request_timeout_ms=int(patient(300)))
    hook = system.add_hook(f"{receiver.url}/hang", retries=2)
    system.publish([call_event(1)])
    receiver.wait_for(2, timeout_s=10)
    system.wait_settled(1)
    log = system.wait(
        lambda: (n := system.node("deliveries/attempt_log")).stats["written"] == 2 and n
    )
    assert log.stats["waiting"] == 0
    assert system.run("hooks", "list", "--json").stdout.count(hook) == 1


def test_a_message_that_is_no_event_is_set_aside_and_holds_up_nobody(start, receiver):
    system = start()
    system.add_hook(f"{receiver.url}/hook")
    bad = json.dumps({"exchange": "callevt", "routing_key": "call.CHANNEL_CREATE.x", "body": {}})
    good = call_event(1)
    assert system.run("publish", "-", input=bad).returncode == 0
    system.publish([good])
    receiver.wait_for(1)


def test_an_ancestor_and_all_hooks_match(start, receiver):
    system = start(kazoo__modules="*")
    system.add_hook(f"{receiver.url}/all", event="all")
    system.add_hook(f"{receiver.url}/answers", event="channel_answer")
    system.publish(
        [call_event(1), call_event(1, "CHANNEL_ANSWER"), call_event(1, "CHANNEL_DESTROY")]
    )
    requests = receiver.wait_for(4)
    assert sorted(request.path for request in requests) == ["/all", "/all", "/all", "/answers"]
