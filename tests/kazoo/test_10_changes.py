"""Changes of hooks that the bus tells of, on one running system."""

from itertools import count

import pytest

from callboard import admin
from callboard.webhooks.events.changes import document_change
from support.cluster import prepared
from support.receiver import Receiver
from support.running import ACCOUNT, RunningSystem, call_event

pytestmark = pytest.mark.multiprocess

OTHER = "b0" * 16
numbers = count(1)


class Node:
    """A system, and somebody who changes documents and tells the bus as Kazoo's data layer does."""

    def __init__(self, system, store, receiver):
        self.system = system
        self.store = store
        self.receiver = receiver

    def put(self, id, **fields):
        """Save a hook's document; the bus does not know yet."""
        document = {
            "_id": id,
            "pvt_type": "webhook",
            "pvt_account_id": ACCOUNT,
            "name": id,
            "uri": f"{self.receiver.url}/{id}",
            "hook": "channel_create",
            "retries": 1,
        } | fields
        before = self.store.get("webhooks", id)
        document |= {"_rev": before["_rev"]} if before else {}
        document["_rev"] = self.store.save("webhooks", document)
        return document

    def delete(self, id):
        self.store.delete("webhooks", id, self.store.get("webhooks", id)["_rev"])

    def tell(self, event, document, database="webhooks", **headers):
        key, body = document_change(event, database, document, "kazoo_apps@elsewhere")
        body |= {header.replace("_", "-"): value for header, value in headers.items()}
        body = {header: value for header, value in body.items() if value is not None}
        self.system.send(("configuration", key, body))

    def created(self, id, **fields):
        """A new hook, told of and in memory."""
        document = self.put(id, **fields)
        self.tell("doc_created", document)
        self.wait(lambda: id in self.memory(), f"{id} in memory")
        return document

    def hooks(self):
        asked = self.system.client.ask_actor(
            "maintenance", admin.HooksConfigured(), admin.ConfiguredHooks
        )
        return asked.hooks

    def memory(self):
        """The hooks in memory: uri's path by id."""
        return {hook.hook_id: hook.uri.rpartition("/")[2] for hook in self.hooks()}

    def failures(self, account=ACCOUNT):
        """Failed tries by hook."""
        asked = self.system.client.ask_actor(
            "maintenance", admin.FailureStatus(account), admin.FailingHooks
        )
        return {failing.hook_id: failing.count for failing in asked.hooks}

    def fail(self, *ids):
        """Play a call that these hooks, and no others that fail, are to fail on."""
        before = self.failures()
        self.system.publish([call_event(next(numbers))])
        wanted = {id: before.get(id, 0) + 1 for id in ids}
        self.wait(lambda: wanted.items() <= self.failures().items(), f"failures of {ids}")

    def wait(self, condition, what="the change"):
        self.system.wait(condition, what=what)

    def after(self, event, document, **headers):
        """Tell, and wait until that is taken in: a hook that was told of afterwards is there."""
        self.tell(event, document, **headers)
        self.created(f"after-{next(numbers)}")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("changes") / "data"
    folder.mkdir()
    limits = {"attempt_failure_count": 1000, "attempt_failure_expiry_ms": 600_000}
    store = prepared("sqlite://", folder, webhooks=limits)
    with Receiver() as receiver:
        system = RunningSystem(folder)
        try:
            node = Node(system, store, receiver)
            # Changes that come before the queue of changes is there are nobody's.
            node.wait(lambda: system.node("hook_listener").stats.get("broker") == "up")
            node.wait(lambda: system.node("hook_table").stats.get("loaded"))
            yield node
        finally:
            system.close()
            store.close()


def failing(node, id, **fields):
    return {"uri": f"{node.receiver.url}/status/500/{id}", **fields}


# doc_created


def test_created_without_its_document_it_is_read_and_added(node):
    node.created("read")
    assert node.memory()["read"] == "read"


def test_created_with_its_document_that_is_loaded(node):
    stored = node.put("sent")
    told = {**stored, "uri": f"{node.receiver.url}/told"}
    node.tell("doc_created", stored, Doc=told)
    node.wait(lambda: "sent" in node.memory())
    assert node.memory()["sent"] == "told"


def test_created_with_a_document_without_account_it_is_not_loaded(node):
    stored = node.put("homeless", hook="object")
    told = {key: value for key, value in stored.items() if key != "pvt_account_id"}
    node.after("doc_created", stored, Doc=told)
    assert "homeless" not in node.memory()


# doc_edited


def test_edited_it_is_replaced(node):
    node.created("edited")
    node.tell("doc_edited", node.put("edited", uri=f"{node.receiver.url}/anew"))
    node.wait(lambda: node.memory()["edited"] == "anew")


def test_edited_what_is_stored_counts_and_not_a_document_in_the_message(node):
    node.created("stored")
    document = node.put("stored", uri=f"{node.receiver.url}/really")
    node.tell("doc_edited", document, Doc={**document, "uri": f"{node.receiver.url}/said"})
    node.wait(lambda: node.memory()["stored"] == "really")


@pytest.mark.parametrize("fields", [{"enabled": False}, {"pvt_deleted": True}], ids=str)
def test_edited_and_disabled_or_deleted_softly_it_is_removed(fields, node):
    node.created("ended")
    node.tell("doc_edited", node.put("ended", **fields))
    node.wait(lambda: "ended" not in node.memory())


def test_enabled_again_it_comes_back(node):
    node.created("back")
    node.tell("doc_edited", node.put("back", enabled=False, pvt_disabled_message="m"))
    node.wait(lambda: "back" not in node.memory())
    node.tell("doc_edited", node.put("back", enabled=True))
    node.wait(lambda: "back" in node.memory())


def test_edited_its_failures_are_forgotten_and_no_other_s(node):
    node.created("forgiven", **failing(node, "forgiven"))
    node.created("unforgiven", **failing(node, "unforgiven"))
    node.fail("forgiven", "unforgiven")
    node.tell("doc_edited", node.put("forgiven"))
    node.wait(lambda: "forgiven" not in node.failures())
    assert "unforgiven" in node.failures()
    node.tell("doc_edited", node.put("unforgiven"))


def test_edited_so_that_it_makes_no_sense_the_old_definition_stays(node):
    node.created("senseless")
    node.after("doc_edited", node.put("senseless", hook="full_moon"))
    assert node.memory()["senseless"] == "senseless"


def test_whose_account_changed_it_keeps_its_old_entry(node):
    node.created("moved")
    node.tell("doc_edited", node.put("moved", pvt_account_id=OTHER))

    def accounts():
        return {hook.account_id for hook in node.hooks() if hook.hook_id == "moved"}

    node.wait(lambda: accounts() == {ACCOUNT, OTHER})


# doc_deleted


def test_deleted_without_its_document_it_is_removed_by_account_and_id(node):
    document = node.created("deleted")
    node.delete("deleted")
    node.tell("doc_deleted", document)
    node.wait(lambda: "deleted" not in node.memory())


def test_deleted_in_another_account_s_name_it_stays(node):
    document = node.created("mistaken")
    node.after("doc_deleted", document, Account_ID=OTHER)
    assert "mistaken" in node.memory()


def test_deleted_with_its_document_it_is_removed_and_its_failures_forgotten(node):
    document = node.created("doc-deleted", **failing(node, "doc-deleted"))
    node.fail("doc-deleted")
    node.delete("doc-deleted")
    node.tell("doc_deleted", document, Doc=document, Account_ID=None)
    node.wait(lambda: "doc-deleted" not in node.memory())
    node.wait(lambda: "doc-deleted" not in node.failures())


# The table and its listener


def test_the_table_survives_its_listener(node):
    node.created("survivor")
    table = node.system.node("hook_table")
    node.system.kill("hook_listener")
    assert node.system.node("hook_table").pid == table.pid
    assert "survivor" in node.memory()


def test_the_new_listener_loads_what_was_missed(node):
    node.put("missed")
    node.system.kill("hook_listener")
    node.wait(lambda: "missed" in node.memory())


# An account's end: the last of this file, as its hooks are gone then


def test_with_its_account_all_its_hooks_go_and_their_failures(node):
    node.created("orphan", **failing(node, "orphan"))
    node.fail("orphan")
    node.created("stranger", pvt_account_id=OTHER)
    account = {"_id": ACCOUNT, "pvt_type": "account", "pvt_account_id": ACCOUNT}
    node.tell("doc_deleted", account, "accounts")
    node.wait(lambda: {hook.account_id for hook in node.hooks()} == {OTHER})
    node.wait(lambda: node.failures() == {})


def test_nothing_of_all_this_ended_an_actor_but_those_that_were_killed(node):
    restarts = {n.path: n.restarts for n in node.system.tree().below() if n.restarts}
    assert restarts.keys() <= {"hook_listener"}
