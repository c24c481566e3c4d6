"""The event modules' directory, read from the store and cached."""

import time
import uuid
from collections.abc import Collection, Generator, Iterable, Mapping
from typing import Any

import structlog
from attrs import define

from callboard.adapters.repositories.master_account import oldest_account
from callboard.adapters.repositories.system_config import ACCOUNT_CONFIG, default_setting
from callboard.adapters.store.protocol import Document, DocumentStore, StoreError, StoreUnavailable
from callboard.webhooks.events.directory import Account, resolve_setting
from callboard.webhooks.hooks.failure_window import Limits, account_limits
from callboard.webhooks.values.json_values import as_bool, as_int, as_object, is_true
from callboard.webhooks.values.kazoo_names import account_database, decoded, may_have_database

TTL_S = 30.0
"""How long a document is cached, in seconds, unless it is reported as changed."""
MISSING_TTL_S = 2.0
"""How long the absence of a document is cached, in seconds: it may be about to be created."""
MAX_CACHED = 100_000

OWN_CATEGORIES = frozenset({"webhooks"})
"""The categories of system_config whose defaults Callboard writes."""

PORTED_NUMBERS = "port_requests/port_in_numbers"

_REACHABLE = ("port_in", "in_service", "port_out", "reserved")
"""The states of numbers whose calls belong to their owner."""

_MISSING: Mapping[str, Any] = {}
_AT_ONCE = 500


@define
class _Read:
    """A document or its absence, and the time of the store's response (monotonic clock)."""

    read_at: float
    believed_until: float
    found: Mapping[str, Any]


class StoreDirectory:
    """Look-ups in a DocumentStore (`webhooks.directory.Directory`); raises the store's errors.

    Documents are cached for `ttl_s` seconds, their absence for `missing_ttl_s`; the absence of
    settings for `ttl_s`, too, while the store is unavailable. `forget` ends either.
    `write_defaults`: whether unconfigured settings are written into system_config (Kazoo: it is not
    locked).
    """

    def __init__(
        self,
        store: DocumentStore,
        node: str,
        zone: str,
        *,
        write_defaults: bool = True,
        ttl_s: float = TTL_S,
        missing_ttl_s: float = MISSING_TTL_S,
    ) -> None:
        self.node = node
        self._store = store
        self._zone = zone
        self._write_defaults = write_defaults
        self._ttl_s, self._missing_ttl_s = ttl_s, missing_ttl_s
        self._cache: dict[tuple[str, str], _Read] = {}
        self._written: set[tuple[str, str]] = set()
        self._log = structlog.get_logger("callboard")

    def forget(self, database: str, id: str) -> None:
        """Read this document again at the next look-up: it has changed.

        The database may be named in Kazoo's encoded form, as in a change event.
        """
        database = decoded(database)
        self._cache.pop((database, id), None)
        if database == "system_config":
            self._written = {written for written in self._written if written[0] != id}

    def forget_all(self) -> None:
        """Read all documents again: any of them may have changed."""
        self._cache.clear()
        self._written.clear()

    # Accounts

    def account(self, account_id: str) -> Account | None:
        """The account, from its copy in database `accounts`; also a softly deleted one.

        Its parents receive the event of its deletion.
        """
        document = self._document("accounts", account_id)
        if document is _MISSING:
            return None
        tree = document.get("pvt_tree")
        ancestors = tree if isinstance(tree, list) else ()
        return Account(account_id, tuple(id for id in ancestors if isinstance(id, str)))

    def reseller_id(self, account_id: str) -> str | None:
        """`pvt_reseller_id` of the account's document in `services`.

        Without it, the nearest ancestor whose services document has `pvt_reseller`, else the master
        account, if it is configured (kz_services_reseller:find_id).
        """
        if stored := self._stored_reseller(account_id):
            return stored
        account = self.account(account_id)
        for ancestor in reversed(account.tree if account else ()):
            if is_true(self._document("services", ancestor).get("pvt_reseller")):
                return ancestor
        return _text(self.setting("accounts", "master_account_id", None)) or None

    def _stored_reseller(self, account_id: str) -> str | None:
        return _text(self._document("services", account_id).get("pvt_reseller_id")) or None

    def account_by_number(self, number: str) -> str | None:
        """The account that receives a number's calls (knm_numbers:lookup_account).

        By the number's document it is the owner, if the number is in service or about to be, and
        the account is enabled. A number without a document may belong to an open port request.
        """
        number = number if number.startswith("+") else f"+{number}"
        document = self._document(f"numbers/{number[:5]}", number)
        if document is _MISSING:
            return self._account_of_port(number)
        owner = _text(document.get("pvt_assigned_to"))
        state = document.get("pvt_state", document.get("pvt_number_state"))
        return owner if owner and state in _REACHABLE and self._is_enabled(owner) else None

    def _is_enabled(self, account_id: str) -> bool:
        document = _MISSING
        if may_have_database(account_id):
            document = self._document(account_database(account_id), account_id)
        if document is _MISSING:  # Accounts of the embedded store have no database of their own.
            document = self._document("accounts", account_id)
        gone = document is _MISSING or document.get("pvt_deleted") is True
        return not gone and as_bool(document.get("pvt_enabled"), True)

    def _account_of_port(self, number: str) -> str | None:
        if not as_bool(self.setting("number_manager", "fetch_account_from_ports", True), False):
            return None
        key = PORTED_NUMBERS, number
        if not self._believes(*key, time.monotonic()):
            try:
                rows = list(self._store.view("port_requests", PORTED_NUMBERS, key=number, limit=2))
            except StoreUnavailable:
                raise
            except StoreError:  # The database or its view is missing: the cluster ports no numbers.
                rows = []
            # Kazoo cannot decide between two requests either.
            self._keep(*key, {"account_id": rows[0].value} if len(rows) == 1 else None)
        return _text(self._cache[key].found.get("account_id"))

    # System configuration

    def setting(self, category: str, key: str, default: Any) -> Any:
        """A key of `system_config/{category}`: node's, zone's, then the default section's.

        If none has it and the category is Callboard's, a default that is not None is written into
        the default section: once, and a failure is only logged.
        """
        document = self._document("system_config", category)
        value = resolve_setting(document, self.node, self._zone, key, None)
        if value is not None:
            return value
        if default is None or category not in OWN_CATEGORIES or not self._write_defaults:
            return default
        if (category, key) in self._written:
            return default
        self._written.add((category, key))
        try:
            document = self._default_setting(category, key, default)
        except StoreError as problem:
            self._log.warning(
                "default_not_written", category=category, setting=key, reason=str(problem)
            )
            return default
        return resolve_setting(document, self.node, self._zone, key, default)

    def cluster_id(self) -> str | None:
        """The cluster's id; generated and stored if it is missing.

        None if it is missing and must not be written. Nodes that generate one at the same time end
        with the same id.
        """
        document = self._document("system_config", "cluster")
        id = as_object(document.get("default")).get("cluster_id")
        if id is None and self._write_defaults:
            document = self._default_setting("cluster", "cluster_id", uuid.uuid4().hex)
            id = as_object(document.get("default")).get("cluster_id")
        return id if isinstance(id, str) and id else None

    def master_account_id(self) -> str | None:
        """The master account; None while there is no account.

        The setting `master_account_id` of `system_config/accounts`; unset, the oldest account,
        which is then saved as the setting. Reading a great number of accounts takes time:
        `find_master_account` does it by pages.
        """
        search = self.find_master_account()
        while True:
            try:
                next(search)
            except StopIteration as found:
                master: str | None = found.value
                return master

    def find_master_account(self) -> Generator[None, None, str | None]:
        """Like `master_account_id`, with a pause after each page of accounts."""
        master = self.setting("accounts", "master_account_id", None)
        if isinstance(master, str) and master:
            return master
        oldest = yield from oldest_account(self._store)
        if oldest is None or not self._write_defaults:
            return oldest
        try:
            document = self._default_setting("accounts", "master_account_id", oldest)
        except StoreError as problem:
            self._log.warning("master_account_not_saved", account=oldest, reason=str(problem))
            return oldest
        saved = resolve_setting(document, self.node, self._zone, "master_account_id", oldest)
        return _text(saved) or oldest

    def _default_setting(self, category: str, key: str, value: Any) -> Mapping[str, Any]:
        document = default_setting(self._store, category, key, value)
        return self._keep("system_config", category, document)

    def choices_of(self, account_id: str) -> Mapping[str, Any]:
        """The account's document `configs_webhooks`, whose values may have any type; else empty."""
        return self._account_config(account_id) or {}

    # The limits of failing hooks

    def failure_limits(self, account_ids: Collection[str]) -> dict[str, Limits]:
        """The limits of failing hooks of these accounts (webhooks_disabler).

        By the account's own document `configs_webhooks`, else its reseller's; keys that it lacks
        take the system's values (system_config/webhooks).
        """
        system = {
            "attempt_failure_count": self.setting(
                "webhooks", "attempt_failure_count", Limits().count
            ),
            "attempt_failure_expiry_ms": self.setting(
                "webhooks", "attempt_failure_expiry_ms", Limits().expiry_ms
            ),
        }
        count, expiry_ms = map(as_int, system.values())
        limits = Limits(
            count=Limits().count if count is None else count,
            expiry_ms=Limits().expiry_ms if expiry_ms is None else expiry_ms,
        )
        own = {id: self._account_config(id) for id in account_ids}
        without = [id for id, config in own.items() if config is None]
        self._prefetch("services", without)
        self._prefetch("accounts", [id for id in without if not self._stored_reseller(id)])
        found = {}
        for id, config in own.items():
            if config is None:
                config = self._reseller_config(id) or {}
            rules = system | {key: config[key] for key in system if config.get(key) is not None}
            if as_int(rules["attempt_failure_count"]) is None:
                self._log.warning(
                    "failure_count_is_no_integer",
                    account=id,
                    attempt_failure_count=rules["attempt_failure_count"],
                )
            found[id] = account_limits(rules, None, limits)
        return found

    def _reseller_config(self, account_id: str) -> Mapping[str, Any] | None:
        reseller_id = self.reseller_id(account_id)
        return None if reseller_id is None else self._account_config(reseller_id)

    def _account_config(self, account_id: str) -> Mapping[str, Any] | None:
        """An account's own settings; None without a document, or for an id without a database."""
        if not may_have_database(account_id):
            return None
        # Most accounts have none: a look-up every two seconds would be too frequent.
        config = self._document(
            account_database(account_id), ACCOUNT_CONFIG, missing_ttl_s=self._ttl_s
        )
        return None if config is _MISSING else config

    # The cache

    def _document(
        self, database: str, id: str, missing_ttl_s: float | None = None
    ) -> Mapping[str, Any]:
        cached, now = self._cache.get((database, id)), time.monotonic()
        if cached is not None and now < cached.believed_until:
            return cached.found
        try:
            document = self._store.get(database, id)
        except StoreUnavailable:
            settings = database == "system_config"
            if not settings or cached is None or now >= cached.read_at + self._ttl_s:
                raise
            cached.believed_until = now + self._missing_ttl_s
            return cached.found
        return self._keep(database, id, document, missing_ttl_s)

    def _prefetch(self, database: str, ids: Iterable[str]) -> None:
        """Read all those documents that are not cached any more, in few requests."""
        now = time.monotonic()
        due = [id for id in ids if not self._believes(database, id, now)]
        for first in range(0, len(due), _AT_ONCE):
            some = due[first : first + _AT_ONCE]
            found = self._store.get_many(database, some)
            for id in some:
                self._keep(database, id, found.get(id))

    def _believes(self, database: str, id: str, now: float) -> bool:
        cached = self._cache.get((database, id))
        return cached is not None and now < cached.believed_until

    def _keep(
        self,
        database: str,
        id: str,
        document: Document | None,
        missing_ttl_s: float | None = None,
    ) -> Mapping[str, Any]:
        gone = document is None or (database != "accounts" and document.get("pvt_deleted") is True)
        found = _MISSING if document is None or gone else document
        key = database, id
        self._cache.pop(key, None)
        if len(self._cache) >= MAX_CACHED:
            self._cache.pop(next(iter(self._cache)))
        if missing_ttl_s is None:
            missing_ttl_s = self._missing_ttl_s
        ttl_s = missing_ttl_s if found is _MISSING else self._ttl_s
        now = time.monotonic()
        self._cache[key] = _Read(now, now + ttl_s, found)
        return found


def _text(value: Any) -> str | None:
    """The text of a document's member; None for values of other types, which name nothing."""
    return value if isinstance(value, str) else None
