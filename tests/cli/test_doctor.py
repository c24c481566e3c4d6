"""`callboard doctor`: each check, and the whole of it without a system."""

import json
import os
import resource
import threading
import time
from ipaddress import ip_network

import pika
import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet

from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.spool import Spool
from callboard.adapters.store.views import ALL, WEBHOOKS
from callboard.cli import main
from callboard.cli.doctor import broker, configuration, files, installation, machine, store, system
from callboard.cli.doctor.finding import Check, findings, ok
from callboard.supervision import TreeNode
from services import free_port
from support.patience import patient


def doctor(*arguments, **environment):
    environment = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_API_PORT": "0"} | environment
    return CliRunner().invoke(main, ["doctor", *arguments], env=environment)


def by_name(ran):
    return {finding["name"]: finding for finding in json.loads(ran.stdout)}


# The whole


def test_before_the_first_start_all_is_well_and_nothing_is_made(tmp_path):
    data = tmp_path / "data"
    ran = doctor("--json", "--data-dir", str(data), "--actors-admin-port", str(free_port()))
    assert ran.exit_code == 0, ran.stdout + ran.stderr
    assert not [f for f in json.loads(ran.stdout) if f["result"] == "problem"]
    assert {"python", "libraries", "broker", "store", "system"} <= by_name(ran).keys()
    assert not data.exists()


def test_every_problem_says_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    ran = doctor(
        *("--json", "--data-dir", str(tmp_path / "file" / "data")),
        *("--amqp-url", f"amqp://user:sesame@127.0.0.1:{free_port()}/"),
        *("--couchdb-url", f"http://user:sesame@127.0.0.1:{free_port()}"),
        *("--delivery-ca-bundle", "/no/such/bundle"),
    )
    assert ran.exit_code == 1
    assert "sesame" not in ran.stdout + ran.stderr
    problems = {n: f for n, f in by_name(ran).items() if f["result"] == "problem"}
    assert {"data directory", "broker", "store", "delivery"} <= problems.keys()
    assert all(finding["mend"] for finding in problems.values())
    assert "refused" in problems["broker"]["what"].lower()


def test_a_wrong_configuration_is_a_finding_among_others(tmp_path):
    file = tmp_path / "callboard.toml"
    file.write_text("[amqp]\nprefetsh = 1\n")
    ran = doctor("--config", str(file))
    assert ran.exit_code == 1
    assert "amqp.prefetch?" in ran.stdout
    assert "python" in ran.stdout
    assert "1 problem," in ran.stdout


def test_a_password_that_all_may_read_is_a_warning(tmp_path):
    file = tmp_path / "callboard.toml"
    file.write_text(f'[amqp]\nurl = "amqp://u:sesame@127.0.0.1:{free_port()}/"\n')
    file.chmod(0o644)
    found = by_name(doctor("--json", "--config", str(file)))
    assert found["configuration"]["result"] == "warning"
    file.chmod(0o640)
    assert by_name(doctor("--json", "--config", str(file)))["configuration"]["result"] == "ok"


def test_results_are_coloured_and_summed_up(tmp_path):
    file = tmp_path / "callboard.toml"
    file.write_text(f'[amqp]\nurl = "amqp://u:sesame@127.0.0.1:{free_port()}/"\n')
    file.chmod(0o644)
    where = ("--config", str(file), "--data-dir", str(tmp_path))
    ran = doctor(*where, "--actors-admin-port", str(free_port()), FORCE_COLOR="1")
    assert ran.exit_code == 1
    lines = ran.stdout.splitlines()
    assert any(line.startswith("\x1b[32mok      \x1b[0m \x1b[1mpython         ") for line in lines)
    (warned,) = (n for n, line in enumerate(lines) if "holds a password" in line)
    bold = "\x1b[33mwarning \x1b[0m \x1b[1mconfiguration  \x1b[0m "
    assert lines[warned].startswith(f"{bold}{file} holds")
    assert lines[warned + 1].startswith(f"{' ' * 25}\x1b[1mto do:\x1b[0m chmod 640 ")
    broken = "\x1b[1;31mproblem \x1b[0m \x1b[1mbroker         \x1b[0m "
    assert any(line.startswith(broken) for line in lines)
    results = [line.split()[0].rpartition("m")[2] for line in lines[:-1] if "to do:" not in line]
    warnings = results.count("warning")
    said = f"{len(results)} checked: 1 problem, {warnings} warning{'s' * (warnings != 1)}"
    assert lines[-1] == said


def test_neither_a_hanging_nor_a_failing_check_keeps_the_others_from_it():
    forever = threading.Event()

    def fails():
        raise LookupError("nothing there")

    began = time.monotonic()
    found = list(
        findings(
            (
                Check("hangs", lambda: forever.wait() and ()),
                Check("fails", fails),
                Check("works", lambda: [ok("works", "fine")]),
            ),
            limit_s=0.3,
        )
    )
    forever.set()
    assert time.monotonic() - began < patient(10)
    assert [(f.name, f.result) for f in found] == [
        ("hangs", "problem"),
        ("fails", "problem"),
        ("works", "ok"),
    ]
    assert "nothing there" in found[1].what


# Single checks


@pytest.mark.parametrize(
    ("running", "result"), [("3.11.0", "ok"), ("3.13.9", "ok"), ("3.10.9", "problem")]
)
def test_python_is_one_that_is_supported(running, result):
    assert installation.python(running).result == result


def test_the_libraries_of_this_environment_fit():
    assert [finding.result for finding in installation.libraries()] == ["ok"]


@pytest.mark.parametrize(
    ("soft", "hard", "requests", "result"),
    [
        (1024, 4096, 32, "ok"),
        (256, 4096, 32, "problem"),
        (1024, 1024, 512, "problem"),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1024, "ok"),
    ],
)
def test_open_files_are_enough_for_the_requests(soft, hard, requests, result):
    found = machine.open_files(soft, hard, requests)
    assert found.result == result
    assert bool(found.mend) == (result != "ok")


@pytest.mark.parametrize(
    ("networks", "result"),
    [
        ([], "ok"),
        (["10.1.0.0/16", "fd00::/48"], "ok"),
        (["0.0.0.0/0"], "warning"),
        (["::/0"], "warning"),
        (["169.254.0.0/16"], "warning"),
        (["10.0.0.0/8", "127.0.0.0/8"], "warning"),
    ],
)
def test_networks_that_hooks_should_not_reach_are_told(networks, result):
    assert configuration.openness(tuple(map(ip_network, networks))).result == result


@pytest.mark.parametrize(
    ("ahead_s", "result"),
    [(0.4, "ok"), (-5, "ok"), (6, "warning"), (-301, "problem"), (None, "ok")],
)
def test_clocks_apart_are_told(ahead_s, result):
    assert store.clock(ahead_s).result == result


@pytest.mark.parametrize(("free_mb", "result"), [(10_000, "ok"), (400, "warning"), (9, "problem")])
def test_room_on_the_disk(tmp_path, free_mb, result):
    assert files.room(free_mb * 2**20, 256, tmp_path).result == result


def test_corrupt_files_are_named_with_what_becomes_of_them(settings, tmp_path):
    folder = tmp_path / "data"
    assert [*files.databases(settings())] == []
    for name in ("attempts.sqlite3", "dead_letters.sqlite3"):
        spool = Spool(folder / name)
        spool.append([("db", {"n": 1})])
        spool.close()
    (found,) = files.databases(settings())
    assert found == ok("databases", "attempts.sqlite3, dead_letters.sqlite3")
    for name in ("attempts.sqlite3", "store.sqlite3"):
        (folder / name).write_bytes(b"\xff" * 5000)
    (folder / "poison.sqlite3.corrupt-20260101T000000").write_bytes(b"x" * 9)
    found = {f.what.split()[0].rpartition("/")[2]: f for f in files.databases(settings())}
    assert {one.name for one in found.values()} == {"databases"}
    assert {name: str(f.result) for name, f in found.items()} == {
        "attempts.sqlite3": "problem",
        "store.sqlite3": "problem",
        "poison.sqlite3.corrupt-20260101T000000": "warning",
    }
    assert "moved aside" in found["attempts.sqlite3"].mend
    assert "backup" in found["store.sqlite3"].mend


def test_key_files_are_for_their_owner_alone(settings, tmp_path):
    (tmp_path / "data").mkdir()
    made = settings()
    made.actors_key_file.write_text("ab" * 32)
    made.actors_key_file.chmod(0o644)
    made.secrets_key_file.write_text(Fernet.generate_key().decode())
    made.secrets_key_file.chmod(0o644)
    assert files.actors_key(made).result == files.secrets_key(made).result == "problem"
    made.actors_key_file.chmod(0o600)
    made.secrets_key_file.chmod(0o600)
    assert files.actors_key(made).result == files.secrets_key(made).result == "ok"


def test_a_port_that_somebody_has_is_a_problem(settings, receiver):
    (found,) = machine.ports(settings(actors__admin_port=receiver.port, api__port=0))
    assert found.result == "problem"
    assert "actors.admin_port" in found.mend
    free = {"actors__admin_port": free_port(), "api__port": receiver.port}
    assert [f.result for f in machine.ports(settings(**free))] == ["ok", "problem"]
    assert [f.result for f in machine.ports(settings(**free, api__enabled="false"))] == ["ok"]


def test_a_version_that_is_not_the_installed_one_is_told():
    assert system.same_version("1.0", "1.0").result == "ok"
    assert system.same_version("", "1.0").result == "warning"


def node(id, status="running", restarts=0, children=(), **stats):
    return TreeNode(id, id, id, "", status, 1, 0.0, restarts, stats, tuple(children))


@pytest.mark.parametrize(
    ("child", "result"),
    [
        (node("a"), "ok"),
        (node("a", "restarting"), "problem"),
        (node("a", broker="down"), "problem"),
        (node("a", restarts=21), "warning"),
        (node("initializer", "ended"), "ok"),
    ],
)
def test_a_tree_that_is_not_whole_is_a_problem(child, result):
    assert system.tree(node("top", children=[child]), now_unix_s=100.0).result == result


def test_what_has_just_started_may_still_be_connecting():
    top = node("top", children=[node("a", broker="down")])
    assert system.tree(top, now_unix_s=3.0).result == "ok"


def test_settings_other_than_the_running_ones_are_told(settings):
    same = system.same_settings(settings(api__enabled="true"), settings())
    assert (same.name, same.result) == ("settings", "ok")
    found = system.same_settings(settings(api__enabled="true", amqp__prefetch=7), settings())
    assert (found.name, found.result) == ("settings", "warning")
    assert found.what.endswith("started with different settings in amqp")


def test_secrets_of_another_node_are_told(settings, tmp_path):
    documents = EmbeddedStore(tmp_path / "s.sqlite3", views=ALL)
    documents.ensure_database("webhooks")
    documents.ensure_views("webhooks", WEBHOOKS)
    made = settings()
    assert store.secrets_of(documents, made).result == "ok"
    theirs = SecretBox(Fernet.generate_key().decode(), tmp_path / "unused")
    ours = SecretBox("", made.secrets_key_file)

    def save(id, box):
        secret = {"fingerprint": "f", "kind": "hmac-sha256", "since": 1}
        secret["encrypted"] = box.sealed("whsec_x", id)
        document = {"_id": id, "pvt_type": "webhook", "pvt_account_id": "a"}
        documents.save("webhooks", document | {"pvt_secrets": [secret]})

    save("ours", ours)
    assert store.secrets_of(documents, made).result == "ok"
    save("theirs", theirs)
    found = store.secrets_of(documents, made)
    assert found.result == "problem"
    assert "theirs" in found.what
    documents.close()


# Real servers


@pytest.mark.rabbitmq
def test_a_real_broker_is_found_well_or_told_what_it_lacks(settings, amqp_url):
    (found,) = broker.broker(settings(amqp__url=amqp_url))
    assert found.result == "ok"
    assert "RabbitMQ" in found.what
    pika.BlockingConnection(pika.URLParameters(amqp_url)).channel().queue_declare(
        "callboard.events", durable=True
    )
    assert len([*broker.broker(settings(amqp__url=amqp_url))]) == 1
    well, found = broker.broker(settings(amqp__url=amqp_url, amqp__queue_type="quorum"))
    assert (well.result, found.result) == ("ok", "problem")
    assert "amqp.queue_type" in found.mend
    (found,) = broker.broker(settings(amqp__url=f"{amqp_url}-is-missing"))
    assert (found.result, "vhost:" in found.what) == ("problem", True)
    assert "add_vhost" in found.mend


@pytest.mark.rabbitmq
def test_of_several_brokers_one_may_be_away(settings, amqp_url):
    away = f"amqp://user:sesame@127.0.0.1:{free_port()}/"
    several = {"amqp__url": f"{away} {amqp_url}", "amqp__queue_type": "quorum"}
    well, missing = broker.broker(settings(**several))
    assert (well.result, missing.result) == ("ok", "warning")
    assert "sesame" not in missing.what
    assert "address: " in missing.what
    *_others, advice = broker.broker(settings(amqp__url=f"{away},{amqp_url}"))
    assert (advice.result, advice.name) == ("warning", "queue")
    assert "quorum" in advice.mend
    found = [*broker.broker(settings(**several | {"amqp__url": f"{away},{away}"}))]
    assert [each.result for each in found] == ["problem", "problem"]


@pytest.mark.rabbitmq
def test_a_queue_that_the_broker_refuses_is_told_before_the_first_start(
    settings, rabbitmq, amqp_url
):
    rabbitmq.deny_deprecated(amqp_url)
    (found,) = broker.broker(settings(amqp__url=amqp_url))
    assert found.result == "ok"
    well, found = broker.broker(settings(amqp__url=amqp_url, amqp__join_kazoo="true"))
    assert (well.result, found.result) == ("ok", "problem")
    assert found.what == (
        "webhooks_shared_listener would be refused (541 INTERNAL_ERROR): it is neither durable nor "
        "exclusive, which RabbitMQ 4 permits only if it is told to"
    )
    assert "deprecated_features.permit.transient_nonexcl_queues = true" in found.mend
    assert rabbitmq.queues(amqp_url) == []


@pytest.mark.couchdb
def test_a_real_store_is_found_well_or_told_what_it_lacks(settings, couchdb_url):
    made = settings(couchdb__url=couchdb_url)
    before = {finding.name: finding for finding in store.store(made)}
    assert before["store"].result == before["clock"].result == "ok"
    assert "missing" in before["databases"].what
    documents = CouchdbStore(couchdb_url, timeout_s=60)
    documents.ensure_database("webhooks")
    assert {f.name: f.result for f in store.store(made)}["views"] == "warning"
    documents.ensure_views("webhooks", WEBHOOKS)
    found = {finding.name: finding for finding in store.store(made)}
    assert found["views"].result == found["hooks' secrets"].result == "ok", found
    documents.close()


def test_somebody_who_hangs_does_not_hang_the_doctor(receiver):
    began = time.monotonic()
    ran = doctor(
        *("--json", "--couchdb-url", f"{receiver.url}/hang"),
        *("--amqp-url", f"amqp://127.0.0.1:{receiver.port}/"),
        *("--actors-admin-port", str(free_port())),
    )
    assert ran.exit_code == 1
    found = by_name(ran)
    assert found["broker"]["result"] == found["store"]["result"] == "problem"
    assert time.monotonic() - began < patient(40)
