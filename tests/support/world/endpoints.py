"""The endpoints of the world, and senders without threads."""

from callboard.actors.delivery.senders import Sent
from callboard.webhooks.retries.outcome import Response

OK = Response(200)


class Endpoints:
    """What hooks point to. `answer(delivery, attempts_made)` -> (seconds, outcome, accepted).

    `accepted`: whether the endpoint has taken the delivery, which the sender may never learn.
    `begun`: the deliveries of all requests, in their order. `taken(delivery)` is called for each
    that an endpoint has accepted. `connect_within_s`: the latest limit of a sender.
    """

    def __init__(
        self,
        world,
        answer=lambda _delivery, _attempts: (0.01, OK, True),
        taken=lambda _delivery: None,
    ):
        self.world, self.answer, self.taken = world, answer, taken
        self.begun = []
        self.connect_within_s = None

    def make_sending(self, _settings, count, *_signer):
        """A sender for the actor that runs now."""
        return Sender(self, count)


class Sender:
    """See `Sending`: a request is an entry of the agenda."""

    def __init__(self, endpoints, count):
        self.count = self.free = count
        self._endpoints, self._world = endpoints, endpoints.world
        self._ended, self._closed = [], False
        self._fd = self._world.descriptor(self)

    def ready(self):
        return bool(self._ended)

    def cut(self):
        self._closed = True

    def fileno(self):
        return self._fd

    def send(self, work):
        assert self.free > 0
        self.free -= 1
        delivery = work.delivery
        self._endpoints.begun.append(delivery)
        took_s, outcome, accepted = self._endpoints.answer(delivery, work.attempts_made)
        if accepted:
            # A request that has left arrives even if its sender ends.
            self._world.after(took_s / 2, self._endpoints.taken, delivery)
        self._world.after(took_s, self._end, Sent(work, outcome, delivery.headers, took_s))

    def _end(self, sent):
        if not self._closed:
            self._ended.append(sent)
            self._world.signal(self._fd)

    def ended(self):
        while self._ended:
            self.free += 1
            yield self._ended.pop(0)

    def connect_within(self, seconds):
        self._endpoints.connect_within_s = seconds

    def close(self):
        self._closed = True
