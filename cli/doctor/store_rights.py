"""Finds the rights that a user who is no administrator of the CouchDB lacks (rights.py)."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice

from attrs import frozen

from callboard.adapters.repositories.setup import ACCOUNTS_LISTING, HOOKS
from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.couchdb_probe import StoreAbout
from callboard.adapters.store.protocol import (
    DocumentStore,
    StoreError,
    StoreForbidden,
    StoreUnavailable,
    View,
)
from callboard.adapters.store.rights import (
    ACCOUNT,
    ALL,
    MONTH,
    RIGHTS,
    VIEWS,
    Operation,
    Right,
    right,
)
from callboard.cli.doctor.finding import Finding, problem, warning
from callboard.config.settings import Settings
from callboard.webhooks.events.directory import resolve_setting
from callboard.webhooks.values.kazoo_names import account_database, is_account_id, modb

ACCOUNTS = 20
"""The number of accounts whose databases are checked."""
AHEAD_S = 7 * 24 * 3600
"""How long before a month begins its databases should exist."""

_KAZOOS = frozenset({"accounts", "services", "port_requests", "system_schemas"})
_NAMED = tuple(dict.fromkeys(one.database for one in RIGHTS if one.database.isidentifier()))
_READS = frozenset({Operation.READ})


@frozen
class Lacking:
    """A right that the user lacks on a database. `what`: how it shows."""

    right: Right
    database: str
    what: str


def rights_finding(lacking: Lacking) -> Finding:
    """The right, its database, and the consequence of its lack."""
    right, database = lacking.right, lacking.database
    found = problem if right.always else warning
    what = f"{lacking.what}; without the right to {right.operation}: {_plain(right.without)}"
    return found("rights", what, _mend(right, database))


def _mend(right: Right, database: str) -> str:
    match right.operation:
        case Operation.CREATE:
            return f"have an administrator create {database}, with the user as its member"
        case Operation.VIEWS:
            return (
                f"make the user a database administrator of {database}, or have an administrator "
                "store the views: one start of Callboard with an administrator's URL does"
            )
        case Operation.LIST:
            return "set attempts.keep_days to 0 and delete old monthly databases otherwise"
    return f"make the user a member of {database} (`_security`)"


def lacking_rights(
    couchdb: CouchdbStore, about: StoreAbout, settings: Settings
) -> Iterator[Lacking]:
    """The rights that the user lacks now. Raises StoreUnavailable.

    Nothing is written: a database's administrators are read from its security object.
    """
    for database in _NAMED:
        if database not in _KAZOOS or settings.has_kazoo:
            yield from _of_database(couchdb, about, database, database)
    yield from _of_accounts(couchdb, about, settings)
    if settings.attempts.keep_days:
        try:
            couchdb.list_databases("account/", "", 1)
        except StoreForbidden as refused:
            yield from _lacks(Operation.LIST, ALL, ALL, str(refused))


def _of_accounts(couchdb: CouchdbStore, about: StoreAbout, settings: Settings) -> Iterator[Lacking]:
    """Those of the databases of the master account, and of some accounts with hooks."""
    master = _master_account(couchdb, settings) if settings.has_kazoo else None
    if master is not None:
        yield from _of_database(couchdb, about, account_database(master), ACCOUNT)
    for account_id in _accounts(couchdb):
        if account_id != master:
            yield from _of_database(couchdb, about, account_database(account_id), ACCOUNT, _READS)
        now = time.time()
        for database in dict.fromkeys(modb(account_id, now + ahead) for ahead in (0, AHEAD_S)):
            yield from _of_database(couchdb, about, database, MONTH)


def _of_database(
    couchdb: CouchdbStore,
    about: StoreAbout,
    database: str,
    kind: str,
    operations: frozenset[Operation] = frozenset(Operation),
) -> Iterator[Lacking]:
    """Those of one database, of these operations."""
    try:
        exists = couchdb.database_exists(database)
    except StoreForbidden:
        what = f"{_user(about)} is no member of {database}"
        yield from _lacks(Operation.READ, kind, database, what)
        return
    if not exists:
        if Operation.CREATE in operations:
            what = f"{database} does not exist, and {_user(about)} may not create it"
            yield from _lacks(Operation.CREATE, kind, database, what)
        return
    if Operation.VIEWS not in operations or _is_database_admin(couchdb, about, database):
        return
    if missing := missing_views(couchdb, database, VIEWS.get(kind, ())):
        what = f"{database} lacks the views {', '.join(missing)}"
        yield from _lacks(Operation.VIEWS, kind, database, what)


def missing_views(couchdb: DocumentStore, database: str, views: Sequence[View]) -> list[str]:
    """The names of those of these views that the database does not have. Raises StoreError."""
    designs = {view.design for view in views}
    stored = {name: couchdb.get(database, f"_design/{name}") or {} for name in designs}
    return [view.name for view in views if view.name not in stored[view.design].get("views", {})]


def _lacks(operation: Operation, kind: str, database: str, what: str) -> Iterator[Lacking]:
    found = right(operation, kind)
    if found is not None:
        yield Lacking(found, database, what)


def _is_database_admin(couchdb: CouchdbStore, about: StoreAbout, database: str) -> bool:
    try:
        admins = couchdb.security(database).get("admins", {})
    except StoreUnavailable:
        raise
    except StoreError:
        return False
    roles = {*admins.get("roles", ())} & {*(about.roles or ())}
    return bool(roles) or (about.user is not None and about.user in admins.get("names", ()))


def _master_account(couchdb: CouchdbStore, settings: Settings) -> str | None:
    try:
        accounts = couchdb.get("system_config", "accounts")
    except StoreForbidden:
        return None
    node = settings.node
    master = resolve_setting(accounts, node.name, node.zone, "master_account_id", None)
    return master if isinstance(master, str) and is_account_id(master) else None


def _accounts(couchdb: CouchdbStore) -> list[str]:
    """Some accounts with hooks; none if they cannot be read."""
    try:
        rows = couchdb.view(HOOKS, ACCOUNTS_LISTING, group=True, limit=ACCOUNTS)
        keys = [row.key for row in islice(rows, ACCOUNTS)]
    except StoreUnavailable:
        raise
    except StoreError:
        return []
    return [key for key in keys if isinstance(key, str) and is_account_id(key)]


def _user(about: StoreAbout) -> str:
    return about.user or "the user"


def _plain(text: str) -> str:
    return text.replace("`", "")
