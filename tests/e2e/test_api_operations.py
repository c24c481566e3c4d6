"""What the API does beyond Kazoo's, on a real system: events, tests, replays, dead letters."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from callboard.actors.system.actor_system import RequestRefused
from callboard.adapters.receiver.server import Answer
from support.patience import patient
from support.running import ACCOUNT

pytestmark = pytest.mark.multiprocess

HOOKS = f"/v2/accounts/{ACCOUNT}/webhooks"


@pytest.fixture
def system(start):
    system = start(
        api__enabled="true",
        api__port=0,
        api__events="true",
        quotas__hooks=2,
        quotas__test_deliveries=1,
    )
    system.wait(system.settings.api_place_file.exists, what="the API")
    return system


@pytest.fixture
def call(system):
    """call(method, path, data) -> the answer's data."""
    url = json.loads(system.settings.api_place_file.read_text())["url"]
    token = system.settings.api_token_file.read_text().strip()

    def call(method, path, data=None, **headers):
        answer = requests.request(
            method,
            url + path,
            json=None if data is None else {"data": data},
            headers={"X-Auth-Token": token, **headers},
            timeout=patient(60),
        )
        assert answer.ok, answer.text
        return answer.json()["data"]

    return call


def test_an_event_without_a_broker_fails_is_retried_replayed_and_tested(system, call, receiver):
    receiver.answer("/paid", Answer(500))
    hook = {"name": "n", "uri": f"{receiver.url}/paid", "hook": "event", "format": "json"}
    hook |= {"retries": 1, "retry_policy": "kazoo"}
    id = call("PUT", HOOKS, hook | {"custom_data": {"type": "order.paid"}})["id"]
    secret = call("PUT", f"{HOOKS}/{id}/secrets", {})
    assert secret["secret"].startswith("whsec_")
    fingerprint = call("GET", f"{HOOKS}/{id}/secrets")[0]["fingerprint"]
    assert fingerprint == secret["fingerprint"]

    event = {"name": "order.paid", "account_id": ACCOUNT, "payload": {"order": 17}}
    key = {"Idempotency-Key": "order-17"}
    posted = call("POST", "/v2/events", event, **key)
    assert call("POST", "/v2/events", event, **key) == posted
    call("POST", "/v2/events", event | {"name": "order.sent"})
    first = receiver.wait_for(1)[0]
    body = json.loads(first.body)
    assert (body["id"], body["type"], body["data"]) == (posted["id"], "order.paid", {"order": 17})

    # Given up: a dead letter, which is retried.
    system.wait(lambda: call("GET", f"{HOOKS}/dead_letters"), what="the dead letter")
    (letter,) = call("GET", f"{HOOKS}/dead_letters")
    assert (letter["hook_id"], letter["account_id"]) == (id, ACCOUNT)
    receiver.answer("/paid", Answer(200))
    retry = {"action": "retry", "ids": [letter["id"]]}
    assert call("PATCH", f"{HOOKS}/dead_letters", retry) == {"done": [letter["id"]], "refused": {}}
    second = receiver.wait_for(2)[1]
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert second.body == first.body
    assert call("GET", f"{HOOKS}/dead_letters") == []

    # The stored attempt is replayed.
    system.wait(lambda: call("GET", f"{HOOKS}/{id}/attempts"), what="the attempt")
    run = call("PUT", f"{HOOKS}/{id}/replay", {"failed": True})["id"]
    third = receiver.wait_for(3)[2]
    assert third.headers["webhook-id"] == first.headers["webhook-id"]
    where = f"{HOOKS}/{id}/replay/{run}"
    system.wait(lambda: call("GET", where)["state"] == "done", what="the end of the replay")
    assert call("GET", where)["replayed"] == 1

    tested = call("PUT", f"{HOOKS}/{id}/test")
    assert (tested["status"], tested["succeeded"]) == (200, True)
    assert receiver.wait_for(4)[3].headers["x-callboard-test"] == "true"

    assert call("GET", "/v2/callboard/hooks?event=event")[0]["id"] == id
    tree = call("GET", "/v2/callboard/tree")
    assert {"api", "redelivery", "metrics"} <= {child["id"] for child in tree["children"]}
    assert "totals" in call("GET", "/v2/callboard/figures")
    status = call("POST", "/v2/callboard/maintenance/failure_status", {})
    assert status["hooks"] == [{"account_id": ACCOUNT, "hook_id": id, "count": 1}]
    system.add_hook(f"{receiver.url}/slow", "event")
    with pytest.raises(RequestRefused, match=r"quotas\.hooks allows 2"):
        system.add_hook(f"{receiver.url}/slow", "event")
    receiver.answer("/paid", Answer(delay_s=1.0))
    with ThreadPoolExecutor(1) as another:
        first_test = another.submit(call, "PUT", f"{HOOKS}/{id}/test")
        receiver.wait_for(5)
        with pytest.raises(AssertionError, match=r"quotas\.test_deliveries allows 1"):
            call("PUT", f"{HOOKS}/{id}/test")
        assert first_test.result()["succeeded"]
    call("DELETE", f"{HOOKS}/{id}/secrets/{fingerprint}")
    assert call("GET", f"{HOOKS}/{id}/secrets") == []
