"""A document store in memory, which can be away."""

import itertools
import json

from callboard.adapters.store.protocol import (
    CONFLICT,
    ChangedDocument,
    Changes,
    Conflict,
    DatabaseMissing,
    Row,
    Saved,
    StoreUnavailable,
)
from callboard.adapters.store.views import ALL

_TYPES = (type(None), bool, (int, float), str, list, dict)
_VIEWS = {f"{view.design}/{view.name}": view for view in ALL}


def collated(key):
    """Orders keys as CouchDB does: null, booleans, numbers, strings, lists, objects."""
    kind = next(number for number, kind in enumerate(_TYPES) if isinstance(key, kind))
    if isinstance(key, list):
        return kind, [collated(each) for each in key]
    return kind, sorted(key) if isinstance(key, dict) else key or 0 if kind < 3 else key


class Store:
    """See `DocumentStore`. `databases`: the documents as JSON, by database and id.

    While `away` every call raises. `refuse(document)` -> an error for documents to be refused.
    """

    def __init__(self, refuse=lambda _document: None):
        self.databases, self.away, self.refuse = {}, False, refuse
        self._revisions = itertools.count(1)
        self._log = []

    def connect(self, _url, _folder, timeout_s=0):
        return self

    def _database(self, name):
        self._reach()
        if name not in self.databases:
            raise DatabaseMissing(name)
        return self.databases[name]

    def _reach(self):
        if self.away:
            raise StoreUnavailable("the store is away")

    def all(self, database):
        """The documents of a database, whether the store is away or not."""
        return [json.loads(text) for text in self.databases.get(database, {}).values()]

    # DocumentStore

    def ensure_database(self, database):
        self._reach()
        new = database not in self.databases
        self.databases.setdefault(database, {})
        return new

    def database_exists(self, database):
        self._reach()
        return database in self.databases

    def list_databases(self, prefix, after, limit):
        self._reach()
        names = sorted(name for name in self.databases if name.startswith(prefix) and name > after)
        return names[:limit]

    def ensure_views(self, database, _views):
        self._database(database)

    def get(self, database, id):
        self._reach()
        text = self.databases.get(database, {}).get(id)
        return None if text is None else json.loads(text)

    def get_many(self, database, ids):
        found = {id: self.get(database, id) for id in ids}
        return {id: document for id, document in found.items() if document is not None}

    def save(self, database, document):
        documents = self._database(database)
        id = document.get("_id") or f"{next(self._revisions):032x}"
        known = self.get(database, id)
        if known is not None and known["_rev"] != document.get("_rev"):
            raise Conflict(id)
        rev = f"{next(self._revisions)}-0"
        if document.get("_deleted"):
            documents.pop(id, None)
            return rev
        documents[id] = json.dumps({**document, "_id": id, "_rev": rev})
        self._log.append((database, ChangedDocument(id, rev, deleted=False)))
        return rev

    def save_many(self, database, documents):
        self._database(database)
        return [self._saved(database, document) for document in documents]

    def _saved(self, database, document):
        error = self.refuse(document)
        if error is None:
            try:
                return Saved(document["_id"], rev=self.save(database, document))
            except Conflict:
                error = CONFLICT
        return Saved(document["_id"], error=error)

    def delete(self, database, id, rev):
        if self.get(database, id) is not None:
            del self._database(database)[id]
            self._log.append((database, ChangedDocument(id, f"{next(self._revisions)}-0", True)))

    def view(
        self, database, view, *, start=..., end=..., include_documents=False, limit=None, **_more
    ):
        rows = [
            Row(document["_id"], key, value, document if include_documents else None)
            for document in map(json.loads, self._database(database).values())
            for key, value in _VIEWS[view].map_document(document)
        ]
        rows.sort(key=lambda row: (collated(row.key), row.id))
        kept = (
            row
            for row in rows
            if (start is ... or collated(row.key) >= collated(start))
            and (end is ... or collated(row.key) <= collated(end))
        )
        return itertools.islice(kept, limit)

    def documents(self, database, *, start="", end="\uffff", page_size=1000):
        documents = self._database(database)
        return (json.loads(documents[id]) for id in sorted(documents) if start <= id <= end)

    def changes(self, database, since, limit=1000):
        self._database(database)
        if since is None:
            return Changes((), str(len(self._log)))
        log = self._log[int(since) :]
        documents = tuple({change.id: change for of, change in log if of == database}.values())
        return Changes(documents[:limit], str(len(self._log)), len(documents) < limit)

    def close(self):
        pass
