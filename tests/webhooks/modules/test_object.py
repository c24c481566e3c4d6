import pytest

from callboard.adapters.broker.topic import matches
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.modules.kazoo.object import MODULE
from callboard.webhooks.modules.protocol import EventExchange

ACCOUNT = "1b" * 16
PARENT = "0a" * 16
DATABASE = "account%2F1b%2F1b%2F" + "1b" * 14

CHANGE = {
    "Event-Category": "configuration",
    "Event-Name": "doc_edited",
    "App-Name": "datamgr",
    "App-Version": "4.0.0",
    "Msg-ID": "a1b2c3d4",
    "Node": "apps@one.example",
    "ID": "c4c0",
    "Type": "user",
    "Database": DATABASE,
    "Rev": "7-abc",
    "Origin-Cache": "kazoo_data_cache",
    "Is-Soft-Deleted": False,
    "Account-ID": ACCOUNT,
}
DATABASE_CREATED = {
    "Event-Category": "configuration",
    "Event-Name": "db_created",
    "App-Name": "datamgr",
    "App-Version": "1.0.0",
    "Msg-ID": "a1b2c3d5",
    "Type": "database",
    "ID": DATABASE,
    "Database": DATABASE,
}


@pytest.mark.parametrize("action", ["doc_created", "doc_edited", "doc_deleted"])
def test_a_change_is_told_in_four_words(action, fire, hook):
    sent = fire(MODULE, CHANGE | {"Event-Name": action}, hook("object"))
    assert sent == {"h": {"id": "c4c0", "account_id": ACCOUNT, "action": action, "type": "user"}}


def test_a_change_of_no_type_is_told_without(fire, hook):
    message = {key: value for key, value in CHANGE.items() if key != "Type"}
    sent = {"id": "c4c0", "account_id": ACCOUNT, "action": "doc_edited"}
    assert fire(MODULE, message, hook("object")) == {"h": sent}
    assert fire(MODULE, CHANGE | {"Type": None}, hook("object")) == {"h": sent | {"type": None}}


@pytest.mark.parametrize(
    ("custom_data", "without", "null"),
    [
        ({"type": "all", "action": "all"}, True, True),
        ({"action": "all"}, True, False),
        ({"type": "", "action": "all"}, True, False),
        ({"type": "null", "action": "all"}, False, False),
        ({"type": "user", "action": "all"}, False, False),
    ],
)
def test_a_change_of_no_type_is_for_hooks_that_ask_for_none(custom_data, without, null, fire, hook):
    one = hook("object", custom_data=custom_data)
    message = {key: value for key, value in CHANGE.items() if key != "Type"}
    assert bool(fire(MODULE, message, one)) is without
    assert bool(fire(MODULE, CHANGE | {"Type": None}, one)) is null


@pytest.mark.parametrize(
    ("database", "account"),
    [
        (DATABASE, ACCOUNT),
        (DATABASE + "-202401", ACCOUNT),
        ("account/1b/1b/" + "1b" * 14, ACCOUNT),
        (ACCOUNT, ACCOUNT),
        (ACCOUNT + "-202401", ACCOUNT),
        ("accounts", "c4c0"),
        ("webhooks", None),
        ("system_config", None),
        ("numbers%2F%2B1415", None),
        ("services", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_the_database_says_whose_it_is(database, account, directory):
    firing = MODULE.firing(Event(CHANGE | {"Database": database}), directory)
    assert (firing and firing.account_id) == account
    assert firing is None or firing.payload["account_id"] == account


def test_an_account_s_own_edit_fires_for_each_of_its_databases(fire, hook):
    edited = CHANGE | {"ID": ACCOUNT, "Type": "account"}
    sent = {"id": ACCOUNT, "account_id": ACCOUNT, "action": "doc_edited", "type": "account"}
    for database in (DATABASE, "accounts"):
        assert fire(MODULE, edited | {"Database": database}, hook("object")) == {"h": sent}


CUSTOM_DATA = [
    ({}, False),
    ({"type": "user", "action": "doc_edited"}, True),
    ({"type": "all", "action": "doc_edited"}, True),
    ({"type": "user", "action": "all"}, True),
    ({"type": "all", "action": "all", "mine": "x"}, True),
    ({"type": "device", "action": "doc_edited"}, False),
    ({"type": "user", "action": "doc_deleted"}, False),
    ({"type": "user"}, False),
    ({"action": "doc_edited"}, False),
    ({"mine": "x"}, False),
    ({"type": ["user"], "action": "doc_edited"}, True),
    ({"type": None, "action": "all"}, False),
]


@pytest.mark.parametrize(("custom_data", "fires"), CUSTOM_DATA)
def test_custom_data_selects_by_action_and_type(custom_data, fires, fire, hook):
    assert bool(fire(MODULE, CHANGE, hook("object", custom_data=custom_data))) is fires


@pytest.mark.parametrize(("custom_data", "_fires"), CUSTOM_DATA)
def test_hooks_on_all_events_are_not_selected_but_send_theirs(custom_data, _fires, fire, hook):
    sent = fire(MODULE, CHANGE, hook("all", custom_data=custom_data))["h"]
    mine = {"mine": "x"} if "mine" in custom_data else {}
    told = {"id": "c4c0", "account_id": ACCOUNT, "action": "doc_edited", "type": "user"}
    assert sent == told | mine


def test_an_event_of_no_type_matches_no_type(fire, hook):
    message = {key: value for key, value in CHANGE.items() if key != "Type"}
    for type, fires in (("user", False), ("all", True), (None, False)):
        one = hook("object", custom_data={"type": type, "action": "all"})
        assert bool(fire(MODULE, message, one)) is fires


@pytest.mark.parametrize("action", ["db_created", "db_edited", "db_deleted", "db_views_updated"])
def test_changes_of_the_database_itself_match_too(action, fire, hook):
    sent = fire(
        MODULE,
        DATABASE_CREATED | {"Event-Name": action},
        hook("object", "everything"),
        hook("object", "all", custom_data={"type": "all", "action": "all"}),
        hook("object", "documents", custom_data={"type": "all", "action": "doc_created"}),
    )
    told = {"id": DATABASE, "account_id": ACCOUNT, "action": action, "type": "database"}
    assert sent == {"everything": told, "all": told}


def test_ancestors_hear_of_it(fire, hook):
    parent = hook("object", "parent", PARENT, include_subaccounts=True)
    assert fire(MODULE, CHANGE, parent)["parent"]["account_id"] == ACCOUNT


@pytest.mark.parametrize("header", ["App-Name", "App-Version", "Msg-ID", "ID", "Database"])
def test_a_required_header_that_is_missing_makes_poison(header, directory):
    message = {key: value for key, value in CHANGE.items() if key != header}
    with pytest.raises(PoisonEvent, match=f"configuration doc_edited.*: {header} is missing"):
        MODULE.firing(Event(message), directory)


@pytest.mark.parametrize(
    ("header", "value", "kind"),
    [
        ("ID", 5, "a string"),
        ("ID", None, "a string"),
        ("Rev", {}, "a string"),
        ("Is-Soft-Deleted", "yes", "a boolean"),
        ("Is-Soft-Deleted", 1, "a boolean"),
        ("Is-Soft-Deleted", None, "a boolean"),
    ],
)
def test_a_header_of_the_wrong_kind_makes_poison(header, value, kind, directory):
    with pytest.raises(PoisonEvent, match=f"{header} is not {kind}"):
        MODULE.firing(Event(CHANGE | {header: value}), directory)


@pytest.mark.parametrize("value", [True, "true", "false"])
def test_a_boolean_may_be_written_out(value, directory):
    assert MODULE.firing(Event(CHANGE | {"Is-Soft-Deleted": value}), directory)


@pytest.mark.parametrize(
    ("category", "name", "responds"),
    [
        ("configuration", "doc_created", True),
        ("configuration", "db_views_updated", True),
        ("configuration", "doc_type_update", False),
        ("configuration", "doc_type_updated", False),
        ("configuration", None, False),
        ("call_event", "doc_created", False),
    ],
)
def test_it_responds_to_changes_alone(category, name, responds):
    event = Event(CHANGE | {"Event-Category": category, "Event-Name": name})
    assert MODULE.responds_to(event) is responds


@pytest.mark.parametrize(
    ("key", "bound"),
    [
        ("doc_created.account%2F1b.user.c4c0", True),
        ("doc_edited.accounts.account.c4c0", True),
        ("doc_deleted.system_config.config.a%2Eb", True),
        ("db_created.account%2F1b.database.account%252F1b", True),
        ("db_edited.account%2F1b.database.account%252F1b", True),
        ("db_deleted.account%2F1b.database.account%252F1b", True),
        ("configuration.doc_type_update.webhook", False),
    ],
)
def test_it_is_bound_to_every_change_but_to_no_request(key, bound):
    matching = [b for exchange, b in MODULE.bindings if exchange == "configuration"]
    assert len([b for b in matching if matches(b, key)]) == bound


def test_it_listens_where_kazoo_s_does():
    assert MODULE.exchanges == (EventExchange("configuration"),)
    actions = ("doc_created", "doc_edited", "doc_deleted")
    databases = ("db_created", "db_edited", "db_deleted", "db_views_updated")
    assert MODULE.bindings == tuple(("configuration", f"{a}.#") for a in (*actions, *databases))
    assert (MODULE.id, MODULE.name, MODULE.events) == ("object", "Object", ("object",))


ACTIONS = ["all", "doc_created", "doc_edited", "doc_deleted"]
TEN = [
    *("account", "callflow", "device", "faxbox", "media", "user", "vmbox", "fax"),
    *("mailbox_message", "call_recording"),
]


def test_people_may_choose_of_ten_types(directory):
    modifiers = MODULE.modifiers(directory)
    assert set(modifiers) == {"type", "action"}
    assert modifiers["type"]["type"] == modifiers["action"]["type"] == "array"
    assert modifiers["type"]["items"] == ["all", *TEN]
    assert modifiers["action"]["items"] == ACTIONS
    assert modifiers["type"]["description"]
    assert modifiers["action"]["description"]


@pytest.mark.parametrize(
    ("configured", "offered"), [(["user", "robot"], ["user", "robot"]), ([], []), ("user", TEN)]
)
def test_or_of_the_configured_ones(configured, offered, directory):
    directory.settings["webhooks", "object_types"] = configured
    assert MODULE.modifiers(directory)["type"]["items"] == ["all", *offered]
