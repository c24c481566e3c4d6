"""Tokens as the store has them: written by one version, they are valid in the next."""

import pytest

from callboard.adapters.repositories.tokens import (
    TokenFacts,
    account_of_token,
    add_token,
    list_tokens,
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
