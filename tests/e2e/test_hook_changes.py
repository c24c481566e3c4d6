"""Changes of hook documents, made by somebody else, are in effect soon after the bus tells."""

import json

import pytest

from callboard.webhooks.events.changes import document_change
from support.cluster import prepared
from support.running import ACCOUNT, call_event
from support.stores import BOTH, urls

pytestmark = pytest.mark.multiprocess

NODE = "kazoo@elsewhere"


class Cluster:
    """A second author of hook documents, as Crossbar is: saves, and tells the bus."""

    def __init__(self, system, store, receiver):
        self.system = system
        self.store = store
        self.receiver = receiver
        self.fired = self.made = 0

    def put(self, hook_id, event="doc_edited", **fields):
        document = self.store.get("webhooks", hook_id) or {"_id": hook_id, "pvt_type": "webhook"}
        document |= {"pvt_account_id": ACCOUNT, "name": hook_id, "format": "json", **fields}
        document["_rev"] = self.store.save("webhooks", document)
        self.tell(event, document)

    def tell(self, event, document, database="webhooks", **headers):
        key, body = document_change(event, database, document, NODE)
        self.system.send(("configuration", key, body | headers))

    def hooks(self, count):
        """Wait until the responder knows so many."""
        node = "responders/channel_create"
        self.system.wait(
            lambda: self.system.node(node).stats.get("hooks") == count, what=f"{count} hooks"
        )

    def fire(self):
        """Play a call; the paths it was delivered to."""
        self.fired += 1
        self.system.publish([call_event(self.fired)])

        def routed():
            stats = self.system.node("responders/channel_create").stats
            return stats.get("events") == self.fired and stats

        made = self.system.wait(routed)["deliveries"]
        expected, self.made = made - self.made, made
        call = f"call-{self.fired}@"

        def mine(requests):
            return [request.path for request in requests if call in request.body.decode()]

        return sorted(mine(self.receiver.wait_for(lambda got: len(mine(got)) == expected)))

    def fire_until(self, paths):
        """Play calls until they are delivered as they should be: a change takes a moment."""
        self.system.wait(lambda: self.fire() == paths, what=f"deliveries to {paths}")


@pytest.fixture(params=BOTH)
def cluster(request, start, receiver, tmp_path):
    settings = urls(request)
    folder = tmp_path / "data0"
    folder.mkdir()
    store = prepared(settings.get("couchdb__url", "sqlite://"), folder)
    yield Cluster(start(**settings), store, receiver)
    store.close()


def test_created_edited_disabled_enabled_and_deleted(cluster, receiver):
    url = receiver.url
    cluster.put("g", "doc_created", uri=f"{url}/good", hook="channel_create")
    cluster.put("h", "doc_created", uri=f"{url}/one", hook="channel_create")
    cluster.hooks(2)
    assert cluster.fire() == ["/good", "/one"]

    cluster.put("h", uri=f"{url}/two")
    cluster.put("off", "doc_created", uri=f"{url}/off", hook="all", enabled=False)
    cluster.fire_until(["/good", "/two"])

    cluster.put("h", enabled=False)
    cluster.hooks(1)
    assert cluster.fire() == ["/good"]
    cluster.put("h", enabled=True, hook="all")
    cluster.hooks(2)
    assert cluster.fire() == ["/good", "/two"]

    cluster.put("h", "doc_deleted", pvt_deleted=True)
    cluster.hooks(1)
    cluster.put("off", enabled=True)
    cluster.hooks(2)
    gone = cluster.store.get("webhooks", "off")
    cluster.store.delete("webhooks", "off", gone["_rev"])
    cluster.tell("doc_edited", gone)  # of a document that is gone: Kazoo crashes here
    cluster.hooks(1)
    assert cluster.fire() == ["/good"]
    assert {node.restarts for node in cluster.system.tree().below()} == {0}


def test_a_document_in_the_message_is_loaded_without_the_store(cluster, receiver):
    document = {
        "_id": "h",
        "pvt_type": "webhook",
        "pvt_account_id": ACCOUNT,
        "uri": f"{receiver.url}/told",
        "hook": "channel_create",
        "format": "json",
    }
    cluster.tell("doc_created", document, Doc=document)
    cluster.hooks(1)
    assert cluster.fire() == ["/told"]


def test_a_deleted_account_takes_its_hooks_along(cluster, receiver):
    for number in range(3):
        cluster.put(f"h{number}", "doc_created", uri=f"{receiver.url}/{number}", hook="all")
    cluster.hooks(3)
    account = {"_id": ACCOUNT, "pvt_type": "account", "pvt_account_id": ACCOUNT}
    cluster.tell("doc_deleted", account, "accounts")
    cluster.hooks(0)


def test_broken_documents_are_named_and_harm_nobody(cluster, receiver):
    good = {"uri": f"{receiver.url}/good", "hook": "channel_create"}
    cluster.put("good", "doc_created", **good)
    cluster.put("nowhere", "doc_created", hook="all")
    cluster.put("unknown", "doc_created", **good | {"hook": "full_moon"})
    cluster.put("typed", "doc_created", **good | {"retries": "many", "enabled": "true"})
    cluster.put("numbered", "doc_created", **good | {"uri": 7})
    cluster.hooks(2)
    cluster.system.wait(
        lambda: cluster.system.node("hook_listener").stats["problems"] == 3, what="three problems"
    )
    listed = cluster.system.run("hooks", "problems", "--json")
    assert listed.returncode == 1
    problems = {p["hook_id"]: p["reason"] for p in json.loads(listed.stdout)}
    assert problems == {
        "nowhere": "uri is missing: it must be a non-empty string",
        "numbered": "uri is missing: it must be a non-empty string",
        "unknown": problems["unknown"],
    }
    assert problems["unknown"].startswith(
        "hook 'full_moon' is unknown: use one of all, callboard, channel_"
    )
    assert "full_moon" in cluster.system.run("hooks", "problems").stdout
    assert cluster.fire() == ["/good", "/good"]

    cluster.put("nowhere", uri=f"{receiver.url}/nowhere")
    cluster.put("unknown", pvt_deleted=True)
    cluster.put("numbered", enabled=False)
    cluster.system.wait(lambda: cluster.system.node("hook_listener").stats["problems"] == 0)
    assert cluster.system.run("hooks", "problems").returncode == 0


def test_cached_documents_are_read_again_when_the_bus_says_they_changed(cluster, receiver):
    parent = "0e" * 16
    good = {"uri": f"{receiver.url}/good", "hook": "channel_create"}
    cluster.put("h", "doc_created", **good)
    theirs = {"uri": f"{receiver.url}/parent", "include_subaccounts": True}
    cluster.put("p", "doc_created", **good | theirs | {"pvt_account_id": parent})
    cluster.hooks(2)
    assert cluster.fire() == ["/good"]

    account = cluster.store.get("accounts", ACCOUNT) | {"pvt_tree": [parent]}
    account["_rev"] = cluster.store.save("accounts", account)
    cluster.tell("doc_edited", account, "accounts")
    cluster.fire_until(["/good", "/parent"])
