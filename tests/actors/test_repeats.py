"""What a deliverer's successor does with the deliveries of a killed one, without processes."""

import pytest

from callboard.webhooks.retries.outcome import ClientError, Response
from support.deliverers import LocalDeliverer, delivery

MADE = [delivery(number) for number in range(10)]


@pytest.fixture
def lives(tmp_path):
    """lives(**settings) -> the next deliverer on the same data directory."""
    return lambda **settings: LocalDeliverer(tmp_path, 100, **settings)


def killed(deliverer):
    """Nothing of what it has not sent yet is sent."""
    deliverer.closing.close()


def end_all(deliverer, outcome):
    while deliverer.requests.flying:
        deliverer.end(outcome)


def test_answered_requests_that_wait_for_their_record_are_recorded_and_not_repeated(lives):
    one = lives()
    one.take(*MADE)
    end_all(one, Response(404, body=b"no such thing"))
    assert one.settled() == []
    killed(one)
    other = lives()
    other.take(*MADE)
    assert other.requests.flying == []
    assert other.settled() == []
    documents = other.recorded()
    letters = [document for document in documents if "delivery_id" in document]
    assert sorted(d["delivery_id"] for d in letters) == sorted(d.id for d in MADE)
    assert {document["reason"] for document in letters} == {"status 404"}
    attempts = [document for document in documents if "resp_status_code" in document]
    assert [str(document["resp_status_code"]) for document in attempts] == ["404"] * len(MADE)
    assert other.settled() == list(range(1, len(MADE) + 1))


def test_the_records_of_both_lives_are_the_same_documents(lives):
    one = lives()
    one.take(*MADE)
    end_all(one, Response(404))
    ids = sorted(document["_id"] for document in one.recorded())
    one._journal.answered(MADE[0].id, 1, 404)  # The confirmation was lost.
    killed(one)
    other = lives()
    other.take(MADE[0])
    assert {document["_id"] for document in other.recorded()} <= set(ids)


def test_answered_requests_that_wait_for_the_retry_queue_are_deferred_and_not_repeated(lives):
    one = lives(retry_policy="standard")
    one.take(*MADE)
    end_all(one, Response(503))
    killed(one)
    other = lives(retry_policy="standard")
    other.take(*MADE)
    assert other.requests.flying == []
    items = other.deferred()
    assert {item.delivery.id for item in items} == {made.id for made in MADE}
    assert {(item.attempts_made, item.deferrals) for item in items} == {(1, 1)}
    assert other.settled() == list(range(1, len(MADE) + 1))


def test_what_the_retry_queue_has_is_settled_by_a_successor(lives):
    one = lives(retry_policy="standard")
    one.take(*MADE)
    end_all(one, ClientError("timeout"))
    items = one.deferred()
    assert len(items) == len(MADE)
    killed(one)
    other = lives(retry_policy="standard")
    other.take(*MADE)
    assert other.requests.flying == []
    assert other.deferred() == []
    assert other.settled() == list(range(1, len(MADE) + 1))
    other.take_due(*items)
    assert len(other.requests.flying) == len(MADE)


def test_requests_in_flight_at_the_death_are_made_again(lives):
    one = lives()
    one.take(*MADE)
    killed(one)
    other = lives()
    other.take(*MADE)
    assert len(other.requests.flying) == len(MADE)


def test_a_response_that_counts_as_success_now_ends_the_delivery(lives):
    one = lives()
    one.take(*MADE)
    end_all(one, Response(202))
    killed(one)
    other = lives(retry_policy="standard")
    other.take(*MADE)
    assert other.requests.flying == []
    assert other.settled() == list(range(1, len(MADE) + 1))
