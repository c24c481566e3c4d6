"""Faults planted in the product, which the simulation has to find."""

from contextlib import contextmanager

import pytest

from callboard.actors.delivery import deliverer, retry_queue
from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.events.bridge import EventBridge
from callboard.actors.messages import Reconcile
from callboard.webhooks.acknowledgement.receipts import Receipts
from callboard.webhooks.acknowledgement.releases import Releases
from callboard.webhooks.dispatch.dispatcher import Dispatcher


class ForgetfulBridge(EventBridge):
    """Never asks after a share, so that a lost Progress leaves its events unacknowledged.

    It does not return them to the broker either, which is the last resort for such a fault.
    """

    def send(self, target, message):
        if not isinstance(message, Reconcile):
            super().send(target, message)

    def on_overdue(self, tags):
        pass


class ForgetfulRetryQueue(RetryQueue):
    """Never asks after a share either."""

    def send(self, target, message):
        if not isinstance(message, Reconcile):
            super().send(target, message)

    def on_overdue(self, tags):
        pass


class RepeatingBridge(EventBridge):
    """Acknowledges what a report has settled again when the report arrives again."""

    def begin(self, setup):
        super().begin(setup)
        self.settled = {}

    def receiveMsg_Progress(self, message, sender):
        done, ack = [], self.broker.ack
        self.broker.ack = lambda tags: (done.extend(tags), ack(tags))
        super().receiveMsg_Progress(message, sender)
        self.broker.ack = ack
        ack(self.settled.pop((message.source, message.settled), []))
        if done:
            self.settled[message.source, message.settled] = done


class CountingReceipts(Receipts):
    """Takes a share that arrives again as another one, so that half of it settles the whole."""

    def take(self, source, share, deliveries):
        if super().take(source, share, deliveries):
            return True
        return self.serve(source)


class HastyDispatcher(Dispatcher):
    """The deliveries behind a failed one of an ordered hook go on."""

    def take_back(self, hook_ids, now):
        return []


class OvertakingBridge(EventBridge):
    """Requeues lost events alone, so that later ones overtake them."""

    def _give_back(self, tags):
        self._requeue(tags)


class HastyReleases(Releases):
    """Lets deliveries go on as they come, whatever the bridge has released."""

    def ready(self):
        for key in list(self._held):
            yield self._held.pop(key)


@contextmanager
def patched(place, name, planted):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, planted)
        yield {}


@contextmanager
def run_instead(*subclasses):
    yield {each.__base__: each for each in subclasses}


PLANTS = {
    "a lost Progress is not asked after": lambda: run_instead(ForgetfulBridge, ForgetfulRetryQueue),
    "a batch is settled twice": lambda: run_instead(RepeatingBridge),
    "a batch that arrives twice counts twice": lambda: patched(
        deliverer, "Receipts", CountingReceipts
    ),
    "a hook's order is that of the answers": lambda: patched(
        deliverer, "Dispatcher", HastyDispatcher
    ),
    "later events overtake lost ones": lambda: run_instead(OvertakingBridge),
    "deliveries are not released": lambda: patched(retry_queue, "Releases", HastyReleases),
}
"""By what is wrong: a context, in which the fault is there, with the classes of actors to run."""
