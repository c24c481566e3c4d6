"""The calls of the demo, as a switch publishes them."""

import time

from callboard.cli.tryout.samples import call_events


def test_a_call_is_created_answered_and_destroyed(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.25)
    events = list(call_events(7))
    assert [(exchange, key) for exchange, key, _body in events] == [
        ("callevt", f"call.CHANNEL_{stage}.demo-call-0007%40switch%2Eexample")
        for stage in ("CREATE", "ANSWER", "DESTROY")
    ]
    call = {
        "Event-Category": "call_event",
        "App-Name": "freeswitch",
        "App-Version": "1.0",
        "Node": "freeswitch@switch.example",
        "Call-ID": "demo-call-0007@switch.example",
        "Call-Direction": "inbound",
        "Caller-ID-Name": "Ada",
        "Caller-ID-Number": "+15550100007",
        "Callee-ID-Name": "Front desk",
        "Callee-ID-Number": "+15550199999",
        "Request": "+15550199999@demo.example",
        "To": "+15550199999@demo.example",
        "From": "+15550100007@demo.example",
        "Custom-Channel-Vars": {
            "Account-ID": "5f3c8b0d9a7e4c21b6d0e8f7a9c4d213",
            "Authorizing-Type": "device",
        },
    }
    created, answered, destroyed = (
        {"Msg-ID": str(1_700_000_000_250_000 + n), "Timestamp": 63_867_219_200 + n, **call}
        for n in range(3)
    )
    assert [body for _exchange, _key, body in events] == [
        {**created, "Event-Name": "CHANNEL_CREATE", "Channel-Call-State": "RINGING"},
        {**answered, "Event-Name": "CHANNEL_ANSWER", "Channel-Call-State": "ACTIVE"},
        {
            **destroyed,
            "Event-Name": "CHANNEL_DESTROY",
            "Channel-Call-State": "HANGUP",
            "Hangup-Cause": "NORMAL_CLEARING",
            "Duration-Seconds": 42,
            "Ringing-Seconds": 5,
            "Billing-Seconds": 37,
        },
    ]
