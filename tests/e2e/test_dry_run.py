"""A trial beside Kazoo: nothing is sent, and every shared document stays as it was, to the byte."""

import json
import time
from contextlib import closing

import pytest
import requests

from callboard.actors.system.actor_system import RequestRefused
from callboard.adapters.repositories import dead_letters
from callboard.adapters.store import stores, views
from callboard.webhooks.values.kazoo_names import modb
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
    system = start(delivery__dry_run=True, **({"couchdb__url": url} if url else {}))
    assert system.settings.amqp.queue == "callboard.events.dry_run"
    system.wait_hooks(4)  # The retired one is loaded as Kazoo would have migrated it.
    system.publish(call_event(number) for number in range(3))
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
    system = start(amqp__join_kazoo=True, **({"couchdb__url": url} if url else {}))
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
