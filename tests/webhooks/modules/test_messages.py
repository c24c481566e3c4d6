"""sms and mms, which differ in their name and in how they are published."""

import gzip
import json

import pytest

from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.modules.kazoo import mms, sms
from callboard.webhooks.modules.protocol import EventExchange

ACCOUNT = "1b" * 16
MODULES = {"sms": sms.MODULE, "mms": mms.MODULE}
MIME = 'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="b"\r\n\r\n--b--\r\n'


def message(kind, **headers):
    return {
        "Event-Category": kind,
        "Event-Name": "inbound",
        "App-Name": "carrier",
        "App-Version": "1.0.0",
        "Msg-ID": "a1b2c3d4",
        "Message-ID": "2023-6b1f.2c@carrier.example",
        "Route-Type": "offnet",
        "Route-ID": "carrier_example",
        "Account-ID": ACCOUNT,
        "From": "+14155550101",
        "To": "+14155550102",
        "Body": "1 + 1 = 2 & more",
        "Charges": 0.0075,
        "Custom-Vars": {"Carrier-ID": "example"},
    } | {header.replace("_", "-"): value for header, value in headers.items()}


def sent_of(kind):
    return {
        "id": "2023-6b1f.2c@carrier.example",
        "account_id": ACCOUNT,
        "type": kind,
        "from": "+14155550101",
        "to": "+14155550102",
        "body": "1 + 1 = 2 & more",
        "origin": "offnet",
        "charges": 0.0075,
    }


@pytest.mark.parametrize(("kind", "module"), MODULES.items())
def test_a_message_is_told_as_its_receiver_sees_it(kind, module, fire, hook):
    assert fire(module, message(kind), hook(kind)) == {"h": sent_of(kind)}


def test_an_mms_comes_as_gzip(fire, hook):
    body = gzip.compress(json.dumps(message("mms", Body=MIME)).encode())
    sent = fire(mms.MODULE, body, hook("mms"), content_encoding="gzip")
    assert sent == {"h": sent_of("mms") | {"body": MIME}}


@pytest.mark.parametrize(("kind", "module"), MODULES.items())
def test_what_is_absent_is_left_out(kind, module, fire, hook):
    bare = message(kind)
    del bare["Route-Type"], bare["Charges"]
    wanted = {k: v for k, v in sent_of(kind).items() if k not in ("origin", "charges")}
    assert fire(module, bare, hook(kind)) == {"h": wanted}


@pytest.mark.parametrize(
    ("value", "charges"),
    [
        (3, 3),
        ("0.25", 0.25),
        ("3", 3),
        (0, 0),
        ("free", ...),
        (None, ...),
        (True, ...),
        ({}, ...),
        ("1e999", ...),
    ],
)
def test_charges_are_a_number(value, charges, fire, hook):
    sent = fire(sms.MODULE, message("sms", Charges=value), hook("sms"))["h"]
    assert sent.get("charges", ...) == charges
    assert type(sent.get("charges", ...)) is type(charges)


@pytest.mark.parametrize(("kind", "module"), MODULES.items())
@pytest.mark.parametrize("account", [..., None, "", 5])
def test_a_message_without_account_fires_nothing(kind, module, account, directory):
    body = message(kind, Account_ID=account)
    if account is ...:
        del body["Account-ID"]
    assert module.firing(Event(body), directory) is None


@pytest.mark.parametrize(("kind", "module"), MODULES.items())
@pytest.mark.parametrize(
    "header", ["App-Name", "App-Version", "Msg-ID", "Message-ID", "Body", "From", "To"]
)
def test_a_required_header_that_is_missing_makes_poison(kind, module, header, directory):
    body = message(kind)
    del body[header]
    with pytest.raises(PoisonEvent, match=f"{kind} inbound.*: {header} is missing"):
        module.firing(Event(body), directory)


@pytest.mark.parametrize(
    ("header", "value", "kind"),
    [
        ("To", 5, "a string"),
        ("From", None, "a string"),
        ("Request", {}, "a string"),
        ("Message-ID", [], "a string"),
        ("System-ID", 5, "a string"),
        ("Body", {"text": "x"}, "a string"),
        ("Custom-Vars", "x", "an object"),
        ("Route-Type", "abroad", "one of onnet, offnet"),
        ("Route-Type", ["onnet"], "one of onnet, offnet"),
    ],
)
def test_a_header_of_the_wrong_kind_makes_poison(header, value, kind, directory):
    with pytest.raises(PoisonEvent, match=f"{header} is not {kind}"):
        sms.MODULE.firing(Event(message("sms") | {header: value}), directory)


def test_poison_does_not_quote_the_message(directory):
    with pytest.raises(PoisonEvent) as caught:
        sms.MODULE.firing(Event(message("sms", Route_Type="Secret", Request=7)), directory)
    assert "Secret" not in str(caught.value)
    assert "7" not in str(caught.value)


def test_only_an_empty_body_is_left_out(fire, hook):
    sent = fire(sms.MODULE, message("sms", Body="", From=""), hook("sms"))["h"]
    assert sent["from"] == ""
    assert "body" not in sent


def test_custom_data_is_merged_and_selects_nothing(fire, hook):
    one = hook("sms", custom_data={"type": "other", "mine": "x"})
    assert fire(sms.MODULE, message("sms"), one) == {"h": sent_of("sms") | {"mine": "x"}}


@pytest.mark.parametrize("kind", MODULES)
def test_each_kind_has_its_module(kind):
    def responding(**headers):
        return [id for id, m in MODULES.items() if m.responds_to(Event(message(kind, **headers)))]

    assert responding() == [kind]
    assert responding(Event_Name="outbound") == []


@pytest.mark.parametrize(("kind", "module"), MODULES.items())
def test_it_listens_where_kazoo_s_does(kind, module, directory):
    assert module.exchanges == (EventExchange("im"),)
    assert module.bindings == (("im", f"{kind}.inbound.offnet.*"),)
    assert (module.id, module.name, module.events) == (kind, kind.upper(), (kind,))
    assert module.modifiers(directory) == {}
