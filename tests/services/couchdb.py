"""A private CouchDB for the tests: PouchDB's server, which speaks the protocol, in memory.

CALLBOARD_TEST_COUCHDB_URL names a running CouchDB instead, with an administrator's credentials. The
run's databases have a prefix of their own there, and are deleted at its end.
CALLBOARD_TEST_COUCHDB_PROGRAM names CouchDB's program, such as /opt/couchdb/bin/couchdb: each run
starts an instance of its own.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from services import free_port, missing
from services.couchdb_front import CouchFront
from support.patience import patient

PROGRAM = "node_modules/.bin/pouchdb-server"
PROJECT = Path(__file__).parents[2]
START_S = patient(60.0)

# Ends the server when the test run ends for any reason: its standard input closes then.
GUARD = '"$@" & read -r _; kill $!; wait'


ADMIN, PASSWORD = "callboard_admin", "relax"
PREFIX = "callboard_test_"
"""Begins the names of all databases and users of tests on a server that others use."""


class _Program:
    """A server that the tests start: one, always on the same port."""

    name = ""
    credentials = ""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://{self.credentials}127.0.0.1:{self.port}"
        self._folder = folder
        self._log = folder / "output.txt"
        self._server: subprocess.Popen[bytes] | None = None
        self._command = self._prepare(program)

    def _prepare(self, program: str) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server; returns when it answers."""
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["sh", "-c", GUARD, "sh", *self._command],
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        give_up = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > give_up:
                self.stop()
                raise RuntimeError(f"{self.name} does not answer:\n{self._log.read_text()}")
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


class PouchServer(_Program):
    """pouchdb-server. What it stored is gone when it stops."""

    name = "pouchdb-server"

    def _prepare(self, program: str) -> list[str]:
        return [
            program, "--in-memory", "--no-stdout-logs", "--no-color",
            "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip


class PouchWithUsers(PouchServer):
    """pouchdb-server with an administrator, and so with rights."""

    credentials = f"{ADMIN}:{PASSWORD}@"

    def _prepare(self, program: str) -> list[str]:
        config = self._folder / "config.json"
        config.write_text(json.dumps({"admins": {ADMIN: PASSWORD}}))
        return [*super()._prepare(program), "--config", str(config)]


class CouchProgram(_Program):
    """CouchDB itself, with an administrator, data of its own, and no name among Erlang's nodes."""

    name = "CouchDB"
    credentials = f"{ADMIN}:{PASSWORD}@"

    def _prepare(self, program: str) -> list[str]:
        arguments, settings = self._folder / "vm.args", self._folder / "private.ini"
        (self._folder / "data").mkdir()
        arguments.write_text("-noinput\n")
        settings.write_text(
            f"[couchdb]\nsingle_node = true\nuuid = {secrets.token_hex(16)}\n"
            f"database_dir = {self._folder}/data\nview_index_dir = {self._folder}/data\n"
            f"[chttpd]\nport = {self.port}\nbind_address = 127.0.0.1\n"
            f"[httpd]\nport = {free_port()}\nbind_address = 127.0.0.1\n"
            f"[admins]\n{ADMIN} = {PASSWORD}\n[log]\nlevel = warning\n"
        )
        # Its own defaults first: a relative one is looked for where the program is installed.
        default = Path(program).resolve().parents[1] / "etc" / "default.ini"
        variables = {
            "COUCHDB_ARGS_FILE": arguments,
            "ERL_FLAGS": f"-couch_ini {default} {settings}",
        }
        return ["env", *(f"{name}={value}" for name, value in variables.items()), program]


CouchServer = PouchServer | CouchFront


@contextmanager
def given(url: str) -> Iterator[CouchFront]:
    """A running CouchDB, on which this run's databases have a prefix; deleted at the end.

    A pouchdb-server with an administrator will do, too.
    """
    is_pouch = "express-pouchdb" in requests.get(url, timeout=patient(10)).json()
    admins = frozenset({urlsplit(url).username or ""}) if is_pouch else None
    front = CouchFront(url, f"{PREFIX}{secrets.token_hex(4)}_", admins)
    front.start()
    try:
        yield front
        for name in databases(front.url):
            requests.delete(_path(front.url, name), timeout=patient(10)).raise_for_status()
    finally:
        front.stop()


@contextmanager
def started(server: _Program) -> Iterator[_Program]:
    """The server while it runs."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


def program() -> str | None:
    """Where pouchdb-server is installed."""
    services = Path(os.environ.get("CALLBOARD_SERVICES_DIR", PROJECT / ".services"))
    return shutil.which("pouchdb-server") or shutil.which(services / PROGRAM)


def pouchdb() -> str:
    """The same; skips where it is missing."""
    found = program()
    if found is None:
        missing("pouchdb-server", "npm install --prefix .services pouchdb-server")
    return str(found)


def databases(url: str) -> set[str]:
    """The names of a server's databases."""
    names = requests.get(f"{url}/_all_dbs", timeout=patient(10)).json()
    return {name for name in names if not name.startswith("_")}


@pytest.fixture(scope="session")
def couchdb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CouchServer]:
    """A running CouchDB or its like; skipped where there is none."""
    if url := os.environ.get("CALLBOARD_TEST_COUCHDB_URL"):
        with given(url) as front:
            yield front
    elif own := os.environ.get("CALLBOARD_TEST_COUCHDB_PROGRAM"):
        server = CouchProgram(own, tmp_path_factory.mktemp("couchdb"))
        with started(server), given(server.url) as front:
            yield front
    else:
        with started(PouchServer(pouchdb(), tmp_path_factory.mktemp("couchdb"))) as pouch:
            yield pouch


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
