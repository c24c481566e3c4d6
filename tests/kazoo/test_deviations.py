"""Where Callboard does not do as Kazoo does, but what Kazoo's users would expect."""

import json
import time
from urllib.parse import parse_qsl, urlsplit

import pika
import pytest

from callboard import admin
from callboard.adapters.http.threaded import RequestsTransport
from callboard.adapters.repositories.dead_letters import DeadLetterStore, Window
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.changes import document_change
from callboard.webhooks.history.attempts import attempt_document
from callboard.webhooks.history.dead_letters import body_of
from callboard.webhooks.hooks.failure_window import shared_body
from callboard.webhooks.retries.outcome import ClientError, GiveUp, Response
from callboard.webhooks.values.kazoo_names import gregorian_ms
from services import free_port
from support.cluster import prepared
from support.kazoo import ACCOUNT, NODE, TOP, call, change, message, next_attempt, pairs
from support.patience import patient
from support.receiver import Receiver
from support.running import ACCOUNT as OURS
from support.running import RunningSystem, call_event

FORM = "application/x-www-form-urlencoded"
EVENT_QUEUE = "callboard.events"


# A delivery's id


def delivery_id(cluster, body):
    (delivery,) = cluster.fire(body)
    assert dict(delivery.headers)["webhook-id"] == delivery.id
    return delivery.id


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(call(), call(), True, id="the event that comes again"),
        pytest.param(call(), call(Msg_ID="other"), False, id="another Msg-ID"),
        pytest.param(call(), call("CHANNEL_ANSWER"), False, id="another event of the same Msg-ID"),
        pytest.param(call(), call(Call_ID="other"), False, id="another call of the same Msg-ID"),
        pytest.param(change(), change(id="other"), False, id="another document"),
        pytest.param(change(), change(database="accounts", id=ACCOUNT), False, id="its database"),
    ],
)
def test_a_delivery_s_id_tells_events_apart_that_share_a_msg_id(one, other, same, cluster):
    cluster.hook("all")
    assert (delivery_id(cluster, one) == delivery_id(cluster, other)) is same


def test_and_hooks(cluster):
    cluster.hook()
    cluster.hook(account=TOP, include_subaccounts=True)
    assert len({delivery.id for delivery in cluster.fire(call())}) == 2


# What a hook says and what is sent


@pytest.mark.parametrize("format", [None, "", "xml", 7])
def test_an_absent_or_unknown_format_counts_as_form_data(format, cluster):
    cluster.hook(format=format)
    (delivery,) = cluster.fire(call())
    assert dict(delivery.headers)["Content-Type"] == FORM
    assert ("call_id", "leg-1@switch.example") in pairs(delivery)


@pytest.mark.parametrize("verb", ["POST", "Put", "gEt"])
def test_http_verb_may_be_in_any_case(verb, cluster):
    cluster.hook(http_verb=verb)
    (delivery,) = cluster.fire(call())
    assert delivery.method == verb.upper()


def test_the_request_is_passed_on_as_the_text_that_arrives(cluster):
    cluster.hook()
    assert cluster.payload(call(Request="+14155550100@pbx"))["request"] == "+14155550100@pbx"


@pytest.mark.parametrize(
    ("uri", "begin"),
    [
        ("https://e.example/h", "https://e.example/h?account_id="),
        ("https://e.example/h?", "https://e.example/h?account_id="),
        ("https://e.example/h?token=1", "https://e.example/h?token=1&account_id="),
        ("https://e.example/h?token=1&", "https://e.example/h?token=1&account_id="),
    ],
)
def test_a_get_joins_the_query_that_the_uri_has(uri, begin, cluster):
    cluster.hook(http_verb="get", uri=uri)
    (delivery,) = cluster.fire(call())
    assert delivery.request_url.startswith(begin)


def test_keys_are_escaped(cluster):
    custom_data = {"a&b=c": {"d e": "f"}, "x[]": "y"}
    cluster.hook("all", format="form-data", custom_data=custom_data)
    (delivery,) = cluster.fire(change())
    assert b"&a%26b%3Dc[d+e]=f&x%5B%5D=y&" in delivery.body
    assert ("a&b=c[d e]", "f") in parse_qsl(delivery.body.decode())


@pytest.mark.parametrize("value", [{}, [], {"a": {}}, {"a": [[]][:0]}, {"a": []}], ids=json.dumps)
@pytest.mark.parametrize("verb", ["post", "get"])
def test_empty_lists_and_objects_give_nothing_and_no_stray_ampersand(verb, value, cluster):
    cluster.hook("all", format="form-data", http_verb=verb, custom_data={"k": value, "z": "1"})
    (delivery,) = cluster.fire(change())
    text = delivery.body.decode() or urlsplit(delivery.url).query
    assert all("=" in pair for pair in text.split("&"))
    assert not any(pair.startswith("k") for pair in text.split("&"))


def test_a_null_gives_nothing(cluster):
    cluster.hook("object", format="form-data")
    (delivery,) = cluster.fire(change() | {"Type": None})
    assert [name for name, _value in pairs(delivery)] == [
        "id",
        "account_id",
        "action",
        "cluster_id",
    ]


def test_a_201_to_put_is_recorded_as_the_success_that_it_is(cluster):
    cluster.hook(http_verb="put")
    cluster.hook(http_verb="post")
    found = {
        delivery.method: attempt_document(delivery, Response(201), 2, 0.0, 100)["result"]
        for delivery in cluster.fire(call())
    }
    assert found == {"PUT": "success", "POST": "failure"}


def test_voicemail_deleted_is_offered(cluster):
    """That it is bound stands in test_wire."""
    headers = ("From_Realm", "From_User", "To_Realm", "To_User", "Reason")
    headers += ("Voicemail_Box", "Voicemail_ID", "Voicemail_Timestamp")
    body = message(
        "notification", "voicemail_deleted", Account_ID=ACCOUNT, **dict.fromkeys(headers, "x")
    )
    id = cluster.hook("notifications", custom_data={"type": "voicemail_deleted"})
    assert cluster.fired(body) == [id]


# Requests have an end, and only public addresses


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_a_request_has_an_overall_deadline(path, receiver):
    transport = RequestsTransport(5, 0.3, allow_networks=["127.0.0.0/8"])
    began = time.monotonic()
    outcome = transport.send("POST", receiver.url + path, (), b"")
    assert isinstance(outcome, ClientError)
    assert outcome.kind == "timeout"
    assert time.monotonic() - began < patient(5)
    transport.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_a_uri_is_checked_at_every_delivery_on_the_connection(host, receiver):
    transport = RequestsTransport(5, 5)
    outcome = transport.send("POST", f"http://{host}:{receiver.port}/", (), b"")
    assert isinstance(outcome, ClientError)
    assert outcome.kind == "refused: address"
    assert receiver.count == receiver.connections == 0
    transport.close()


def test_what_is_refused_is_not_tried_again():
    delivery = Delivery("d", "e", "h", ACCOUNT, "all", "u", "POST", "u", (), b"", 5)
    assert isinstance(next_attempt(delivery, 5, ClientError("refused: address")), GiveUp)


# Not in the list of deviations, and yet not as in Kazoo


def test_keys_that_are_no_ascii_are_not_broken(cluster):
    """Kazoo lower-cases bytes, and so makes bytes that are no UTF-8 of them."""
    cluster.hook("notifications")
    body = message("notification", "new_account", Account_ID=ACCOUNT, Größe_É={"Ñandú": 1})
    assert cluster.payload(body)["größe_é"] == {"ñandú": 1}


@pytest.mark.parametrize("name", ["callflow", "inbound_fax", "outbound_fax"])
def test_a_migrated_hook_selects_its_own_notification_and_not_all(name, cluster):
    """Kazoo writes the type where nothing reads it."""
    id = cluster.hook(name)
    assert id not in cluster.fired(message("notification", "new_account", Account_ID=ACCOUNT))
    assert cluster.store.get("webhooks", id)["custom_data"] == {"type": name}


# One system on RabbitMQ

on_rabbitmq = [pytest.mark.rabbitmq, pytest.mark.multiprocess]


class Site:
    """A system, its store and its broker."""

    def __init__(self, url, folder, receiver):
        self.url = url
        self.receiver = receiver
        config = {"disable_disabler": "true", "attempt_failure_count": 1}
        config |= {"attempt_failure_expiry_ms": 4000}
        self.store = prepared("sqlite://", folder, webhooks=config)
        self.system = RunningSystem(folder, amqp__url=url)
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.wait_until_up()

    def close(self):
        self.connection.close()
        self.system.close()
        self.store.close()

    def wait_until_up(self):
        for actor in ("event_bridge", "hook_listener"):
            self.system.wait(lambda actor=actor: self.stats(actor).get("broker") == "up")
        self.system.wait(lambda: self.stats("hook_table").get("loaded"))

    def stats(self, actor):
        return self.system.node(actor).stats

    def put(self, id, told="doc_edited", **fields):
        document = self.store.get("webhooks", id) or {"_id": id, "pvt_type": "webhook"}
        document |= {"pvt_account_id": OURS, "name": id, "hook": "channel_create"}
        document |= {"uri": f"{self.receiver.url}/{id}", "retries": 1} | fields
        document["_rev"] = self.store.save("webhooks", document)
        self.tell(told, document)

    def tell(self, told, document, database="webhooks"):
        key, body = document_change(told, database, document, NODE)
        self.system.send(("configuration", key, body))

    def memory(self):
        asked = self.system.client.ask_actor(
            "maintenance", admin.HooksConfigured(), admin.ConfiguredHooks
        )
        return {hook.hook_id: hook.uri.rpartition("/")[2] for hook in asked.hooks}

    def failures(self):
        asked = self.system.client.ask_actor(
            "maintenance", admin.FailureStatus(OURS), admin.FailingHooks
        )
        return {failing.hook_id: failing.count for failing in asked.hooks}

    def until(self, condition):
        self.system.wait(condition)


@pytest.fixture(scope="module")
def site(rabbitmq, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deviations") / "data"
    folder.mkdir()
    with Receiver() as receiver:
        site = Site(rabbitmq.vhost(), folder, receiver)
        yield site
        site.close()


class TestOnASystem:
    pytestmark = on_rabbitmq

    def test_the_queue_of_events_is_ours_durable_and_without_limits(self, site):
        # Any other declaration than the one that exists is refused (406).
        declared = site.channel.queue_declare(
            EVENT_QUEUE, durable=True, exclusive=False, auto_delete=False, arguments={}
        )
        assert declared.method.consumer_count == 1

    @pytest.mark.parametrize(
        ("body", "properties"),
        [
            pytest.param(b"{not json", {}, id="not JSON"),
            pytest.param(b"[1]", {}, id="no object"),
            pytest.param(b"\x83d", {"content_type": "application/erlang"}, id="Erlang's terms"),
            pytest.param(b"{}", {"content_encoding": "gzip"}, id="no gzip"),
        ],
    )
    def test_bad_bodies_are_kept_aside_and_crash_nothing(self, body, properties, site):
        site.channel.basic_publish(
            "callevt", "call.CHANNEL_CREATE.x", body, pika.BasicProperties(**properties)
        )
        site.until(lambda: body in aside(site))
        assert not any(node.restarts for node in site.system.tree().below())

    def test_a_hook_that_is_created_disabled_does_not_fire(self, site):
        site.put("asleep", "doc_created", enabled=False)
        site.put("awake", "doc_created", hook="object")
        site.until(lambda: "awake" in site.memory())
        assert "asleep" not in site.memory()

    def test_a_hook_whose_document_is_gone_when_it_was_edited_is_removed(self, site):
        """Not in the list of deviations: Kazoo's handler crashes, and the hook goes on firing."""
        site.put("vanished", "doc_created")
        site.until(lambda: "vanished" in site.memory())
        gone = site.store.get("webhooks", "vanished")
        site.store.delete("webhooks", "vanished", gone["_rev"])
        site.tell("doc_edited", gone)
        site.until(lambda: "vanished" not in site.memory())

    def test_a_hook_that_was_created_anew_replaces_the_old_one(self, site):
        """Not in the list of deviations: in Kazoo adding never replaces."""
        site.put("anew", "doc_created")
        site.until(lambda: "anew" in site.memory())
        site.put("anew", "doc_created", uri=f"{site.receiver.url}/second")
        site.until(lambda: site.memory()["anew"] == "second")

    def test_failures_of_another_node_count_and_go_with_the_hook(self, site):
        site.put("shared", "doc_created", hook="object")
        site.until(lambda: "shared" in site.memory())
        failed = [(OURS, "shared", gregorian_ms(time.time()) - number) for number in range(3)]
        body = json.dumps(shared_body("another node", failed, ()))
        site.channel.basic_publish(f"{EVENT_QUEUE}.failures", "", body)
        site.until(lambda: site.failures().get("shared") == 3)

        # Not in the list of deviations: in Kazoo they stay when no document is sent along.
        document = site.store.get("webhooks", "shared")
        site.tell("doc_deleted", document)
        site.until(lambda: "shared" not in site.failures())

    def test_retries_survive_a_restart(self, site):
        port = free_port()
        site.put("late", "doc_created", uri=f"http://127.0.0.1:{port}/late", retries=5)
        site.until(lambda: "late" in site.memory())
        site.system.publish([call_event("late")])
        site.until(lambda: site.failures().get("late"))
        with Receiver(port=port) as late:
            site.system.kill("deliveries")
            late.wait_for(1, timeout_s=30)
        assert b"call-late%40switch" in late.requests[0].body

    def test_the_disabler_can_be_switched_on_again(self, site):
        site.put("bad", "doc_created", uri=f"{site.receiver.url}/status/500")
        site.until(lambda: "bad" in site.memory())
        site.system.publish([call_event("bad")])
        site.until(lambda: "bad" in site.failures())
        assert site.stats("disabler")["asked"] == 0

        config = site.store.get("system_config", "webhooks")
        config["default"]["disable_disabler"] = False
        config["_rev"] = site.store.save("system_config", config)
        site.tell("doc_edited", config | {"pvt_type": "config"}, "system_config")
        # The failure before may have disabled it already.
        site.system.publish([call_event("bad again")])
        site.until(lambda: site.store.get("webhooks", "bad").get("enabled") is False)


def aside(site):
    """The bodies of the messages that were kept aside."""
    letters = DeadLetterStore(site.store)
    rows, _more = letters.page(Window(kind="event"), None, 100)
    return [body_of(letter) for letter in letters.get([row.id for row in rows]).values()]


@pytest.mark.rabbitmq
@pytest.mark.multiprocess
def test_kazoo_s_own_queue_can_be_joined_with_its_exact_arguments(start, amqp_url):
    system = start(amqp__url=amqp_url, amqp__join_kazoo=True)
    system.wait(lambda: system.node("event_bridge").stats.get("broker") == "up")
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    connection.channel().queue_declare(
        "webhooks_shared_listener",
        durable=False,
        exclusive=False,
        auto_delete=True,
        arguments={"x-message-ttl": 60_000, "x-max-length": 100},
    )
    connection.close()
