"""Invented calls, as a switch publishes them: the events of the demo."""

import time
from collections.abc import Iterator
from typing import Any

from callboard.webhooks.values.kazoo_names import encode_segment, gregorian_s

ACCOUNT = "5f3c8b0d9a7e4c21b6d0e8f7a9c4d213"

_STAGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("CHANNEL_CREATE", {"Channel-Call-State": "RINGING"}),
    ("CHANNEL_ANSWER", {"Channel-Call-State": "ACTIVE"}),
    (
        "CHANNEL_DESTROY",
        {
            "Channel-Call-State": "HANGUP",
            "Hangup-Cause": "NORMAL_CLEARING",
            "Duration-Seconds": 42,
            "Ringing-Seconds": 5,
            "Billing-Seconds": 37,
        },
    ),
)


def call_events(number: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(exchange, routing key, body) of a call's creation, answer and end."""
    call_id = f"demo-call-{number:04}@switch.example"
    now = time.time()
    for stage, (name, fields) in enumerate(_STAGES):
        body = {
            "Event-Category": "call_event",
            "Event-Name": name,
            "App-Name": "freeswitch",
            "App-Version": "1.0",
            "Msg-ID": str(int(now * 1_000_000) + stage),
            "Node": "freeswitch@switch.example",
            "Timestamp": gregorian_s(now) + stage,
            "Call-ID": call_id,
            "Call-Direction": "inbound",
            "Caller-ID-Name": "Ada",
            "Caller-ID-Number": f"+1555010{number:04}",
            "Callee-ID-Name": "Front desk",
            "Callee-ID-Number": "+15550199999",
            "Request": "+15550199999@demo.example",
            "To": "+15550199999@demo.example",
            "From": f"+1555010{number:04}@demo.example",
            "Custom-Channel-Vars": {"Account-ID": ACCOUNT, "Authorizing-Type": "device"},
            **fields,
        }
        yield "callevt", f"call.{name}.{encode_segment(call_id)}", body
