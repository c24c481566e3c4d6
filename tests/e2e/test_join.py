"""`callboard join` by itself: what it says, and what it is where no node answers."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from callboard.cli.system.lifecycle import join as join_command
from callboard.cli.terminal.output import FAILED, WRONG_USAGE
from callboard.config.loader import load
from services import free_port
from support.members import Member

pytestmark = pytest.mark.multiprocess

KEY = "the same on all machines, and kept from others"


@pytest.fixture
def join(tmp_path):
    """join() -> a machine that waits for a node which is not there."""
    members = []

    def join():
        place = {"actors.key": KEY, "actors.admin_port": free_port()}
        members.append(Member(load(Path(os.devnull), {}, place), tmp_path / "machine"))
        return members[-1]

    yield join
    for member in members:
        member.close()


def test_a_machine_says_again_and_again_that_it_waits(join, monkeypatch):
    hurried = (
        "from callboard.actors.system import member\n"
        "member.LONELY_S = 0.5\n"
        "from callboard.run_system import main\n"
        "main()"
    )
    monkeypatch.setattr(Member, "program", ("-c", hurried))
    member = join()
    member.wait_for("node_starts_nothing_here", times=2)
    assert member.node in member.log.read_text()


def test_a_service_manager_that_is_not_there_ends_nothing(join, monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    member = join()
    member.wait_for("service_manager_not_told")
    assert member.process.poll() is None


@pytest.mark.parametrize("command", ["status", "tree", "stop"])
def test_commands_that_look_for_a_tree_are_sent_to_the_node(join, command):
    member = join()
    processes = member.family()
    done = member.run(command)
    assert done.returncode == 1
    assert f"joined the node at {member.node}" in done.stderr
    assert f"SIGTERM to process {member.process.pid}" in done.stderr
    assert member.family() == processes, "no top supervisor was made"


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ("node.example.com:19100", "IPv4 address"),
        ("10.0.0.300:19100", "IPv4 address"),
        ("10.0.0.1", "IPv4 address"),
        ("0.0.0.0:19100", "actors.bind"),
        ("127.0.0.1:0", "port"),
        ("127.0.0.1:65536", "port"),
        ("127.0.0.1:admin", "port"),
        ("10.0.0.1:19100", "cannot reach this machine at 127.0.0.1"),
    ],
)
def test_what_can_be_no_node_of_this_machine_is_refused(monkeypatch, tmp_path, node, reason):
    monkeypatch.setenv("CALLBOARD_CONFIG", os.devnull)
    done = CliRunner().invoke(join_command, [node, "--data-dir", str(tmp_path / "machine")])
    assert done.exit_code == WRONG_USAGE
    assert reason in done.stderr
    assert not (tmp_path / "machine").exists()


def test_a_node_that_others_may_join_on_loopback_is_warned(start):
    assert "convention_on_loopback" in start(actors__convention="true").log.read_text()
    assert "convention_on_loopback" not in start().log.read_text()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "copy the node's actors.key there"),
        ({"actors.key": "short"}, "actors.key has 5 bytes, at least 32"),
        ({"actors.key": KEY, "actors.bind": "192.0.2.1"}, "this machine has no address 192.0.2.1"),
        ({"actors.key": KEY, "actors.bind": "0.0.0.0"}, "the one IPv4 address to listen on"),
        ({"actors.key": KEY, "actors.bind": "2001:db8::1"}, "the one IPv4 address to listen on"),
    ],
)
def test_what_keeps_a_machine_from_joining_is_said(monkeypatch, tmp_path, settings, reason):
    monkeypatch.setenv("CALLBOARD_CONFIG", os.devnull)
    given = settings | {"data.dir": str(tmp_path / "machine"), "actors.admin_port": free_port()}
    options = [f"--{key.replace('.', '-').replace('_', '-')}={each}" for key, each in given.items()]
    node = "192.0.2.2:19100" if "actors.bind" in settings else "127.0.0.1:19100"
    done = CliRunner().invoke(join_command, [node, *options])
    assert done.exit_code == FAILED
    assert reason in done.stderr
