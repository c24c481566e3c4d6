"""Every document store, for what is to work alike on each of them."""

import pytest

from callboard.adapters.store import views
from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.embedded import EmbeddedStore


@pytest.fixture(params=["embedded", pytest.param("couchdb", marks=pytest.mark.couchdb)])
def store(request, tmp_path):
    if request.param == "embedded":
        made = EmbeddedStore(tmp_path / "data" / "store.sqlite3", views=views.ALL)
    else:
        made = CouchdbStore(request.getfixturevalue("couchdb_url"), timeout_s=60)
    yield made
    made.close()
