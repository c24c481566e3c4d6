"""Who a token makes its bearer, and which accounts that lets them at."""

import hmac
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.adapters.repositories.tokens import account_of_token
from callboard.adapters.store.protocol import DocumentStore


@frozen
class Caller:
    """Somebody with a good token. `account_id` None: the admin, who may do everything.

    `superduper`: of an account whose document says so (Kazoo: pvt_superduper_admin).
    """

    account_id: str | None
    superduper: bool = False

    @property
    def sees_all(self) -> bool:
        """Whether no account is closed to them."""
        return self.account_id is None or self.superduper


def caller_of(token: str, admin_token: str, store: DocumentStore) -> Caller | None:
    """Whose token this is; None if it is nobody's. Raises StoreError.

    Compared in constant time; of an account's token the store holds no more than a digest.
    """
    if hmac.compare_digest(token.encode(errors="replace"), admin_token.encode()):
        return Caller(None)
    account_id = account_of_token(store, token)
    if account_id is None:
        return None
    account = store.get("accounts", account_id) or {}
    return Caller(account_id, account.get("pvt_superduper_admin") is True)


def may_use(caller: Caller, account_id: str, account: Mapping[str, Any] | None) -> bool:
    """Whether the caller may work on this account: their own, or one below it (`pvt_tree`).

    `account`: the account's document, None where there is none.
    """
    if caller.sees_all or caller.account_id == account_id:
        return True
    tree = (account or {}).get("pvt_tree")
    return isinstance(tree, list) and caller.account_id in tree
