"""What a look at a store finds out."""

import json
import time
import warnings
from email.utils import formatdate
from types import SimpleNamespace

import pytest
import trustme
import urllib3

from callboard.adapters.receiver.server import Answer, Hang, Receiver
from callboard.adapters.store import couchdb_probe
from callboard.adapters.store.couchdb_probe import ProbeFailed, look
from services import free_port
from support.http import server_context


def answer(receiver, path, value, **headers):
    receiver.answer(path, Answer(body=json.dumps(value).encode(), headers=headers))


def test_a_couchdb_tells_who_we_are_and_what_time_it_is(receiver):
    late = formatdate(time.time() - 100, usegmt=True)
    answer(receiver, "/", {"couchdb": "Welcome", "version": "3.3.3"}, Date=late)
    answer(receiver, "/_session", {"userCtx": {"name": "u", "roles": ["_admin"]}})
    about = look(receiver.url.replace("//", "//user:p%40ss@"), 5)
    assert (about.product, about.version, about.is_admin) == ("CouchDB", "3.3.3", True)
    assert -102 < about.ahead_s < -98
    assert receiver.requests[0].headers["authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize(
    ("session", "user", "roles", "is_admin"),
    [
        ({}, None, None, None),
        ({"userCtx": None}, None, None, None),
        ({"userCtx": {}}, None, (), False),
        ({"userCtx": {"name": "u", "roles": ["r"]}}, "u", ("r",), False),
    ],
)
def test_one_that_says_little_is_known_by_what_it_says(receiver, session, user, roles, is_admin):
    answer(receiver, "/", {"express-pouchdb": "Welcome"})
    answer(receiver, "/_session", session)
    about = look(receiver.url, 5)
    assert (about.product, about.version) == ("PouchDB server", "")
    assert (about.user, about.roles, about.is_admin) == (user, roles, is_admin)
    assert about.ahead_s is None or abs(about.ahead_s) < 100


@pytest.mark.parametrize(
    ("behaviour", "stage"),
    [
        (Answer(401), "credentials"),
        (Answer(403), "credentials"),
        (Answer(500, b'{"couchdb": "Welcome", "version": "3"}'), "protocol"),
        (Answer(200, b"<html>"), "protocol"),
        (Answer(200, b'{"version": "1"}'), "protocol"),
        (Answer(302, headers={"Location": "http://example.com/"}), "protocol"),
        (Hang(), "address"),
    ],
)
def test_what_cannot_be_used_says_why(receiver, behaviour, stage):
    receiver.answer("/", behaviour)
    with pytest.raises(ProbeFailed) as failed:
        look(receiver.url, 0.5)
    assert failed.value.stage == stage


@pytest.mark.parametrize(("verify", "silent"), [("verify_peer", False), ("verify_none", True)])
def test_only_where_nothing_is_verified_no_warning_says_so(verify, silent):
    with warnings.catch_warnings():
        warnings.resetwarnings()
        with pytest.raises(ProbeFailed):
            look(f"https://127.0.0.1:{free_port()}/?verify={verify}", 5)
        ignored = [kind for action, _text, kind, *_place in warnings.filters if action == "ignore"]
    assert (urllib3.exceptions.InsecureRequestWarning in ignored) is silent


def test_the_certificate_may_have_a_name_of_its_own(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Receiver(tls=server_context(authority, "couch.internal")) as receiver:
        answer(receiver, "/", {"couchdb": "Welcome"})
        answer(receiver, "/_session", {"userCtx": {"name": "u"}})
        url = f"{receiver.url}/?cacertfile={tmp_path / 'ca.pem'}"
        assert look(f"{url}&server_name_indication=couch.internal", 5).user == "u"
        for name in ("", "&server_name_indication=couch"):
            with pytest.raises(ProbeFailed, match="is for another name"):
                look(url + name, 5)


def test_half_a_second_is_the_mean_error_of_a_date(receiver, monkeypatch):
    monkeypatch.setattr(couchdb_probe, "time", SimpleNamespace(time=lambda: 90.0))
    date = "Thu, 01 Jan 1970 00:01:40 GMT"
    answer(receiver, "/", {"couchdb": "Welcome"}, Date=date)
    answer(receiver, "/_session", {})
    assert look(receiver.url, 5).ahead_s == 10.5


def test_a_store_may_be_below_a_path(receiver):
    answer(receiver, "/x", {"couchdb": "Welcome"})
    answer(receiver, "/x/", {"couchdb": "Welcome"})
    answer(receiver, "/x/_session", {"userCtx": {"name": "u"}})
    assert [look(f"{receiver.url}{path}", 5).user for path in ("/x", "/x/")] == ["u", "u"]


def test_nobody_there():
    with pytest.raises(ProbeFailed) as failed:
        look(f"http://user:sesame@127.0.0.1:{free_port()}", 5)
    assert failed.value.stage == "address"
    # The system's message alone: that of requests has the address around it.
    assert str(failed.value) == "Connection refused"


@pytest.mark.couchdb
def test_the_real_one(couchdb_url):
    about = look(couchdb_url, 30)
    assert about.product in ("CouchDB", "PouchDB server")
    assert about.version
