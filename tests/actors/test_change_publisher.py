import json
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from callboard.actors.hooks.change_publisher import (
    MAX_UNCONFIRMED,
    ChangePublisher,
    change_publisher,
)
from callboard.actors.hooks.operational import OperationalEvents
from callboard.adapters.broker.protocol import (
    BrokerError,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Unblocked,
    Unconfirmed,
)
from callboard.adapters.repositories.maintenance import Change
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.adapters.store.spool import Spool
from callboard.config.settings import DataSettings, Settings
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
        self.outbox, self.due, self.waits = Outbox(), [], []
        self.spool = Meddled(Spool(path, max_bytes=max_bytes))
        timer = lambda call: Timer(self._after, call)  # noqa: E731
        self.publisher = ChangePublisher(self.outbox, "node@host", self.spool, timer, **exchange)

    def _after(self, seconds, call):
        self.waits.append(seconds)
        self.due.append(call)

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


@pytest.mark.parametrize("number", [1, 2])
def test_what_the_broker_refused_is_sent_again_after_a_while(publishing, number):
    publishing.publish("h1", "h2")
    publishing.publisher.on_broker(Unconfirmed((number,), "disk full"))
    assert publishing.outbox.keys == ["h1", "h2"]
    publishing.due.pop()()
    assert publishing.waits == pytest.approx([5], abs=0.1)
    assert publishing.outbox.keys == ["h1", "h2", f"h{number}"], "the other is still on its way"


def test_what_a_blocked_broker_refused_is_sent_again_as_soon_as_it_takes_messages(publishing):
    publishing.publish("h1", "h2")
    publishing.publisher.on_broker(Unconfirmed((1, 2), "low on memory"))
    publishing.publisher.on_broker(Unblocked())
    assert publishing.outbox.keys == ["h1", "h2", "h1", "h2"]


def test_what_was_on_its_way_when_the_connection_was_lost_silently_is_sent_again(publishing):
    publishing.publish("h1", "h2")
    publishing.lose()
    publishing.up()
    assert publishing.outbox.keys == ["h1", "h2", "h1", "h2"]


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
    with capture_logs() as logs:
        publishing.publish("h1")
    kept = {"event": "changes_not_kept", "reason": "the disk is full", "changes": 1}
    assert logs == [kept | {"log_level": "error"}]
    assert publishing.outbox.keys == ["h1"]
    assert len(publishing.publisher) == 0


def test_what_cannot_be_published_holds_up_no_other(publishing, path):
    with capture_logs() as logs:
        publishing.publish("impossible", "h1")
    refused = {"event": "change_not_published", "reason": "it cannot be published", "changes": 1}
    assert logs == [refused | {"log_level": "warning"}]
    assert publishing.outbox.keys == ["h1"]
    assert Spool(path).count() == 1


def test_the_key_of_a_long_id_is_cut_to_what_amqp_can_carry(publishing):
    publishing.publish("h" * 300, "h1")
    keys = [message.routing_key for message in publishing.outbox.messages]
    assert keys == [
        ("doc_edited.webhooks.webhook." + "h" * 300)[:255],
        "doc_edited.webhooks.webhook.h1",
    ]


def test_at_most_two_hundred_are_unconfirmed_and_each_confirm_lets_one_follow(publishing):
    publishing.publish(*(f"h{number}" for number in range(202)))
    assert len(publishing.outbox.keys) == 200
    publishing.confirm(7)
    assert publishing.outbox.keys[200:] == ["h200"]


@pytest.mark.parametrize(
    ("make", "file"),
    [(change_publisher, "a.zone.sqlite3"), (OperationalEvents, "operational.sqlite3")],
)
def test_sixteen_megabytes_wait_on_disk_and_the_oldest_ones_are_dropped(tmp_path, make, file):
    spools = []
    make(
        SimpleNamespace(
            path="a/zone",
            settings=Settings(data=DataSettings(dir=tmp_path)),
            broker=Outbox(),
            own=lambda spool: spools.append(spool) or spool,
            timer=lambda call: Timer(lambda *_due: None, call),
            every=lambda *_due: None,
        )
    )
    (spool,) = spools
    spool.append([("x", {})] * 9)  # Ten are dropped at a time.
    with closing(sqlite3.connect(tmp_path / "changes" / file)) as connection, connection:
        large = "INSERT INTO records (database, document) VALUES ('x', zeroblob(?))"
        connection.execute(large, (2**24 - 100_000,))
    spool.append([])
    assert len(spool) == 10
    spool.append([("x", {"text": "." * 200_000})])
    assert len(spool) == 1
