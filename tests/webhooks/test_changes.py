import json

import pytest

from callboard.adapters.broker.properties import encode
from callboard.adapters.broker.protocol import OutgoingMessage
from callboard.adapters.broker.topic import matches
from callboard.webhooks.events.changes import (
    AccountGone,
    HookGone,
    HookWritten,
    changed_document,
    document_change,
    hook_change,
    tells_of_an_account,
    webhook_disabled,
)
from callboard.webhooks.events.event import Event
from callboard.webhooks.values.kazoo_names import account_database, account_of_database

ACCOUNT = "1b" * 16


@pytest.mark.parametrize("name", ["doc_edited", "doc_deleted"])
@pytest.mark.parametrize("wrong", [5, "", None, ["h"]])
def test_an_id_in_a_document_that_is_no_text_counts_as_none(name, wrong):
    def change(**body):
        return hook_change(Event({"Event-Name": name, "Type": "webhook", **body}))

    edited = name == "doc_edited"
    assert change(Doc={"_id": wrong, "pvt_account_id": ACCOUNT}) is None
    found = change(ID="h", Doc={"pvt_account_id": wrong}, **{"Account-ID": ACCOUNT})
    assert (found.hook_id, found.account_id) == ("h", ACCOUNT)
    assert isinstance(found, HookWritten if edited else HookGone)


@pytest.mark.parametrize("id", ["h" * 300, "\u00e4" * 300, "\ud800" * 90])
def test_the_key_of_a_long_id_fits_in_a_frame_and_still_matches_the_bindings(id):
    document = {"_id": id, "pvt_type": "webhook", "pvt_account_id": ACCOUNT}
    key, body = document_change("doc_edited", "webhooks", document, "apps@one")
    assert len(key.encode()) == 255
    assert matches("*.webhooks.webhook.*", key)
    assert body["ID"] == id
    encode(OutgoingMessage("configuration", key, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("type", "end"), [("é" * 200, "é" * 117), ("\ud800", "?.h"), ("webhook", "webhook.h")]
)
def test_the_key_of_an_odd_type_is_text(type, end):
    key, _body = document_change("doc_edited", "webhooks", {"_id": "h", "pvt_type": type}, "n")
    assert key == f"doc_edited.webhooks.{end}"


def test_a_change_is_told_as_kazoo_tells_it():
    document = {
        "_id": "a.b",
        "_rev": "2-x",
        "pvt_type": "webhook",
        "pvt_account_id": ACCOUNT,
        "pvt_created": 1,
        "pvt_modified": 2,
        "name": "not told",
    }
    key, body = document_change("doc_edited", account_database(ACCOUNT), document, "apps@one")
    assert key == f"doc_edited.account%2F1b%2F1b%2F{'1b' * 14}.webhook.a%2Eb"
    msg_id = body.pop("Msg-ID")
    assert len(msg_id) == 32
    assert body == {
        "App-Name": "datamgr",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": "doc_edited",
        "Node": "apps@one",
        "ID": "a.b",
        "Origin-Cache": "kazoo_data_cache",
        "Type": "webhook",
        "Database": f"account%2F1b%2F1b%2F{'1b' * 14}",
        "Rev": "2-x",
        "Account-ID": ACCOUNT,
        "Date-Created": 2,
        "Date-Modified": 1,
        "Is-Soft-Deleted": False,
    }
    assert account_of_database(Event(body).database) == ACCOUNT


def test_what_a_document_has_not_is_left_out():
    _key, body = document_change("doc_deleted", "webhooks", {"_id": "h", "pvt_deleted": True}, "n")
    assert body["Is-Soft-Deleted"] is True
    assert not {"Rev", "Account-ID", "Date-Created", "Date-Modified"} & set(body)


def test_each_change_has_a_message_id_of_its_own():
    first, second = (document_change("doc_edited", "db", {"_id": "i"}, "n")[1] for _time in "12")
    assert first["Msg-ID"] != second["Msg-ID"]


def test_an_id_that_is_no_word_is_one_in_the_routing_key():
    key, body = document_change("doc_edited", "webhooks", {"_id": "a.b \x00\ud800"}, "n")
    assert key == "doc_edited.webhooks..a%2Eb+%00%3F"
    assert body["ID"] == "a.b \x00\ud800"


def change(name, **headers):
    body = {"Event-Category": "configuration", "Event-Name": name, "ID": "h", "Type": "webhook"}
    body |= {"Database": "webhooks", "Account-ID": ACCOUNT}
    body |= {key.replace("_", "-"): value for key, value in headers.items()}
    return Event({key: value for key, value in body.items() if value is not None})


DOC = {"_id": "of-doc", "pvt_account_id": "account-of-doc"}


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        (change("doc_created"), HookWritten("h", ACCOUNT, created=True)),
        (change("doc_edited"), HookWritten("h", ACCOUNT, created=False)),
        (change("doc_edited", Account_ID=None), HookWritten("h", None, created=False)),
        (
            change("doc_created", Doc=DOC),
            HookWritten("h", "account-of-doc", created=True, document=DOC),
        ),
        (change("doc_deleted"), HookGone(ACCOUNT, "h")),
        (change("doc_deleted", Doc=DOC, ID=None), HookGone("account-of-doc", "of-doc")),
        (change("doc_deleted", Type="account", ID=ACCOUNT), AccountGone(ACCOUNT)),
        (change("doc_deleted", Type="account", ID="i", Account_ID=None), AccountGone("i")),
    ],
)
def test_what_a_change_means_for_the_hooks(event, meaning):
    assert hook_change(event) == meaning


@pytest.mark.parametrize(
    "event",
    [
        change("doc_deleted", Account_ID=None),
        change("doc_edited", ID=None),
        change("doc_edited", Type="account"),
        change("doc_edited", Type="services"),
        change("db_created", Type="database"),
        change("doc_created", ID=7),
        Event({}),
    ],
)
def test_changes_that_mean_nothing_for_the_hooks(event):
    assert hook_change(event) is None


def test_a_change_names_the_document_as_the_store_does():
    number = change("doc_edited", Database="numbers%2F%2B1555", ID="+15551234567", Type="number")
    assert changed_document(number) == ("numbers/+1555", "+15551234567")
    assert changed_document(change("doc_edited", Database=None)) is None


def test_the_word_that_a_hook_was_disabled():
    key, body = webhook_disabled(ACCOUNT, "h", "apps@one")
    assert key == "notifications.webhook.disabled"
    assert len(body.pop("Msg-ID")) == 32
    assert body == {
        "Account-ID": ACCOUNT,
        "Hook-ID": "h",
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "notification",
        "Event-Name": "webhook_disabled",
        "Node": "apps@one",
        "Server-ID": "",
    }


@pytest.mark.parametrize(
    ("name", "database", "told"),
    [
        ("db_created", f"account%2F1b%2F1b%2F{'1b' * 14}", True),
        ("db_created", "webhooks", False),
        ("db_deleted", f"account%2F1b%2F1b%2F{'1b' * 14}", False),
        ("doc_created", "accounts", True),
        ("doc_created", "webhooks", True),
        ("doc_created", "services", False),
        ("doc_edited", "accounts", False),
        ("db_created", None, False),
        (None, None, False),
    ],
)
def test_what_tells_of_a_new_account(name, database, told):
    assert tells_of_an_account(Event({"Event-Name": name, "Database": database})) is told
