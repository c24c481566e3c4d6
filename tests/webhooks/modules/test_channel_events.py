"""The four channel events from message to payload, all of it written out."""

import pytest

from callboard.webhooks.modules.kazoo import (
    channel_answer,
    channel_bridge,
    channel_create,
    channel_destroy,
)

ACCOUNT = "1b" * 16
RESELLER = "0a" * 16

LEG = {
    "Event-Category": "call_event",
    "App-Name": "freeswitch",
    "App-Version": "1.0",
    "Msg-ID": "1700000000123456",
    "Node": "freeswitch@media.example",
    "Timestamp": 63867000005,
    "Call-ID": "leg-a@media.example",
    "Call-Direction": "inbound",
    "Caller-ID-Name": "Ada",
    "Caller-ID-Number": "1001",
    "Callee-ID-Name": "Outbound Call",
    "Callee-ID-Number": "+14155550100",
    "Channel-Name": "sofia/inside/1001@pbx.example",
    "Channel-State": "EXECUTE",
    "Switch-Hostname": "media.example",
    "Custom-Channel-Vars": {
        "Account-ID": ACCOUNT,
        "Account-Realm": "pbx.example",
        "Authorizing-ID": "phone",
        "Authorizing-Type": "device",
        "Owner-ID": "ada",
        "Call-Forward": "false",
        "Emergency-Resource": "true",
        "Global-Resource": "false",
        "Resource-ID": "trunk",
        "Ticket": 7,
    },
    "Custom-Application-Vars": {"crm": "4711"},
}
ADDRESSED = {
    "Request": "+14155550100@pbx.example",
    "To": "+14155550100@pbx.example",
    "From": "1001@pbx.example",
}
TOLD = {
    "account_id": ACCOUNT,
    "authorizing_id": "phone",
    "authorizing_type": "device",
    "call_direction": "inbound",
    "call_forwarded": False,
    "call_id": "leg-a@media.example",
    "callee_id_name": "Outbound Call",
    "callee_id_number": "+14155550100",
    "caller_id_name": "Ada",
    "caller_id_number": "1001",
    "custom_application_vars": {"crm": "4711"},
    "custom_channel_vars": {"Account-Realm": "pbx.example", "Ticket": 7},
    "emergency_resource_used": True,
    "is_internal_leg": False,
    "local_resource_id": "trunk",
    "local_resource_used": True,
    "owner_id": "ada",
    "reseller_id": RESELLER,
    "timestamp": 63867000005,
}
TOLD_ADDRESSES = {
    "request": "+14155550100@pbx.example",
    "to": "+14155550100@pbx.example",
    "from": "1001@pbx.example",
}
RESERVED = [
    *("Account-ID", "Authorizing-ID", "Authorizing-Type", "Owner-ID", "Call-Forward"),
    *("Emergency-Resource", "Global-Resource", "Resource-ID", "Original-Number"),
]


@pytest.fixture(autouse=True)
def cluster(directory):
    directory.resellers[ACCOUNT] = RESELLER
    directory.settings["call_command", "reserved_ccv_keys"] = RESERVED


@pytest.mark.parametrize(
    ("module", "name"),
    [(channel_create.MODULE, "CHANNEL_CREATE"), (channel_answer.MODULE, "CHANNEL_ANSWER")],
)
def test_created_and_answered(module, name, fire, hook):
    sent = fire(module, LEG | ADDRESSED | {"Event-Name": name}, hook(name), hook("all", "all"))
    told = TOLD | TOLD_ADDRESSES | {"hook_event": name.lower()}
    assert sent == {"h": told, "all": told}


def test_bridged_which_tells_of_no_addresses_but_of_numbers(fire, hook):
    message = LEG | {
        "Event-Name": "CHANNEL_BRIDGE",
        "Custom-Channel-Vars": LEG["Custom-Channel-Vars"] | {"Original-Number": "4155550100"},
        "Other-Leg-Call-ID": "leg-b@media.example",
        "Other-Leg-Direction": "outbound",
        "Other-Leg-Destination-Number": "+14155550100",
    }
    assert fire(channel_bridge.MODULE, message, hook("CHANNEL_BRIDGE")) == {
        "h": TOLD
        | {
            "hook_event": "channel_bridge",
            "original_number": "4155550100",
            "other_leg_call_id": "leg-b@media.example",
            "other_leg_destination_number": "+14155550100",
        }
    }


def test_destroyed_which_tells_how_long_it_took(fire, hook):
    message = LEG | ADDRESSED
    message |= {
        "Event-Name": "CHANNEL_DESTROY",
        "Other-Leg-Call-ID": "leg-b@media.example",
        "Hangup-Cause": "NORMAL_CLEARING",
        "Hangup-Code": "sip:200",
        "Disposition": "ANSWER",
        "Duration-Seconds": 11,
        "Billing-Seconds": "6",
        "Ringing-Seconds": 5,
    }
    assert fire(channel_destroy.MODULE, message, hook("CHANNEL_DESTROY")) == {
        "h": TOLD
        | TOLD_ADDRESSES
        | {
            "hook_event": "channel_destroy",
            "other_leg_call_id": "leg-b@media.example",
            "hangup_cause": "NORMAL_CLEARING",
            "hangup_code": "sip:200",
            "duration_seconds": 11,
            "billing_seconds": 6,
            "ringing_seconds": 5,
        }
    }


def test_channel_events_are_not_validated(fire, hook):
    bare = {
        "Event-Category": "call_event",
        "Event-Name": "CHANNEL_BRIDGE",
        "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
    }
    assert set(fire(channel_bridge.MODULE, bare, hook("CHANNEL_BRIDGE"))) == {"h"}


@pytest.mark.parametrize(
    ("module", "name", "description"),
    [
        (channel_create.MODULE, "Channel Create", "created"),
        (channel_answer.MODULE, "Channel Answer", "answered"),
        (channel_bridge.MODULE, "Channel Bridge", "joined"),
        (channel_destroy.MODULE, "Channel Destroy", "ends"),
    ],
)
def test_their_metadata(module, name, description, directory):
    assert module.name == name
    assert module.id == name.lower().replace(" ", "_")
    assert description in module.description
    assert module.modifiers(directory) == {}
