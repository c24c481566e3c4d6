"""A deliverer whose requests end when the test says so, without processes."""

from attrs import evolve
from structlog import get_logger

from callboard.actors.base.role import Setup
from callboard.actors.delivery.deliverer import Deliverer
from callboard.actors.delivery.senders import Sent
from callboard.actors.messages import (
    Attempts,
    AttemptsPersisted,
    Defer,
    Deferred,
    DeliveryBatch,
    DueBatch,
    EventDeliveries,
    HooksOutdated,
    Progress,
)
from callboard.actors.messages.paths import ATTEMPT_LOG, EVENT_BRIDGE, HOOK_TABLE, RETRY_QUEUE
from callboard.config.settings import DataSettings, DeliverySettings, Settings
from callboard.supervision import Peer
from callboard.webhooks.deliveries.delivery import Delivery

ACCOUNT = "acme"


class Requests:
    """Requests that end when the test says so; `slots` at a time."""

    def __init__(self, slots):
        self.slots, self.flying, self.results = slots, [], []

    @property
    def free(self):
        return self.slots - len(self.flying)

    def send(self, job):
        self.flying.append(job)

    def ended(self):
        results, self.results = self.results, []
        return results

    def end(self, outcome):
        job = self.flying.pop(0)
        self.results.append(Sent(job, outcome, job.delivery.headers, 0.1))

    def fileno(self):
        return 0

    def close(self):
        pass


class LocalDeliverer(Deliverer):
    """A deliverer whose messages stay here."""

    def __init__(self, folder, slots=1, **delivery):
        self.requests = Requests(slots)
        super().__init__(make_sending=lambda *_arguments: self.requests)
        self.own_process, self.path, self.incarnation = False, "deliveries/deliverer-1", 1
        delivery = DeliverySettings(**delivery)
        self.settings = Settings(data=DataSettings(dir=folder), delivery=delivery)
        self.log, self.sent, self.timed = get_logger(), {}, []
        self.shares = 0
        self.peers = {
            path: Peer(path, 1, path, 0)
            for path in (EVENT_BRIDGE, RETRY_QUEUE, ATTEMPT_LOG, HOOK_TABLE)
        }
        self.begin(Setup(self.settings))

    def send(self, address, message):
        self.sent.setdefault(address, []).append(message)

    def watch(self, *_descriptors):
        pass

    def after(self, seconds, call):
        self.timed.append((seconds, call))

    every = after

    def take(self, *deliveries):
        self.shares += 1
        events = tuple(EventDeliveries(n, (d,), 0.0) for n, d in enumerate(deliveries, 1))
        source = EVENT_BRIDGE, 1
        self.receiveMsg_DeliveryBatch(DeliveryBatch(str(self.shares), source, events), None)

    def take_due(self, *retries, cancelled=(), change=0):
        self.shares += 1
        source = RETRY_QUEUE, 1
        items = tuple(enumerate(retries, 1))
        self.receiveMsg_DueBatch(DueBatch(str(self.shares), source, items, cancelled, change), None)

    def end(self, outcome):
        self.requests.end(outcome)
        self.receiveMsg_WatchMessage(None, None)

    def outdated(self, *keys, change=5, ticket=None):
        self.receiveMsg_HooksOutdated(HooksOutdated(change, keys, ticket), "table")

    def deferred(self):
        """The deliveries sent to the retry queue since the last call, which it confirms."""
        self._flush()
        self._hand_out()
        batches = [m for m in self.sent.pop(RETRY_QUEUE, []) if isinstance(m, Defer)]
        for batch in batches:
            self.receiveMsg_Deferred(Deferred(batch.batch), None)
        return [item for batch in batches for item in batch.items]

    def recorded(self):
        """The documents sent to the attempt log since the last call, which it confirms."""
        self._hand_out()
        batches = [m for m in self.sent.pop(ATTEMPT_LOG, []) if isinstance(m, Attempts)]
        for batch in batches:
            self.receiveMsg_AttemptsPersisted(AttemptsPersisted(batch.batch), None)
        return [document for batch in batches for _database, document in batch.documents]

    def settled(self):
        self._flush()
        messages = [m for to in (EVENT_BRIDGE, RETRY_QUEUE) for m in self.sent.pop(to, [])]
        reports = [m for m in messages if isinstance(m, Progress)]
        return sorted(tag for m in reports for _share, tags in m.settled for tag in tags)


def delivery(number, hook_id="h", **changes):
    made = Delivery(
        f"d{number}", "e", hook_id, ACCOUNT, "all", f"http://{hook_id}/", "POST",
        f"http://{hook_id}/", (("webhook-id", f"d{number}"),), b"{}",
    )  # fmt: skip
    return evolve(made, **changes)
