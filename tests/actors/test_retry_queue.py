"""What the retry queue makes of messages from the broker, without processes."""

from contextlib import closing

import pytest

from callboard.actors.base.quarantine import FILE
from callboard.actors.base.role import MAX_MESSAGE_BYTES, Setup
from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.messages import DueBatch
from callboard.actors.messages.paths import DELIVERIES, RETRY_QUEUE
from callboard.adapters.broker.protocol import IncomingMessage, Received
from callboard.adapters.store.spool import Spool
from callboard.config.settings import AmqpSettings, DataSettings, Settings
from callboard.supervision import Peer
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.retries.retry_message import RetryMessage, as_json

DELIVERY = Delivery("i", "e", "h", "a", "all", "http://x/", "POST", "http://x/", (), b"{}")


class Broker:
    """A broker that only takes acknowledgements."""

    def __init__(self):
        self.acknowledged = []

    def ack(self, tags):
        self.acknowledged += tags

    def ask_depths(self):
        pass


class Here(RetryQueue):
    """A retry queue whose messages stay here."""

    def __init__(self, settings):
        super().__init__()
        self.own_process = False
        self.settings, self.path, self.incarnation = settings, RETRY_QUEUE, 1
        self.sent = []
        path = f"{DELIVERIES}/deliverer-1"
        self.peers = {path: Peer(path, 1, "deliverer", 0)}
        self.begin(Setup(settings))

    def connect_broker(self, topology, url=""):
        super().connect_broker(topology, url)
        self.broker = Broker()

    def send(self, _address, message):
        self.sent.append(message)

    def every(self, _seconds, _call):
        pass

    after = every


@pytest.fixture
def retry_queue(tmp_path):
    settings = Settings(amqp=AmqpSettings(url="memory://"), data=DataSettings(dir=tmp_path))
    retry_queue = Here(settings)
    yield retry_queue
    retry_queue.closing.close()


def test_messages_too_large_for_actors_are_quarantined_and_the_others_go_on(retry_queue, tmp_path):
    """One of 70 MB was sent to the deliverer for ever, with all that were due with it."""
    good = as_json(RetryMessage(DELIVERY, 1, 0))
    large = good + b" " * MAX_MESSAGE_BYTES
    messages = [IncomingMessage(n, "", "q", body) for n, body in enumerate((large, good))]
    retry_queue.on_broker(Received(tuple(messages)))
    retry_queue.after_poll()
    (batch,) = (message for message in retry_queue.sent if isinstance(message, DueBatch))
    assert [tag for tag, _retry in batch.items] == [1]
    assert retry_queue.broker.acknowledged == [0]
    with closing(Spool(tmp_path / FILE, dropping=False)) as spool:
        ((_id, _database, record),) = spool.first(9, 10**9)
    assert record["reason"] == f"it has {len(large)} bytes: at most 33554432 can be handled"
