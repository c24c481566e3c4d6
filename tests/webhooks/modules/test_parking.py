import pytest

from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.modules.kazoo.parking import MODULE
from callboard.webhooks.modules.protocol import EventExchange

ACCOUNT = "1b" * 16

PARKED = {
    "Event-Category": "call_event",
    "Event-Name": "PARK_PARKED",
    "App-Name": "callflow",
    "App-Version": "4.0.0",
    "Msg-ID": "a1b2c3d4",
    "Node": "apps@one.example",
    "Call-ID": "leg-a",
    "Callee-ID-Name": "Bob",
    "Callee-ID-Number": "5550100",
    "Caller-ID-Name": "Ada",
    "Caller-ID-Number": "+14155550199",
    "Parking-Slot": "1",
    "Custom-Channel-Vars": {"Account-ID": ACCOUNT, "Realm": "pbx.example"},
}
SENT = {
    "event_name": "PARK_PARKED",
    "call_id": "leg-a",
    "callee_id_name": "Bob",
    "callee_id_number": "5550100",
    "caller_id_name": "Ada",
    "caller_id_number": "+14155550199",
    "parking_slot": "1",
    "account_id": ACCOUNT,
}


@pytest.mark.parametrize("name", ["PARK_PARKED", "PARK_RETRIEVED", "PARK_ABANDONED"])
def test_the_envelope_stays_behind_and_the_account_comes_along(name, fire, hook):
    sent = fire(MODULE, PARKED | {"Event-Name": name}, hook("parking"))
    assert sent == {"h": SENT | {"event_name": name}}


def test_what_else_the_message_has_is_sent_too(fire, hook):
    message = PARKED | {
        "Server-ID": "q",
        "Custom-Application-Vars": {"Crm-Ticket": "47", "Note": None},
        "Account-ID": "another",
    }
    assert fire(MODULE, message, hook("parking"))["h"] == SENT | {
        "server_id": "q",
        "custom_application_vars": {"crm_ticket": "47"},
    }


@pytest.mark.parametrize(
    "ccvs", [{}, {"Account-ID": ""}, {"Account-ID": None}, {"Account-ID": 5}, ...]
)
def test_a_call_without_account_fires_nothing(ccvs, directory):
    message = PARKED | {"Custom-Channel-Vars": ccvs}
    if ccvs is ...:
        del message["Custom-Channel-Vars"]
    assert MODULE.firing(Event(message), directory) is None


def test_the_called_number_names_no_account_here(directory):
    directory.numbers["+14155550100"] = ACCOUNT
    message = PARKED | {"Custom-Channel-Vars": {}, "Request": "+14155550100@x"}
    assert MODULE.firing(Event(message), directory) is None


def test_internal_legs_are_not_told_apart(fire, hook):
    one = hook("parking", include_internal_legs=False)
    assert fire(MODULE, PARKED | {"Channel-Is-Loopback": True}, one)


@pytest.mark.parametrize("header", ["App-Name", "App-Version", "Msg-ID", "Call-ID"])
def test_a_required_header_that_is_missing_makes_poison(header, directory):
    message = {key: value for key, value in PARKED.items() if key != header}
    with pytest.raises(PoisonEvent, match=f"call_event PARK_PARKED.*: {header} is missing"):
        MODULE.firing(Event(message), directory)
    assert MODULE.firing(Event(PARKED | {header: None}), directory)
    assert MODULE.firing(Event(PARKED | {header: ""}), directory)


@pytest.mark.parametrize(
    "header",
    ["Custom-Channel-Vars", "Custom-Application-Vars", "Custom-SIP-Headers", "Fax-Info"],
)
@pytest.mark.parametrize("value", ["x", 5, [], None])
def test_what_must_be_an_object_and_is_none_makes_poison(header, value, directory):
    with pytest.raises(PoisonEvent, match=f"{header} is not an object"):
        MODULE.firing(Event(PARKED | {header: value}), directory)


def test_poison_names_all_that_is_wrong(directory):
    message = PARKED | {"Fax-Info": 1}
    del message["Call-ID"], message["Msg-ID"]
    with pytest.raises(PoisonEvent) as caught:
        MODULE.firing(Event(message), directory)
    for wrong in ("Msg-ID is missing", "Call-ID is missing", "Fax-Info is not an object"):
        assert wrong in str(caught.value)


def test_it_responds_to_its_three_events_alone():
    def responds(**headers):
        return MODULE.responds_to(Event(PARKED | headers))

    assert responds()
    assert not responds(**{"Event-Name": "CHANNEL_CREATE"})
    assert not responds(**{"Event-Category": "notification"})


def test_it_listens_where_kazoo_s_does(directory):
    assert MODULE.exchanges == (EventExchange("callevt"), EventExchange("callmgr"))
    assert MODULE.bindings == (
        ("callevt", "call.PARK_PARKED.*"),
        ("callevt", "call.PARK_RETRIEVED.*"),
        ("callevt", "call.PARK_ABANDONED.*"),
    )
    assert (MODULE.id, MODULE.name, MODULE.events) == ("parking", "Call Parking", ("parking",))
    assert MODULE.modifiers(directory) == {}
