"""The events that are published: JSON objects of 2 kB, each with its number and its time."""

import json

BYTES = 2000
ACCOUNTS = 500


def _rest() -> str:
    """What all events have in common, in the manner of a call's event."""
    parties = [
        {
            "name": f"Extension {number}",
            "number": f"+1555010{number:04}",
            "realm": "acme.example.com",
            "registered": number % 2 == 0,
            "latency_ms": 12.5 + number,
        }
        for number in range(13)
    ]
    text = json.dumps({"direction": "inbound", "attempt": 1, "parties": parties})
    return text[1:-1]


_REST = _rest()


def body(number: int, published_us: int) -> bytes:
    """Such an event, of exactly 2,000 bytes; `account` is one of 500, taken in turns."""
    text = (
        f'{{"number": {number}, "published": {published_us}, '
        f'"account": "account-{number % ACCOUNTS}", {_REST}, "note": "'
    )
    return f'{text}{"x" * (BYTES - len(text) - 2)}"}}'.encode()
