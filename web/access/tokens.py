"""The caller that a token identifies, and the accounts that it may use."""

import hmac
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.adapters.repositories.tokens import account_of_token
from callboard.adapters.store.protocol import DocumentStore


@frozen
class Caller:
    """A caller with a valid token. `account_id` None: the admin, with all permissions.

    `superduper`: the account's document grants all permissions (Kazoo: pvt_superduper_admin).
    """

    account_id: str | None
    superduper: bool = False

    @property
    def sees_all(self) -> bool:
        """Whether the caller may use every account."""
        return self.account_id is None or self.superduper


def caller_of(token: str, admin_token: str, store: DocumentStore) -> Caller | None:
    """The caller with this token; None if it is invalid. Raises StoreError.

    Compared in constant time; the store has only a digest of an account's token.
    """
    if hmac.compare_digest(token.encode(errors="replace"), admin_token.encode()):
        return Caller(None)
    account_id = account_of_token(store, token)
    if account_id is None:
        return None
    account = store.get("accounts", account_id) or {}
    return Caller(account_id, account.get("pvt_superduper_admin") is True)


def may_use(caller: Caller, account_id: str, account: Mapping[str, Any] | None) -> bool:
    """Whether the caller may use this account: its own, or a descendant (`pvt_tree`).

    `account`: the account's document, None if it has none.
    """
    if caller.sees_all or caller.account_id == account_id:
        return True
    tree = (account or {}).get("pvt_tree")
    return isinstance(tree, list) and caller.account_id in tree
