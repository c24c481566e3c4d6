"""Maintenance of stored documents: work on many documents, in slices.

Every function is a generator whose steps each take a few requests to the store, so that an actor
can do other work between steps. A step contains its results, its changes, and the position
(`after`) from which the work can be resumed. All functions may raise StoreError.
"""

import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.metadata import store_metadata
from callboard.adapters.store.protocol import (
    CONFLICT,
    DatabaseMissing,
    Document,
    DocumentStore,
    Row,
    StoreError,
    View,
)
from callboard.adapters.store.views import ACCOUNT, MODB, WEBHOOKS
from callboard.admin import AccountHooks, Cursor, DefinitionsReset, Orphans
from callboard.webhooks.hooks.arguments import DEFINITION_PREFIX
from callboard.webhooks.hooks.hook import enabled_again, is_auto_disabled, is_deleted
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.kazoo_names import account_database, account_of_database, modb

DATABASE = "webhooks"
HOOKS_BY_ACCOUNT = "webhooks/accounts_listing"
HOOKS_IN_ORDER = "webhooks/crossbar_listing"
"""Keys [account, hook]; includes disabled hooks."""
DESCENDANTS = "accounts/listing_by_descendants"

SAVES = 5
"""The most repetitions of a save that conflicts with another client's."""

Reasons = tuple[tuple[str, str], ...]
"""(id, reason) of documents that could not be saved."""

CREATED, EDITED, DELETED = "doc_created", "doc_edited", "doc_deleted"


@frozen
class Change:
    """A saved document, and the change to publish to all nodes (`doc_edited` and so on)."""

    event: str
    database: str
    document: Document = field(repr=False)


@frozen
class Sizes:
    """The most hooks, and the most accounts, that one step reads."""

    hooks: int = 200
    accounts: int = 50


SIZES = Sizes()


@frozen
class Step:
    """One slice of the work. `found`: for the client; `page_ends`: to be sent at once."""

    found: tuple[Any, ...] = ()
    changes: tuple[Change, ...] = ()
    after: Cursor = ()
    page_ends: bool = False


# Enabling hooks again


def enable_account(
    store: DocumentStore,
    account_id: str,
    now_gregorian_s: int,
    after: Cursor = (),
    sizes: Sizes = SIZES,
) -> Iterator[Step]:
    """Enable an account's hooks that were disabled for their failures (webhooks_util:reenable).

    `found` are `AccountHooks`. `after` is (account, hook); without a hook the account is done.
    """
    last_hook = after[1] if after else None
    while last_hook != "":
        try:
            rows = _hooks_after(store, account_id, last_hook, sizes.hooks)
            documents = [row.document for row in rows if row.document]
            enabled, failed = _enable(store, documents, now_gregorian_s)
        except StoreError as problem:
            yield Step((AccountHooks(account_id, problem=str(problem)),), after=(account_id, ""))
            return
        complete = len(rows) < sizes.hooks
        last_hook = "" if complete else str(rows[-1].id)
        ids = tuple(document["_id"] for document in enabled)
        report = AccountHooks(account_id, len(rows), ids, failed, complete=complete)
        changes = tuple(Change(EDITED, DATABASE, document) for document in enabled)
        yield Step((report,), changes, (account_id, last_hook))


def _hooks_after(
    store: DocumentStore, account_id: str, last_hook: str | None, most: int
) -> list[Row]:
    rows = store.view(
        DATABASE,
        HOOKS_IN_ORDER,
        start=[account_id] if last_hook is None else [account_id, last_hook],
        end=[account_id, {}],
        include_documents=True,
        page_size=most + 1,
        limit=most + 1,
    )
    return [row for row in rows if row.id != last_hook][:most]


def _enable(
    store: DocumentStore, documents: list[Document], now_gregorian_s: int
) -> tuple[list[Document], Reasons]:
    def enable(document: Document) -> Document | None:
        return enabled_again(document, now_gregorian_s) if is_auto_disabled(document) else None

    return _save_all(store, DATABASE, documents, enable)


def _save_all(
    store: DocumentStore,
    database: str,
    documents: list[Document],
    change: Callable[[Document], Document | None],
) -> tuple[list[Document], Reasons]:
    """Save the result of `change` for documents (None: nothing), again after conflicts.

    Returns the saved ones, with their new revisions, and the reasons for the others.
    """
    done: list[Document] = []
    failed: dict[str, str] = {}
    for _try in range(SAVES):
        changed = [new for document in documents if (new := change(document)) is not None]
        if not changed:
            return done, tuple(failed.items())
        saved = store.save_many(database, changed)
        done += [
            {**document, "_rev": outcome.rev}
            for document, outcome in zip(changed, saved, strict=True)
            if outcome.rev is not None
        ]
        failed |= {s.id: s.error for s in saved if s.error and s.error != CONFLICT}
        conflicts = [outcome.id for outcome in saved if outcome.error == CONFLICT]
        documents = list(store.get_many(database, conflicts).values()) if conflicts else []
    failed |= {document["_id"]: CONFLICT for document in documents}
    return done, tuple(failed.items())


def enable_descendants(
    store: DocumentStore,
    account_id: str,
    now_gregorian_s: int,
    after: Cursor = (),
    sizes: Sizes = SIZES,
) -> Iterator[Step]:
    """The same for an account, and then for all its descendants.

    Most accounts have no hooks: a batch of those takes two requests in all.
    """
    accounts = _from_the_top(store, account_id, after, sizes.accounts)
    while batch := list(itertools.islice(accounts, sizes.accounts)):
        counts = store.view(DATABASE, HOOKS_BY_ACCOUNT, keys=batch, group=True)
        with_hooks = {row.key for row in counts}
        for has_hooks, ids in itertools.groupby(batch, with_hooks.__contains__):
            if has_hooks:
                for id in ids:
                    begun = after if after[:1] == (id,) else ()
                    yield from enable_account(store, id, now_gregorian_s, begun, sizes)
            else:
                idle = tuple(AccountHooks(id) for id in ids)
                yield Step(idle, after=(idle[-1].account_id, ""))


def _from_the_top(store: DocumentStore, account_id: str, after: Cursor, page: int) -> Iterator[str]:
    """The account and its descendants; `after` (account, hook) is included if it has hooks left."""
    last, hook = after or (account_id, "not begun")
    if last == account_id and hook:
        yield account_id
    start = [account_id] if last == account_id else [account_id, last]
    for row in store.view(
        "accounts", DESCENDANTS, start=start, end=[account_id, {}], page_size=page
    ):
        if row.id is not None and row.id != account_id and (row.id != last or hook):
            yield row.id


# Accounts that are gone


def orphans(
    store: DocumentStore, after: Cursor = (), *, delete: bool, sizes: Sizes = SIZES
) -> Iterator[Step]:
    """Delete the hooks of deleted accounts (Kazoo: kt_webhooks); `found` are `Orphans`.

    Kazoo checks the account's database only. Here an account with a document in `accounts` is kept,
    too: a bus other than Kazoo's has no such databases.
    """
    last = after[0] if after else ...
    rows = store.view(DATABASE, HOOKS_BY_ACCOUNT, group=True, start=last, page_size=sizes.accounts)
    accounts = (row for row in rows if isinstance(row.key, str) and row.key != last)
    while batch := list(itertools.islice(accounts, sizes.accounts)):
        known = store.get_many("accounts", [row.key for row in batch])
        gone = [row for row in batch if _is_gone(store, row.key, known)]
        seen = tuple(Orphans(row.key, row.value) for row in gone)
        for row in gone if delete else ():
            yield from _delete_hooks(store, row.key, sizes.hooks)
        yield Step(() if delete else seen, after=(batch[-1].key,))


def _is_gone(store: DocumentStore, account_id: str, known: Mapping[str, Document]) -> bool:
    document = known.get(account_id)
    if document is not None and not is_deleted(document):
        return False
    return account_of_database(account_id) is None or not store.database_exists(
        account_database(account_id)
    )


def _delete_hooks(store: DocumentStore, account_id: str, most: int) -> Iterator[Step]:
    count = 0
    while True:
        # From the start each time: a view must not shrink during paging.
        rows = store.view(
            DATABASE,
            HOOKS_BY_ACCOUNT,
            key=account_id,
            reduce=False,
            include_documents=True,
            limit=most,
        )
        deleted, _failed = delete_all(store, DATABASE, [r.document for r in rows if r.document])
        if not deleted:
            break
        count += len(deleted)
        yield Step(changes=deleted)
    yield Step((Orphans(account_id, count),), after=(account_id,), page_ends=True)


def delete_all(
    store: DocumentStore, database: str, documents: list[Document]
) -> tuple[tuple[Change, ...], Reasons]:
    """Hard-delete documents; the changes to publish, and the reasons for failures."""
    kinds = {document["_id"]: document for document in documents}

    def gone(document: Document) -> Document:
        return {"_id": document["_id"], "_rev": document["_rev"], "_deleted": True}

    deleted, failed = _save_all(store, database, documents, gone)
    changes = (Change(DELETED, database, {**kinds[d["_id"]], "_rev": d["_rev"]}) for d in deleted)
    return tuple(changes), failed


# Views and definitions


def register_views(
    store: DocumentStore, directory: StoreDirectory, now_unix_s: float, after: Cursor = ()
) -> Iterator[Step]:
    """Store our views in `webhooks`, in the master account's database, in the current MODbs.

    Databases that do not exist are skipped; `found` are the names of the others.
    """
    if not after:
        yield from _refresh_views(store, DATABASE, WEBHOOKS, ())  # goes on with the next one
        master = yield from _master_account(directory)
        if master is not None:
            yield from _refresh_views(store, account_database(master), ACCOUNT, ("",))
    last = after[0] if after else ""
    for row in store.view(
        DATABASE, HOOKS_BY_ACCOUNT, group=True, start=last, page_size=SIZES.accounts
    ):
        if isinstance(row.key, str) and row.key != last and account_of_database(row.key):
            yield from _refresh_views(store, modb(row.key, now_unix_s), MODB, (row.key,))


def _refresh_views(
    store: DocumentStore, database: str, views: Sequence[View], after: Cursor
) -> Iterator[Step]:
    try:
        store.ensure_views(database, views)
    except DatabaseMissing:
        yield Step(after=after)
    else:
        yield Step((database,), after=after)


def _master_account(directory: StoreDirectory) -> Generator[Step, None, str | None]:
    """The master account; finding an unconfigured one may take a while."""
    search = directory.find_master_account()
    while True:
        try:
            next(search)
        except StopIteration as found:
            master: str | None = found.value
            return master
        yield Step()


def reset_definitions(
    store: DocumentStore,
    directory: StoreDirectory,
    modules: Sequence[EventModule],
    id: str | None = None,
) -> Iterator[Step]:
    """Delete one or all of the modules' metadata documents and create them again.

    `found` is one `DefinitionsReset`. A missing one is created, too. A document that no longer
    belongs to a module stays deleted.
    """
    master = yield from _master_account(directory)
    if master is None:
        raise StoreError("there is no master account yet")
    database = account_database(master)
    if id is not None:
        stored = [document for document in [store.get(database, id)] if document is not None]
    else:
        end = DEFINITION_PREFIX + "{"  # in ASCII it follows a to z
        stored = list(store.documents(database, start=DEFINITION_PREFIX, end=end))
    deleted, failed = delete_all(store, database, stored)
    ids = [change.document["_id"] for change in deleted]
    if id is not None and not failed:
        ids = [id]
    chosen = [module for module in modules if DEFINITION_PREFIX + module.id in ids]
    store_metadata(store, chosen, directory.node, directory)
    made = store.get_many(database, ids).values()
    changes = (*deleted, *(Change(CREATED, database, document) for document in made))
    yield Step((DefinitionsReset(tuple(ids), tuple(id for id, _reason in failed)),), changes)
