"""A trial beside Kazoo: nothing is sent, and every shared document stays as it was, to the byte."""

import json
import time
from collections import defaultdict
from contextlib import closing

import pytest
import requests

from callboard.actors.system.actor_system import RequestRefused
from callboard.adapters.repositories import dead_letters
from callboard.adapters.repositories.system_config import set_system_setting
from callboard.adapters.store import stores, views
from callboard.webhooks.values.kazoo_names import gregorian_s, modb
from support.kazoo_answers import DATA, cases, deviations
from support.running import ACCOUNT, call_event

STORES = ["embedded", pytest.param("couchdb", marks=pytest.mark.couchdb)]
MASTER = "0a" * 16
DATABASE = f"account/{ACCOUNT[:2]}/{ACCOUNT[2:4]}/{ACCOUNT[4:]}"
MASTERS = f"account/{MASTER[:2]}/{MASTER[2:4]}/{MASTER[4:]}"
OWN = ("webhooks", "accounts", "system_config", "system_schemas", DATABASE, MASTERS)


def as_kazoo_leaves_it(store, url):
    """Documents as Kazoo writes them, and its views."""
    for database, its in (
        ("webhooks", views.WEBHOOKS),
        ("accounts", views.ACCOUNTS),
        ("system_config", ()),
        ("system_schemas", ()),
        (DATABASE, views.ACCOUNT),
        (MASTERS, views.ACCOUNT),
    ):
        store.ensure_database(database)
        store.ensure_views(database, its)
    limits = {"attempt_failure_count": 2, "attempt_failure_expiry_ms": 4000}
    store.save("system_config", {"_id": "webhooks", "default": limits})
    store.save("system_schemas", {"_id": "webhooks", "properties": {"name": {"type": "string"}}})
    for id, tree in ((MASTER, []), (ACCOUNT, [MASTER])):
        store.save(
            "accounts", {"_id": id, "pvt_type": "account", "pvt_tree": tree, "enabled": True}
        )
    store.save(MASTERS, {"_id": "webhooks_sms", "pvt_type": "webhook_meta", "name": "old"})
    hooks = {
        "good": {"uri": f"{url}/good", "hook": "channel_create"},
        "refused": {"uri": "http://10.9.8.7/", "hook": "channel_create"},
        "retired": {"uri": f"{url}/retired", "hook": "inbound_fax"},
        "off": {"uri": url, "hook": "object", "enabled": False, "pvt_disabled_message": "why"},
    }
    for id, fields in hooks.items():
        private = {"_id": id, "pvt_type": "webhook", "pvt_account_id": ACCOUNT}
        plain = {"name": id, "format": "json", "http_verb": "post", "retries": 1}
        store.save("webhooks", private | plain | fields)


def everything(store, url):
    """All databases' names and documents, those of views too."""
    if url:
        names = requests.get(f"{url}/_all_dbs", timeout=30).json()
        found = {}
        for name in OWN:
            where = f"{url}/{name.replace('/', '%2F')}/_all_docs"
            found[name] = requests.get(where, params={"include_docs": "true"}, timeout=30).text
        return sorted(names), found
    names = [name for name in (*OWN, modb(ACCOUNT, time.time())) if store.database_exists(name)]
    return names, {name: json.dumps(list(store.documents(name))) for name in names}


@pytest.fixture(params=STORES)
def shared(request, tmp_path):
    """The store of a cluster, without Kazoo's documents, and its URL; empty: the embedded one."""
    url = request.getfixturevalue("couchdb_url") if request.param == "couchdb" else ""
    data = tmp_path / "data0"
    data.mkdir()
    with closing(stores.connect(url or "sqlite://", data, 60)) as store:
        if url:
            for name in OWN:
                requests.delete(f"{url}/{name.replace('/', '%2F')}", timeout=30)
        yield store, url


def listed(system):
    """What the trial has recorded."""
    listing = system.run("kazoo", "dry-run", "--account", ACCOUNT, "--json")
    assert listing.returncode == 0, listing.stderr
    return json.loads(listing.stdout)


@pytest.mark.multiprocess
def test_a_trial_sends_nothing_and_changes_no_document(shared, start, receiver):
    store, url = shared
    as_kazoo_leaves_it(store, receiver.url)
    before = everything(store, url)
    system = start(
        kazoo__modules="*", delivery__dry_run=True, **({"couchdb__url": url} if url else {})
    )
    assert system.settings.amqp.queue == "callboard.events.dry_run"
    system.wait_hooks(4)  # The retired one is loaded as Kazoo would have migrated it.
    for number in range(3):  # Failures in one millisecond count as one.
        system.publish([call_event(number)])
    system.wait(lambda: "hook_would_be_disabled" in system.log.read_text(), 30)
    with pytest.raises(RequestRefused, match="dry run"):
        system.add_hook(f"{receiver.url}/new")
    system.run("maintenance", "enable_account_hooks", ACCOUNT)
    made = system.wait(lambda: len(found := listed(system)) >= 6 and found, what="6 records")
    system.close()
    assert everything(store, url) == before
    found = {(one["hook_id"], one["result"]) for one in made}
    assert found == {("good", "dry_run"), ("refused", "failure")}
    bodies = [json.loads(one["req_body"]) for one in made if one["result"] == "dry_run"]
    assert sorted(body["call_id"] for body in bodies) == [f"call-{n}@switch" for n in range(3)]
    assert receiver.count == 0


@pytest.mark.multiprocess
def test_a_trial_that_takes_its_share_of_the_events_adds_attempts_only(shared, start, receiver):
    """There and back: hooks that fail, or whose endpoint is gone, are as Kazoo left them."""
    store, url = shared
    as_kazoo_leaves_it(store, f"{receiver.url}/status/500")
    for id, status in (("gone", 410), ("fine", 200)):
        hook = {"name": id, "hook": "channel_create", "uri": f"{receiver.url}/status/{status}"}
        private = {"_id": id, "pvt_type": "webhook", "pvt_account_id": ACCOUNT}
        store.save("webhooks", private | hook | {"http_verb": "post"})
    month = modb(ACCOUNT, time.time())
    store.ensure_database(month)
    store.ensure_views(month, views.MODB)
    names, before = everything(store, url)
    system = start(
        kazoo__modules="*", amqp__join_kazoo=True, **({"couchdb__url": url} if url else {})
    )
    system.wait_hooks(6)
    for number in range(3):
        system.publish([call_event(number)])
        receiver.wait_for(lambda got, least=3 * (number + 1): len(got) >= least)
    told = "hook_would_be_disabled"
    system.wait(lambda: system.log.read_text().count(told) >= 2, 30, "both would be disabled")
    system.wait_settled(3)
    stored = system.wait(lambda: len(found := list(store.documents(month))) >= 6 and found)
    system.close()
    after_names, after = everything(store, url)
    after.pop(month, None)
    before.pop(month, None)
    assert after == before
    assert {*after_names} - {*names} <= {dead_letters.DATABASE}, "only its own is new"
    attempts = [one for one in stored if one.get("pvt_type") == "webhook_attempt"]
    assert {one["hook_id"] for one in attempts} == {"good", "gone", "refused"}


CALLS = ("channel_create", "channel_answer", "channel_bridge", "channel_destroy")


def calls_of_kazoo():
    """Hooks, events and what Kazoo sent for them; of each event type the hook with most cases.

    Each hook has an id of its own here, and only cases without further documents are taken.
    """
    intended = {name for kind in deviations() for name in kind["cases"]}
    by_hook = defaultdict(list)
    for case in cases():
        if case["name"] in intended or case["docs"] or len(case["hooks"]) != 1:
            continue
        [hook] = case["hooks"]
        if hook["hook"] in CALLS and not case["responses"]:
            by_hook[json.dumps(hook, sort_keys=True)].append(case)
    most = {}
    for text, some in sorted(by_hook.items(), key=lambda item: len(item[1])):
        most[json.loads(text)["hook"]] = json.loads(text), some
    for hook, some in most.values():
        id = f"hook-{hook['hook']}"
        requests = [one | {"hook": id} for case in some for one in case["kazoo"]["requests"]]
        yield hook | {"_id": id}, [event for case in some for event in case["events"]], requests


def as_attempt(request, number):
    """The record of a request of Kazoo's, as Kazoo stores it (webhooks_util)."""
    url, body = request["url"], request["body"]
    if request["verb"] == "get":
        url, body = url.rpartition("?")[0], ""
    headers = {"content-type": request["content_type"]} if request["content_type"] else {}
    return {
        "pvt_type": "webhook_attempt",
        "pvt_account_id": request["account"],
        "pvt_created": gregorian_s(time.time()),
        "hook_id": request["hook"],
        "event_id": f"kazoo-{number}",
        "method": request["verb"],
        "uri": url,
        "req_headers": headers,
        "req_body": body,
        "resp_status_code": "200",
        "result": "success",
    }


@pytest.mark.multiprocess
def test_a_trial_is_compared_with_what_kazoo_sent(tmp_path, start):
    """The events are those for which Kazoo's own code made these requests (tests/data/kazoo)."""
    data = tmp_path / "data0"
    data.mkdir()
    base = json.loads((DATA / "base.json").read_text())
    parts = list(calls_of_kazoo())
    account = parts[0][0]["pvt_account_id"]
    month = modb(account, time.time())
    events = [event for _hook, its, _requests in parts for event in its]
    requests = [request for *_others, some in parts for request in some]
    assert len(requests) > 150

    def compare(*arguments):
        result = system.run("kazoo", "compare", "--account", account, *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    with closing(stores.connect("sqlite://", data, 60)) as store:
        for database, its in (("webhooks", views.WEBHOOKS), ("accounts", views.ACCOUNTS)):
            store.ensure_database(database)
            store.ensure_views(database, its)
        for database, documents in base.items():
            store.ensure_database(database)
            for document in documents:
                store.save(database, document)
        for hook, _events, _requests in parts:
            store.save("webhooks", hook)
        store.ensure_database(month)
        store.ensure_views(month, views.MODB)
        system = start(kazoo__modules="*", delivery__dry_run=True)
        system.wait_hooks(len(parts))
        system.send(
            *(
                # Messages with one id are repeats.
                ("callevt", f"call.{event['Event-Name']}.leg", event | {"Msg-ID": f"{number}"})
                for number, event in enumerate(events)
            )
        )
        system.wait_settled(len(events))
        store.save_many(month, [as_attempt(one, number) for number, one in enumerate(requests)])
        told = system.wait(
            lambda: (found := json.loads(compare("--json")))["dry_run"] == len(requests) and found
        )
        assert (told["differences"], told["kazoo"]) == ([], len(requests))
        assert told["equal"] > 100
        assert "log_successful_attempts" in told["notes"][0]
        # One that Kazoo sent otherwise.
        [first] = [one for one in store.documents(month) if one["event_id"] == "kazoo-0"]
        other = json.loads(first["req_body"]) | {"call_direction": "sideways"}
        store.save(month, {**first, "req_body": json.dumps(other)})
        set_system_setting(store, "webhooks", "log_successful_attempts", True)
        [found] = json.loads(compare("--json"))["differences"]
        assert (found["kind"], found["members"]) == ("differs", ["call_direction"])
        assert f"{told['equal'] - 1} requests are equal, 1 differ." in compare()
