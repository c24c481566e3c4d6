"""Links into the dashboard: for one account, until an end, with limited rights.

A link's token has the form `cbp_{sealed}`. It is not stored: it says itself what it permits,
authenticated and encrypted with the nodes' keys of hooks' secrets, so that all nodes accept it. The
database of tokens has, for an account whose links were revoked, the time up to which.
"""

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.adapters.repositories.tokens import DATABASE
from callboard.adapters.repositories.tokens import LINK as PREFIX
from callboard.adapters.store.protocol import Conflict, Document, DocumentStore

READ, MANAGE = "read", "manage"
RIGHTS = (READ, MANAGE)
"""To look; or also to create, change, test and delete hooks, and to send deliveries again."""
LEAST_S, MOST_S = 60, 7 * 24 * 3600
"""The shortest and the longest life of a link, in seconds."""
USUAL_S = 3600

KIND = "callboard_revoked_links"
_OWNER = "portal link"
"""In place of a hook's id: no sealed secret of a hook is a link, and no link a secret."""
_TRIES = 5


@frozen
class PortalLink:
    """What a link permits. `until_s`: Unix seconds."""

    account_id: str
    rights: str
    until_s: int

    def permits(self, method: str) -> bool:
        """Whether requests with this HTTP method are among the rights."""
        return self.rights == MANAGE or method in ("GET", "HEAD")


def link_url(dashboard: str, token: str) -> str:
    """The link with a token to the dashboard at this address.

    The token is in the part behind #, which browsers do not send.
    """
    return f"{dashboard.rstrip('/')}/#/link/{token}"


class PortalLinks:
    """Makes and checks links. Threads may share it if they may share the store."""

    def __init__(self, box: SecretBox, store: DocumentStore) -> None:
        self._box = box
        self._store = store

    def token(self, link: PortalLink, now_unix_s: float) -> str:
        """The token of a new link. Raises SecretBoxError: the node has no usable key."""
        facts = {
            "account_id": link.account_id,
            "rights": link.rights,
            "until": link.until_s,
            "made_ms": _ms(now_unix_s),
        }
        return PREFIX + self._box.sealed(json.dumps(facts), _OWNER)

    def opened(self, token: str, now_unix_s: float) -> PortalLink | None:
        """What the token permits; None if it is no link's, or its time is over.

        Raises StoreError: whether it was revoked is unknown.
        """
        if not token.startswith(PREFIX):
            return None
        try:
            facts = json.loads(self._box.opened(token.removeprefix(PREFIX), _OWNER))
        except (SecretBoxError, ValueError):
            return None
        if not now_unix_s < facts["until"]:
            return None
        revoked = self._store.get(DATABASE, _revocation(facts["account_id"]))
        if revoked is not None and facts["made_ms"] <= _time_in(revoked):
            return None
        return PortalLink(facts["account_id"], facts["rights"], facts["until"])

    def revoke(self, account_id: str, now_unix_s: float) -> None:
        """End all links of an account that were made up to now. Raises StoreError."""
        self._store.ensure_database(DATABASE)
        for again in range(_TRIES):
            stored = self._store.get(DATABASE, _revocation(account_id)) or {}
            document: Document = {
                **stored,
                "_id": _revocation(account_id),
                "pvt_type": KIND,
                "pvt_account_id": account_id,
                "made_until_ms": max(_ms(now_unix_s), _time_in(stored)),
            }
            try:
                self._store.save(DATABASE, document)
            except Conflict:
                if again + 1 == _TRIES:
                    raise
            else:
                return


def _revocation(account_id: str) -> str:
    return f"links-{account_id}"


def _time_in(document: Mapping[str, Any]) -> int:
    return int(document.get("made_until_ms", 0))


def _ms(unix_s: float) -> int:
    return int(unix_s * 1000)
