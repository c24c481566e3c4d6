"""`callboard kazoo check`: hooks of a seeded cluster, one for each kind of difference."""

import json
import os
import ssl

import pytest
import trustme
from click.testing import CliRunner

from callboard.adapters.store import stores, views
from callboard.cli import main
from support.receiver import Receiver

ACCOUNT = "a1" * 16
OTHER = "b2" * 16
PLAIN = {"http_verb": "post", "format": "json", "hook": "channel_create", "name": "n"}


@pytest.fixture
def store(tmp_path):
    store = stores.connect("sqlite://", tmp_path, 5)
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", views.WEBHOOKS)
    yield store
    store.close()


@pytest.fixture
def put(store):
    def put(id, uri="https://endpoint.example/in", account=ACCOUNT, **fields):
        private = {"_id": id, "pvt_type": "webhook", "pvt_account_id": account}
        document = PLAIN | private | {"uri": uri} | fields
        store.save("webhooks", {k: v for k, v in document.items() if v is not ...})

    return put


@pytest.fixture
def check(tmp_path):
    def run(*arguments, **variables):
        variables |= {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}
        result = CliRunner().invoke(main, ["kazoo", "check", *arguments], env=variables)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def kinds(text):
    found = {}
    for one in json.loads(text)["differences"]:
        found.setdefault(one["hook_id"], []).append(one["kind"])
    return found


SEEDED = {
    "user": {"uri": "https://me:secret@endpoint.example/"},
    "mail": {"uri": "http://endpoint.example:25/"},
    "inside": {"uri": "http://10.0.0.7/"},
    "both": {"uri": "http://me@10.0.0.7/"},
    "blank": {"uri": "https://endpoint.example/a b"},
    "loud": {"http_verb": "POST"},
    "unset verb": {"http_verb": None},
    "bare": {"format": ...},
    "stranger": {"hook": "qubicle_session"},
}
KEEPS = dict.fromkeys(("verb", "format"), "disable the hook") | {
    "credentials": "kazoo.compatible, or delivery.url_credentials, or url_credentials of the hook "
    "(delivery.hook_options)",
    "port": "kazoo.compatible, or delivery.ports, or ports of the hook (delivery.hook_options)",
    "address": "kazoo.compatible, or delivery.allow_networks, or allow_networks of the hook "
    "(delivery.hook_options)",
    "url": "correct the uri",
    "event": "a [[modules]] table, if another application of Kazoo has this event",
}
EXPECTED = {
    "user": ["credentials"],
    "mail": ["port"],
    "inside": ["address"],
    "both": ["address", "credentials"],
    "blank": ["url"],
    "loud": ["verb"],
    "unset verb": ["verb"],
    "bare": ["format"],
    "stranger": ["event"],
}


def test_each_kind_of_difference_is_named_and_no_document_changed(store, put, check):
    put("alike")
    put("a get", http_verb="get", format=...)
    put("asleep", uri="http://10.0.0.7/", enabled=False)
    put("retired", hook="inbound_fax", uri="http://10.0.0.8/")
    for id, fields in SEEDED.items():
        put(id, **fields)
    for id, uri in (("unset", ""), ("number", 7)):
        put(id, uri=uri)
    before = list(store.documents("webhooks"))
    text = check("--json")
    assert kinds(text) == EXPECTED | {"retired": ["address"]}
    assert {one["kind"]: one["keep"] for one in json.loads(text)["differences"]} == KEEPS
    assert list(store.documents("webhooks")) == before


def test_the_setting_that_keeps_a_hook_is_named_and_works(put, check):
    put("user", "https://me:secret@endpoint.example/")
    (one,) = json.loads(check("--json"))["differences"]
    assert "delivery.url_credentials" in one["keep"]
    assert (one["account_id"], one["hook_id"]) == (ACCOUNT, "user")
    assert "secret" not in json.dumps(one)
    allowed = check("--json", CALLBOARD_DELIVERY_URL_CREDENTIALS="true")
    assert json.loads(allowed)["differences"] == []
    assert json.loads(allowed).keys() == {"hooks", "differences", "permitted", "notes"}
    assert json.loads(allowed)["hooks"] == 1
    (permitted,) = json.loads(allowed)["permitted"]
    assert (permitted["kind"], permitted["keep"]) == ("credentials", "none")


def test_options_of_hooks_and_accounts_and_kazoo_s_own_behaviour_count(store, put, check):
    hook_options = {"CALLBOARD_DELIVERY_HOOK_OPTIONS": "allow_networks,ports"}
    account_options = {"CALLBOARD_DELIVERY_ACCOUNT_OPTIONS": "allow_networks"}
    put("own", "http://10.0.0.7/", allow_networks=["10.0.0.0/8"])
    put("account's", "http://10.0.0.7/", account=OTHER)
    put("saved here", "http://10.0.0.7/", pvt_endpoint_checked=True)
    database = f"account/b2/b2/{OTHER[4:]}"
    store.ensure_database(database)
    store.save(database, {"_id": "configs_webhooks", "allow_networks": ["10.0.0.0/8"]})
    assert set(kinds(check("--json"))) == {"own", "account's", "saved here"}
    assert set(kinds(check("--json", **hook_options))) == {"account's", "saved here"}
    assert set(kinds(check("--json", **account_options))) == {"own", "saved here"}
    compatible = check("--json", CALLBOARD_KAZOO_COMPATIBLE="true")
    assert set(kinds(compatible)) == {"saved here"}
    assert json.loads(compatible)["notes"] == []
    assert "none" in check(**hook_options)


def test_the_table_ends_with_the_number_of_hooks_and_a_note_on_redirects(put, check):
    put("alike")
    put("inside", "http://10.0.0.7/")
    text = check()
    head = text.splitlines()[0]
    assert head.split() == ["account", "hook", "kind", "reason", "kept", "by"]
    assert "delivery.allow_networks" in text
    assert "1 of 2 enabled hooks differ." in text
    assert "follow_redirects" in text
    assert "follow_redirects" not in check(CALLBOARD_DELIVERY_FOLLOW_REDIRECTS="5")


def test_a_hook_without_an_account_is_listed_too(put, check):
    put("stray", "http://10.0.0.7/", account=...)
    (one,) = json.loads(check("--json"))["differences"]
    assert (one["account_id"], one["hook_id"]) == ("", "stray")


def test_a_hook_without_a_verb_posts_in_kazoo_too(put, check):
    put("no verb", http_verb=...)
    assert kinds(check("--json")) == {}
    put("no format", http_verb=..., format=...)
    assert kinds(check("--json")) == {"no format": ["format"]}


def test_hooks_of_all_pages_count(put, check):
    for number in range(501):
        put(f"{number:03}")
    put("last", "http://10.0.0.7/")
    shown = json.loads(check("--json"))
    assert (shown["hooks"], [one["hook_id"] for one in shown["differences"]]) == (502, ["last"])


def test_only_the_account_s(put, check):
    put("mine", "http://10.0.0.7/")
    put("other", "http://10.0.0.7/", account="b2" * 16)
    assert list(kinds(check("--json", "--account", ACCOUNT))) == ["mine"]


def test_endpoints_are_asked_for_their_certificates_and_sent_nothing(put, check, tmp_path):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    local = {"CALLBOARD_DELIVERY_ALLOW_NETWORKS": "127.0.0.0/8"}
    with Receiver(tls=context) as receiver:
        put("private authority", f"https://127.0.0.1:{receiver.port}/in")
        assert kinds(check("--json", **local)) == {}
        asked = check("--json", "--endpoints", **local)
        assert kinds(asked) == {"private authority": ["tls"]}
        (one,) = json.loads(asked)["differences"]
        assert one["keep"] == (
            "kazoo.compatible, or delivery.ca_bundle, or tls_verify of the hook "
            "(delivery.hook_options)"
        )
        trusted = local | {"CALLBOARD_DELIVERY_CA_BUNDLE": str(bundle)}
        assert kinds(check("--json", "--endpoints", **trusted)) == {}
        put("any authority", f"https://127.0.0.1:{receiver.port}/in", tls_verify=False)
        own = local | {"CALLBOARD_DELIVERY_HOOK_OPTIONS": "tls_verify"}
        assert kinds(check("--json", "--endpoints", **own)) == {"private authority": ["tls"]}
        assert receiver.count == 0
