"""Each finding of `callboard doctor` to the letter: what is wrong, and what mends it."""

import os
import resource
import socket
import sqlite3
import sys
import threading
import time
import tomllib
from contextlib import closing
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType

import pytest
from attrs import evolve
from cryptography.fernet import Fernet
from packaging.requirements import Requirement

from callboard.actors.messages import Health
from callboard.adapters.broker.rabbitmq.probe import BrokerAbout, ProbeFailed
from callboard.adapters.keys.api_token import admin_token
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.store.couchdb_probe import StoreAbout
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.protocol import Row
from callboard.adapters.store.views import ALL, WEBHOOKS
from callboard.cli.doctor import broker, configuration, files, installation, machine, store, system
from callboard.cli.doctor.checks import checks
from callboard.cli.doctor.finding import Check, Finding, Result, findings
from callboard.cli.doctor.store_rights import lacking_rights
from callboard.config.loader import ConfigError, load
from callboard.config.settings import Settings, TracingSettings
from callboard.supervision import TreeNode
from callboard.webhooks.metrics.health import Problem

OK, WARNING, PROBLEM = "ok", "warning", "problem"


NAMES = {
    *("python", "libraries", "locale", "configuration", "event modules", "delivery", "tracing"),
    *("allow_networks", "data directory", "disk space", "databases", "actors' key", "store"),
    *("secrets' key", "API's token", "open files", "hostname", "broker", "system", "clock"),
    *("readiness", "settings", "hooks' secrets", "exchange", "queue", "events", "order", "rights"),
    *("version", "views"),
}
"""What findings are about, as `--json` prints it."""


def as_tuple(found):
    assert found.name in NAMES or found.name.startswith("port "), found.name
    return found.result, found.what, found.mend


@pytest.fixture
def loaded(tmp_path):
    def loaded(text="", **given):
        file = tmp_path / "callboard.toml"
        file.write_text(text)
        overrides = {key.replace("__", "."): str(value) for key, value in given.items()}
        overrides = {"data.dir": str(tmp_path / "data")} | overrides
        return load(file if text else None, {"CALLBOARD_CONFIG": os.devnull}, overrides)

    return loaded


@pytest.fixture
def settings(loaded):
    return lambda **given: loaded(**given).settings


def test_results_are_named():
    assert [*Result] == ["ok", "warning", "problem"]


def test_a_check_that_goes_wrong_is_a_problem_with_its_name():
    forever = threading.Event()

    def denied():
        raise PermissionError(13, "no", "/some/file")

    def denied_all():
        raise PermissionError

    def broken():
        raise LookupError("nothing there")

    def late():
        forever.wait(0.9)
        return ()

    looks = {"a": late, "b": denied, "c": denied_all, "d": broken}
    found = list(findings([Check(name, look) for name, look in looks.items()], limit_s=0.25))
    # The one that hangs must not keep the process from ending.
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "a"] == [True]
    forever.set()
    as_user = "run the doctor as the user who runs Callboard"
    assert found == [
        Finding(
            "a", PROBLEM, "no result within 0.25 s", "find out whether the checked service hangs"
        ),
        Finding("b", PROBLEM, "/some/file cannot be accessed", as_user),
        Finding("c", PROBLEM, "c cannot be accessed", as_user),
        Finding(
            "d",
            PROBLEM,
            "the check failed: LookupError: nothing there",
            "report this as a bug of Callboard",
        ),
    ]


def test_a_check_has_the_time_that_is_left():
    def slow():
        time.sleep(0.05)
        return [Finding("slow", OK, "fine")]

    assert list(findings([Check("slow", slow)], limit_s=20)) == [Finding("slow", OK, "fine")]


# All of them


def test_the_checks_and_their_order(loaded):
    names = [check.name for check in checks(loaded)]
    assert names == [
        *("python", "libraries", "locale", "configuration", "event modules", "delivery"),
        *("tracing", "data directory", "databases", "actors' key", "secrets' key", "API's token"),
        *("open files", "hostname", "ports", "broker", "store", "system"),
    ]


def test_each_check_finds_something_before_the_first_start(loaded, unused_port):
    found = {}
    for check in checks(lambda: loaded(actors__admin_port=unused_port, api__port=0)):
        found[check.name] = [(one.name, one.result) for one in check.look()]
    assert found == {
        "python": [("python", OK)],
        "libraries": [("libraries", OK)],
        "locale": [("locale", OK)],
        "configuration": [("configuration", OK)],
        "event modules": [("event modules", OK)],
        "delivery": [("delivery", OK), ("allow_networks", OK)],
        "tracing": [("tracing", OK)],
        "data directory": [("data directory", OK), ("disk space", OK)],
        "databases": [],
        "actors' key": [("actors' key", OK)],
        "secrets' key": [("secrets' key", OK)],
        "API's token": [("API's token", OK)],
        "open files": [("open files", OK)],
        "hostname": [("hostname", OK)],
        "ports": [(f"port {unused_port}", OK)],
        "broker": [("broker", OK)],
        "store": [("store", OK)],
        "system": [("system", OK)],
    }


def test_a_wrong_configuration_leaves_the_checks_that_need_none():
    def wrong():
        raise ConfigError("no such key")

    *_others, last = checks(wrong)
    assert [check.name for check in checks(wrong)] == [
        *("python", "libraries", "locale", "configuration")
    ]
    assert list(last.look()) == [
        Finding(
            "configuration",
            PROBLEM,
            "no such key",
            "correct it: config/default.toml documents every key",
        )
    ]


# The machine


@pytest.mark.parametrize(
    ("soft", "hard", "requests", "expected"),
    [
        (320, 320, 32, (OK, "320 open files, 32 requests in flight", "")),
        (319, 320, 32, (PROBLEM, "319 open files, 32 requests in flight", "`ulimit -n 320`")),
        (319, 319, 32, (PROBLEM, "319 open files, 32 requests in flight", "root")),
        (319, -1, 32, (PROBLEM, "319 open files, 32 requests in flight", "`ulimit -n 320`")),
        (-1, -1, 32, (OK, "unlimited open files, 32 requests in flight", "")),
    ],
)
def test_open_files(soft, hard, requests, expected):
    result, what, how = expected
    mend = how and f"allow 320: {how}, or LimitNOFILE=320 in the systemd unit"
    assert resource.RLIM_INFINITY == -1
    assert machine.open_files(soft, hard, requests) == Finding("open files", result, what, mend)


def test_curl_may_raise_its_own_limit(settings):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        found = machine.limits(settings(delivery__threads=64))
        assert as_tuple(found)[:2] == (PROBLEM, "300 open files, 64 requests in flight")
        found = machine.limits(settings(delivery__transport="curl", delivery__in_flight=70))
        files_ = "unlimited" if hard == -1 else hard
        assert as_tuple(found)[:2] == (OK, f"{files_} open files, 70 requests in flight")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_name_of_this_machine(settings):
    found = machine.hostname(settings(node__name="apps@here.example"))
    assert (found.name, found.result) == ("hostname", OK)
    assert found.what.startswith(f"{socket.gethostname()} is ")
    assert found.what.endswith("; this node is apps@here.example")


def test_ports_of_the_sections_that_listen(settings):
    made = settings(actors__admin_port=1901, api__port=8001, api__bind="::1", api__enabled="true")
    assert machine.listening(made) == (
        machine.Port("actors.admin_port", "127.0.0.1", 1901),
        machine.Port("api.port", "::1", 8001),
    )
    assert [p.key for p in machine.listening(settings(api__enabled="false"))] == [
        "actors.admin_port"
    ]


def test_ports_that_are_free_or_taken(settings, receiver, unused_port):
    made = settings(actors__admin_port=unused_port, api__port=receiver.port, api__enabled="true")
    assert list(machine.ports(made)) == [
        Finding(f"port {unused_port}", OK, "free at 127.0.0.1 (actors.admin_port)"),
        Finding(
            f"port {receiver.port}",
            PROBLEM,
            "127.0.0.1 cannot be bound: Address already in use",
            "set another api.port",
        ),
    ]


def test_a_port_that_was_just_in_use_is_free(settings):
    """Its last connection waits for late packets (TIME_WAIT): servers bind such ports, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""
    (found,) = machine.ports(settings(actors__admin_port=port, api__enabled="false"))
    assert (found.result, found.what) == (OK, "free at 127.0.0.1 (actors.admin_port)")


# Files


@pytest.fixture
def forbidden(monkeypatch):
    """No access is permitted; the list of what was asked for."""
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))
    return asked


def test_a_folder_that_cannot_be_made(settings, tmp_path, forbidden):
    (found,) = files.data_directory(settings())
    what = f"{tmp_path}/data is missing, {tmp_path} is not writable"
    mend = "create it for the user who runs Callboard, or set another data.dir"
    assert as_tuple(found) == (PROBLEM, what, mend)
    assert forbidden == [(tmp_path, os.W_OK | os.X_OK)]


def test_a_folder_that_cannot_be_used(settings, tmp_path, forbidden):
    (tmp_path / "data").mkdir(mode=0o700)
    found, _space = files.data_directory(settings())
    user = os.geteuid()
    what = f"{tmp_path}/data belongs to user {user}, and user {user} cannot write to it"
    assert as_tuple(found) == (PROBLEM, what, "run as its owner, or chown it")
    assert forbidden == [(tmp_path / "data", os.R_OK | os.W_OK | os.X_OK)]


def test_a_file_that_every_user_can_change(settings, tmp_path):
    file = tmp_path / "data" / "api.token"
    file.parent.mkdir(mode=0o700)
    file.touch()
    file.chmod(0o646)
    found, _space = files.data_directory(settings())
    what = f"{file} can be changed by every user (mode 646): chmod o-w it"
    assert as_tuple(found) == (PROBLEM, what, "Callboard does not start before")


def test_an_embedded_store_that_cannot_be_used(settings, tmp_path, forbidden):
    file = tmp_path / "data" / "store.sqlite3"
    file.parent.mkdir()
    file.touch()
    (found,) = store.store(settings())
    what, mend = f"{file} is not writable", "run as its owner, or chown it"
    assert as_tuple(found) == (PROBLEM, what, mend)
    assert forbidden == [(file, os.R_OK | os.W_OK)]


def test_a_database_whose_rows_break_its_rules_is_corrupt(settings, tmp_path):
    """SQLite raises no error for these: its check says what is wrong."""
    file = tmp_path / "data" / "store.sqlite3"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE t (a)")
        database.execute("INSERT INTO t VALUES (NULL)")
        database.execute("PRAGMA writable_schema = 1")
        database.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE t (a NOT NULL)'")
        database.commit()
    (found,) = files.databases(settings())
    assert (found.name, found.result) == ("databases", PROBLEM)
    assert found.what == f"{file} is corrupt: NULL value in t.a"


def test_a_database_that_cannot_be_opened_is_not_called_corrupt(settings, tmp_path):
    (tmp_path / "data" / "poison.sqlite3").mkdir(parents=True)
    (found,) = files.databases(settings())
    assert as_tuple(found) == (OK, "poison.sqlite3", "")


def test_the_data_directory(settings, tmp_path):
    made = settings()
    folder = tmp_path / "data"
    first, space = files.data_directory(made)
    assert as_tuple(first) == (OK, f"{folder} will be made at the first start", "")
    assert space.what.endswith(f" MB free at {tmp_path}")
    folder.mkdir(mode=0o700)
    first, space = files.data_directory(made)
    assert as_tuple(first) == (OK, f"{folder}, writable", "")
    assert space.what.endswith(f" MB free at {folder}")
    for mode in (0o770, 0o702):
        folder.chmod(mode)
        first, _space = files.data_directory(made)
        assert as_tuple(first) == (
            WARNING,
            f"{folder} is writable by other users (mode {mode:o})",
            f"chmod 700 {folder}",
        )
    folder.rmdir()
    folder.touch()
    (first,) = files.data_directory(made)
    assert as_tuple(first) == (
        PROBLEM,
        f"{folder} cannot be a directory: a file with this name exists",
        "create it for the user who runs Callboard, or set another data.dir",
    )
    (first,) = files.data_directory(settings(data__dir=folder / "below"))
    assert first.result == PROBLEM


@pytest.mark.parametrize(
    ("free_mb", "spool_mb", "result"),
    [(768, 256, OK), (767, 256, WARNING), (129, 256, WARNING), (128, 256, PROBLEM)],
)
def test_space_on_the_disk(free_mb, spool_mb, result, tmp_path):
    found = files.room(free_mb * 1_048_576 + 1_048_575, spool_mb, tmp_path)
    mend = "free disk space: 768 MB, or lower attempts.spool_mb (256)"
    assert found == Finding(
        "disk space", result, f"{free_mb} MB free at {tmp_path}", "" if result == OK else mend
    )


def test_keys(settings, tmp_path):
    folder = tmp_path / "data"
    made = settings()
    assert as_tuple(files.actors_key(made)) == (
        OK,
        f"{folder}/actors.key will be made at the first start",
        "",
    )
    assert as_tuple(files.secrets_key(made)) == (
        OK,
        f"{folder}/secrets.key will be made with the first secret",
        "",
    )
    named = tmp_path / "named.key"
    found = files.actors_key(settings(actors__key_file=named))
    assert (found.result, found.mend) == (
        PROBLEM,
        "chmod 600 it, owned by the user who runs Callboard",
    )
    found = files.actors_key(settings(actors__key="ab" * 32))
    assert as_tuple(found) == (OK, "given by actors.key", "")
    named.write_text("ab" * 32)
    named.chmod(0o600)
    found = files.actors_key(settings(actors__key_file=named))
    assert as_tuple(found) == (OK, f"{named}, readable only by its owner", "")
    keys = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    hints = SecretBox(",".join(keys), named).hints()
    found = files.secrets_key(settings(secrets__key=keys[0]))
    assert as_tuple(found) == (OK, f"key {hints[0]}", "")
    found = files.secrets_key(settings(secrets__key=",".join(keys)))
    assert as_tuple(found) == (OK, f"keys {hints[0]}, {hints[1]}", "")
    (folder / "secrets.key").parent.mkdir()
    (folder / "secrets.key").write_text("short")
    found = files.secrets_key(made)
    assert (found.result, found.mend) == (PROBLEM, "see docs/signatures.md, “Where the keys lie”")


def test_the_token_of_the_api(settings, tmp_path):
    path = tmp_path / "data" / "api.token"
    made = settings()
    found = as_tuple(files.api_token(made))
    assert found == (OK, f"{path} will be made at the first start", "")
    found = as_tuple(files.api_token(settings(api__admin_token="t" * 16)))
    assert found == (OK, "given by api.admin_token", "")
    token = admin_token(path)
    assert len(token) == 43
    found = as_tuple(files.api_token(made))
    assert found == (OK, f"{path}, closed to other users", "")
    path.chmod(0o644)
    assert as_tuple(files.api_token(made)) == (
        PROBLEM,
        f"{path} is open to other users (mode 644): chmod 600 it",
        "until then the API does not listen",
    )


@pytest.mark.parametrize("content", [b"", b"too short", b"\xff" * 40, b"two words of a token"])
def test_a_file_without_a_token_of_the_api(settings, tmp_path, content):
    path = tmp_path / "data" / "api.token"
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    assert as_tuple(files.api_token(settings())) == (
        PROBLEM,
        f"{path} holds no token: remove it to have another made",
        "until then the API does not listen",
    )


# The configuration


def test_the_configuration_file(loaded, tmp_path):
    assert as_tuple(configuration.file(evolve(loaded(), file=None))) == (
        OK,
        "no file; defaults, environment and command line apply",
        "",
    )
    file = tmp_path / "callboard.toml"
    file.touch(0o644)
    assert as_tuple(configuration.file(loaded("[amqp]\nprefetch = 7\n"))) == (
        OK,
        f"{file}, 2 keys set in all",
        "",
    )


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ('[amqp]\nurl = "amqp://u:sesame@h/"', "amqp.url"),
        ('[couchdb]\nurl = "http://u:sesame@h:5984"', "couchdb.url"),
        ('[delivery]\nproxy = "http://u:sesame@h:1"', "delivery.proxy"),
        ('[secrets]\nkey = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="', "secrets.key"),
        (f'[actors]\nkey = "{"ab" * 32}"', "actors.key"),
        ('[api]\nadmin_token = "0123456789abcdef"', "api.admin_token"),
    ],
)
def test_a_password_in_a_file_that_all_may_read(loaded, tmp_path, text, given):
    file = tmp_path / "callboard.toml"
    file.touch()
    file.chmod(0o644)
    assert as_tuple(configuration.file(loaded(text))) == (
        WARNING,
        f"{file} holds a password and is open to every user",
        f"chmod 640 {file}, and set its group to the one Callboard runs in",
    )
    file.chmod(0o640)
    assert configuration.file(loaded(text)).result == OK
    file.chmod(0o644)
    value = text.partition('"')[2].rstrip('"')
    elsewhere = loaded("[amqp]\nprefetch = 7\n", **{given.replace(".", "__"): value})
    assert configuration.file(elsewhere).result == OK


SMALL = "keep delivery.allow_networks as small as the endpoints need (docs/security.md)"


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ([], (OK, "hooks may point to public addresses only", "")),
        (["10.0.0.0/8", "fd01::/16"], (OK, "10.0.0.0/8, fd01::/16", "")),
        (["10.0.0.0/7"], (WARNING, "10.0.0.0/7 covers most of all addresses", SMALL)),
        (["fc00::/15"], (WARNING, "fc00::/15 covers most of all addresses", SMALL)),
        (
            ["169.254.169.254/32"],
            (WARNING, "169.254.169.254/32 includes a cloud metadata service", SMALL),
        ),
        (
            ["fd00:ec2::/32"],
            (WARNING, "fd00:ec2::/32 includes a cloud metadata service", SMALL),
        ),
        (
            ["10.0.0.0/8", "127.0.0.0/8"],
            (
                WARNING,
                "10.0.0.0/8, 127.0.0.0/8: hooks may reach every service of this machine",
                f"acceptable for a trial; otherwise {SMALL}",
            ),
        ),
    ],
)
def test_networks_of_endpoints(networks, expected):
    assert as_tuple(configuration.openness(tuple(map(ip_network, networks)))) == expected


def test_what_deliveries_need(settings):
    missing, _networks = configuration.delivery(settings(delivery__ca_bundle="/no/such/bundle"))
    assert (missing.name, missing.result) == ("delivery", PROBLEM)
    assert missing.mend == "name an existing file or directory"
    fine, _networks = configuration.delivery(settings())
    assert as_tuple(fine) == (OK, "certificates and proxy can be used", "")


def test_modules_that_cannot_be_loaded(loaded):
    table = '[[modules]]\nid = "sms"\nexchange = "x"\nbindings = ["a"]\naccount = "a"\n'
    trouble, well = configuration.modules(loaded(table).settings)
    assert as_tuple(trouble) == (
        PROBLEM,
        "sms (configuration): the id 'sms' is taken by another module",
        "correct or remove it: `callboard modules list`",
    )
    assert (well.name, well.result) == ("event modules", OK)
    assert "channel_create, " in well.what


# The installation


def test_python():
    assert installation.python("3.10.9") == Finding(
        "python", PROBLEM, f"3.10.9 ({sys.executable})", "use one of <3.14,>=3.11"
    )
    assert installation.python("3.14.0").result == PROBLEM
    assert installation.python("3.14.0rc1").result == PROBLEM
    assert installation.python("3.13.0rc1").result == OK


def test_tracing_without_its_libraries(monkeypatch):
    assert configuration.tracing(Settings()).what == "off"
    wanted = Settings(tracing=TracingSettings(endpoint="http://127.0.0.1:4318"))
    assert configuration.tracing(wanted).result == OK
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", ModuleType("opentelemetry"))
    lacking = configuration.tracing(wanted)
    assert (lacking.name, lacking.result, lacking.what) == (
        *("tracing", PROBLEM),
        "tracing.endpoint http://127.0.0.1:4318 needs OpenTelemetry",
    )
    assert lacking.mend == "pip install '.[tracing]' in a checkout of Callboard"


PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_libraries():
    (found,) = installation.libraries()
    assert (found.name, found.result) == ("libraries", OK)
    assert found.what.startswith("callboard 0.")
    for needed in tomllib.loads(PROJECT.read_text())["project"]["dependencies"]:
        requirement = Requirement(needed)
        is_needed = requirement.marker is None or requirement.marker.evaluate()
        assert (f", {requirement.name} " in found.what) is is_needed, needed
    assert "sphinx" not in found.what  # of an extra


def test_libraries_that_are_missing_or_too_old(monkeypatch):
    needed = ["attrs>=999", "click>=1", "absent-lib>=2", 'extra-lib>=1; extra == "x"']
    monkeypatch.setattr(installation, "requires", lambda _name: needed)
    old, absent, others = installation.libraries()
    assert as_tuple(old)[::2] == (PROBLEM, "python -m pip install 'attrs>=999'")
    assert old.what.startswith("attrs 2")
    what, mend = "absent-lib is not installed", "python -m pip install 'absent-lib>=2'"
    assert as_tuple(absent) == (PROBLEM, what, mend)
    assert others.what.rpartition(" ")[0].endswith(", click")


def test_a_version_before_a_release_is_one(monkeypatch):
    monkeypatch.setattr(installation, "requires", lambda _name: ["click>=1"])
    monkeypatch.setattr(installation, "version", lambda _name: "9.0rc1")
    (found,) = installation.libraries()
    assert as_tuple(found) == (OK, "callboard 9.0rc1, click 9.0rc1", "")


# The broker

QUORUM = {"amqp__queue_type": "quorum"}


@pytest.mark.parametrize(
    ("urls", "given", "is_warned_of"),
    [(1, {}, False), (2, {}, True), (3, {}, True), (1, QUORUM, False), (2, QUORUM, False)],
)
def test_classic_queues_of_several_brokers(settings, monkeypatch, urls, given, is_warned_of):
    monkeypatch.setattr(broker, "look", lambda *_: BrokerAbout("RabbitMQ", "4", 0, 1, ()))
    url = " ".join(f"amqp://h{n}/" for n in range(urls))
    found = [*broker.broker(settings(amqp__url=url, **given))]
    assert [f.result for f in found] == [OK] * urls + [WARNING] * is_warned_of
    assert ("quorum" in found[-1].mend) is is_warned_of


def test_exchanges_and_queues_are_tried_at_the_first_broker_that_is_there(settings, monkeypatch):
    tried = {}

    def look(url, _queue, exchanges, timeout_s, queues):
        tried[url] = bool(exchanges), bool(queues)
        assert timeout_s == 5.0
        if "h1" in url:
            raise ProbeFailed("address", "refused")
        return BrokerAbout("RabbitMQ", "4", 0, 1, ())

    monkeypatch.setattr(broker, "look", look)
    urls = [f"amqp://h{n}/" for n in (1, 2, 3)]
    found = [*broker.broker(settings(amqp__url=" ".join(urls), **QUORUM))]
    assert [f.result for f in found] == [OK, OK, WARNING]
    assert [*tried.values()] == [(True, True), (True, True), (False, False)]


# The store


@pytest.mark.parametrize(
    ("ahead_s", "result", "what"),
    [
        (None, OK, "the store's response has no time"),
        (5.0, OK, "this machine's and the store's agree"),
        (-5.1, WARNING, "the store's is 5.1 s behind this machine's"),
        (300.0, WARNING, "the store's is 300.0 s ahead of this machine's"),
        (
            300.1,
            PROBLEM,
            "the store's is 300.1 s ahead of this machine's: receivers may reject signatures",
        ),
    ],
)
def test_clocks(ahead_s, result, what):
    mend = "" if result == OK else "synchronise both by NTP: `timedatectl set-ntp true`"
    assert store.clock(ahead_s) == Finding("clock", result, what, mend)


def test_the_embedded_store(settings, tmp_path):
    file = tmp_path / "data" / "store.sqlite3"
    made = settings()

    def found():
        (one,) = store.store(made)
        assert one.name == "store"
        return as_tuple(one)

    assert found() == (OK, f"the embedded store; {file} will be made at the first start", "")
    file.parent.mkdir()
    file.touch()
    assert found() == (OK, f"the embedded store, {file}", "")
    file.write_bytes(b"SQLite format 2 and more")
    assert found() == (PROBLEM, f"{file} is no database", "move it away, or restore it")
    file.unlink()
    made_by_it = EmbeddedStore(file, views=ALL)
    made_by_it.ensure_database("webhooks")
    made_by_it.close()
    assert found() == (OK, f"the embedded store, {file}", "")


def test_secrets_of_hooks(settings, tmp_path):
    documents = EmbeddedStore(tmp_path / "s.sqlite3", views=ALL)
    documents.ensure_database("webhooks")
    documents.ensure_views("webhooks", WEBHOOKS)
    made = settings()
    copy = "give all nodes the same secrets.key_file (docs/signatures.md)"

    def found():
        one = store.secrets_of(documents, made)
        assert one.name == "hooks' secrets"
        return as_tuple(one)

    def save(id, secrets):
        document = {"_id": id, "pvt_type": "webhook", "pvt_account_id": "a", "enabled": False}
        documents.save("webhooks", document | {"pvt_secrets": secrets})

    def secret(box, id):
        sealed = box.sealed("whsec_x", id)
        return {"fingerprint": "f", "kind": "hmac-sha256", "since": 1, "encrypted": sealed}

    assert found() == (OK, "none are stored", "")
    save("ours", [secret(SecretBox("", made.secrets_key_file), "ours")])
    assert found() == (OK, "can be decrypted here", "")
    theirs = SecretBox(Fernet.generate_key().decode(), tmp_path / "unused")
    save("theirs", [secret(theirs, "theirs")])
    hint = theirs.hints()[0]
    assert found() == (PROBLEM, f"key {hint} of hook theirs is not on this node", copy)
    save("wrong", "no list")
    assert found() == (PROBLEM, "pvt_secrets is no list of secrets", copy)
    documents.close()


# The running system


def node(id, status="running", restarts=0, children=(), started_at=0.0, **stats):
    path = id if id == "top" else f"top/{id}"
    return TreeNode(id, path, id, "", status, 1, started_at, restarts, stats, tuple(children))


LOG = "read its log for the reasons; see `callboard tree`"


@pytest.mark.parametrize(
    ("child", "now", "expected"),
    [
        (node("a"), 100, (OK, "running, 1 actors, tree whole, 0 restarts", "")),
        (node("a", restarts=20), 100, (OK, "running, 1 actors, tree whole, 20 restarts", "")),
        (
            node("a", restarts=21),
            100,
            (WARNING, "complete, but actors were restarted 21 times", LOG),
        ),
        (node("a", "restarting"), 100, (PROBLEM, "not running: top/a", LOG)),
        (
            node("a", broker="down", started_at=79.9),
            100,
            (PROBLEM, "no broker for top/a", "see the result for the broker"),
        ),
        (
            node("a", broker="down", started_at=80.0),
            100,
            (OK, "running, 1 actors, tree whole, 0 restarts", ""),
        ),
        (
            node("a", broker="up"),
            100,
            (OK, "running, 1 actors, tree whole, 0 restarts", ""),
        ),
    ],
)
def test_the_tree(child, now, expected):
    found = system.tree(node("top", children=[child]), now)
    assert (found.name, *as_tuple(found)) == ("system", *expected)


@pytest.mark.parametrize(
    ("hooks", "nodes", "result", "what"),
    [
        (0, 2, OK, "no hook is ordered or paused"),
        (1, 1, OK, "1 hook ordered or paused; one node at a time takes events"),
        (
            *(3, 2, WARNING),
            "3 hooks ordered or paused, but 2 nodes take events: their order is kept by node only",
        ),
    ],
)
def test_order_needs_one_node_at_a_time(hooks, nodes, result, what):
    found = system.order(hooks, nodes)
    mend = "set amqp.single_active_consumer on all nodes (docs/nodes.md)"
    assert found == Finding("order", result, what, mend if result == WARNING else "")
    assert system.ordered_hooks(node("top", children=[])) == 0
    queue = evolve(node("retry_queue"), path="deliveries/retry_queue", stats={"ordered_hooks": 3})
    assert system.ordered_hooks(node("top", children=[queue, node("other")])) == 3
    young = evolve(queue, stats={})
    assert system.ordered_hooks(node("top", children=[young])) == 0


def test_versions_and_settings(settings):
    assert system.same_version("1.0", "1.0") == Finding(
        "version", OK, "the running system is 1.0, like the installation"
    )
    mend = "restart it: `callboard stop`, then start"
    assert system.same_version("", "1.0") == Finding(
        "version", WARNING, "the running system is an older one, installed is 1.0", mend
    )
    assert system.same_version("0.9", "1.0").what == ("the running system is 0.9, installed is 1.0")
    started = settings(api__enabled="true")
    assert as_tuple(system.same_settings(started, settings())) == (
        OK,
        "the running system uses these settings",
        "",
    )
    other = settings(amqp__prefetch=7, log__level="error")
    assert system.same_settings(started, other) == Finding(
        "settings",
        WARNING,
        "the running system was started with different settings in amqp, log",
        "restart it, or run the doctor with its configuration",
    )


def test_a_lost_machine_is_a_warning_and_what_keeps_the_node_from_delivering_a_problem():
    lost = Problem("machine", "the machine there is lost", 1_700_000_000.0)
    down = Problem("broker", "the broker is down for event_bridge", 1_700_000_000.0)
    assert system.readiness(Health()) == Finding("readiness", OK, "the running system is ready")
    degraded = system.readiness(Health((), (lost,)))
    assert (degraded.name, degraded.result) == ("readiness", WARNING)
    assert degraded.what == (
        "ready, but degraded: the machine there is lost (since 2023-11-14T22:13:20Z)"
    )
    unready = system.readiness(Health((down,), (lost,)))
    assert (unready.name, unready.result) == ("readiness", PROBLEM)
    assert unready.what == (
        "not ready: the broker is down for event_bridge (since 2023-11-14T22:13:20Z)"
    )


def test_each_step_at_which_a_store_fails_has_advice():
    assert store.MEND.keys() == {"address", "tls", "credentials", "protocol"}
    assert "couchdb.ca_bundle" in store.MEND["tls"]
    assert "%XX" in store.MEND["credentials"]


def test_each_step_at_which_a_broker_fails_has_advice():
    named = {"url", "address", "tls", "credentials", "vhost", "permissions", "protocol"}
    assert broker.MEND.keys() == named
    for step in ("vhost", "permissions"):
        assert "rabbitmqctl set_permissions" in broker.MEND[step]
    assert "%XX" in broker.MEND["url"]
    assert "amqp.ca_bundle" in broker.MEND["tls"]


class Watched:
    """The interface of CouchdbStore: a store with an account's hooks, whose admin the user is."""

    def __init__(self, account_id):
        self.account_id, self.looked_for = account_id, []

    def database_exists(self, database):
        self.looked_for.append(database)
        return True

    def security(self, _database):
        return {"admins": {"names": ["callboard"]}}

    def get(self, _database, _id):
        return None

    def view(self, _database, _view, **_how):
        yield Row(None, self.account_id, 1, None)

    def list_databases(self, *_limits):
        return []


@pytest.mark.parametrize(
    ("now", "months"),
    [
        ("2026-11-23T23:59:59+00:00", ["202611"]),
        ("2026-11-24T00:00:00+00:00", ["202611", "202612"]),
        ("2026-11-30T23:59:59+00:00", ["202611", "202612"]),
    ],
)
def test_a_month_s_database_is_looked_for_a_week_ahead(settings, monkeypatch, now, months):
    monkeypatch.setattr(time, "time", lambda: datetime.fromisoformat(now).timestamp())
    account_id = "a1" * 16
    couchdb, about = Watched(account_id), StoreAbout("CouchDB", "3", "callboard", (), 0.0)
    assert [*lacking_rights(couchdb, about, settings())] == []
    modbs = [name for name in couchdb.looked_for if name.count("-")]
    assert [name.rpartition("-")[2] for name in modbs] == months
