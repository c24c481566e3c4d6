"""The tokens of accounts, in database `callboard_tokens`: a digest and the account of each.

A token has the form `cbt_{id}_{secret}`; the id finds its document. The secret is 32 random bytes,
so that a plain digest of it reveals nothing.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator

from attrs import field, frozen

from callboard.adapters.store.protocol import Document, DocumentStore
from callboard.webhooks.values.kazoo_names import gregorian_s

DATABASE = "callboard_tokens"
KIND = "callboard_token"
LINK = "cbp_"
"""The beginning of all links' tokens (portal/links.py)."""

_TOKEN = re.compile(r"cbt_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NAMED = re.compile(r"cbt_[0-9a-f]{16}_")
_BEGINNING = 8
"""At most half of an admin's token, whose characters are all secret."""
_ID = re.compile(r"[0-9a-f]{16}")


@frozen
class TokenFacts:
    """A token's public facts. `created`: Gregorian seconds."""

    id: str
    account_id: str
    name: str
    created: int


@frozen
class NewToken:
    """A new token; its text is not shown again."""

    facts: TokenFacts
    text: str = field(repr=False)


def add_token(store: DocumentStore, account_id: str, name: str, now_unix_s: float) -> NewToken:
    """Create a token that gives access to this account and its descendants. Raises StoreError."""
    facts = TokenFacts(secrets.token_hex(8), account_id, name, gregorian_s(now_unix_s))
    text = f"cbt_{facts.id}_{secrets.token_urlsafe(32)}"
    store.ensure_database(DATABASE)
    store.save(
        DATABASE,
        {
            "_id": facts.id,
            "name": name,
            "digest": _digest(text),
            "pvt_type": KIND,
            "pvt_account_id": account_id,
            "pvt_created": facts.created,
        },
    )
    return NewToken(facts, text)


def list_tokens(store: DocumentStore, account_id: str | None = None) -> Iterator[TokenFacts]:
    """The tokens of an account, or of all. Raises StoreError."""
    if not store.database_exists(DATABASE):
        return
    for document in store.documents(DATABASE):
        facts = _facts(document)
        if facts is not None and account_id in (None, facts.account_id):
            yield facts


def revoke_token(store: DocumentStore, id: str) -> TokenFacts | None:
    """Revoke a token at once; returns None if the id is unknown. Raises StoreError."""
    document = store.get(DATABASE, id) if _ID.fullmatch(id) else None
    facts = None if document is None else _facts(document)
    if document is not None and facts is not None:
        store.delete(DATABASE, id, document["_rev"])
    return facts


def account_of_token(store: DocumentStore, text: str) -> str | None:
    """The account of this token; None for an invalid one. Raises StoreError."""
    match = _TOKEN.fullmatch(text)
    document = store.get(DATABASE, match[1]) if match else None
    if document is None:
        return None
    facts = _facts(document)
    if facts is None or not hmac.compare_digest(str(document.get("digest")), _digest(text)):
        return None
    return facts.account_id


def is_made(text: str) -> bool:
    """Whether the text has the form of an account's token, whose secret cannot be guessed."""
    return _TOKEN.fullmatch(text) is not None


def beginning(text: str) -> str:
    """The part of a token that tells it from others without proving anything.

    The id in an account's token, a digest of a link's, and the first characters of any other text.
    """
    if text.startswith(LINK):  # All of them begin alike.
        return _digest(text)
    named = _NAMED.match(text)
    return named[0] if named else text[:_BEGINNING]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _facts(document: Document) -> TokenFacts | None:
    account_id, created = document.get("pvt_account_id"), document.get("pvt_created")
    if document.get("pvt_type") != KIND or not isinstance(account_id, str):
        return None
    name = document.get("name")
    return TokenFacts(
        document["_id"],
        account_id,
        name if isinstance(name, str) else "",
        created if type(created) is int else 0,
    )
