"""What waits for a hook follows it: exact counts of requests after each kind of change."""

import json
from collections import Counter

import pytest

from callboard.actors.messages import CancelDeliveries, EditHook, HookSaved, RemoveHook
from callboard.adapters.receiver.server import Answer
from support.patience import patient
from support.running import call_event

pytestmark = pytest.mark.multiprocess

WAITING = 100
AGAIN_S = str(round(patient(12)))
ENDED = "deleted", "disabled", "cancelled"
FAILING = *ENDED, "edited", "gone", "early", "paused"


def test_a_hundred_that_wait_end_or_go_on_as_their_hook_says(start, receiver):
    system = start(
        delivery__retry_policy="standard",
        delivery__retry_steps_s="3,3,3",
        disabler__enabled="false",
    )
    wants = {f"/{name}": Answer(503, headers={"Retry-After": AGAIN_S}) for name in FAILING}
    for path in wants:
        receiver.answer(path, lambda request: wants[request.path])
    hooks = {name: system.add_hook(f"{receiver.url}/{name}", format="json") for name in FAILING}
    hooks["slow"] = system.add_hook(f"{receiver.url}/slow", format="json", rate_limit=0.01)
    system.wait_hooks(len(hooks))

    def counts():
        return Counter(request.path.strip("/") for request in receiver.requests)

    def stats(name):
        found = [n.stats for n in system.tree().below() if n.path.startswith("deliveries/")]
        return sum(stats.get(name, 0) for stats in found)

    def ask(message):
        system.client.ask_actor("hook_listener", message, HookSaved)

    system.publish(call_event(number) for number in range(WAITING))
    first = {**dict.fromkeys(FAILING, WAITING), "slow": 1}
    system.wait(lambda: counts() == first, what="the first attempts")

    def listed(*arguments):
        return json.loads(system.run("deliveries", "list", "--json", *arguments).stdout)

    def waits(name):
        return listed("--hook", hooks[name], "--limit", "1000")["deliveries"]

    system.wait(
        lambda: all(len(waits(name)) >= WAITING for name in FAILING), what="all in the index"
    )
    of_early = waits("early")
    assert len(of_early) == WAITING
    assert {(one["tries"], one["reason"]) for one in of_early} == {(1, "status 503")}
    assert listed("--hook", "unknown") == {"count": 0, "deliveries": []}
    wants["/early"] = Answer(200)
    done = system.run("deliveries", "retry-now", "--json", "--hook", hooks["early"]).stdout
    assert json.loads(done) == {"sent": WAITING, "refused": {}}
    first["early"] += WAITING
    system.wait(lambda: counts() == first, 5, "the deliveries that were sent early")
    again = Counter(r.headers["webhook-id"] for r in receiver.requests if r.path == "/early")
    assert again == dict.fromkeys((one["id"] for one in of_early), 2)
    assert waits("early") == []

    ask(RemoveHook(hooks["deleted"]))
    ask(RemoveHook(hooks["slow"]))
    ask(EditHook(hooks["disabled"], {"enabled": False}))
    ask(EditHook(hooks["paused"], {"paused": True}))
    ask(CancelDeliveries(hooks["cancelled"]))
    edit = {"uri": f"{receiver.url}/new", "http_verb": "put", "headers": {"X-Key": "new"}}
    ask(EditHook(hooks["edited"], edit | {"format": "form-data"}))
    assert counts() == first
    system.wait(lambda: not waits("cancelled") + waits("deleted"), what="less in the index")
    assert len(waits("edited")) == WAITING
    wants.update(dict.fromkeys(wants, Answer(200)))
    wants["/gone"] = Answer(410)
    system.publish([call_event(WAITING)])
    system.wait_hooks(4)

    system.wait(lambda: stats("held") >= WAITING, 40, "the held deliveries")
    new = {
        "cancelled": WAITING + 1,
        "gone": WAITING + 1,
        "new": WAITING + 1,
        "early": 2 * WAITING + 1,
    }
    system.wait(lambda: counts() == {**first, **new}, 40, "the deliveries of the edited hook")
    system.wait(lambda: stats("cancelled") == 4 * WAITING - 1, what="the cancelled deliveries")
    system.wait(lambda: stats("outdated") == WAITING, what="the copies of those sent early")
    edited = [request for request in receiver.requests if request.path == "/new"]
    assert {(r.method, r.headers["x-key"], r.headers["content-type"]) for r in edited} == {
        ("PUT", "new", "application/x-www-form-urlencoded")
    }
    before = {r.headers["webhook-id"] for r in receiver.requests if r.path == "/edited"}
    assert before < {request.headers["webhook-id"] for request in edited}

    wants["/gone"] = Answer(200)
    ask(EditHook(hooks["gone"], {"enabled": True}))
    new["gone"] += WAITING
    system.wait(lambda: counts() == {**first, **new}, 40, "the deliveries of the enabled hook")

    listed = system.run("deliveries", "cancel", "--hook", hooks["gone"])
    assert "cancelled the deliveries" in listed.stdout
    system.wait(lambda: stats("in_hand") == 0, 40)
    assert counts() == {**first, **new}

    ask(EditHook(hooks["paused"], {"paused": False}))
    new["paused"] = 2 * WAITING + 1
    system.wait(lambda: counts() == {**first, **new}, 40, "the deliveries of the resumed hook")
    system.wait(lambda: stats("in_hand") + stats("in_order") == 0)
    assert counts() == {**first, **new}
