"""Messages of foreign AMQP publishers: any bytes and types in every place that AMQP has."""

import os
import struct

import pika
from hypothesis import strategies as st

MESSAGES = int(os.environ.get("CALLBOARD_TEST_EDGE", "150"))
"""How many messages a run on a real broker sends."""

FLAGS = pika.BasicProperties
SHORT = ("CONTENT_TYPE", "CONTENT_ENCODING", "CORRELATION_ID", "REPLY_TO", "EXPIRATION")
SHORT += ("MESSAGE_ID", "TYPE", "APP_ID")
"""Short strings. A user id must be the publisher's own; a cluster id is obsolete."""
ORDER = ("CONTENT_TYPE", "CONTENT_ENCODING", "HEADERS", "DELIVERY_MODE", "PRIORITY")
ORDER += ("CORRELATION_ID", "REPLY_TO", "EXPIRATION", "MESSAGE_ID", "TIMESTAMP", "TYPE", "APP_ID")


class Encoded(pika.BasicProperties):
    """Properties that are already bytes of a frame."""

    def __init__(self, encoded):
        super().__init__()
        self._encoded = encoded

    def encode(self):
        return [self._encoded]


def short(value: bytes) -> bytes:
    return struct.pack("B", len(value)) + value


def long(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def fixed(kind, layout, numbers):
    return numbers.map(lambda number: kind + struct.pack(layout, number))


def bits(signed, width):
    low = -(2 ** (width - 1)) if signed else 0
    return st.integers(low, low + 2**width - 1)


texts = st.one_of(
    st.text(max_size=12).map(str.encode),
    st.binary(max_size=12),
    st.sampled_from(
        (b"caf\xe9", b"\0", b"\xed\xa0\x80", b"x" * 255, b"gzip", b"application/erlang")
    ),
)
names = texts | st.sampled_from(
    (
        *(b"traceparent", b"tracestate", b"x-death", b"x-first-death-queue"),
        *(b"x-callboard-exchange", b"x-callboard-routing-key"),
    )
)
scalars = st.one_of(
    st.just(b"V"),
    fixed(b"t", "B", bits(False, 8)),
    fixed(b"b", ">b", bits(True, 8)),
    fixed(b"B", ">B", bits(False, 8)),
    fixed(b"s", ">h", bits(True, 16)),
    fixed(b"u", ">H", bits(False, 16)),
    fixed(b"I", ">i", bits(True, 32)),
    fixed(b"i", ">I", bits(False, 32)),
    fixed(b"l", ">q", bits(True, 64)),
    fixed(b"T", ">Q", bits(False, 64)),
    st.binary(min_size=4, max_size=4).map(lambda four: b"f" + four),
    st.binary(min_size=8, max_size=8).map(lambda eight: b"d" + eight),
    st.binary(min_size=5, max_size=5).map(lambda five: b"D" + five),
    texts.map(lambda text: b"S" + long(text)),
    texts.map(lambda text: b"x" + long(text)),
    st.integers(0, 400).map(lambda length: b"S" + long(b"." * length)),
)


def table(entries):
    return long(b"".join(short(name) + value for name, value in entries))


def nested(depth, kind):
    value = b"V"
    for _ in range(depth):
        value = b"A" + long(value) if kind == b"A" else b"F" + table([(b"n", value)])
    return value


values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: b"A" + long(b"".join(items)))
        | st.lists(st.tuples(names, inner), max_size=3).map(lambda entries: b"F" + table(entries))
    ),
    max_leaves=6,
)
deep = st.builds(nested, st.sampled_from((1, 99, 101, 300, 700)), st.sampled_from((b"A", b"F")))
headers = st.lists(st.tuples(names, values | deep), max_size=4).map(table)


@st.composite
def properties(draw):
    """The bytes of a header frame's properties, each of them or not."""
    flags, encoded = 0, b""
    for name in ORDER:
        if not draw(st.booleans()):
            continue
        flags |= getattr(FLAGS, f"FLAG_{name}")
        if name in SHORT:
            # A broker refuses an expiration that is no number.
            encoded += short(b"600000" if name == "EXPIRATION" else draw(texts))
        elif name == "HEADERS":
            encoded += draw(headers)
        elif name == "TIMESTAMP":
            encoded += struct.pack(">Q", draw(bits(False, 64)))
        elif name == "DELIVERY_MODE":  # A broker refuses others.
            encoded += struct.pack("B", draw(st.sampled_from((1, 2))))
        else:
            encoded += struct.pack("B", draw(bits(False, 8)))
    return struct.pack(">H", flags) + encoded
