"""Document stores for tests: each of them, that of a system, and one that is meddled with.

`BOTH` are parameters of a fixture, with which `urls` and `opened` take everything embedded or on
real servers.
"""

import pytest

from callboard.adapters.store import stores, views
from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.embedded import EmbeddedStore

BOTH = ["embedded", pytest.param("real", marks=[pytest.mark.rabbitmq, pytest.mark.couchdb])]
STORES = ["embedded", pytest.param("couchdb", marks=pytest.mark.couchdb)]


def calls_on(database, view):
    """A call of each operation on a database, as functions of the store."""
    return [
        lambda store: store.ensure_database(database),
        lambda store: store.database_exists(database),
        lambda store: store.ensure_views(database, [view]),
        lambda store: store.get(database, "x"),
        lambda store: store.get_many(database, ["x"]),
        lambda store: store.save(database, {"_id": "x"}),
        lambda store: store.save_many(database, [{"_id": "x"}]),
        lambda store: store.delete(database, "x", "1-a"),
        lambda store: next(store.view(database, "d/v")),
        lambda store: next(store.documents(database)),
    ]


def urls(request):
    """The settings of a system: everything embedded, or on RabbitMQ and CouchDB."""
    if request.param == "embedded":
        return {}
    return {f"{name}__url": request.getfixturevalue(f"{name}_url") for name in ("amqp", "couchdb")}


def opened(request, folder, its_views=views.ALL):
    """A store of the one kind or the other."""
    if request.param == "embedded":
        return EmbeddedStore(folder / "data" / "store.sqlite3", views=its_views)
    return CouchdbStore(request.getfixturevalue("couchdb_url"), timeout_s=60)


def first_store(tmp_path):
    """The embedded store of the first system that a test starts."""
    folder = tmp_path / "data0"
    folder.mkdir()
    return stores.connect("sqlite://", folder)


class Meddled:
    """The store given, but for `before`: name of a method -> function(*arguments) called first.

    Each function is called once; what it raises reaches the caller. `calls` are the names of all
    methods called.
    """

    def __init__(self, store, **before):
        self._store = store
        self.before = before
        self.calls = []

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*arguments, **options):
            self.calls.append(name)
            if first := self.before.pop(name, None):
                first(*arguments)
            return method(*arguments, **options)

        return call


def refuse(error):
    """A function that raises it, whatever it is called with."""

    def refusing(*_arguments):
        raise error

    return refusing
