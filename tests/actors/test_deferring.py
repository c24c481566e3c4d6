"""What a deliverer defers, and how it counts its requests, without processes."""

import time

import pytest
from attrs import astuple, evolve

from callboard.actors.messages.paths import FAILURE_CACHE, HOOK_LISTENER
from callboard.supervision import Peer
from callboard.webhooks.metrics import catalog
from callboard.webhooks.retries.outcome import ClientError, Response
from support.deliverers import ACCOUNT, LocalDeliverer, delivery


@pytest.fixture
def make(tmp_path):
    made = []

    def make(slots=1, **settings):
        made.append(LocalDeliverer(tmp_path, slots, **settings))
        return made[-1]

    yield make
    for deliverer in made:
        deliverer.closing.close()


def test_what_is_deferred_keeps_the_payload_that_its_hook_may_want_in_another_form(make):
    deliverer = make(retry_policy="standard")
    one = evolve(delivery(1), body=b"a=1", source=b'{"a": 1}')
    deliverer.take(one)
    deliverer.end(ClientError("timeout"))
    (item,) = deliverer.deferred()
    assert (item.delivery.body, item.delivery.source) == (b"a=1", b'{"a": 1}')


def test_so_many_of_an_endpoint_pause_between_attempts_as_may_wait_for_it(make):
    """The Kazoo policy repeats after a pause of 2 s, in memory."""
    deliverer = make(slots=9, retry_policy="kazoo", waiting_per_endpoint=2)
    deliverer.take(*(delivery(number) for number in range(3)), delivery(3, "other"))
    while deliverer.requests.flying:
        deliverer.end(ClientError("timeout"))
    assert deliverer.stats()["retrying"] == 3
    assert [item.delivery.id for item in deliverer.deferred()] == ["d2"]


@pytest.mark.parametrize(
    ("outcome", "seconds"),
    [
        (Response(200), 1),
        (Response(500), 1),
        (ClientError("timeout"), 1),
        (ClientError("refused: address"), 0),
    ],
)
def test_the_seconds_of_requests_are_of_those_that_were_made(make, outcome, seconds):
    deliverer = make()
    deliverer.take(delivery(1))
    deliverer.end(outcome)
    counted = deliverer.tally.figures().distributions.get((catalog.REQUEST_SECONDS.name, ()))
    assert (0 if counted is None else counted.count) == seconds


def test_hooks_of_an_endpoint_that_is_down_fail_although_nothing_is_sent(make):
    """Otherwise they would never be disabled, and none would hear of it."""
    deliverer = make(slots=9, retry_policy="standard", circuit_failures=2)
    for path in (FAILURE_CACHE, HOOK_LISTENER):
        deliverer.peers[path] = Peer(path, 1, path, 0)
    began_ms = int(time.time() * 1000)

    def failed():
        deliverer.deferred()
        batches = deliverer.sent.pop(FAILURE_CACHE, [])
        return [(account, hook) for m in batches for account, hook, _at in m.failures]

    for number in range(2):
        deliverer.take(delivery(number))
        deliverer.end(ClientError("timeout"))
    assert failed() == [(ACCOUNT, "h")] * 2
    deliverer.take(delivery(2), delivery(3))
    deliverer.outdated()
    assert deliverer.requests.flying == []
    assert failed() == [(ACCOUNT, "h")]  # The other waits here, to probe it.
    deliverer._sweep()
    [report] = deliverer.sent.pop(HOOK_LISTENER)
    assert report.deliverer == "deliveries/deliverer-1"
    ((endpoint, since_ms, accounts),) = [astuple(one) for one in report.down]
    assert (endpoint, accounts) == ("http://h:80", (ACCOUNT,))
    assert began_ms <= since_ms <= time.time() * 1000
