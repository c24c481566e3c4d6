"""Tokens as the store has them: written by one version, they are valid in the next."""

import hashlib

import pytest

from callboard.adapters.repositories.tokens import (
    TokenFacts,
    account_of_token,
    add_token,
    beginning,
    is_made,
    list_tokens,
    revoke_token,
)
from callboard.adapters.store.embedded import EmbeddedStore

ACCOUNT = "1b" * 16
TEXT = "cbt_0123456789abcdef_" + "x" * 43
STORED = {
    "_id": "0123456789abcdef",
    "name": "portal",
    "digest": "a5c8bc2bc2be89b3be1a862eb3b3ab51da699f71638a555874b5302f36abdb48",
    "pvt_type": "callboard_token",
    "pvt_account_id": ACCOUNT,
    "pvt_created": 63_867_000_000,
}
"""A token's document since the first version. The digest is of `TEXT` (sha256sum)."""


@pytest.fixture
def store(tmp_path):
    store = EmbeddedStore(tmp_path / "store.sqlite3")
    store.ensure_database("callboard_tokens")
    yield store
    store.close()


def test_a_token_that_is_stored_stays_valid(store):
    store.save("callboard_tokens", dict(STORED))
    assert account_of_token(store, TEXT) == ACCOUNT
    assert account_of_token(store, TEXT[:-1] + "y") is None
    assert list(list_tokens(store)) == [
        TokenFacts("0123456789abcdef", ACCOUNT, "portal", 63_867_000_000)
    ]


def test_a_new_token_is_stored_in_the_same_form(store):
    made = add_token(store, ACCOUNT, "portal", 1_700_000_000.5)
    stored = store.get("callboard_tokens", made.facts.id)
    assert set(stored) == {*STORED, "_rev"}
    assert stored["pvt_type"] == "callboard_token"
    assert stored["pvt_account_id"] == ACCOUNT
    assert stored["pvt_created"] == 63_867_219_200


def test_other_documents_are_no_tokens(store):
    store.save("callboard_tokens", STORED | {"pvt_type": "token"})
    assert account_of_token(store, TEXT) is None
    assert list(list_tokens(store)) == []


def test_a_token_without_a_name_and_a_time_is_one(store):
    store.save("callboard_tokens", STORED | {"name": None, "pvt_created": None})
    assert list(list_tokens(store)) == [TokenFacts("0123456789abcdef", ACCOUNT, "", 0)]


def test_only_a_token_is_revoked(store):
    store.save("callboard_tokens", dict(STORED))
    store.save("callboard_tokens", STORED | {"_id": "0" * 16, "pvt_type": "token"})
    assert [revoke_token(store, id) for id in ("0" * 16, "f" * 16, "x")] == [None] * 3
    assert store.get("callboard_tokens", "0" * 16)
    assert revoke_token(store, STORED["_id"]).account_id == ACCOUNT
    assert store.get("callboard_tokens", STORED["_id"]) is None


def test_what_may_be_shown_of_a_token_proves_nothing():
    link = "cbp_" + "y" * 43
    assert [is_made(text) for text in (TEXT, TEXT[:-1], link, "")] == [True, False, False, False]
    assert beginning(TEXT) == "cbt_0123456789abcdef_"
    assert beginning(link) == hashlib.sha256(link.encode()).hexdigest()
    assert beginning("z" * 40) == "z" * 8
