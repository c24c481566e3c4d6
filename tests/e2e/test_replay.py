"""Deliveries sent once more from their attempts, and test deliveries."""

import json
import os
import signal
import time
from urllib.parse import parse_qs

import pytest
from standardwebhooks import Webhook

from callboard import admin
from callboard.adapters.receiver.server import Answer
from callboard.webhooks.history.dead_letters import DATABASE as LETTERS
from callboard.webhooks.hooks.secrets import MEMBER
from callboard.webhooks.values.kazoo_names import modb
from support import commands
from support.hooks import prepared_store
from support.patience import patient
from support.running import ACCOUNT, call_event

pytestmark = pytest.mark.multiprocess

PRIVATE = "http://10.1.2.3/"


@pytest.fixture
def store(tmp_path):
    """The store of the system to be started; successful attempts are kept in it."""
    store = prepared_store("sqlite://", tmp_path / "data0")
    store.save("system_config", {"_id": "webhooks", "default": {"log_successful_attempts": True}})
    yield store
    store.close()


def written(system, attempts):
    system.wait(lambda: system.node("deliveries/attempt_log").stats["written"] == attempts)


def by_call(receiver, path):
    """The webhook-ids that each call came with at a path."""
    found = {}
    for request in receiver.requests:
        if request.path == path:
            query = parse_qs(request.query)
            call = query["call_id"][0] if query else json.loads(request.body)["call_id"]
            found.setdefault(call, []).append(request.headers["webhook-id"])
    return found


def replay(system, *arguments, exit_code=0):
    done = system.run("replay", *arguments, "--json")
    assert done.returncode == exit_code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_window_is_replayed_one_request_for_each_delivery(store, start, receiver):
    failing = []

    def answer(request):
        call = json.loads(request.body)["call_id"]
        failing.append(call)
        return Answer(500 if call == "call-2@switch" and len(failing) < 4 else 200)

    receiver.answer("/post", answer)
    system = start(delivery__workers=1)
    hook = system.add_hook(f"{receiver.url}/post", format="json")
    get = system.add_hook(f"{receiver.url}/get?token=1", http_verb="get", format="form-data")
    system.wait_hooks(2)
    system.publish(call_event(number) for number in (1, 2, 3))
    receiver.wait_for(6)
    written(system, 6)

    assert len(replay(system, "--hook", hook, "--since", "1h", "--dry-run")["would_replay"]) == 3
    assert len(replay(system, "--hook", hook, "--since", "1h", "--failed")["replayed"]) == 1
    receiver.wait_for(7)
    assert {call: len(ids) for call, ids in by_call(receiver, "/post").items()} == {
        "call-1@switch": 1, "call-2@switch": 2, "call-3@switch": 1,
    }  # fmt: skip
    written(system, 7)
    # Its last try succeeded, and so there is nothing more that failed.
    replay(system, "--hook", hook, "--since", "1h", "--failed", exit_code=1)
    assert len(replay(system, "--hook", hook, "--since", "1h")["replayed"]) == 3
    assert len(replay(system, "--hook", get, "--since", "1h", "--rate", "100")["replayed"]) == 3
    receiver.wait_for(13)
    for path, most in (("/post", 3), ("/get", 2)):
        calls = by_call(receiver, path)
        assert max(len(ids) for ids in calls.values()) == most
        assert all(len(set(ids)) == 1 for ids in calls.values()), "other webhook-ids"
    assert {r.query[:8] for r in receiver.requests if r.method == "GET"} == {"token=1&"}
    replay(system, "--hook", hook, "--since", "2020-01-01", "--until", "2020-02-01", exit_code=1)
    wrong = system.run("replay", "--hook", "nobody", "--since", "1h")
    assert (wrong.returncode, "there is no hook nobody" in wrong.stderr) == (1, True)


def test_one_delivery_is_replayed(store, start, receiver):
    system = start(attempts__body_limit=500)
    hook = system.add_hook(f"{receiver.url}/short", format="json")
    system.wait_hooks()
    system.publish(call_event(number) for number in (1, 2))
    system.publish([call_event(3) | {"Caller-ID-Name": "x" * 1000}])
    receiver.wait_for(3)
    written(system, 3)
    request = admin.ListAttempts(hook, time.time() - 3600, time.time())
    listed = system.client.ask_actor("redelivery", request, admin.AttemptsListed)
    problems = {attempt.problem for attempt in listed.attempts}
    assert problems == {"", "its body was cut (attempts.body_limit)"}
    whole = [attempt for attempt in listed.attempts if not attempt.problem]
    told = json.loads(system.run("attempts", "list", "--hook", hook, "--json").stdout)
    assert [attempt["id"] for attempt in told] == [attempt.id for attempt in listed.attempts]
    assert not json.loads(
        system.run("attempts", "list", "--hook", hook, "--failed", "--json").stdout
    )
    shown = json.loads(system.run("attempts", "show", whole[0].id, "--hook", hook).stdout)
    assert (shown["id"], shown["resp_status_code"]) == (whole[0].id, "200")
    assert not {"pvt_type", "_rev"} & set(shown)
    unknown = system.run("attempts", "show", "202001/none", "--hook", hook)
    assert (unknown.returncode, "there is no attempt 202001/none" in unknown.stderr) == (1, True)
    assert len(replay(system, "--hook", hook, "--event-id", whole[0].event_id)["replayed"]) == 1
    replay(system, "--hook", hook, "--attempt", whole[1].id.partition("/")[2])
    receiver.wait_for(5)
    assert sorted(len(ids) for ids in by_call(receiver, "/short").values()) == [1, 2, 2]
    done = replay(system, "--hook", hook, "--since", "1h")
    assert (len(done["replayed"]), len(done["skipped"])) == (2, 1)


def test_a_retry_that_is_interrupted_can_be_run_again(start, receiver):
    count = 60
    system = start(disabler__enabled=False)
    hook = system.add_hook(f"{receiver.url}/status/500", format="json")
    system.wait_hooks()
    system.publish(call_event(number) for number in range(count))

    def letters():
        request = admin.ListDeadLetters()
        return system.client.ask_actor("redelivery", request, admin.DeadLettersListed).letters

    system.wait(lambda: len(letters()) == count, 30)
    store = prepared_store("sqlite://", system.settings.data.dir)
    letter = store.get(LETTERS, letters()[0].id)
    known_ids = {request.headers["webhook-id"] for request in receiver.requests}
    receiver.answer("/status/500", lambda _request: Answer(200))
    before = receiver.count
    retry = ("dead-letters", "retry", "--all", "--rate", "20")
    retrying = commands.Command(system.environment, *retry)
    receiver.wait_for(before + 10, timeout_s=30)
    os.kill(system.node("redelivery").pid, signal.SIGKILL)
    retrying.wait(patient(60))
    if letters():
        system.run("dead-letters", "retry", "--hook", hook, "--rate", "1000")
    assert letters() == ()

    def again():
        return {r.headers["webhook-id"] for r in receiver.requests[before:]}

    system.wait(lambda: again() == known_ids, 30, "all of them once more")
    print(f"{receiver.count - before} requests for {count} letters")

    # As if it had died after the broker's word and before the letter was deleted.
    del letter["_rev"]
    store.save(LETTERS, letter)
    store.close()
    repeats = sum(system.node(f"deliveries/deliverer-{n}").stats["repeats"] for n in (1, 2))
    requests = receiver.count
    assert system.run("dead-letters", "retry", letter["_id"]).returncode == 0
    system.wait(
        lambda: (
            sum(system.node(f"deliveries/deliverer-{n}").stats["repeats"] for n in (1, 2))
            == repeats + 1
        ),
        what="it was taken for what it is",
    )
    assert receiver.count == requests
    assert letters() == ()


def test_a_hook_is_tested_and_nothing_comes_of_it(start, receiver, store):
    receiver.answer("/ok", Answer(200, b"thank you", headers={"X-Told": "yes"}))
    system = start(
        attempts__body_limit=20_000,
        delivery__request_timeout_ms=int(patient(1000)),
        delivery__allow_networks="127.0.0.0/8",
    )
    ok = system.add_hook(
        f"{receiver.url}/ok", "object", format="json", custom_data={"type": "user"}
    )
    secret = json.loads(system.run("hooks", "secret", "new", ok, "--json").stdout)["secret"]
    hanging, failing = (system.add_hook(f"{receiver.url}{p}") for p in ("/hang", "/status/500"))
    system.wait_hooks(3)
    document = store.get("webhooks", ok) | {"_id": "private", "uri": PRIVATE}
    document.pop("_rev")
    store.save("webhooks", document | {"hook": "all", MEMBER: []})

    done = system.run("test-hook", ok)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "thank you" in done.stdout
    (request,) = receiver.requests
    assert request.headers["x-callboard-test"] == "true"
    assert json.loads(request.body) == {
        "id": "sample-document", "account_id": ACCOUNT, "action": "doc_edited", "type": "user",
    } | {k: v for k, v in json.loads(request.body).items() if k == "cluster_id"}  # fmt: skip
    Webhook(secret).verify(request.body, dict(request.headers))

    def tested(hook):
        done = system.run("test-hook", hook, "--json")
        assert done.returncode == 1, done.stdout + done.stderr
        return json.loads(done.stdout)

    assert tested(failing)["status"] == 500
    timeout = tested(hanging)
    assert (timeout["status"], timeout["error"]) == (0, "timeout")
    assert 0.9 < timeout["duration_s"] < patient(5)
    assert tested("private")["error"].startswith("refused: address")
    assert system.node("failure_cache").stats.get("failures", 0) == 0
    assert system.node("deliveries/attempt_log").stats["written"] == 0
    assert not store.database_exists(modb(ACCOUNT, request.time)) or not list(
        store.view(modb(ACCOUNT, request.time), "webhooks/attempts_by_time_listing")
    )
    assert "there is no hook nobody" in system.run("test-hook", "nobody").stderr
