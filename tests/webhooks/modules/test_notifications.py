import pytest

from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.modules.kazoo.notifications import MODULE
from callboard.webhooks.modules.notification_types import NOTIFICATION_TYPES
from callboard.webhooks.modules.protocol import EventExchange

ACCOUNT = "1b" * 16
PARENT = "0a" * 16

# Name, routing key (after `notifications.`) and required headers.
KINDS = {
    name: (f"notifications.{key}", tuple(required))
    for name, key, *required in map(
        str.split,
        """
account_zone_change account.zone_change Account-ID Zones
bill_reminder account.reminder Account-ID Due-Date Items Timestamp
low_balance account.low_balance Account-ID Current-Balance
new_account account.new Account-ID
service_added account.service_added Account-ID Audit-Log Items Timestamp
topup account.topup Account-ID Amount Response Success Timestamp
transaction account.transaction Account-ID Amount Response Success Timestamp
inbound_fax fax.inbound Account-ID Fax-ID From-Realm From-User To-Realm To-User
inbound_fax_error fax.inbound_error Account-ID From-Realm From-User To-Realm To-User
outbound_fax fax.outbound Account-ID Callee-ID-Number Caller-ID-Number Fax-ID Fax-JobId
outbound_fax_error fax.outbound_error Fax-ID Fax-JobId
outbound_smtp_fax_error fax.outbound_smtp_error Account-ID Fax-From-Email Errors Timestamp
cnam_request number.cnam_request Account-ID Number Cnam
port_cancel number.port_cancel Account-ID Port-Request-ID
port_comment number.port_comment Account-ID Comment Port-Request-ID
port_pending number.port_pending Account-ID Port-Request-ID
port_rejected number.port_rejected Account-ID Port-Request-ID
port_request number.port_request Account-ID Port-Request-ID
port_scheduled number.port_scheduled Account-ID Port-Request-ID
port_unconfirmed number.port_unconfirmed Account-ID Port-Request-ID
ported number.ported Account-ID Port-Request-ID
denied_emergency_bridge registration.denied_emergency_bridge Account-ID Call-ID
emergency_bridge registration.emergency_bridge Account-ID Call-ID
deregister sip.deregister Account-ID Realm Username
first_occurrence sip.first_occurrence Account-ID Occurrence
missed_call sip.missed_call Account-ID Call-Bridged Call-ID Message-Left
register sip.register Account-ID Realm Username
system_alert system.alert Message Subject
customer_update user.customer_update Account-ID
new_user user.new Account-ID User-ID
password_recovery user.password_recovery Account-ID Email Password-Reset-Link
voicemail_full voicemail.full Account-ID Max-Message-Count Message-Count Voicemail-Box
voicemail_new voicemail.new Account-ID From-Realm From-User To-Realm To-User \
Voicemail-Box Voicemail-ID Voicemail-Timestamp
voicemail_saved voicemail.saved Account-ID From-Realm From-User To-Realm To-User \
Voicemail-Box Voicemail-ID Voicemail-Timestamp
voicemail_deleted voicemail.deleted Account-ID From-Realm From-User To-Realm To-User \
Reason Voicemail-Box Voicemail-ID Voicemail-Timestamp
webhook webhook.callflow Data Hook
webhook_disabled webhook.disabled Account-ID Hook-ID
cf_notification account.cf_notification Account-ID Template-ID
number_feature_manual_action account.number_feature_manual_action Account-ID Number Feature
""".strip().splitlines(),
    )
}


def message(name, **headers):
    """One that has no more than it must."""
    body = {
        "Event-Category": "notification",
        "Event-Name": name,
        "App-Name": "callflow",
        "App-Version": "4.0.0",
        "Msg-ID": "a1b2c3d4",
    }
    body |= dict.fromkeys(KINDS[name][1], "x")
    body |= {header: FITTING[kind] for of, header, kind in TYPED if of == name and header in body}
    if "Account-ID" in body:
        body["Account-ID"] = ACCOUNT
    return body | {header.replace("_", "-"): value for header, value in headers.items()}


TYPED = [
    ("bill_reminder", "Account-ID", "non-empty string"),
    ("bill_reminder", "Due-Date", "positive integer"),
    ("bill_reminder", "Items", "list of objects"),
    ("bill_reminder", "Payment-Token", "object"),
    ("bill_reminder", "Timestamp", "positive integer"),
    ("service_added", "Items", "list of objects"),
    ("outbound_smtp_fax_error", "Errors", "non-empty list"),
    ("port_cancel", "Reason", "object"),
    ("port_pending", "Reason", "object"),
    ("port_rejected", "Reason", "object"),
    ("port_request", "Reason", "object"),
    ("port_scheduled", "Reason", "object"),
    ("port_unconfirmed", "Reason", "object"),
    ("ported", "Reason", "object"),
    ("number_feature_manual_action", "Account-ID", "non-empty string"),
    ("number_feature_manual_action", "Number", "non-empty string"),
    ("number_feature_manual_action", "Feature", "object"),
]
FITTING = {
    "non-empty string": "x",
    "positive integer": 1,
    "object": {},
    "list of objects": [{}],
    "non-empty list": ["x"],
}
UNFITTING = {
    "non-empty string": ["", 5, None],
    "positive integer": [0, -1, 1.5, "1", True, None],
    "object": [[], "x", None],
    "list of objects": [{}, ["x"], [{}, None], "x"],
    "non-empty list": [[], {}, "x"],
}
FRIENDLY = """
all All
account_zone_change Account Zone Change
bill_reminder Bill Reminder
cf_notification Customer defined notification
cnam_request CNAM Update
customer_update Customer Update
denied_emergency_bridge Emergency Call Failed
deregister De-Registration
emergency_bridge Emergency Call Placed
first_occurrence Account First Occurrence
inbound_fax Successful Fax Reception
inbound_fax_error Fax Reception Error
low_balance Account Low Balance
missed_call Missed Call
new_account New Account
new_user New User
number_feature_manual_action Number Feature Manual Action Required
outbound_fax Successful Fax Transmission
outbound_fax_error Fax Transmission Error
outbound_smtp_fax_error Invalid Email-to-Fax Email
password_recovery Password Recovery
port_cancel Port Cancel
port_comment Port Comment
port_pending Port Pending
port_rejected Port Rejected
port_request Port Request
port_scheduled Port Scheduled
port_unconfirmed Port Unconfirmed
ported Ported
register Registration
service_added Service Added
system_alert System Alert
topup Automatic Account Top-up
transaction Transaction Completed
voicemail_deleted Voicemail Message Deleted
voicemail_full Voicemail Box Full
voicemail_new New Voicemail Message
voicemail_saved Voicemail Message Saved
webhook Callflow Webhook Triggered
webhook_disabled Webhook Disabled
"""
OWN_HOOK = "webhook"


def test_all_kinds_are_bound_and_nothing_else():
    assert MODULE.exchanges == (EventExchange("notifications"),)
    assert sorted(MODULE.bindings) == sorted(("notifications", key) for key, _ in KINDS.values())
    assert len(MODULE.bindings) == 39
    bound = {name for name, type in NOTIFICATION_TYPES.items() if type.routing_key}
    assert bound == set(KINDS)
    assert set(NOTIFICATION_TYPES) - bound == {"skel", "notify_update"}


def test_people_may_choose_of_all_kinds(directory):
    modifiers = MODULE.modifiers(directory)
    assert set(modifiers) == {"type"}
    assert modifiers["type"]["type"] == "object"
    items = modifiers["type"]["items"]
    assert list(items) == sorted([*KINDS, "all"])
    assert items["all"]["friendly_name"] == "All"
    assert items["voicemail_deleted"]["friendly_name"] == "Voicemail Message Deleted"
    assert items["outbound_smtp_fax_error"]["friendly_name"] == "Invalid Email-to-Fax Email"
    for item in items.values():
        assert set(item) == {"friendly_name", "description"}
        assert all(item.values())
    assert len({item["description"] for item in items.values()}) == len(items)


def test_their_names_are_those_of_kazoo(directory):
    names = {
        id: item["friendly_name"]
        for id, item in MODULE.modifiers(directory)["type"]["items"].items()
    }
    assert names == dict(line.split(" ", 1) for line in FRIENDLY.strip().splitlines())


def test_an_example_that_an_operator_has_bound_is_valid_if_it_names_a_user(directory):
    body = message("low_balance") | {"Event-Name": "skel", "User-ID": "u"}
    assert MODULE.firing(Event(body), directory).account_id == ACCOUNT
    for header in ("Account-ID", "User-ID"):
        lacking = {name: value for name, value in body.items() if name != header}
        with pytest.raises(PoisonEvent, match=f"notification skel.*{header} is missing"):
            MODULE.firing(Event(lacking), directory)


def test_an_answer_to_a_publisher_has_a_known_status(directory):
    """It is no event, but may come by a binding of an operator's."""
    body = message("low_balance") | {"Event-Name": "notify_update"}
    for status in ("completed", "disabled", "failed", "ignored", "pending"):
        assert MODULE.firing(Event(body | {"Status": status}), directory)
    with pytest.raises(PoisonEvent, match="Status is not one of completed, disabled, failed"):
        MODULE.firing(Event(body | {"Status": "done"}), directory)
    with pytest.raises(PoisonEvent, match="Status is missing"):
        MODULE.firing(Event(body), directory)


def test_some_are_for_administrators():
    admin_only = {name for name, type in NOTIFICATION_TYPES.items() if type.admin_only}
    assert admin_only == {"system_alert", "webhook_disabled"}


def test_its_metadata():
    assert (MODULE.id, MODULE.name) == ("notifications", "Notifications Webhook")
    assert MODULE.events == ("notifications",)


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {OWN_HOOK}))
def test_every_kind_sends_its_whole_message(name, fire, hook, directory):
    body = message(name, Account_ID=ACCOUNT)
    assert MODULE.responds_to(Event(body))
    sent = fire(MODULE, body, hook("notifications"))["h"]
    assert sent == {key.lower().replace("-", "_"): value for key, value in body.items()}


def test_a_missed_call_written_out(fire, hook):
    body = message(
        "missed_call",
        Node="apps@one.example",
        Server_ID="reply-queue",
        Call_ID="leg-a",
        Call_Bridged=False,
        Message_Left=False,
        Notify=[{"Type": "user", "id": "u1", "Gone": None}, None],
        To_DID=None,
        Timestamp=63867000000,
    )
    assert fire(MODULE, body, hook("notifications"))["h"] == {
        "event_category": "notification",
        "event_name": "missed_call",
        "app_name": "callflow",
        "app_version": "4.0.0",
        "msg_id": "a1b2c3d4",
        "node": "apps@one.example",
        "server_id": "reply-queue",
        "account_id": ACCOUNT,
        "call_id": "leg-a",
        "call_bridged": False,
        "message_left": False,
        "notify": [{"type": "user", "id": "u1"}, None],
        "timestamp": 63867000000,
    }


@pytest.mark.parametrize(
    ("name", "header"),
    [(name, header) for name, (_, headers) in KINDS.items() for header in headers],
)
def test_a_required_header_that_is_missing_makes_poison(name, header, directory):
    body = message(name)
    del body[header]
    with pytest.raises(PoisonEvent, match=f"notification {name}.*{header} is missing"):
        MODULE.firing(Event(body), directory)


@pytest.mark.parametrize("header", ["App-Name", "App-Version", "Msg-ID"])
def test_so_does_a_default_header(header, directory):
    body = message("low_balance")
    del body[header]
    with pytest.raises(PoisonEvent, match=f"{header} is missing"):
        MODULE.firing(Event(body), directory)


@pytest.mark.parametrize(
    ("name", "header", "value", "kind"),
    [(name, header, value, kind) for name, header, kind in TYPED for value in UNFITTING[kind]],
)
def test_a_header_of_the_wrong_kind_makes_poison(name, header, value, kind, directory):
    body = message(name)
    body[header] = FITTING[kind]
    assert MODULE.firing(Event(body), directory)
    with pytest.raises(PoisonEvent, match=f"{header} is not an? {kind}"):
        MODULE.firing(Event(body | {header: value}), directory)


@pytest.mark.parametrize("name", ["no_such", None, "MISSED_CALL"])
def test_a_kind_that_is_unknown_makes_poison(name, directory):
    body = message("missed_call") | {"Event-Name": name}
    with pytest.raises(PoisonEvent, match="there is no notification"):
        MODULE.firing(Event(body), directory)


def test_it_responds_to_notifications_alone():
    body = message("missed_call")
    assert not MODULE.responds_to(Event(body | {"Event-Category": "call_event"}))


WHERE = [
    {"account_id": ACCOUNT},
    {"account": {"_id": ACCOUNT}},
    {"pvt_account_id": ACCOUNT},
    {"_id": ACCOUNT},
    {"id": ACCOUNT},
    {"Account-ID": ACCOUNT},
    {"details": {"account_id": ACCOUNT}},
    {"Details": {"Account-ID": ACCOUNT}},
    {"details": {"custom_channel_vars": {"account_id": ACCOUNT}}},
    {"Details": {"Custom-Channel-Vars": {"Account-ID": ACCOUNT}}},
]


def account_of(directory, **headers):
    """Of a notification that need not name one."""
    firing = MODULE.firing(Event(message("system_alert") | headers), directory)
    return firing and firing.account_id


@pytest.mark.parametrize("place", WHERE)
def test_the_account_may_stand_in_many_places(place, directory):
    assert account_of(directory, **place) == ACCOUNT


@pytest.mark.parametrize("number", range(len(WHERE) - 1))
def test_the_earlier_place_counts(number, directory):
    def named(place, account):
        return {
            key: named(value, account) if isinstance(value, dict) else account
            for key, value in place.items()
        }

    headers = dict(named(WHERE[number], "first"))
    for later in WHERE[number + 1 :]:
        headers = named(later, "later") | headers
    assert account_of(directory, **headers) == "first"


@pytest.mark.parametrize("value", [None, "", 5, {}, [ACCOUNT], False])
def test_a_place_that_holds_no_text_decides_too(value, directory):
    assert account_of(directory, account_id=value, **{"Account-ID": ACCOUNT}) is None


def test_without_an_account_nothing_fires(directory):
    assert account_of(directory, details="x", Details=[], account=None) is None


CUSTOM_DATA = [
    ({}, False),
    ({"type": "missed_call"}, True),
    ({"type": "all", "mine": "x"}, True),
    ({"type": "register"}, False),
    ({"mine": "x"}, False),
    ({"type": None}, False),
    ({"type": ["missed_call"]}, True),
    ({"type": ["missed_call", "register"]}, False),
]


@pytest.mark.parametrize(("custom_data", "fires"), CUSTOM_DATA)
def test_custom_data_selects_by_type(custom_data, fires, fire, hook):
    sent = fire(MODULE, message("missed_call"), hook("notifications", custom_data=custom_data))
    assert bool(sent) is fires


@pytest.mark.parametrize(("custom_data", "_fires"), CUSTOM_DATA)
def test_hooks_on_all_events_are_not_selected_but_send_theirs(custom_data, _fires, fire, hook):
    sent = fire(MODULE, message("missed_call"), hook("all", custom_data=custom_data))["h"]
    assert sent["event_name"] == "missed_call"
    assert "type" not in sent
    assert sent.get("mine") == custom_data.get("mine")


def test_ancestors_hear_of_it(fire, hook):
    parent = hook("notifications", "parent", PARENT, include_subaccounts=True)
    assert set(fire(MODULE, message("missed_call"), parent)) == {"parent"}


CALLFLOW = {
    "Timestamp": 63867000000,
    "Hook": {
        "_id": "63867000000",
        "uri": "https://flow.example/",
        "hook": "notifications",
        "http_verb": "post",
        "format": "json",
        "retries": 3,
        "pvt_account_id": ACCOUNT,
        "custom_data": {"type": "register", "action": "x", "campaign": "spring"},
    },
    "Data": {
        "account_id": ACCOUNT,
        "call_id": "leg-a",
        "Caller-ID-Name": "Ada",
        "owner_id": None,
    },
}


def callflow(**changed):
    return message("webhook", **CALLFLOW) | changed


def test_a_callflow_s_own_webhook_fires_as_a_notification(directory):
    firing = MODULE.firing(Event(message("webhook", **CALLFLOW)), directory)
    assert (firing.event, firing.account_id) == ("notifications", ACCOUNT)


def test_a_callflow_s_webhook_fires_the_hook_it_brings_and_no_other(fire, hook):
    others = hook("notifications", "mine"), hook("all", "everything")
    assert fire(MODULE, callflow(), *others) == {
        "63867000000": {
            "account_id": ACCOUNT,
            "call_id": "leg-a",
            "caller_id_name": "Ada",
            "campaign": "spring",
        }
    }


def test_without_a_format_that_hook_sends_a_form(directory):
    own = {key: value for key, value in CALLFLOW["Hook"].items() if key != "format"}
    (made,) = MODULE.firing(Event(callflow(Hook=own)), directory).hooks
    assert (made.format, made.verb, made.max_attempts, made.account_id) == (
        "form-data",
        "post",
        3,
        ACCOUNT,
    )


def test_its_account_need_not_be_known(directory, fire):
    directory.accounts.clear()
    assert set(fire(MODULE, callflow())) == {"63867000000"}


def without(key):
    return {name: value for name, value in CALLFLOW["Hook"].items() if name != key}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"Hook": "x"}, "Hook of a callflow's webhook is not an object"),
        ({"Hook": None}, "Hook of a callflow's webhook is not an object"),
        (
            {"Hook": without("uri")},
            "Hook of a callflow's webhook: hook 63867000000: uri is missing",
        ),
        ({"Hook": without("pvt_account_id")}, "pvt_account_id is missing"),
        ({"Hook": without("_id")}, "_id is missing"),
        ({"Hook": without("hook")}, "hook is missing"),
        ({"Hook": CALLFLOW["Hook"] | {"hook": "nonsense"}}, "hook 'nonsense' is unknown"),
        ({"Hook": CALLFLOW["Hook"] | {"http_verb": "delete"}}, "http_verb 'delete' is unknown"),
    ],
)
def test_a_broken_one_makes_poison(changed, reason, directory):
    with pytest.raises(PoisonEvent) as caught:
        MODULE.firing(Event(callflow(**changed)), directory)
    assert reason in str(caught.value)
