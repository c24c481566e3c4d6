"""The JavaScript of the views and its Python twin give the same rows for the same documents."""

import pytest

from callboard.adapters.store import views
from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.embedded import EmbeddedStore

A, B = "a" * 32, "b" * 32

HOOKS = [
    {"_id": "full", "pvt_type": "webhook", "pvt_account_id": A, "name": "n", "uri": "http://u/",
     "hook": "all", "enabled": True, "group": "g", "extra": 1},
    {"_id": "plain", "pvt_type": "webhook", "pvt_account_id": A, "name": "n", "uri": "http://u/",
     "hook": "object"},
    {"_id": "off", "pvt_type": "webhook", "pvt_account_id": B, "name": "n", "uri": "http://u/",
     "hook": "all", "enabled": False, "pvt_disabled_message": "too many failed attempts"},
    {"_id": "odd", "pvt_type": "webhook", "enabled": None, "name": None, "hook": ["x"]},
    {"_id": "text", "pvt_type": "webhook", "pvt_account_id": A, "enabled": "false"},
    {"_id": "gone", "pvt_type": "webhook", "pvt_account_id": A, "pvt_deleted": True},
    {"_id": "kept", "pvt_type": "webhook", "pvt_account_id": B, "pvt_deleted": False},
    {"_id": "other", "pvt_type": "user", "pvt_account_id": A, "hook": "all"},
    {"_id": "untyped", "hook": "all"},
]  # fmt: skip

ATTEMPTS = [
    {"_id": "1", "pvt_type": "webhook_attempt", "hook_id": "h", "pvt_created": 63900000002},
    {"_id": "2", "pvt_type": "webhook_attempt", "hook_id": "h", "pvt_created": 63900000001},
    {"_id": "3", "pvt_type": "webhook_attempt", "hook_id": "g", "pvt_created": 63900000003},
    {"_id": "4", "pvt_type": "webhook_attempt"},
    {"_id": "5", "pvt_type": "webhook_attempt", "hook_id": "h", "pvt_deleted": True},
    {"_id": "6", "pvt_type": "cdr", "pvt_created": 63900000000},
]

METADATA = [
    {"_id": "webhooks_sms", "pvt_type": "webhook_meta", "name": "sms"},
    {"_id": "webhooks_object", "pvt_type": "webhook_meta", "name": "object"},
    {"_id": "webhooks_nameless", "pvt_type": "webhook_meta"},
    {"_id": "webhooks_gone", "pvt_type": "webhook_meta", "name": "gone", "pvt_deleted": True},
    {"_id": "device", "pvt_type": "device", "name": "phone"},
]

ACCOUNTS = [
    {"_id": A, "pvt_type": "account", "name": "top", "pvt_tree": []},
    {"_id": B, "pvt_type": "account", "name": "middle", "pvt_tree": [A]},
    {"_id": "c" * 32, "pvt_type": "account", "pvt_tree": [A, B]},
    {"_id": "d" * 32, "pvt_type": "account", "name": "gone", "pvt_tree": [A], "pvt_deleted": True},
    {"_id": "e" * 32, "pvt_type": "account", "name": "treeless"},
    {"_id": "f" * 32, "pvt_type": "limits", "pvt_tree": [A]},
]

LETTERS = [
    {"_id": "1", "pvt_type": "dead_letter", "kind": "delivery", "pvt_account_id": A,
     "hook_id": "h", "hook_event": "all", "uri": "http://u/", "reason": "status 500", "tries": 1,
     "pvt_created": 63900000002, "body": "{}"},
    {"_id": "2", "pvt_type": "dead_letter", "kind": "event", "module": "object", "reason": "r",
     "exchange": "configuration", "routing_key": "k", "pvt_created": 63900000001},
    {"_id": "3", "pvt_type": "dead_letter", "kind": "delivery", "pvt_account_id": B,
     "hook_id": "g", "pvt_created": 63900000003},
    {"_id": "4", "pvt_type": "dead_letter", "pvt_account_id": None, "hook_id": "h"},
    {"_id": "5", "pvt_type": "dead_letter", "hook_id": "h", "pvt_deleted": True},
    {"_id": "6", "pvt_type": "webhook_attempt", "hook_id": "h", "pvt_created": 63900000004},
]  # fmt: skip

PORT_REQUESTS = [
    {"_id": "1", "pvt_type": "port_request", "pvt_account_id": A, "numbers": {"+1": {}, "+2": {}}},
    {"_id": "2", "pvt_type": "port_request", "pvt_account_id": B, "numbers": {"+1": {}},
     "pvt_port_state": "scheduled"},
    {"_id": "3", "pvt_type": "port_request", "numbers": {"+1": {}}, "pvt_port_state": "completed"},
    {"_id": "4", "pvt_type": "port_request", "numbers": {"+1": {}}, "pvt_port_state": "canceled"},
    {"_id": "5", "pvt_type": "port_request", "numbers": {"+1": {}}, "pvt_deleted": True},
    {"_id": "6", "pvt_type": "port_request", "numbers": None, "pvt_account_id": A},
    {"_id": "7", "pvt_type": "port_request", "numbers": ["+1"], "pvt_account_id": A},
    {"_id": "8", "pvt_type": "number", "numbers": {"+1": {}}, "pvt_account_id": A},
]  # fmt: skip

DATABASES = {
    "webhooks": (views.WEBHOOKS, HOOKS),
    "account/aa/aa/a-202611": (views.MODB, ATTEMPTS),
    "account/aa/aa/a": (views.ACCOUNT, METADATA),
    "accounts": (views.ACCOUNTS, ACCOUNTS),
    "port_requests": (views.PORT_REQUESTS, PORT_REQUESTS),
    "callboard_dead_letters": (views.DEAD_LETTERS, LETTERS),
}


def filled(store):
    for database, (declared, documents) in DATABASES.items():
        store.ensure_database(database)
        store.ensure_views(database, declared)
        store.save_many(database, documents)
    return store


@pytest.fixture
def embedded(tmp_path):
    store = filled(EmbeddedStore(tmp_path / "store.sqlite3"))
    yield store
    store.close()


def rows(store, database, view, **options):
    found = store.view(database, f"{view.design}/{view.name}", **options)
    return [(row.id, row.key, row.value) for row in found]


@pytest.mark.couchdb
def test_javascript_and_python_agree(embedded, couchdb_url):
    couchdb = filled(CouchdbStore(couchdb_url))
    compared = 0
    for database, (declared, _documents) in DATABASES.items():
        for view in declared:
            plain = {} if view.reduce is None else {"reduce": False}
            for options in (plain, {**plain, "descending": True}):
                theirs = rows(couchdb, database, view, **options)
                assert rows(embedded, database, view, **options) == theirs
                assert theirs
                compared += 1
            if view.reduce:
                grouped = rows(couchdb, database, view, group=True)
                assert rows(embedded, database, view, group=True) == grouped
    assert compared == 2 * len(views.ALL)


def test_webhooks(embedded):
    listing, by_account, by_hook, crossbar = (
        rows(embedded, "webhooks", view, **({"reduce": False} if view.reduce else {}))
        for view in views.WEBHOOKS
    )
    full = {"id": "full", "hook": "all", "name": "n", "uri": "http://u/"}
    off = {"id": "off", "hook": "all", "name": "n", "uri": "http://u/"}
    assert ("full", [A, "full"], full) in listing
    assert "off" not in {row[0] for row in listing}
    assert ("full", [A, "full"], {**full, "group": "g", "enabled": True}) in crossbar
    message = "too many failed attempts"
    disabled = {**off, "enabled": False, "disable_reason": message}
    assert ("off", [B, "off"], disabled) in crossbar
    assert ("plain", "object", A) in by_hook
    for found in (by_account, by_hook, crossbar):
        assert {row[0] for row in found} == {"full", "plain", "off", "odd", "text", "kept"}
    counts = embedded.view("webhooks", "webhooks/accounts_listing", group=True)
    assert [(row.key, row.value) for row in counts] == [(None, 1), (A, 3), (B, 2)]


def test_attempts(embedded):
    by_hook, by_time = (rows(embedded, "account/aa/aa/a-202611", view) for view in views.MODB)
    assert [row[0] for row in by_hook] == ["4", "3", "2", "1"]
    assert by_hook[1] == ("3", ["g", 63900000003], None)
    assert by_time == [
        ("4", None, None),
        ("2", 63900000001, None),
        ("1", 63900000002, None),
        ("3", 63900000003, None),
    ]


def test_metadata(embedded):
    (listing,) = (rows(embedded, "account/aa/aa/a", view) for view in views.ACCOUNT)
    assert listing == [
        ("webhooks_nameless", None, None),
        ("webhooks_object", "object", None),
        ("webhooks_sms", "sms", None),
    ]


def test_descendants(embedded):
    below = embedded.view("accounts", "accounts/listing_by_descendants", start=[A], end=[A, {}])
    assert [row.value["id"] for row in below] == [B, "c" * 32]
    everyone, descendants = (rows(embedded, "accounts", view) for view in views.ACCOUNTS)
    c, e = "c" * 32, "e" * 32
    names = {A: "top", B: "middle", e: "treeless"}
    accounts = {
        id: {"id": id} | ({"name": names[id]} if id in names else {}) for id in (A, B, c, e)
    }
    assert everyone == [(id, id, value) for id, value in accounts.items()]
    assert descendants == [
        (B, [A, B], accounts[B]),
        (c, [A, c], accounts[c]),
        (c, [B, c], accounts[c]),
    ]


def test_numbers_that_are_being_ported(embedded):
    (listing,) = (rows(embedded, "port_requests", view) for view in views.PORT_REQUESTS)
    assert listing == [("1", "+1", A), ("2", "+1", B), ("1", "+2", A)]


def test_dead_letters(embedded):
    by_time, by_account, by_hook = (
        rows(embedded, "callboard_dead_letters", view) for view in views.DEAD_LETTERS
    )
    assert [row[0] for row in by_time] == ["4", "2", "1", "3"]
    assert by_time[1][1:] == (
        [63900000001, "2"],
        {"kind": "event", "module": "object", "reason": "r", "exchange": "configuration",
         "routing_key": "k"},
    )  # fmt: skip
    assert by_time[2][1:] == (
        [63900000002, "1"],
        {"kind": "delivery", "account_id": A, "hook_id": "h", "hook_event": "all",
         "uri": "http://u/", "reason": "status 500", "tries": 1},
    )  # fmt: skip
    assert [row[1] for row in by_account] == [
        [None, None, "4"], [A, 63900000002, "1"], [B, 63900000003, "3"],
    ]  # fmt: skip
    assert [row[1] for row in by_hook] == [
        ["g", 63900000003, "3"], ["h", None, "4"], ["h", 63900000002, "1"],
    ]  # fmt: skip


def test_the_javascript_of_dead_letters():
    by_time, by_account, by_hook = (view.map_javascript for view in views.DEAD_LETTERS)
    members = (
        "{kind: doc.kind, reason: doc.reason, account_id: doc.pvt_account_id, "
        "hook_id: doc.hook_id, hook_event: doc.hook_event, module: doc.module, uri: doc.uri, "
        "exchange: doc.exchange, routing_key: doc.routing_key, tries: doc.tries}"
    )
    for javascript, condition, key in (
        (by_time, "", ""),
        (by_account, " || doc.pvt_account_id === undefined", "doc.pvt_account_id, "),
        (by_hook, " || doc.hook_id === undefined", "doc.hook_id, "),
    ):
        assert javascript == (
            "function(doc) {\n"
            f"  if (doc.pvt_type !== 'dead_letter' || doc.pvt_deleted{condition}) return;\n"
            f"  emit([{key}doc.pvt_created, doc._id], {members});\n"
            "}"
        )


def test_names_are_unique():
    names = [(view.design, view.name) for view in views.ALL]
    assert len(set(names)) == len(names)
