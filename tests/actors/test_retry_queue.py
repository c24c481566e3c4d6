"""What the retry queue makes of messages from the broker, without processes."""

from contextlib import closing

import pytest
from attrs import evolve

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
    good = as_json(RetryMessage(evolve(DELIVERY, unstored=True), 1, 0))  # Asks no hook table.
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


def test_copies_of_a_delivery_go_to_the_same_deliverer_although_another_has_come(retry_queue):
    """The number of deliverers decides which is chosen; two copies were sent by two at once."""
    copies = [evolve(DELIVERY, id=f"d{number}", unstored=True) for number in range(20)]
    bodies = [as_json(RetryMessage(copy, 1, 0)) for copy in copies]
    place = {}

    def receive(first):
        messages = [IncomingMessage(first + n, "", "q", body) for n, body in enumerate(bodies)]
        retry_queue.on_broker(Received(tuple(messages)))
        retry_queue.after_poll()
        batches, retry_queue.sent = retry_queue.sent, []
        return {retry.delivery.id: to for to, batch in batches for _tag, retry in batch.items}

    retry_queue.send = lambda to, message: retry_queue.sent.append((to, message))
    place = receive(0)
    for number in (2, 3):
        path = f"{DELIVERIES}/deliverer-{number}"
        retry_queue.peers[path] = Peer(path, 1, path, 0)
    assert len(place) == len(copies)
    assert receive(100) == place
    first = f"{DELIVERIES}/deliverer-1"
    before = dict(retry_queue.peers)
    retry_queue.peers[first] = Peer(first, 2, "its successor", 0)
    retry_queue.broker.requeue = lambda tags: None
    retry_queue.on_peers(before)
    assert len(set(receive(200).values())) == 3
