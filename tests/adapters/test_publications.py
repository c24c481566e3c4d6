"""A consumed message that is put into our queue again: it says where it came from."""

import pytest

from callboard.adapters.broker.protocol import OutgoingMessage, Properties
from callboard.adapters.broker.publications import Publication, for_queue

WHERE = {"x-callboard-exchange": "callevt", "x-callboard-routing-key": "call.X"}


@pytest.mark.parametrize(
    ("offers", "counted"), [(0, {}), (1, {"x-callboard-offers": 1}), (7, {"x-callboard-offers": 7})]
)
def test_a_message_of_an_exchange_names_it_and_how_often_it_was_offered(offers, counted):
    message = Publication(b"{}", "callevt", "call.X", "application/json", "gzip", "id", {"a": 1})
    assert for_queue("callboard.events", message, offers) == OutgoingMessage(
        "",
        "callboard.events",
        b"{}",
        Properties(
            content_type="application/json",
            content_encoding="gzip",
            message_id="id",
            delivery_mode=2,
            headers={"a": 1, **WHERE, **counted},
        ),
        mandatory=True,
    )


def test_a_message_that_was_put_into_a_queue_goes_to_that_queue_as_it_was():
    message = Publication(b"{}", "", "callboard.events.retries", headers={"a": 1})
    sent = for_queue("callboard.events", message, 3)
    assert (sent.exchange, sent.routing_key) == ("", "callboard.events.retries")
    assert sent.properties.headers == {"a": 1}
