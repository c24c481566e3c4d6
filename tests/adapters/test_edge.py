"""What any AMQP message becomes: values of the domain, or a message that cannot be read."""

import base64
import json
import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.adapters.broker.edge import as_published, offers_of, plain_headers
from callboard.adapters.broker.properties import DecodedProperties, carried
from callboard.adapters.broker.protocol import IncomingMessage, Properties, UnreadableMessage
from callboard.adapters.broker.publications import (
    event_in,
    for_queue,
    publication_of,
    set_aside,
)
from callboard.adapters.broker.topic import matches
from callboard.webhooks.events.event import PoisonEvent
from callboard.webhooks.events.trace_context import trace_context
from callboard.webhooks.history.dead_letters import body_of, poison_dead_letter
from callboard.webhooks.retries.retry_message import UnreadableDelivery, from_json
from support.amqp import headers, nested, properties, short, table, texts
from support.amqp import values as field_values
from support.fuzz import bodies, examples
from support.fuzz import values as json_values

HEADERS = 1 << 13
MESSAGE_ID = 1 << 7
EDGE = settings(max_examples=examples(5), deadline=None)


def came(encoded=b"\0\0", exchange="callevt", key="call.X", body=b"{}"):
    """A message as pika hands it over."""
    decoded = DecodedProperties().decode(encoded)
    return carried(1, exchange, key, body, decoded, redelivered=False)


def with_headers(*entries, exchange="callevt"):
    return came(struct.pack(">H", HEADERS) + table(entries), exchange)


names = st.text(max_size=20) | st.binary(max_size=20)


@EDGE
@given(properties() | st.binary(max_size=60), names, names, bodies(json_values))
def test_any_message_is_an_event_or_is_quarantined_whole(encoded, exchange, key, body):
    body, _encoding = body
    message = came(encoded, exchange, key, body)
    if isinstance(message, IncomingMessage):
        handled(as_published(message))
        return
    assert isinstance(message, UnreadableMessage)
    quarantined(message.message, message.reason, message.raw)
    assert base64.b64decode(message.raw["properties"]) == encoded
    for name, value in (("exchange", exchange), ("routing_key", key)):
        if isinstance(value, bytes) and name in message.raw:
            assert base64.b64decode(message.raw[name]) == value


def handled(message):
    """Everything that handlers do with what they were given; an event, or it is quarantined."""
    pickle.dumps(message)
    assert matches("call.#.x", message.routing_key) in (True, False)
    trace_context(message.properties.headers)
    try:
        event_in(message)
    except PoisonEvent as problem:
        quarantined(message, str(problem))
    try:
        from_json(message.body)
    except UnreadableDelivery as problem:
        quarantined(message, str(problem))


def quarantined(message, reason, raw=None):
    """It can be written to disk, stored as a dead letter, shown, and put into the queue again."""
    record = set_aside(publication_of(message), module="", reason=reason, now_unix_s=1.0, raw=raw)
    letter = poison_dead_letter(json.loads(json.dumps(record)), 1, "node")
    json.dumps(letter, allow_nan=False).encode()
    if "body_bytes" not in letter:
        assert body_of(letter) == message.body
    for_queue("callboard.events", publication_of(message))


def test_a_header_name_that_is_no_text_costs_the_header_only():
    message = with_headers((b"caf\xe9", b"V"), (b"good", b"S" + struct.pack(">I", 1) + b"x"))
    assert message.properties.headers == {"good": "x"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (came(key=b"caf\xe9"), "the routing key is not UTF-8"),
        (came(exchange=b"\xff"), "the exchange is not UTF-8"),
        (came(struct.pack(">H", MESSAGE_ID) + short(b"\xe9")), "message_id is not UTF-8"),
        (
            with_headers((b"x-callboard-exchange", b"V"), exchange=""),
            "the header x-callboard-exchange is no text of at most 255 bytes",
        ),
        (
            with_headers(
                (b"x-callboard-routing-key", b"S" + b"\0\0\1\0" + b"." * 256), exchange=""
            ),
            "the header x-callboard-routing-key is no text of at most 255 bytes",
        ),
    ],
)
def test_the_reason_is_given(message, reason):
    assert isinstance(message, UnreadableMessage)
    assert message.reason == reason


def test_properties_that_cannot_be_read_are_kept_as_they_came():
    bad = struct.pack(">H", MESSAGE_ID) + short(b"\xe9")
    assert base64.b64decode(came(bad).raw["properties"]) == bad
    both = came(bad, b"\xff", b"caf\xe9")
    assert {name: base64.b64decode(value) for name, value in both.raw.items()} == {
        "properties": bad,
        "exchange": b"\xff",
        "routing_key": b"caf\xe9",
    }
    assert (both.message.exchange, both.message.routing_key) == ("\ufffd", "caf\ufffd")
    assert both.message.properties.message_id == "\ufffd"


@pytest.mark.parametrize("header", [b"x-callboard-exchange", b"x-callboard-routing-key"])
@pytest.mark.parametrize(("name", "fits"), [("é" * 127 + ".", True), ("é" * 128, False)])
def test_an_original_name_of_255_bytes_fits_in_a_frame(header, name, fits):
    """AMQP 0-9-1, 4.2.5.3. Only of a message that was put into our queue directly."""
    text = b"S" + struct.pack(">I", len(name.encode())) + name.encode()
    assert isinstance(with_headers((header, text), exchange=""), IncomingMessage) is fits
    assert isinstance(with_headers((header, text)), IncomingMessage)


@pytest.mark.parametrize(
    ("exchange", "headers", "offers"),
    [
        ("", {"x-callboard-exchange": "callevt", "x-callboard-offers": 3}, 3),
        ("", {"x-callboard-exchange": "callevt"}, 0),
        ("", {"x-callboard-exchange": "callevt", "x-callboard-offers": "3"}, 0),
        ("", {"x-callboard-offers": 3}, 0),
        ("callevt", {"x-callboard-exchange": "callevt", "x-callboard-offers": 3}, 0),
    ],
)
def test_offers_are_counted_in_messages_of_our_own_only(exchange, headers, offers):
    message = IncomingMessage(1, exchange, "k", b"", Properties(headers=headers))
    assert offers_of(message) == offers


@pytest.mark.parametrize("exchange", ["", "callevt"])
def test_what_cannot_be_read_keeps_where_it_came_from(exchange):
    """Also the default exchange and an empty key, which it is put back with."""
    bad = struct.pack(">H", MESSAGE_ID) + short(b"\xe9")
    for key in ("", "call.X"):
        message = came(bad, exchange, key).message
        assert (message.exchange, message.routing_key) == (exchange, key)


@pytest.mark.parametrize("kind", [b"A", b"F"])
def test_deep_headers_are_left_out_and_deeper_ones_make_a_message_unreadable(kind):
    """pika decodes tables by recursion."""
    assert with_headers((b"n", nested(50, kind))).properties.headers
    assert with_headers((b"n", nested(101, kind))).properties.headers == {}
    deeper = with_headers((b"n", nested(5000, kind)))
    assert deeper.reason.startswith("its properties cannot be decoded: RecursionError")


@given(st.lists(st.tuples(texts, field_values), max_size=3))
def test_headers_are_values_of_json(entries):
    message = with_headers(*entries)
    assert json.loads(json.dumps(message.properties.headers, allow_nan=False)) is not None


def test_the_strategies_reach_what_they_are_for():
    """A table of arbitrary types decodes: otherwise the tests above would test refusals only."""
    found = set()

    @settings(max_examples=200, deadline=None, database=None)
    @given(headers)
    def look(encoded):
        found.add(type(came(struct.pack(">H", HEADERS) + encoded)))

    look()
    assert found == {IncomingMessage, UnreadableMessage}


def test_headers_of_the_broker_are_left_out():
    """https://www.rabbitmq.com/docs/dlx#effects"""
    ours = {"x-own": 1, "x-deaf": 2}
    its_own = {"x-death": [], "x-first-death-queue": "q", "x-last-death-queue": "q"}
    assert plain_headers(ours | its_own) == ours


@pytest.mark.parametrize("within", [lambda value: [value], lambda value: {"a": value}])
def test_headers_are_nested_as_deeply_as_an_event_may_be(within):
    value = 1
    for _level in range(100):
        value = within(value)
    assert plain_headers({"h": value}) == {"h": value}
    assert plain_headers({"h": within(value)}) == {}
