"""A CouchDB with a user who is no administrator: pouchdb-server behind a front, or a real one."""

import secrets
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pytest
import requests

from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.protocol import View
from services.couchdb import ADMIN, PREFIX, CouchServer, PouchWithUsers, clean, pouchdb, started
from services.couchdb_front import CouchFront
from support.patience import patient


class Restricted:
    """A server and its user `user`. `admin_url` is an administrator's, `url` the user's."""

    def __init__(self, front: CouchFront) -> None:
        self.front = front
        self.user, password = f"{PREFIX}{secrets.token_hex(4)}", secrets.token_hex(8)
        self.admin_url = front.url if front.admins is None else front.url_of(*_admin(front))
        self.url = front.url_of(self.user, password)
        self.admin = CouchdbStore(self.admin_url, timeout_s=60)
        self._document = f"{self.admin_url}/_users/org.couchdb.user:{self.user}"
        document = {"name": self.user, "password": password, "roles": [], "type": "user"}
        self._put(self._document, document)

    def make(
        self, database: str, views: Sequence[View] = (), *, member: bool = True, admin: bool = False
    ) -> None:
        """Create a database as an administrator would, for the user or not."""
        self.admin.ensure_database(database)
        if views:
            self.admin.ensure_views(database, views)
        # Without any member, a database of CouchDB 2 is everybody's.
        members = [self.user] if member else ["someone"]
        security = {
            "admins": {"names": [self.user] if admin else [], "roles": ["_admin"]},
            "members": {"names": members, "roles": ["_admin"]},
        }
        self._put(f"{self.admin_url}/{quote(database, safe='')}/_security", security)

    def refused(self) -> set[tuple[str, str]]:
        """What the user was not permitted: method and path."""
        return {
            (method, path)
            for user, method, path, status in self.front.asked
            if user == self.user and status in (401, 403)
        }

    def close(self) -> None:
        """Remove the user."""
        found = requests.get(self._document, timeout=patient(10)).json()
        requests.delete(self._document, params={"rev": found["_rev"]}, timeout=patient(10))
        self.admin.close()

    def _put(self, url: str, document: object) -> None:
        requests.put(url, json=document, timeout=patient(10)).raise_for_status()


def _admin(front: CouchFront) -> tuple[str, str]:
    return str(front.target.username), str(front.target.password)


@pytest.fixture(scope="module")
def couchdb_with_users(
    couchdb_server: CouchServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[CouchFront, CouchServer]]:
    """A running CouchDB that enforces rights, and what is to be cleaned."""
    if isinstance(couchdb_server, CouchFront):
        yield couchdb_server, couchdb_server
        return
    with started(PouchWithUsers(pouchdb(), tmp_path_factory.mktemp("users"))) as server:
        front = CouchFront(server.url, admins=frozenset({ADMIN}))
        front.start()
        try:
            yield front, server
        finally:
            front.stop()


@pytest.fixture
def restricted(couchdb_with_users: tuple[CouchFront, CouchServer]) -> Iterator[Restricted]:
    """A user without a database; what the test makes is deleted after it."""
    front, server = couchdb_with_users
    clean(server, set())
    found = Restricted(front)
    front.asked.clear()
    yield found
    found.close()
    clean(server, set())
