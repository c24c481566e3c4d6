"""The caller that a token identifies, and the accounts that it may use."""

import hmac
import time
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.adapters.portal.links import PortalLink, PortalLinks
from callboard.adapters.repositories.tokens import LINK, account_of_token
from callboard.adapters.store.protocol import DocumentStore


@frozen
class Caller:
    """A caller with a valid token. `account_id` None: the admin, with all permissions.

    `superduper`: the account's document grants all permissions (Kazoo: pvt_superduper_admin).
    `link`: the token is a link's, which gives the rights of neither.
    """

    account_id: str | None
    superduper: bool = False
    link: PortalLink | None = None

    @property
    def sees_all(self) -> bool:
        """Whether the caller may use every account."""
        return self.account_id is None or self.superduper


def caller_of(
    token: str, admin_token: str, store: DocumentStore, links: PortalLinks
) -> Caller | None:
    """The caller with this token; None if it is invalid. Raises StoreError.

    Compared in constant time; the store has only a digest of an account's token.
    """
    if hmac.compare_digest(token.encode(errors="replace"), admin_token.encode()):
        return Caller(None)
    if token.startswith(LINK):
        link = links.opened(token, time.time())
        return None if link is None else Caller(link.account_id, link=link)
    account_id = account_of_token(store, token)
    if account_id is None:
        return None
    account = store.get("accounts", account_id) or {}
    return Caller(account_id, account.get("pvt_superduper_admin") is True)


def may_use(caller: Caller, account_id: str, account: Mapping[str, Any] | None) -> bool:
    """Whether the caller may use this account: its own, or a descendant (`pvt_tree`).

    `account`: the account's document, None if it has none. A link is for its own account only.
    """
    if caller.sees_all or caller.account_id == account_id:
        return True
    if caller.link is not None:
        return False
    tree = (account or {}).get("pvt_tree")
    return isinstance(tree, list) and caller.account_id in tree


def link_permits(link: PortalLink, method: str, path: str) -> bool:
    """Whether a link may be used for a request: for hooks of its account, and to read event types.

    `path`: the request's, decoded.
    """
    match path.split("/"):
        case ["", "v2", "accounts", _account, "webhooks", *_]:
            return link.permits(method)
        case ["", "v2", "webhooks", *_] | ["", "v2", "callboard", "token"]:
            return method in ("GET", "HEAD")
    return False
