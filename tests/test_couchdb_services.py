"""The CouchDB of the tests: a run on a server that others use leaves their databases alone."""

import json
import stat

import pytest
import requests

from callboard.adapters.store.couchdb import CouchdbStore
from services.couchdb import (
    ADMIN,
    PASSWORD,
    CouchProgram,
    PouchWithUsers,
    databases,
    given,
    pouchdb,
    started,
)
from support.cluster import empty
from support.patience import patient

pytestmark = pytest.mark.couchdb


@pytest.fixture
def server(tmp_path):
    """A server with an administrator, and a database that is not of the tests."""
    with started(PouchWithUsers(pouchdb(), tmp_path)) as server:
        store = CouchdbStore(server.url, timeout_s=60)
        store.ensure_database("webhooks")
        store.save("webhooks", {"_id": "theirs"})
        store.ensure_database("accounts")
        store.close()
        yield server


def test_a_run_has_databases_of_its_own(server):
    with given(server.url) as one, given(server.url) as other:
        assert databases(one.url) == set()
        stores = [CouchdbStore(front.url, timeout_s=60) for front in (one, other)]
        for n, store in enumerate(stores):
            assert store.ensure_database("webhooks")
            assert store.ensure_database("account/ab/cd")
            assert store.ensure_database(f"of_{n}")  # listed by pouchdb-server as they are
            store.save("webhooks", {"_id": "ours", "n": n})
            store.save("account/ab/cd", {"_id": "ours", "n": n})
        assert [store.get("webhooks", "ours")["n"] for store in stores] == [0, 1]
        assert [store.get("webhooks", "theirs") for store in stores] == [None, None]
        assert [store.get("account/ab/cd", "ours")["n"] for store in stores] == [0, 1]
        assert [store.list_databases("of_", "", 9) for store in stores] == [["of_0"], ["of_1"]]
        assert stores[0].list_databases("of_", "of_0", 9) == []
        theirs = databases(other.url)
        empty(one.url)
        assert databases(one.url) == set()
        assert {"webhooks", "of_1"} < databases(other.url) == theirs
        for store in stores:
            store.close()
    assert databases(server.url) == {"webhooks", "accounts"}
    assert requests.get(f"{server.url}/webhooks/theirs", timeout=patient(10)).ok


def test_a_server_of_others_goes_and_comes_back_for_the_run_alone(server):
    with given(server.url) as front, requests.Session() as kept:
        assert kept.get(front.url, timeout=patient(10)).ok
        front.stop()
        with pytest.raises(requests.ConnectionError):
            kept.get(front.url, timeout=patient(10))
        assert requests.get(server.url, timeout=patient(10)).ok
        front.start()
        assert kept.get(front.url, timeout=patient(10)).ok


STAND_IN = """\
#!{python}
# Reads what CouchDB's program would, and becomes pouchdb-server on that port.
import configparser, json, os, pathlib
kind, *files = os.environ["ERL_FLAGS"].split()
assert kind == "-couch_ini" and pathlib.Path(os.environ["COUCHDB_ARGS_FILE"]).read_text()
read = configparser.ConfigParser()
assert read.read(files) == files, files
pathlib.Path("admins.json").write_text(json.dumps({{"admins": dict(read["admins"])}}))
os.execv({pouchdb!r}, ["pouchdb-server", "--in-memory", "--no-stdout-logs", "--config",
    "admins.json", "--host", read["chttpd"]["bind_address"], "--port", read["chttpd"]["port"]])
"""


def test_couchdb_s_program_gets_a_configuration_of_its_own(tmp_path):
    """With a stand-in for /opt/couchdb: CouchDB itself is hardly ever installed."""
    installed, folder = tmp_path / "opt" / "couchdb", tmp_path / "run"
    (installed / "bin").mkdir(parents=True)
    (installed / "etc").mkdir()
    folder.mkdir()
    (installed / "etc" / "default.ini").write_text("[chttpd]\nport = 1\nbind_address = 0.0.0.0\n")
    program = installed / "bin" / "couchdb"
    program.write_text(STAND_IN.format(python="/usr/bin/env python3", pouchdb=pouchdb()))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with started(CouchProgram(str(program), folder)) as server, given(server.url) as front:
        who = requests.get(f"{front.url}/_session", timeout=patient(10)).json()["userCtx"]
        assert who == {"name": ADMIN, "roles": ["_admin"]}
        assert PASSWORD not in front.url
        store = CouchdbStore(front.url, timeout_s=60)
        assert store.ensure_database("webhooks")
        store.close()
    assert json.loads((folder / "admins.json").read_text())["admins"]
    settings = (folder / "private.ini").read_text()
    assert f"database_dir = {folder}/data" in settings
