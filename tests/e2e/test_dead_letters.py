"""What is given up or cannot be handled: listed, shown, sent once more, deleted."""

import json
import os
import signal
import time

import pytest
from standardwebhooks import Webhook

from callboard import admin
from callboard.adapters.receiver.server import Answer
from support import stores
from support.hooks import prepared_store, save_account
from support.running import ACCOUNT, call_event

pytestmark = pytest.mark.multiprocess

OTHER = "b" * 32


@pytest.fixture(params=stores.BOTH)
def urls(request, tmp_path):
    """The settings of a system; the real servers know accounts."""
    settings = stores.urls(request)
    if settings:
        store = prepared_store(settings["couchdb__url"], tmp_path)
        save_account(store, ACCOUNT)
        save_account(store, OTHER)
        store.close()
    return settings


def ask(system, request, kind):
    return system.client.ask_actor("redelivery", request, kind, 30)


def at(receiver, path):
    return [request for request in receiver.requests if request.path == path]


def letters(system, **filters):
    return ask(system, admin.ListDeadLetters(**filters), admin.DeadLettersListed).letters


def dead(system, count):
    return system.wait(lambda: len(found := letters(system)) == count and found, 30, "the letters")


def test_what_was_given_up_is_listed_shown_and_delivered_once_more(urls, start, receiver):
    system = start(delivery__retry_policy="standard", delivery__retry_steps_s="0.2,0.2", **urls)
    hook = system.add_hook(
        f"{receiver.url}/status/500", format="json", headers={"Authorization": "Bearer s3cret"}
    )
    secret = json.loads(system.run("hooks", "secret", "new", hook, "--json").stdout)["secret"]
    other = system.add_hook(f"{receiver.url}/ok", account=OTHER, format="json")
    system.wait_hooks(2)
    system.publish([call_event(1), call_event(2, account=OTHER)])
    (letter,) = dead(system, 1)
    assert (letter.kind, letter.account_id, letter.hook_id) == ("delivery", ACCOUNT, hook)
    assert (letter.reason, letter.tries, letter.name) == ("status 500", 3, "CHANNEL_CREATE")
    assert letters(system, account=OTHER) == letters(system, hook_id=other) == ()
    assert letters(system, kind="event") == letters(system, until_s=time.time() - 3600) == ()
    assert letters(system, hook_id=hook, since_s=time.time() - 3600) == (letter,)
    assert hook in system.run("dead-letters", "list").stdout

    shown = system.run("dead-letters", "show", letter.id).stdout
    document = json.loads(shown)
    assert [told["outcome"] for told in document["history"]] == ["status 500"] * 3
    assert json.loads(document["body"])["call_id"] == "call-1@switch"
    assert "s3cret" not in shown
    assert secret not in shown
    tried = at(receiver, "/status/500")
    assert document["webhook_id"] == tried[0].headers["webhook-id"]
    assert tried[0].headers["webhook-signature"] not in shown

    # Its hook is mended, and now a put.
    receiver.answer("/status/500", lambda _request: Answer(200))
    before = len(tried)
    done = system.run("dead-letters", "retry", "--hook", hook, "--json")
    assert (done.returncode, json.loads(done.stdout)) == (
        0, {"retried": [letter.id], "refused": {}},
    ), done.stderr  # fmt: skip
    system.wait(lambda: len(at(receiver, "/status/500")) > before, what="it arrived")
    request = at(receiver, "/status/500")[-1]
    assert request.headers["webhook-id"] == document["webhook_id"]
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.body == tried[0].body
    Webhook(secret).verify(request.body, dict(request.headers))
    assert letters(system) == ()
    system.wait(lambda: system.node("deliveries/retry_queue").stats["in_hand"] == 0)
    assert len(at(receiver, "/status/500")) == before + 1
    again = system.run("dead-letters", "retry", letter.id)
    assert again.returncode == 1
    assert f"there is no dead letter {letter.id}" in again.stdout


def test_what_cannot_be_sent_stays_and_says_why(start, receiver):
    system = start()
    gone, off = (system.add_hook(f"{receiver.url}/status/500", format="json") for _ in "ab")
    system.wait_hooks(2)
    system.publish([call_event(1)])
    dead(system, 2)
    system.run("hooks", "rm", gone)
    system.wait(lambda: receiver.count == 2)
    store = prepared_store("sqlite://", system.settings.data.dir)
    store.save("webhooks", store.get("webhooks", off) | {"enabled": False})
    store.close()
    done = system.run("dead-letters", "retry", "--all", "--json")
    assert done.returncode == 1
    refused = json.loads(done.stdout)["refused"]
    assert sorted(refused.values()) == sorted(
        [f"there is no hook {gone}", f"hook {off} is disabled"]
    )
    assert len(letters(system)) == 2
    done = system.run("dead-letters", "purge", "--hook", gone, "--yes")
    assert "1 deleted" in done.stdout
    done = system.run("dead-letters", "purge", "--all", input="n\n")
    assert done.returncode == 1
    assert [letter.hook_id for letter in letters(system)] == [off]


def test_a_delivery_that_is_given_up_again_is_a_letter_again(start, receiver):
    system = start()
    system.add_hook(f"{receiver.url}/status/500", format="json")
    system.wait_hooks()
    system.publish([call_event(1)])
    (first,) = dead(system, 1)
    answer = ask(system, admin.RetryDeadLetters((first.id,)), admin.DeadLettersRetried)
    assert answer.retried == (first.id,)
    system.wait(lambda: receiver.count == 2)
    (second,) = dead(system, 1)
    assert second.id != first.id
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


def test_an_event_that_could_not_be_handled_is_handled_when_its_module_can(urls, start, receiver):
    system = start(kazoo__modules="*", **urls)
    hook = system.add_hook(f"{receiver.url}/ok", event="sms", format="json")
    system.wait_hooks()
    good = {
        "Event-Category": "sms", "Event-Name": "inbound", "App-Name": "a", "App-Version": "1",
        "Msg-ID": "m1", "Account-ID": ACCOUNT, "Message-ID": "1", "From": "a", "To": "b",
        "Body": "hello",
    }  # fmt: skip
    bad = {**good, "Body": 7}
    system.send(("im", "sms.inbound.offnet.1", bad))
    (letter,) = dead(system, 1)
    assert (letter.kind, letter.name, letter.subject) == ("event", "sms", "im sms.inbound.offnet.1")
    assert "Body is not a string" in letter.reason
    # The module is what it was: it fails again, and is a letter again, with another id.
    retried = ask(system, admin.RetryDeadLetters((letter.id,)), admin.DeadLettersRetried)
    assert retried.retried == (letter.id,)
    (again,) = system.wait(
        lambda: (found := letters(system)) and found[0].id != letter.id and found
    )
    # Whoever mends the event by hand has what a module that was mended would take.
    store = prepared_store(urls.get("couchdb__url", "sqlite://"), system.settings.data.dir)
    document = store.get("callboard_dead_letters", again.id)
    store.save("callboard_dead_letters", document | {"body": json.dumps(good)})
    store.close()
    done = system.run("dead-letters", "retry", "--kind", "event")
    assert "1 on their way again" in done.stdout, done.stdout + done.stderr
    receiver.wait_for(1)
    assert json.loads(receiver.requests[0].body)["body"] == "hello"
    assert receiver.requests[0].headers["x-hook-id"] == hook
    assert letters(system) == ()


def test_letters_survive_the_death_of_the_actor_that_writes_them(start, receiver):
    system = start(disabler__enabled="false")
    system.add_hook(f"{receiver.url}/status/500", format="json")
    system.wait_hooks()
    system.publish(call_event(number) for number in range(20))
    os.kill(system.node("deliveries/attempt_log").pid, signal.SIGKILL)
    receiver.wait_for(20)
    dead(system, 20)


@pytest.mark.couchdb
def test_letters_wait_on_disk_while_the_store_is_away(
    start, receiver, couchdb_server, couchdb_url, tmp_path
):
    store = prepared_store(couchdb_url, tmp_path)
    save_account(store, ACCOUNT)
    store.close()
    system = start(couchdb__url=couchdb_url, couchdb__timeout_ms=1000)
    system.add_hook(f"{receiver.url}/status/500", format="json")
    system.wait_hooks()
    system.publish([call_event(0)])
    dead(system, 1)
    # The event about it comes by the broker, and its module reads the store.
    system.wait(lambda: system.node("responders/callboard").stats.get("events") == 1)
    couchdb_server.stop()
    try:
        system.publish(call_event(number) for number in range(1, 20))
        system.wait(
            lambda: system.node("deliveries/attempt_log").stats.get("letters_waiting") == 19
        )
        system.wait(lambda: system.node("event_bridge").stats["in_hand"] == 0)
        away = system.run("dead-letters", "list")
        assert away.returncode == 1
        system.kill("deliveries/attempt_log")
    finally:
        couchdb_server.start()
    # The server keeps its documents in memory: the first letter went with it.
    system.wait(lambda: len(letters(system)) >= 19, 30, "the letters")


def test_old_letters_go_by_themselves(start, receiver):
    system = start(dead_letters__keep_days=7)
    system.add_hook(f"{receiver.url}/status/500", format="json")
    system.wait_hooks()
    system.publish([call_event(1), call_event(2)])
    found = dead(system, 2)
    store = prepared_store("sqlite://", system.settings.data.dir)
    document = store.get("callboard_dead_letters", found[0].id)
    document["pvt_created"] -= 8 * 24 * 3600
    store.save("callboard_dead_letters", document)
    store.close()
    system.kill("redelivery")
    (left,) = dead(system, 1)
    assert left.id == found[1].id
