"""What a starting system makes in the store, and how it waits for a master account."""

import json
import time

import pytest

from callboard.actors.messages import Published, PublishEvents
from callboard.adapters.store import stores, views
from callboard.webhooks.events.changes import document_change
from callboard.webhooks.modules.discovery import discover
from callboard.webhooks.values.kazoo_names import account_database, encode_segment, encoded, modb
from services import couchdb
from support.running import ACCOUNT
from support.stores import BOTH, first_store, urls

pytestmark = pytest.mark.multiprocess

MASTER = account_database(ACCOUNT)
METADATA = {"webhooks_callboard", *(f"webhooks_{m.id}" for m in discover().modules)}


class Site:
    """A store as it is before the system starts, and the system on it once it has started."""

    def __init__(self, begin, store, settings):
        self._begin = begin
        self._settings = settings
        self.store = store
        self.system = None

    def start(self):
        self.system = self._begin(kazoo__modules="*", **self._settings)
        return self.system

    def save(self, database, *documents):
        self.store.ensure_database(database)
        if database == "accounts":
            self.store.ensure_views("accounts", views.ACCOUNTS)
        assert not [saved for saved in self.store.save_many(database, documents) if saved.error]

    def publish(self, key, body):
        event = "configuration", key, json.dumps(body).encode(), "application/json"
        self.system.client.ask_actor("event_bridge", PublishEvents((event,)), Published)

    def initializer(self):
        return self.system.node("initializer")

    def wait_until_waiting(self):
        self.system.wait(lambda: self.initializer().stats.get("waits_for") == "a master account")

    def wait_until_ended(self):
        self.system.wait(lambda: self.initializer().status == "ended", what="the end")

    def metadata(self):
        return {d["_id"] for d in self.store.documents(MASTER, start="webhooks_", end="webhooks_~")}


@pytest.fixture(params=BOTH)
def site(request, start, tmp_path):
    """A Site with embedded parts, or on RabbitMQ and CouchDB."""
    settings = urls(request)
    if settings:
        store = stores.connect(settings["couchdb__url"], tmp_path)
    else:
        store = first_store(tmp_path)
    yield Site(start, store, settings)
    store.close()


def master_account(site):
    site.save("system_config", {"_id": "accounts", "default": {"master_account_id": ACCOUNT}})


def test_with_a_master_account_it_prepares_all_and_ends(site):
    master_account(site)
    retired = ("webhooks_callflow", "webhooks_inbound_fax", "webhooks_outbound_fax")
    site.save(MASTER, *({"_id": id, "pvt_type": "webhook_meta"} for id in retired))
    site.save(MASTER, {"_id": "webhooks_channel_create", "name": "Old", "note": "theirs"})
    site.save("system_schemas", {"_id": "webhooks", "properties": {"group": {"type": "string"}}})
    site.save(
        "webhooks", {"_id": "1", "pvt_type": "webhook", "pvt_account_id": ACCOUNT, "hook": "all"}
    )
    site.start()
    site.wait_until_ended()
    assert site.metadata() == METADATA
    mended = site.store.get(MASTER, "webhooks_channel_create")
    assert (mended["name"], mended["note"]) == ("Channel Create", "theirs")
    properties = site.store.get("system_schemas", "webhooks")["properties"]
    assert {"group", "uri"} <= properties.keys()
    now = time.time()
    assert any(site.store.database_exists(modb(ACCOUNT, t)) for t in (now, now - 60))
    assert list(site.store.view("webhooks", "webhooks/webhooks_listing"))


def test_without_one_it_waits_for_an_account(site):
    site.start()
    site.wait_until_waiting()
    assert site.store.get("system_config", "accounts") is None

    # As Kazoo makes an account: its database, then its document, then the copy in `accounts`.
    account = {"_id": ACCOUNT, "pvt_type": "account", "pvt_account_id": ACCOUNT, "pvt_created": 1}
    site.store.ensure_database(MASTER)
    name = encoded(MASTER)
    site.publish(
        f"db_created.{name}.database.{encode_segment(name)}",
        {"Event-Category": "configuration", "Event-Name": "db_created", "Database": name}
        | {"ID": name, "Type": "database", "App-Name": "datamgr", "Msg-ID": "m"},
    )
    site.save("accounts", account)
    site.publish(*document_change("doc_created", "accounts", account, "apps@kazoo"))

    site.wait_until_ended()
    assert site.metadata() == METADATA
    saved = site.store.get("system_config", "accounts")
    assert saved["default"] == {"master_account_id": ACCOUNT}
    assert site.initializer().restarts == 0


def test_the_first_hook_of_the_embedded_store_brings_its_account(start, tmp_path, receiver):
    system = start(kazoo__modules="*")
    system.wait(lambda: system.node("initializer").stats.get("waits_for"))
    system.add_hook(f"{receiver.url}/a")
    system.wait(lambda: system.node("initializer").status == "ended")
    store = stores.connect("sqlite://", tmp_path / "data0")
    assert store.get(MASTER, "webhooks_channel_create")["name"] == "Channel Create"
    store.close()


@pytest.mark.rabbitmq
@pytest.mark.couchdb
def test_a_cluster_that_is_still_being_set_up_is_waited_for(start, amqp_url, couchdb_url, tmp_path):
    site = Site(start, stores.connect(couchdb_url, tmp_path), {})
    account = {"_id": ACCOUNT, "pvt_type": "account", "pvt_account_id": ACCOUNT}
    site.store.ensure_database("accounts")
    site.store.save("accounts", account)
    site.system = start(kazoo__modules="*", amqp__url=amqp_url, couchdb__url=couchdb_url)
    site.wait_until_waiting()
    assert site.store.get("accounts", "_design/accounts") is None

    site.store.ensure_views("accounts", views.ACCOUNTS)
    site.publish(*document_change("doc_created", "accounts", account, "apps@kazoo"))
    site.wait_until_ended()
    assert site.metadata() == METADATA
    site.store.close()


@pytest.mark.rabbitmq
@pytest.mark.couchdb
def test_two_nodes_that_hear_of_an_account_at_once(start, amqp_url, couchdb_url, tmp_path):
    site = Site(start, stores.connect(couchdb_url, tmp_path), {})
    nodes = [
        start(kazoo__modules="*", amqp__url=amqp_url, couchdb__url=couchdb_url, node__name=name)
        for name in ("callboard@a", "callboard@b")
    ]
    # A process can only attach to one system: what the others do is seen in their logs.
    for node in nodes:
        node.wait(lambda node=node: "no_master_account_yet" in node.log.read_text())
    site.system = nodes[0]
    account = {"_id": ACCOUNT, "pvt_type": "account", "pvt_account_id": ACCOUNT, "pvt_created": 1}
    site.save("accounts", account)
    site.publish(*document_change("doc_created", "accounts", account, "apps@kazoo"))
    for node in nodes:
        node.wait(lambda node=node: "store_prepared" in node.log.read_text())
    assert site.metadata() == METADATA
    assert {site.store.get(MASTER, id)["_rev"][:2] for id in METADATA} == {"1-"}
    site.store.close()


def test_it_goes_on_trying_while_the_store_is_away(start, tmp_path):
    found = couchdb.program()
    if found is None:
        couchdb.missing("pouchdb-server", "npm install --prefix .services pouchdb-server")
    server = couchdb.PouchServer(str(found), tmp_path)
    try:
        system = start(couchdb__url=server.url, couchdb__timeout_ms=3000)
        system.wait(lambda: "store_not_prepared" in system.tail())
        assert system.node("initializer").status == "running"
        server.start()
        store = stores.connect(server.url, tmp_path)
        store.ensure_database("system_config")
        config = {"_id": "accounts", "default": {"master_account_id": ACCOUNT}}
        store.save("system_config", config)
        system.wait(lambda: system.node("initializer").status == "ended", 30)
        assert store.get(MASTER, "webhooks_channel_create")
        system.close()
    finally:
        server.stop()
