"""The hook documents in the store: read page by page, added, edited and listed."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import dropwhile, islice
from typing import Any

from attrs import frozen

from callboard.adapters.repositories.account_quotas import account_quotas
from callboard.adapters.repositories.migration import as_migrated, migrated
from callboard.adapters.store.protocol import (
    Changes,
    Conflict,
    DatabaseMissing,
    Document,
    DocumentStore,
    Row,
    Saved,
    StoreError,
)
from callboard.adapters.store.reading import rows_of
from callboard.adapters.store.views import WEBHOOKS
from callboard.webhooks.hooks.hook import is_deleted, with_changes
from callboard.webhooks.hooks.quotas import Quotas, check_count, check_document
from callboard.webhooks.values.documents import public_fields

DATABASE = "webhooks"
LISTING = "webhooks/webhooks_listing"
EVERY_HOOK = "webhooks/crossbar_listing"
"""Includes disabled hooks."""
BY_ACCOUNT = "webhooks/accounts_listing"
"""Counts the hooks of each account, with disabled ones."""

PAGE = 500
SAVES = 5
"""The most repetitions of a save that conflicts with another client's."""

Change = Callable[[Document], Mapping[str, Any]]
"""A document's changes: the new members, None for one to remove; empty for no change."""


@frozen
class Edited:
    """The document after an edit, None if the hook does not exist; and whether it was changed."""

    document: Document | None
    changed: bool


@frozen
class HookPage:
    """A page of stored hooks. `end`: the start of the next page, which repeats the last hook."""

    documents: list[Document]
    end: Any


def hook_rows(store: DocumentStore, view: str, **options: Any) -> Iterator[Row]:
    """The rows of a view of the hooks (`EVERY_HOOK`, …; see `rows_of`)."""
    return rows_of(store, DATABASE, WEBHOOKS, view, **options)


class HookStore:
    """Database `webhooks` of a document store; raises the store's errors.

    `quotas`: the node's. Every hook that is written is checked against its account's. `page`: the
    most hooks that it reads at once. `migrates`: whether hooks on former modules are saved as
    migrated, and not only loaded so.
    """

    def __init__(
        self,
        store: DocumentStore,
        quotas: Quotas | None = None,
        page: int = PAGE,
        *,
        migrates: bool = True,
    ) -> None:
        self.documents = store
        self._quotas = quotas or Quotas()
        self._page = page
        self._migrates = migrates

    def pages(self, now_gregorian_s: int, after: Any = None) -> Iterator[HookPage]:
        """All hooks that are not disabled, in pages, each read on demand.

        Hooks on former modules are migrated first. `after`: the end of an earlier page, to continue
        from there.
        """
        start = ... if after is None else after
        # A page has as many rows as the store reads at once: no row is older than its page.
        rows = self.documents.view(
            DATABASE, LISTING, include_documents=True, page_size=self._page, start=start
        )
        while page := list(islice(rows, self._page)):
            documents = [row.document for row in page if row.document]
            if self._migrates:
                documents = migrated(self.documents, documents, now_gregorian_s)
            else:
                documents = as_migrated(documents, now_gregorian_s)
            yield HookPage(documents, page[-1].key)

    def position(self) -> str:
        """The present position among the changes of all hooks."""
        return self.documents.changes(DATABASE, None).upto

    def changes(self, since: str) -> Changes:
        """The documents changed since this position; some may be no hooks."""
        return self.documents.changes(DATABASE, since)

    def get(self, hook_id: str) -> Document | None:
        """A hook's document, even if softly deleted; None for a document of another kind."""
        document = self.documents.get(DATABASE, hook_id)
        return document if document and document.get("pvt_type") == "webhook" else None

    def get_many(self, hook_ids: Collection[str]) -> dict[str, Document]:
        """The documents of those hooks that exist, even if softly deleted, by id."""
        try:
            found = self.documents.get_many(DATABASE, list(hook_ids))
        except DatabaseMissing:
            return {}
        return {id: d for id, d in found.items() if d.get("pvt_type") == "webhook"}

    def add(self, document: Document) -> Document:
        """Store a new hook; returns it with its revision. A missing database is created.

        Raises QuotaExceeded. Hooks that several clients add at once may exceed the quota by their
        number.
        """
        account_id = str(document.get("pvt_account_id"))
        quotas = self.quotas_of(account_id)
        check_document(document, quotas)
        check_count(self.count(account_id), quotas, account_id)
        try:
            rev = self.documents.save(DATABASE, document)
        except DatabaseMissing:
            self.documents.ensure_database(DATABASE)
            self.documents.ensure_views(DATABASE, WEBHOOKS)
            rev = self.documents.save(DATABASE, document)
        return {**document, "_rev": rev}

    def save_many(self, documents: list[Document]) -> list[Saved]:
        """Save hooks, each independently. A missing database is created."""
        if not documents:
            return []
        try:
            return self.documents.save_many(DATABASE, documents)
        except DatabaseMissing:
            self.documents.ensure_database(DATABASE)
            self.documents.ensure_views(DATABASE, WEBHOOKS)
            return self.documents.save_many(DATABASE, documents)

    def replace(self, stored: Document, document: Document) -> Document:
        """Save another document for a stored hook; returns it with its revision.

        Raises QuotaExceeded, Conflict.
        """
        self._check_edit(stored, document)
        return {**document, "_rev": self.documents.save(DATABASE, document)}

    def count(self, account_id: str) -> int:
        """The number of an account's hooks, with disabled ones."""
        return self.counts([account_id]).get(account_id, 0)

    def counts(self, account_ids: Sequence[str]) -> dict[str, int]:
        """The same of several accounts, without those that have none."""
        if not account_ids:
            return {}
        rows = hook_rows(self.documents, BY_ACCOUNT, keys=account_ids, group=True)
        return {row.key: int(row.value) for row in rows}

    def _check_edit(self, stored: Document, document: Document) -> None:
        account_id = str(stored.get("pvt_account_id"))
        check_document(document, self.quotas_of(account_id), stored)

    def quotas_of(self, account_id: str) -> Quotas:
        """The account's quotas, read from the store now."""
        return account_quotas(self.documents, account_id, self._quotas)

    def edit(self, hook_id: str, change: Change, now_gregorian_s: int) -> Edited:
        """Change a stored hook despite concurrent changes.

        Raises Conflict after several; QuotaExceeded, if the hook grows.
        """
        for attempts_left in reversed(range(SAVES)):
            document = self.get(hook_id)
            if document is None or is_deleted(document):
                return Edited(None, changed=False)
            fields = change(document)
            if not fields:
                return Edited(document, changed=False)
            stored, changes = document, {**fields, "pvt_modified": now_gregorian_s}
            document = with_changes(stored, changes)
            if public_fields(fields).keys() - {"enabled"}:
                self._check_edit(stored, document)
            try:
                document["_rev"] = self.documents.save(DATABASE, document)
            except Conflict:
                if not attempts_left:
                    raise
            else:
                return Edited(document, changed=True)
        raise AssertionError("the last attempt returns or raises")

    def listed(
        self, account_id: str | None, limit: int, after: tuple[str, str] | None = None
    ) -> tuple[list[Document], bool]:
        """The hooks of an account or of all, with disabled ones; and whether there are more.

        They are ordered by account and id; `after`: these two of the last hook before the page.
        """
        keys: dict[str, Any] = {}
        if account_id is not None:
            keys = {"start": [account_id], "end": [account_id, {}]}
        if after is not None:
            keys["start"] = list(after)
        rows = hook_rows(
            self.documents, EVERY_HOOK, include_documents=True, limit=limit + 2, **keys
        )
        passed = None if after is None else list(after)
        found = [row.document for row in rows if row.document is not None and row.key != passed]
        return found[:limit], len(found) > limit

    def listed_of(
        self, account_ids: Sequence[str], limit: int, after: tuple[str, str] | None = None
    ) -> tuple[list[Document], bool]:
        """The same of several accounts, in their order."""
        found: list[Document] = []
        left = list(dropwhile(lambda id: after is not None and id != after[0], account_ids))
        if after is not None and left:
            found, more = self.listed(left.pop(0), limit, after)
            if more:
                return found, True
        if not left:
            return found, False
        room = limit - len(found)
        rows = list(
            hook_rows(
                self.documents,
                BY_ACCOUNT,
                keys=left,
                reduce=False,
                include_documents=True,
                limit=room + 1,
            )
        )
        found += [row.document for row in rows[:room] if row.document is not None]
        return found, len(rows) > room

    def after(self, hook_id: str, limit: int) -> tuple[list[Document], str | None]:
        """The hooks after this id, by id, with disabled ones, and the next start if there are more.

        At most `limit` documents are read, some of which may be no hooks.
        """
        rows = self.documents.documents(DATABASE, start=hook_id, page_size=limit + 2)
        found = [document for document in islice(rows, limit + 2) if document["_id"] != hook_id]
        more = found[limit - 1]["_id"] if len(found) > limit else None
        return [d for d in found[:limit] if d.get("pvt_type") == "webhook"], more

    def ensure_accounts(self, account_ids: Collection[str], now_gregorian_s: int) -> list[str]:
        """Create the documents of missing accounts; returns the ids of those created now.

        For the embedded store, where accounts are created with their first hook; Kazoo creates its
        own.
        """
        self.documents.ensure_database("accounts")
        there = self.documents.get_many("accounts", list(account_ids))
        missing: list[Document] = [
            {
                "_id": id,
                "pvt_type": "account",
                "pvt_account_id": id,
                "pvt_tree": [],
                "pvt_created": now_gregorian_s,
                "pvt_modified": now_gregorian_s,
            }
            for id in account_ids
            if id not in there
        ]
        saved = self.documents.save_many("accounts", missing) if missing else []
        for result in saved:
            if result.is_refused:
                raise StoreError(f"account {result.id}: {result.error}")
        return [result.id for result in saved if result.rev is not None]
