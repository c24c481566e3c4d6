"""The hook documents in the store: read page by page, added, edited and listed."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from attrs import frozen

from callboard.adapters.repositories.migration import migrated
from callboard.adapters.store.protocol import Conflict, DatabaseMissing, Document, DocumentStore
from callboard.adapters.store.views import WEBHOOKS
from callboard.webhooks.hooks.hook import is_deleted, with_changes

DATABASE = "webhooks"
LISTING = "webhooks/webhooks_listing"
EVERY_HOOK = "webhooks/crossbar_listing"
"""Lists disabled hooks, too."""

PAGE = 500
SAVES = 5
"""How often a save is tried again when somebody else saved in between."""

Change = Callable[[Document], Mapping[str, Any]]
"""What to change of a document: the new members, None for one that goes; none if all is well."""


@frozen
class Edited:
    """The document after an edit, None where there is no such hook; whether it was changed."""

    document: Document | None
    changed: bool


@frozen
class HookPage:
    """Some of the stored hooks. `end`: where the next page goes on, which shows the last again."""

    documents: list[Document]
    end: Any


class HookStore:
    """Database `webhooks` of a document store; raises what the store raises."""

    def __init__(self, store: DocumentStore) -> None:
        self.documents = store

    def pages(self, now_gregorian_s: int, after: Any = None) -> Iterator[HookPage]:
        """All hooks that are not disabled, in pages, each read when asked for.

        Those on modules of old are migrated first. `after`: where an earlier page ended, to go on
        from there.
        """
        start = ... if after is None else after
        # As many rows a page as the store reads at once: none of them is older than its page.
        rows = self.documents.view(
            DATABASE, LISTING, include_documents=True, page_size=PAGE, start=start
        )
        while page := list(islice(rows, PAGE)):
            documents = [row.document for row in page if row.document]
            yield HookPage(migrated(self.documents, documents, now_gregorian_s), page[-1].key)

    def get(self, hook_id: str) -> Document | None:
        """A hook's document, deleted softly or not; None for a document of another kind."""
        document = self.documents.get(DATABASE, hook_id)
        return document if document and document.get("pvt_type") == "webhook" else None

    def add(self, document: Document) -> Document:
        """Store a new hook; with its revision. The database is made if nobody has made it yet."""
        try:
            rev = self.documents.save(DATABASE, document)
        except DatabaseMissing:
            self.documents.ensure_database(DATABASE)
            self.documents.ensure_views(DATABASE, WEBHOOKS)
            rev = self.documents.save(DATABASE, document)
        return {**document, "_rev": rev}

    def edit(self, hook_id: str, change: Change, now_gregorian_s: int) -> Edited:
        """Change a stored hook, whoever else does so at the same time. Raises Conflict at last."""
        for attempts_left in reversed(range(SAVES)):
            document = self.get(hook_id)
            if document is None or is_deleted(document):
                return Edited(None, changed=False)
            fields = change(document)
            if not fields:
                return Edited(document, changed=False)
            document = with_changes(document, {**fields, "pvt_modified": now_gregorian_s})
            try:
                document["_rev"] = self.documents.save(DATABASE, document)
            except Conflict:
                if not attempts_left:
                    raise
            else:
                return Edited(document, changed=True)
        raise AssertionError("the last try returns or raises")

    def listed(
        self, account_id: str | None, limit: int, after: tuple[str, str] | None = None
    ) -> tuple[list[Document], bool]:
        """The hooks of an account or of all, disabled ones too; and whether there are more.

        They are ordered by account and id; `after`: these two of the one before the first.
        """
        keys: dict[str, Any] = {}
        if account_id is not None:
            keys = {"start": [account_id], "end": [account_id, {}]}
        if after is not None:
            keys["start"] = list(after)
        rows = self.documents.view(
            DATABASE, EVERY_HOOK, include_documents=True, limit=limit + 2, **keys
        )
        passed = None if after is None else list(after)
        found = [row.document for row in rows if row.document is not None and row.key != passed]
        return found[:limit], len(found) > limit

    def after(self, hook_id: str, limit: int) -> tuple[list[Document], str | None]:
        """The hooks behind this id, by id, disabled ones too, and where to go on, if there is more.

        `limit` documents are looked at, some of which may be no hooks.
        """
        rows = self.documents.documents(DATABASE, start=hook_id, page_size=limit + 2)
        found = [document for document in islice(rows, limit + 2) if document["_id"] != hook_id]
        more = found[limit - 1]["_id"] if len(found) > limit else None
        return [d for d in found[:limit] if d.get("pvt_type") == "webhook"], more

    def ensure_account(self, account_id: str, now_gregorian_s: int) -> bool:
        """Make the document of an account that there is none of; whether it was made now.

        For the embedded store, where accounts come with their first hook; Kazoo makes its own.
        """
        self.documents.ensure_database("accounts")
        if self.documents.get("accounts", account_id) is not None:
            return False
        account: Document = {
            "_id": account_id,
            "pvt_type": "account",
            "pvt_account_id": account_id,
            "pvt_tree": [],
            "pvt_created": now_gregorian_s,
            "pvt_modified": now_gregorian_s,
        }
        self.documents.save("accounts", account)
        return True
