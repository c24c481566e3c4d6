"""Links into the dashboard: what a token says, until when, and what ends it before."""

import json

import pytest

from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.portal.links import LEAST_S, MOST_S, PortalLink, PortalLinks, link_url
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.protocol import Conflict
from support.stores import Meddled, refuse

A, B = "a" * 32, "b" * 32
LINK = PortalLink(A, "manage", 2000)


@pytest.fixture
def box(tmp_path):
    return SecretBox("", tmp_path / "keys")


@pytest.fixture
def store(tmp_path):
    store = EmbeddedStore(tmp_path / "store.sqlite3")
    yield store
    store.close()


@pytest.fixture
def links(box, store):
    store.ensure_database("callboard_tokens")
    return PortalLinks(box, store)


def test_a_token_says_what_it_permits_until_its_end(links):
    token = links.token(LINK, 1000.0)
    assert token.startswith("cbp_")
    assert links.opened(token, 1999.999) == LINK
    assert links.opened(token, 2000.0) is None


def test_what_is_no_token_of_a_link_opens_nothing(links, box):
    token = links.token(LINK, 1000.0)
    secret = box.sealed(json.dumps({"account_id": A, "rights": "manage", "until": 2000}), "h1")
    no_json = box.sealed("no JSON", "portal link")
    for other in (token[4:], f"cbt_{token[4:]}", f"cbp_{secret}", f"cbp_{no_json}", "cbp_"):
        assert links.opened(other, 1000.0) is None


def test_all_links_of_an_account_that_were_made_up_to_now_are_revoked(links):
    before, at, after = (links.token(LINK, made) for made in (999.999, 1000.0, 1000.001))
    other = links.token(PortalLink(B, "read", 2000), 999.0)
    links.revoke(A, 1000.0)
    assert [links.opened(token, 1001.0) for token in (before, at, after)] == [None, None, LINK]
    assert links.opened(other, 1001.0) == PortalLink(B, "read", 2000)
    links.revoke(A, 900.0)  # by a node whose clock is behind
    assert links.opened(at, 1001.0) is None


def test_a_revocation_is_a_document_of_the_tokens(links, store):
    links.revoke(A, 1000.5)
    stored = store.get("callboard_tokens", f"links-{A}")
    del stored["_rev"]
    assert stored == {
        "_id": f"links-{A}",
        "pvt_type": "callboard_revoked_links",
        "pvt_account_id": A,
        "made_until_ms": 1_000_500,
    }


def test_the_first_revocation_makes_the_database(box, store):
    PortalLinks(box, store).revoke(A, 1000.0)
    assert store.database_exists("callboard_tokens")


@pytest.mark.parametrize("conflicts", [1, 4, 5])
def test_a_revocation_beside_another_is_tried_five_times(box, store, conflicts):
    def conflict(*_arguments):
        nonlocal conflicts
        conflicts -= 1
        meddled.before = {"save": conflict} if conflicts else {}
        raise Conflict("by another")

    fails = conflicts == 5
    meddled = Meddled(store, save=conflict)
    links = PortalLinks(box, meddled)
    if fails:
        with pytest.raises(Conflict):
            links.revoke(A, 1000.0)
    else:
        links.revoke(A, 1000.0)
    assert (store.get("callboard_tokens", f"links-{A}") is None) is fails
    assert meddled.calls.count("save") == 5 if fails else True


def test_an_unreadable_store_is_not_taken_for_one_without_revocations(box, store):
    links = PortalLinks(box, Meddled(store, get=refuse(Conflict("any error"))))
    with pytest.raises(Conflict):
        links.opened(links.token(LINK, 1000.0), 1000.0)


@pytest.mark.parametrize(
    ("rights", "permitted"),
    [("read", {"GET", "HEAD"}), ("manage", {"GET", "HEAD", "POST", "DELETE"})],
)
def test_rights_are_by_method(rights, permitted):
    methods = ("GET", "HEAD", "POST", "DELETE")
    assert {m for m in methods if PortalLink(A, rights, 0).permits(m)} == permitted


def test_a_link_lasts_from_a_minute_to_a_week_and_its_token_is_not_sent():
    assert (LEAST_S, MOST_S) == (60, 604_800)
    for dashboard in ("https://x.example/dash", "https://x.example/dash/"):
        assert link_url(dashboard, "cbp_t") == "https://x.example/dash/#/link/cbp_t"
