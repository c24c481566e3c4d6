"""The directory that event modules look things up in, read from the store and cached."""

import time
from collections.abc import Collection, Mapping
from typing import Any

from callboard.adapters.store import DocumentStore
from callboard.webhooks.directory import Account, resolve_setting
from callboard.webhooks.failures import Limits
from callboard.webhooks.values import as_int

TTL_S = 30.0
"""How long a document that was read is believed."""
MISSING_TTL_S = 2.0
"""How long one that was not there is believed to be missing: it may be about to be made."""
MAX_CACHED = 100_000

_MISSING: Mapping[str, Any] = {}


class StoreDirectory:
    """Look-ups in a DocumentStore (`webhooks.directory.Directory`); raises what the store raises.

    What was read is believed for `TTL_S` seconds, absence for `MISSING_TTL_S`.
    """

    def __init__(self, store: DocumentStore, node: str, zone: str) -> None:
        self._store = store
        self._node = node
        self._zone = zone
        self._cache: dict[tuple[str, str], tuple[float, Mapping[str, Any]]] = {}

    def forget(self, database: str, id: str) -> None:
        """A document has changed: read it again when it is next needed."""
        self._cache.pop((database, id), None)

    def forget_all(self) -> None:
        """Anything may have changed."""
        self._cache.clear()

    def account(self, account_id: str) -> Account | None:
        """The account, from its copy in database `accounts`."""
        document = self._document("accounts", account_id)
        if document is _MISSING:
            return None
        return Account(account_id, tuple(document.get("pvt_tree", ())))

    def reseller_id(self, account_id: str) -> str | None:
        """`pvt_reseller_id` of the account's document in `services`."""
        reseller: str | None = self._document("services", account_id).get("pvt_reseller_id")
        return reseller

    def account_by_number(self, number: str) -> str | None:
        """The owner of a number (`pvt_assigned_to`), by its document in its numbers database."""
        number = number if number.startswith("+") else f"+{number}"
        owner: str | None = self._document(f"numbers/{number[:5]}", number).get("pvt_assigned_to")
        return owner

    def setting(self, category: str, key: str, default: Any) -> Any:
        """A key of `system_config/{category}`: node's, zone's, then the default section's."""
        document = self._document("system_config", category)
        return resolve_setting(document, self._node, self._zone, key, default)

    def cluster_id(self) -> str | None:
        """The cluster's id, where the cluster has one."""
        id = self.setting("cluster", "cluster_id", None)
        return id if isinstance(id, str) else None

    def failure_limits(self, account_ids: Collection[str]) -> dict[str, Limits]:
        """When hooks of these accounts are disabled (system_config/webhooks)."""
        count = as_int(self.setting("webhooks", "attempt_failure_count", None))
        expiry_ms = as_int(self.setting("webhooks", "attempt_failure_expiry_ms", None))
        limits = Limits(
            count=Limits().count if count is None else count,
            expiry_ms=Limits().expiry_ms if expiry_ms is None else expiry_ms,
        )
        return dict.fromkeys(account_ids, limits)

    def _document(self, database: str, id: str) -> Mapping[str, Any]:
        now = time.monotonic()
        cached = self._cache.get((database, id))
        if cached is not None and now < cached[0]:
            return cached[1]
        document = self._store.get(database, id)
        gone = document is None or document.get("pvt_deleted") is True
        found = _MISSING if document is None or gone else document
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        ttl_s = MISSING_TTL_S if found is _MISSING else TTL_S
        self._cache[database, id] = now + ttl_s, found
        return found
