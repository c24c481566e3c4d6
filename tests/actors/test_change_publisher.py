import json

import pytest

from callboard.actors.hooks.change_publisher import MAX_UNCONFIRMED, ChangePublisher
from callboard.adapters.broker.protocol import (
    BrokerError,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Unconfirmed,
)
from callboard.adapters.repositories.maintenance import Change
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.adapters.store.spool import Spool
from callboard.supervision import Timer
from support.stores import Meddled, refuse


class Outbox:
    """A broker connection that only takes down what is to be published."""

    def __init__(self):
        self.keys = []
        self.messages = []

    def publish(self, message):
        if message.routing_key.endswith("impossible"):
            raise BrokerError("it cannot be published")
        self.messages.append(message)
        self.keys.append(message.routing_key.rpartition(".")[2])
        return len(self.keys)


class Publishing:
    """A publisher on a file; `due` are the calls that it has asked for."""

    def __init__(self, path, max_bytes=2**20, **exchange):
        self.outbox, self.due = Outbox(), []
        self.spool = Meddled(Spool(path, max_bytes=max_bytes))
        timer = lambda call: Timer(lambda _s, call: self.due.append(call), call)  # noqa: E731
        self.publisher = ChangePublisher(self.outbox, "node@host", self.spool, timer, **exchange)

    def up(self):
        self.publisher.on_broker(ConnectionUp(None))

    def lose(self, *ids):
        if ids:
            self.publisher.on_broker(Unconfirmed(ids, "reset by peer"))
        self.publisher.on_broker(ConnectionDown("reset by peer", 1.0))

    def publish(self, *ids):
        self.publisher.publish([change(id) for id in ids])

    def confirm(self, *ids):
        self.publisher.on_broker(Confirmed(ids))


def change(id, database="webhooks"):
    document = {"_id": id, "_rev": "2-a", "pvt_type": "webhook", "pvt_account_id": "a" * 32}
    return Change("doc_edited", database, document)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "changes" / "api.sqlite3"


@pytest.fixture
def publishing(path):
    made = Publishing(path)
    made.up()
    return made


def test_a_change_is_published_as_kazoos_data_layer_does(publishing):
    publishing.publish("h1")
    (message,) = publishing.outbox.messages
    assert (message.exchange, message.routing_key) == (
        "configuration",
        "doc_edited.webhooks.webhook.h1",
    )
    assert message.properties.content_type == "application/json"
    body = json.loads(message.body)
    assert (body["ID"], body["Account-ID"], body["Node"]) == ("h1", "a" * 32, "node@host")


def test_without_kazoo_changes_have_an_exchange_of_ours_and_there_are_no_notifications(path):
    publishing = Publishing(path, exchange="callboard.events.changes")
    publishing.up()
    publishing.publish("h1")
    publishing.publisher.send([("notifications", "notifications.webhook.disabled", {})])
    (message,) = publishing.outbox.messages
    assert message.exchange == "callboard.events.changes"
    assert len(publishing.publisher) == 1


def test_changes_on_disk_go_to_the_exchange_that_is_declared_now(path):
    before = Publishing(path)
    before.publish("h1")
    before.publisher.send([("notifications", "notifications.webhook.disabled", {})])
    assert len(before.publisher) == 2
    now = Publishing(path, exchange="callboard.events.changes")
    now.up()
    assert [message.exchange for message in now.outbox.messages] == ["callboard.events.changes"]
    now.confirm(1)
    assert len(now.publisher) == 0
    again = Publishing(path)
    again.up()
    assert again.outbox.messages == []


def test_what_did_not_arrive_is_sent_again_once_the_broker_is_up(publishing):
    publishing.publish("h1", "h2", "h3")
    publishing.confirm(1)
    publishing.lose(2, 3, 99)
    publishing.publish("h4")
    assert len(publishing.publisher) == 3
    assert len(publishing.outbox.keys) == 3
    publishing.up()
    assert publishing.outbox.keys[3:] == ["h2", "h3", "h4"]
    publishing.confirm(4, 5, 6)
    assert len(publishing.publisher) == 0
    publishing.up()
    assert len(publishing.outbox.keys) == 6


def test_what_the_broker_refused_is_sent_again_after_a_while(publishing):
    publishing.publish("h1", "h2")
    publishing.publisher.on_broker(Unconfirmed((1,), "disk full"))
    assert publishing.outbox.keys == ["h1", "h2"]
    publishing.due.pop()()
    assert publishing.outbox.keys == ["h1", "h2", "h1"], "h2 is still on its way"


def test_another_process_publishes_what_an_earlier_one_did_not(publishing, path):
    publishing.publish("h1", "h2")
    publishing.confirm(1)
    later = Publishing(path)
    later.publish("h3")
    assert later.outbox.keys == []
    later.up()
    assert later.outbox.keys == ["h2", "h3"]
    assert len(later.publisher) == 2


def test_memory_and_disk_are_bounded_while_the_broker_is_away(path):
    """The latest are kept."""
    publishing = Publishing(path, max_bytes=200_000)
    publishing.publish(*(f"h{number}" for number in range(2000)))
    publishing.up()
    assert len(publishing.outbox.keys) == MAX_UNCONFIRMED
    assert 200 < len(publishing.publisher) < 1000
    while len(publishing.publisher):
        sent = len(publishing.outbox.keys)
        publishing.confirm(*range(sent - 199, sent + 1))
    assert publishing.outbox.keys[-1] == "h1999"


def test_on_a_full_disk_a_change_is_published_once(publishing):
    publishing.spool.before["append"] = refuse(StoreUnavailable("the disk is full"))
    publishing.publish("h1")
    assert publishing.outbox.keys == ["h1"]
    assert len(publishing.publisher) == 0


def test_what_cannot_be_published_holds_up_no_other(publishing, path):
    publishing.publish("impossible", "h1")
    assert publishing.outbox.keys == ["h1"]
    assert Spool(path).count() == 1


def test_the_key_of_a_long_id_is_cut_to_what_amqp_can_carry(publishing):
    publishing.publish("h" * 300, "h1")
    keys = [message.routing_key for message in publishing.outbox.messages]
    assert keys == [
        ("doc_edited.webhooks.webhook." + "h" * 300)[:255],
        "doc_edited.webhooks.webhook.h1",
    ]
