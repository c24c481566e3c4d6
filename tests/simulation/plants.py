"""Faults planted in the product, which the simulation has to find."""

from contextlib import contextmanager

import pytest

from callboard.actors.delivery import deliverer
from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.events.bridge import EventBridge
from callboard.actors.messages import Reconcile
from callboard.webhooks.acknowledgement.receipts import Receipts
from callboard.webhooks.dispatch import dispatcher
from callboard.webhooks.dispatch.hook_queue import HookQueue


class ForgetfulBridge(EventBridge):
    """Never asks after a share, so that a lost Progress leaves its events unacknowledged."""

    def send(self, target, message):
        if not isinstance(message, Reconcile):
            super().send(target, message)


class ForgetfulRetryQueue(RetryQueue):
    """Never asks after a share either."""

    def send(self, target, message):
        if not isinstance(message, Reconcile):
            super().send(target, message)


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


class HookQueueByArrival(HookQueue):
    """The deliveries of an ordered hook are sent in the order of the answers to earlier ones."""

    def end(self, key, place, now, back_in_s):
        super().end(key, place, now, None)


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
        dispatcher, "HookQueue", HookQueueByArrival
    ),
}
"""By what is wrong: a context, in which the fault is there, with the classes of actors to run."""
