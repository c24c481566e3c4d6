import pytest

from callboard.actors.base.confirmed_publisher import Batch, ConfirmedPublisher
from callboard.adapters.broker.edge import as_published, plain_headers
from callboard.adapters.broker.protocol import (
    BrokerError,
    Confirmed,
    IncomingMessage,
    OutgoingMessage,
    Properties,
    Returned,
    Unconfirmed,
)
from callboard.adapters.broker.publications import (
    Publication,
    for_queue,
    publication_of,
)


class Outbox:
    """A broker connection that only takes down what is to be published."""

    def __init__(self):
        self.messages = []

    def publish(self, message):
        if len(message.routing_key) > 255:
            raise BrokerError("a routing key has 255 bytes at most")
        self.messages.append(message)
        return len(self.messages)


@pytest.fixture
def outbox():
    return Outbox()


@pytest.fixture
def publisher(outbox):
    return ConfirmedPublisher(outbox)


@pytest.fixture
def ended():
    return []


def message(key="queue"):
    return OutgoingMessage("", key, b"{}")


def test_a_batch_is_settled_when_the_broker_has_answered_for_all_of_it(publisher, ended):
    batch, other = Batch(ended.append), Batch(ended.append)
    for id in ("a", "b", "c"):
        publisher.publish(batch, id, message())
    publisher.publish(other, "d", message())
    publisher.on_broker(Confirmed((1, 4)))
    publisher.on_broker(Unconfirmed((2,), "the connection was lost"))
    publisher.complete(batch)
    assert ended == []
    publisher.on_broker(Returned(3, "no queue"))
    publisher.on_broker(Confirmed((3,)))
    assert ended == [batch]
    assert batch.taken == ["a"]
    assert batch.refused == [("b", "the broker did not take it: the connection was lost")]
    assert batch.unroutable == [("c", "there is no queue for it: no queue")]
    assert batch.not_taken == (*batch.refused, *batch.unroutable)
    publisher.complete(other)
    assert (ended, other.taken) == ([batch, other], ["d"])
    assert len(publisher) == 0


def test_an_empty_batch_and_one_that_cannot_be_published_are_settled(publisher, ended):
    empty, odd = Batch(ended.append), Batch(ended.append)
    publisher.complete(empty)
    publisher.publish(odd, "a", message("k" * 300))
    publisher.complete(odd)
    assert ended == [empty, odd]
    assert odd.refused == [("a", "the broker cannot take it: a routing key has 255 bytes at most")]


def test_what_is_others_is_left_alone(publisher, ended):
    publisher.on_broker(Confirmed((7,)))
    publisher.on_broker(Returned(7, "no queue"))
    assert ended == []


EVENT = Publication(
    b"{}", "callevt", "call.CHANNEL_CREATE.1", "application/json", "gzip", "m", {"a": 1}
)


def arrived(message):
    return IncomingMessage(
        1, message.exchange, message.routing_key, message.body, message.properties
    )


def test_an_event_comes_again_as_it_came_first_and_reaches_our_queue_only():
    sent = for_queue("callboard.events", EVENT)
    assert (sent.exchange, sent.routing_key, sent.mandatory) == ("", "callboard.events", True)
    assert sent.properties.delivery_mode == 2
    assert publication_of(as_published(arrived(sent))) == EVENT


def test_what_lay_in_a_queue_itself_goes_there_again():
    sent = for_queue("callboard.events", Publication(b"", "", "callboard.events.retries"))
    assert (sent.exchange, sent.routing_key) == ("", "callboard.events.retries")
    assert as_published(arrived(sent)) == arrived(sent)


def test_a_message_of_an_exchange_is_what_it_is_whatever_its_headers_say():
    headers = {"x-callboard-exchange": "other", "x-callboard-routing-key": "other"}
    came = IncomingMessage(1, "callevt", "k", b"", Properties(headers=headers))
    assert as_published(came) == came


def test_headers_that_a_document_cannot_hold_are_left_out():
    headers = {
        "text": "t", "whole": 1, "flag": True, "none": None, "list": ["a", {"b": 1.5}],
        "bytes": b"x", "deep": [{"c": b"x"}], "endless": float("inf"), "object": {1: 2},
        "x-death": [{"count": 1}], "x-first-death-queue": "q",
    }  # fmt: skip
    assert plain_headers(headers) == {
        "text": "t", "whole": 1, "flag": True, "none": None, "list": ["a", {"b": 1.5}],
    }  # fmt: skip
