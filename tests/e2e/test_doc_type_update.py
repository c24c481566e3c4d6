"""Crossbar asks for hooks to be re-enabled over the bus (wire.md, sections 6 and 7)."""

import json
import time
from uuid import uuid4

import pika
import pytest

from callboard.webhooks.values.kazoo_names import account_database
from support.hooks import AUTO_DISABLED, prepared_store, save_account, save_hook
from support.patience import patient
from support.running import ACCOUNT, call_event

CHILD = "b2" * 16
KEY = "configuration.doc_type_update.webhook"
CROSSBAR_S = patient(2.0)
"""How long Crossbar waits."""

pytestmark = [pytest.mark.multiprocess, pytest.mark.rabbitmq, pytest.mark.couchdb]


class Crossbar:
    """A requester on the bus, with a queue of its own for replies."""

    def __init__(self, url):
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()
        self.channel.exchange_declare("configuration", "topic")
        self.channel.exchange_declare("targeted", "direct")
        self.queue = f"crossbar@host-<0.9.0>-{uuid4().hex[:8]}"
        self.channel.queue_declare(self.queue, exclusive=True)
        self.channel.queue_bind(self.queue, "targeted", self.queue)

    def request(self, **headers):
        """Publish a request, mandatory; its Msg-ID. Raises pika's UnroutableError."""
        body = {
            "App-Name": "crossbar",
            "App-Version": "4.0.0",
            "Event-Category": "configuration",
            "Event-Name": "doc_type_update",
            "Msg-ID": uuid4().hex,
            "Type": "webhook",
            "Server-ID": self.queue,
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        body = {name: value for name, value in body.items() if value is not ...}
        self.publish(json.dumps(body).encode())
        return body.get("Msg-ID")

    def publish(self, body):
        properties = pika.BasicProperties(content_type="application/json")
        self.channel.basic_publish("configuration", KEY, body, properties, mandatory=True)

    def reply(self, timeout_s=CROSSBAR_S):
        """(properties, body) of the next reply; None if there is none in time."""
        give_up = time.monotonic() + timeout_s
        while (left_s := give_up - time.monotonic()) > 0:
            for method, properties, body in self.channel.consume(
                self.queue, auto_ack=True, inactivity_timeout=left_s
            ):
                if method is None:
                    break
                return properties, json.loads(body)
        return None

    def close(self):
        self._connection.close()


@pytest.fixture
def crossbar(amqp_url):
    crossbar = Crossbar(amqp_url)
    yield crossbar
    crossbar.close()


@pytest.fixture
def store(couchdb_url, tmp_path):
    store = prepared_store(couchdb_url, tmp_path)
    save_account(store, ACCOUNT)
    save_account(store, CHILD, ACCOUNT)
    store.ensure_database(account_database(ACCOUNT))
    yield store
    store.close()


@pytest.fixture
def run(start, amqp_url, couchdb_url, store):
    """run() -> a system that is ready for requests."""

    def run():
        system = start(amqp__url=amqp_url, couchdb__url=couchdb_url)
        system.wait(lambda: system.node("maintenance").stats.get("broker") == "up")
        return system

    return run


def test_the_hooks_of_an_account_fire_again(run, store, crossbar, receiver):
    hook = save_hook(store, f"{receiver.url}/mine", ACCOUNT, **AUTO_DISABLED)
    other = save_hook(store, f"{receiver.url}/child", CHILD, **AUTO_DISABLED)
    system = run()
    msg_id = crossbar.request(Action="account", Account_ID=ACCOUNT)
    properties, body = crossbar.reply()
    assert body == {
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": "doc_type_updated",
        "Msg-ID": msg_id,
        "Node": system.settings.node.name,
    }
    assert properties.content_type == "application/json"
    assert "Deliver-To-PID" not in (properties.headers or {})
    assert store.get("webhooks", hook)["enabled"] is True
    assert store.get("webhooks", other)["enabled"] is False
    system.wait(lambda: system.node("responders/channel_create").stats.get("hooks") == 1)
    system.publish([call_event(1)])
    assert [r.path for r in receiver.wait_for(1)] == ["/mine"]


def test_so_do_those_of_its_descendants_and_a_process_gets_the_reply(run, store, crossbar):
    hooks = [save_hook(store, "http://x.example/", id, **AUTO_DISABLED) for id in (ACCOUNT, CHILD)]
    run()
    server_id = f"pid://<0.1.0>/{crossbar.queue}"
    msg_id = crossbar.request(Action="descendants", Account_ID=ACCOUNT, Server_ID=server_id)
    properties, body = crossbar.reply()
    assert body["Msg-ID"] == msg_id
    assert properties.headers["Deliver-To-PID"] == "<0.1.0>"
    assert [store.get("webhooks", hook)["enabled"] for hook in hooks] == [True, True]


def test_without_any_node_the_request_comes_back(run, crossbar):
    with pytest.raises(pika.exceptions.UnroutableError):
        crossbar.request(Action="account", Account_ID=ACCOUNT)
    system = run()
    crossbar.request(Action="account", Account_ID=ACCOUNT)
    assert crossbar.reply() is not None
    assert system.run("stop").returncode == 0
    with pytest.raises(pika.exceptions.UnroutableError):
        crossbar.request(Action="account", Account_ID=ACCOUNT)


def test_of_two_nodes_one_replies(run, crossbar):
    run(), run()
    for _ in range(4):
        msg_id = crossbar.request(Action="account", Account_ID=ACCOUNT)
        assert crossbar.reply()[1]["Msg-ID"] == msg_id
    assert crossbar.reply(timeout_s=0.3) is None


def test_what_cannot_be_carried_out_is_logged_and_holds_up_nobody(run, store, crossbar):
    hook = save_hook(store, "http://x.example/", ACCOUNT, **AUTO_DISABLED)
    system = run()
    good = {"Action": "account", "Account_ID": ACCOUNT}
    bad = [
        {"Action": "everything"},
        {"Action": ...},
        {"Account_ID": ...},
        {"Account_ID": "a/b"},
        {"Type": ...},
        {"Msg_ID": ...},
        {"App_Name": ...},
        {"Event_Name": "doc_edited"},
        {"Server_ID": "pid://nothing"},
        {"Server_ID": "q" * 300},
        {"Server_ID": "\ud800"},
    ]
    for headers in bad:
        crossbar.request(**good | headers)
    for body in (b"", b"{", b"[1]", b"\xff", b"null"):
        crossbar.publish(body)
    assert crossbar.reply(timeout_s=0.3) is None
    assert store.get("webhooks", hook)["enabled"] is False

    def refusals():
        return system.log.read_text().count("event=doc_type_update_refused")

    system.wait(lambda: refusals() == len(bad) + 5)
    assert "use one of account, descendants" in system.log.read_text()
    crossbar.request(**good)
    assert crossbar.reply() is not None
    node = system.node("maintenance")
    assert node.restarts == 0
    # All that came before is acknowledged: nothing comes again to a successor.
    system.kill("maintenance")
    system.wait(lambda: system.node("maintenance").stats.get("broker") == "up")
    crossbar.request(**good)
    assert crossbar.reply(timeout_s=10) is not None
    assert refusals() == len(bad) + 5


def test_nobody_needs_to_wait_for_the_reply(run, store, crossbar):
    hook = save_hook(store, "http://x.example/", ACCOUNT, **AUTO_DISABLED)
    system = run()
    crossbar.request(Action="account", Account_ID=ACCOUNT, Server_ID=...)
    system.wait(lambda: store.get("webhooks", hook)["enabled"] is True)
    crossbar.request(Action="account", Account_ID=ACCOUNT, Server_ID="a-queue-that-is-gone")
    crossbar.request(Action="account", Account_ID=ACCOUNT)
    assert crossbar.reply() is not None
    assert system.node("maintenance").restarts == 0


def test_a_failure_is_told_by_silence(run, store, crossbar):
    system = run()
    system.wait(lambda: system.node("initializer").status == "ended")
    design = store.get("webhooks", "_design/webhooks")
    store.delete("webhooks", "_design/webhooks", design["_rev"])
    crossbar.request(Action="account", Account_ID=ACCOUNT)
    system.wait(lambda: "doc_type_update_failed" in system.log.read_text())
    assert crossbar.reply(timeout_s=0.3) is None
