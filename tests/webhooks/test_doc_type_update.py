"""Requests to re-enable hooks, and their reply (wire.md, sections 6 and 7)."""

import json

import pytest

from callboard.webhooks.hooks.doc_type_update import (
    DocTypeUpdate,
    InvalidRequest,
    doc_type_updated,
    parse_doc_type_update,
)

ACCOUNT = "a1b2c3d4e5f60718293a4b5c6d7e8f90"


def body(**headers):
    request = {
        "App-Name": "crossbar",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": "doc_type_update",
        "Msg-ID": "req-1",
        "Type": "webhook",
        "Action": "account",
        "Account-ID": ACCOUNT,
        "Server-ID": "the-queue",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    return {name: value for name, value in request.items() if value is not ...}


def test_a_request_names_action_account_and_where_to_reply():
    assert parse_doc_type_update(body()) == DocTypeUpdate("account", ACCOUNT, "req-1", "the-queue")
    assert parse_doc_type_update(body(Action="descendants")).action == "descendants"


def test_the_reply_may_be_wanted_by_a_process_behind_a_queue():
    server_id = "pid://<0.1.0>/apps@host-<0.9.0>-1a2b3c4d"
    request = parse_doc_type_update(body(Server_ID=server_id))
    assert (request.pid, request.reply_to) == ("<0.1.0>", "apps@host-<0.9.0>-1a2b3c4d")


def test_the_queue_is_what_follows_the_last_slash():
    request = parse_doc_type_update(body(Server_ID="pid://a/b/queue"))
    assert (request.pid, request.reply_to) == ("a/b", "queue")


@pytest.mark.parametrize("queue", ["q", "q" * 255])
def test_the_name_of_a_queue_has_1_to_255_bytes(queue):
    assert parse_doc_type_update(body(Server_ID=queue)).reply_to == queue


@pytest.mark.parametrize("nobody", [..., None, ""])
def test_nobody_may_wait_for_the_reply(nobody):
    assert parse_doc_type_update(body(Server_ID=nobody)).reply_to is None


def test_the_account_may_be_named_by_its_database():
    named = "account%2Fa1%2Fb2%2Fc3d4e5f60718293a4b5c6d7e8f90"
    assert parse_doc_type_update(body(Account_ID=named)).account_id == ACCOUNT


@pytest.mark.parametrize("header", ["App-Name", "App-Version", "Msg-ID", "Type"])
def test_required_headers_must_be_present_but_may_be_empty(header):
    assert parse_doc_type_update({**body(), header: ""})
    assert parse_doc_type_update({**body(), header: None})
    missing = body()
    del missing[header]
    with pytest.raises(InvalidRequest, match=f"lacks {header}"):
        parse_doc_type_update(missing)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Event_Category": "conference"}, "Event-Category is 'conference'"),
        ({"Event_Name": "doc_edited"}, "Event-Name is 'doc_edited'"),
        ({"Event_Name": ...}, "lacks Event-Name"),
        ({"Action": "everything"}, "Action is 'everything': use one of account, descendants"),
        ({"Action": ...}, "Action is None"),
        ({"Action": ["account"]}, "use one of account, descendants"),
        ({"Account_ID": ...}, "Account-ID: None names no account"),
        ({"Account_ID": {}}, "Account-ID"),
        ({"Server_ID": 7}, "names no queue"),
        ({"Server_ID": "pid://nothing"}, "names no queue"),
        ({"Server_ID": "pid://p/"}, "names no queue"),
        ({"Server_ID": "q" * 256}, "names no queue"),
        ({"Server_ID": "\ud800"}, "names no queue"),
        ({"Server_ID": "pid://\ud800/q"}, "names no queue"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_the_reason(headers, says):
    with pytest.raises(InvalidRequest, match=says):
        parse_doc_type_update(body(**headers))


def test_the_reply_has_the_default_headers_and_no_others():
    reply = doc_type_updated(parse_doc_type_update(body()), "callboard@host")
    assert json.loads(json.dumps(reply)) == {
        "App-Name": "webhooks",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": "doc_type_updated",
        "Msg-ID": "req-1",
        "Node": "callboard@host",
    }
