"""What the bridge makes of messages from the broker, without processes."""

import json
from contextlib import closing

import pytest

from callboard.actors.base.quarantine import FILE
from callboard.actors.base.role import MAX_MESSAGE_BYTES, Setup
from callboard.actors.events.bridge import EventBridge
from callboard.actors.messages import EventBatch, Routed
from callboard.actors.messages.paths import EVENT_BRIDGE, responder_path
from callboard.adapters.broker.protocol import ConnectionUp, IncomingMessage, Received
from callboard.adapters.store.spool import Spool
from callboard.config.settings import AmqpSettings, DataSettings, ModuleSettings, Settings
from callboard.supervision import Peer

MODULE = "order_paid"


class Broker:
    """A broker that only takes acknowledgements."""

    def __init__(self):
        self.acknowledged = []

    def ack(self, tags):
        self.acknowledged += tags


class Here(EventBridge):
    """A bridge whose messages stay here."""

    def __init__(self, settings):
        super().__init__()
        self.own_process = False
        self.settings, self.path, self.incarnation = settings, EVENT_BRIDGE, 1
        self.sent = []
        self.begin(Setup(settings))
        path = responder_path(MODULE)
        self.peers = {path: Peer(path, 1, "responder", 0)}
        self.on_broker(ConnectionUp("events"))

    def connect_broker(self, topology, url=""):
        super().connect_broker(topology, url)
        self.broker = Broker()

    def send(self, _address, message):
        self.sent.append(message)

    def every(self, _seconds, _call):
        pass

    after = every

    def receive(self, *bodies, first=1):
        messages = [
            IncomingMessage(first + n, "shop", "order", body) for n, body in enumerate(bodies)
        ]
        self.on_broker(Received(tuple(messages)))
        self.after_poll()


@pytest.fixture
def bridge(tmp_path):
    module = ModuleSettings(id=MODULE, exchange="shop", bindings=("order",), account="a")
    amqp, data = AmqpSettings(url="memory://"), DataSettings(dir=tmp_path)
    bridge = Here(Settings(amqp=amqp, data=data, modules=(module,)))
    yield bridge
    bridge.closing.close()


def test_messages_too_large_for_actors_are_quarantined_and_the_others_go_on(bridge, tmp_path):
    """Two of 70 MB were sent to the responder for ever, and the module stood still."""
    large, good = bytes(MAX_MESSAGE_BYTES + 1), json.dumps({"a": "1"}).encode()
    bridge.receive(large, large, good)
    (batch,) = (message for message in bridge.sent if isinstance(message, EventBatch))
    assert [event.tag for event in batch.events] == [3]
    assert bridge.broker.acknowledged == [1, 2]
    with closing(Spool(tmp_path / FILE, dropping=False)) as spool:
        records = [record for _id, _database, record in spool.first(9, 10**9)]
    assert [record["reason"] for record in records] == [
        "it has 33554433 bytes: at most 33554432 can be handled"
    ] * 2
    assert {len(record["body"]) for record in records} == {2 * len(large)}
    bridge.receiveMsg_Routed(Routed(batch.batch, {}, {}, ()), "responder")
    assert bridge.broker.acknowledged == [1, 2, 3]
    assert bridge.stats()["in_hand"] == 0


def test_the_largest_event_that_is_handled(bridge):
    bridge.receive(bytes(MAX_MESSAGE_BYTES))
    assert [len(message.events) for message in bridge.sent] == [1]
    assert bridge.stats()["poison"] == 0
