"""What a deliverer defers, and how it counts its requests, without processes."""

import pytest
from attrs import evolve

from callboard.webhooks.metrics import catalog
from callboard.webhooks.retries.outcome import ClientError, Response
from support.deliverers import LocalDeliverer, delivery


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
