"""A private CouchDB for the tests: PouchDB's server, which speaks the protocol, in memory.

CALLBOARD_TEST_COUCHDB_URL names a real CouchDB instead; give it one that is for tests alone.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from services import free_port, missing
from support.patience import patient

PROGRAM = "node_modules/.bin/pouchdb-server"
PROJECT = Path(__file__).parents[2]
START_S = patient(60.0)

# Ends the server when the test run ends for any reason: its standard input closes then.
GUARD = '"$@" & read -r _; kill $!; wait'


class PouchServer:
    """One server, always on the same port. What it stored is gone when it stops."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._arguments = [
            program, "--in-memory", "--no-stdout-logs", "--no-color",
            "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip
        self._log = folder / "output.txt"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server; returns when it answers."""
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["sh", "-c", GUARD, "sh", *self._arguments],
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        give_up = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > give_up:
                self.stop()
                raise RuntimeError(f"pouchdb-server does not answer:\n{self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server; no error where it is not running."""
        if self._server is not None:
            self._server.communicate(b"\n", timeout=patient(20))
            self._server = None

    def _answers(self) -> bool:
        try:
            return requests.get(self.url, timeout=patient(5)).ok
        except requests.ConnectionError:
            return False


class GivenServer:
    """A running CouchDB that is not ours to stop."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """Skip the test that would need this."""
        pytest.skip("the CouchDB of CALLBOARD_TEST_COUCHDB_URL is not ours to stop")


CouchServer = PouchServer | GivenServer


def program() -> str | None:
    """Where pouchdb-server is installed."""
    services = Path(os.environ.get("CALLBOARD_SERVICES_DIR", PROJECT / ".services"))
    return shutil.which("pouchdb-server") or shutil.which(services / PROGRAM)


def databases(url: str) -> set[str]:
    """The names of a server's databases."""
    return set(requests.get(f"{url}/_all_dbs", timeout=patient(10)).json())


@pytest.fixture(scope="session")
def couchdb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CouchServer]:
    """A running CouchDB or its like; skipped where there is none."""
    if given := os.environ.get("CALLBOARD_TEST_COUCHDB_URL"):
        yield GivenServer(given)
        return
    found = program()
    if found is None:
        missing("pouchdb-server", "npm install --prefix .services pouchdb-server")
    server = PouchServer(str(found), tmp_path_factory.mktemp("couchdb"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def clean(server: CouchServer, kept: set[str]) -> None:
    """Delete all databases but these; a server whose views hang is started anew instead.

    pouchdb-server never answers a view again whose database was deleted while a query of it was
    under way, not even in a new database of that name. So the queries are waited for first.
    """
    added = databases(server.url) - kept
    if isinstance(server, PouchServer) and any(_hangs(server.url, name) for name in added):
        server.stop()
        server.start()
        return
    for name in added:
        requests.delete(_path(server.url, name), timeout=patient(10))


def _hangs(url: str, name: str) -> bool:
    """Whether a view of the database does not answer; queries before this one were answered."""
    database = _path(url, name)
    designs = {"startkey": '"_design/"', "endkey": '"_design0"', "include_docs": "true"}
    listing = requests.get(f"{database}/_all_docs", designs, timeout=patient(10)).json()
    for row in listing.get("rows", ()):
        for view in row["doc"].get("views", {}):
            nothing = {"reduce": "false", "limit": 0}
            try:
                requests.get(f"{database}/{row['id']}/_view/{view}", nothing, timeout=patient(5))
            except requests.Timeout:
                return True
    return False


def _path(url: str, name: str) -> str:
    return f"{url}/{requests.utils.quote(name, safe='')}"


@pytest.fixture(scope="session")
def couchdb_databases(couchdb_server: CouchServer) -> set[str]:
    """The databases that were there before any test."""
    return databases(couchdb_server.url)


@pytest.fixture
def couchdb_url(couchdb_server: CouchServer, couchdb_databases: set[str]) -> Iterator[str]:
    """The server's URL; the databases that the test makes are deleted after it.

    Before it, too: a system that was stopped after the clean-up may have made some again.
    """
    clean(couchdb_server, couchdb_databases)
    yield couchdb_server.url
    clean(couchdb_server, couchdb_databases)
