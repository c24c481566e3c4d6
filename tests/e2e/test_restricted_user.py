"""Callboard with a CouchDB user who is no administrator, on databases that one made before.

The store is as in a Kazoo cluster without a configured master account: Kazoo's views differ from
Callboard's in their text, and may not be replaced.
"""

import json
import time

import pytest

from callboard.adapters.store import views
from callboard.adapters.store.protocol import View
from callboard.webhooks.values.kazoo_names import account_database, modb
from support.attempts import recorded_attempts
from support.running import ACCOUNT, call_event

EVENTS = 300
MASTER = account_database(ACCOUNT)
STRANGER = "d4" * 16
WEEK_S = 7 * 24 * 3600

KAZOOS_ACCOUNTS = [
    View(
        "accounts",
        name,
        f"function(doc) {{ if (doc.pvt_type != 'account' || doc.pvt_deleted) return; {emits} }}",
        lambda _doc: (),
    )
    for name, emits in {
        "listing_by_id": "emit(doc._id, {'id': doc._id, 'realm': doc.realm});",
        "listing_by_descendants": "for (var i = 0; i < doc.pvt_tree.length - 1; i++) "
        "emit([doc.pvt_tree[i], doc._id], {'id': doc._id});",
    }.items()
]
KAZOOS_METADATA = [
    View(
        "webhooks",
        "webhook_meta_listing",
        "function(doc) { if (doc.pvt_type != 'webhook_meta') return; emit(doc.name, null); }",
        lambda _doc: (),
    )
]

pytestmark = [pytest.mark.multiprocess, pytest.mark.rabbitmq, pytest.mark.couchdb]


def save_hook(store, uri, account=ACCOUNT, **fields):
    hook = {"pvt_type": "webhook", "pvt_account_id": account, "name": "n", "hook": "channel_create"}
    store.save("webhooks", hook | {"format": "json", "uri": uri} | fields)


@pytest.fixture
def site(restricted):
    """Makes a cluster's databases; `left_out` are missing, `how` is for Restricted.make."""

    def site(*left_out, **how):
        now = time.time()
        months = {modb(ACCOUNT, now + ahead): views.MODB for ahead in (0, WEEK_S)}
        everything = {
            "webhooks": views.WEBHOOKS,
            "accounts": KAZOOS_ACCOUNTS,
            **dict.fromkeys(("system_config", "system_schemas", "services"), ()),
            MASTER: KAZOOS_METADATA,
            **({} if "months" in left_out else months),
            "callboard_dead_letters": views.DEAD_LETTERS,
        }
        for database in everything.keys() - left_out:
            its_views = () if database in months and "views" in left_out else everything[database]
            restricted.make(database, its_views, **how.get(database, {}))
        admin = restricted.admin
        child = {"_id": "c1" * 16, "pvt_type": "account", "pvt_created": 2}
        admin.save("accounts", child | {"pvt_tree": [ACCOUNT, "c1" * 16]})
        account = {"_id": ACCOUNT, "pvt_type": "account", "pvt_created": 1, "pvt_tree": []}
        admin.save("accounts", account)
        admin.save("services", {"_id": ACCOUNT, "pvt_reseller_id": "the-reseller"})
        admin.save("system_schemas", {"_id": "webhooks", "properties": {}})
        config = {"log_successful_attempts": True}
        admin.save("system_config", {"_id": "webhooks", "default": config})
        return admin

    return site


@pytest.fixture
def run(start, amqp_url, restricted):
    """Starts a system as the restricted user."""

    def run(**settings):
        return start(
            kazoo__modules="*", amqp__url=amqp_url, couchdb__url=restricted.url, **settings
        )

    return run


def calls(requests):
    return {json.loads(request.body)["call_id"] for request in requests}


def test_the_main_job_needs_no_administrator(site, run, receiver, restricted):
    store = site()
    save_hook(store, f"{receiver.url}/hook", _id="hook")
    save_hook(store, f"{receiver.url}/fax", _id="old", hook="inbound_fax")
    save_hook(store, f"{receiver.url}/orphan", STRANGER, _id="orphan")
    system = run()
    system.wait(lambda: system.node("initializer").status == "ended", 30)
    system.wait_hooks(4)

    system.publish(call_event(number) for number in range(EVENTS))
    requests = receiver.wait_for(lambda got: len(got) >= EVENTS, timeout_s=60)
    assert calls(requests) == {f"call-{number}@switch" for number in range(EVENTS)}
    assert {json.loads(request.body)["reseller_id"] for request in requests} == {"the-reseller"}
    system.wait_settled(EVENTS)
    system.wait(lambda: len(recorded_attempts(store, ACCOUNT)) == EVENTS, 30, what="all attempts")

    # The master account, found by Kazoo's view: its metadata, and the setting.
    assert store.get(MASTER, "webhooks_channel_create")["name"] == "Channel Create"
    config = store.get("system_config", "accounts")
    assert config["default"] == {"master_account_id": ACCOUNT}
    assert "uri" in store.get("system_schemas", "webhooks")["properties"]

    # Migration
    migrated = store.get("webhooks", "old")
    assert (migrated["hook"], migrated["type"]) == ("notifications", "inbound_fax")
    assert store.get("webhooks", migrated["other_id"])["type"] == "inbound_fax_error"

    # Hooks of an account that is gone
    done = system.run("maintenance", "clean_up_orphans")
    assert done.stdout.splitlines()[-1] == "deleted 1 hooks of 1 accounts", done.stderr
    assert store.get("webhooks", "orphan") is None

    # Databases that exist are confirmed; only that of the stranger would have been made.
    tried = {path for method, path in restricted.refused() if method == "PUT"}
    assert {method for method, _path in restricted.refused()} <= {"PUT", "POST"}
    assert {path.count("/") for path in tried} <= {1, 3}
    missing = [line for line in system.log.read_text().splitlines() if "not_prepared" in line]
    assert len(missing) == 1
    assert modb(STRANGER, time.time())[:-7] in missing[0]
    for trouble in ("store_unavailable", "views_not_stored", "refused ", "store_not_prepared"):
        assert trouble not in system.log.read_text()


def test_attempts_are_stored_without_their_views(site, run, receiver):
    store = site("views")
    save_hook(store, f"{receiver.url}/hook")
    system = run()
    system.wait_hooks(1)
    system.publish([call_event(1)])
    receiver.wait_for(1)
    system.wait(lambda: recorded_attempts(store, ACCOUNT), 30, what="the attempt")
    assert "views_not_stored" in system.log.read_text()
    assert "attempts_refused" not in system.log.read_text()


def test_without_their_databases_attempts_are_lost_and_dead_letters_wait(
    site, run, receiver, restricted
):
    store = site("months", "callboard_dead_letters")
    save_hook(store, f"{receiver.url}/status/500", retries=1)
    system = run()
    system.wait_hooks(1)
    system.publish([call_event(1)])
    receiver.wait_for(1)
    system.wait_settled(1)
    for trouble in ("attempts_refused", "dead_letters_refused"):
        system.wait(lambda trouble=trouble: trouble in system.log.read_text(), 30)
    restricted.make("callboard_dead_letters", views.DEAD_LETTERS)
    system.wait(lambda: list(store.documents("callboard_dead_letters")), 60)


@pytest.mark.parametrize("database", ["services", MASTER])
def test_events_wait_until_the_user_may_read(site, run, receiver, restricted, database):
    store = site(**{database: {"member": False}})
    store.save("system_config", {"_id": "accounts", "default": {"master_account_id": "e5" * 16}})
    save_hook(store, f"{receiver.url}/hook")
    system = run()
    system.wait_hooks(1)
    system.publish([call_event(1)])
    system.wait(lambda: "store_unavailable" in system.log.read_text(), 30)
    assert not receiver.requests
    restricted.make(database)
    receiver.wait_for(1, timeout_s=30)
