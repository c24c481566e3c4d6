"""Callboard as a child of a host's actor, in the host's own actor system."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from callboard import admin, embed
from callboard.supervision import Peer
from support.hosts import Create
from support.patience import patient
from support.running import ACCOUNT
from support.trees import MULTI, SIMPLE

multiprocess = pytest.mark.multiprocess


def callboard(command, settings):
    """A command of the CLI against that data directory."""
    return subprocess.run(
        [sys.executable, "-m", "callboard.run_system", command, "--data-dir", settings.data.dir],
        env=os.environ | {"CALLBOARD_CONFIG": os.devnull},
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )


def test_it_starts_delivers_and_stops(hosted, settings, receiver):
    hosted.begin("a", settings())
    hosted.add_hook("a", f"{receiver.url}/a")
    hosted.publish("a", range(20))
    hosted.wait_for_calls(receiver, "/a", range(20))
    hosted.send("a", embed.Stop())
    hosted.hear("a", embed.Finished)
    hosted.hear("a", "ended")


@multiprocess
def test_a_system_that_is_not_sealed_will_do(embedding, settings, receiver):
    hosted = embedding(MULTI, sealed=False)
    hosted.begin("a", settings())
    hosted.add_hook("a", f"{receiver.url}/a")
    os.kill(hosted.tree("a").at("deliveries/deliverer-1").pid, signal.SIGKILL)
    hosted.publish("a", range(20))
    hosted.wait_for_calls(receiver, "/a", range(20))
    hosted.send("a", embed.Stop())
    hosted.hear("a", embed.Finished)
    hosted.hear("a", "ended")


def test_a_host_administers_it_by_messages(hosted, settings, receiver):
    hosted.begin("a", settings())
    hosted.add_hook("a", f"{receiver.url}/a")
    configured = hosted.ask("a", admin.HooksConfigured(), admin.ConfiguredHooks)
    assert [(hook.account_id, hook.uri) for hook in configured.hooks] == [
        (ACCOUNT, f"{receiver.url}/a")
    ]
    saved = hosted.ask("a", admin.SetDisableThreshold(7, ref="mine"), admin.SettingSaved)
    assert (saved.value, saved.ref) == (7, "mine")
    refused = hosted.ask("a", admin.SetDisableThreshold("many"), admin.Refused)
    assert refused.reason.startswith("error in count, must be an integer")


def test_two_in_one_system_do_not_disturb_each_other(hosted, settings, receiver):
    for name in ("a", "b"):
        hosted.begin(name, settings(name))
        hosted.add_hook(name, f"{receiver.url}/{name}")
    hosted.publish("a", range(10))
    hosted.publish("b", range(10, 20))
    hosted.wait_for_calls(receiver, "/a", range(10))
    hosted.wait_for_calls(receiver, "/b", range(10, 20))
    hosted.send("a", embed.Stop())
    hosted.hear("a", "ended")
    hosted.publish("b", range(20, 25))
    hosted.wait_for_calls(receiver, "/b", range(10, 25))
    assert receiver.count == 25
    assert {node.restarts for node in hosted.tree("b").below()} == {0}


def test_a_data_directory_has_one_owner_at_a_time(hosted, settings):
    hosted.begin("a", settings())
    hosted.create("b", settings())
    refused = hosted.hear("b", embed.GaveUp)
    assert f"a system is running on {settings().data.dir} already" in refused.reason
    hosted.hear("b", "ended")
    hosted.send("a", embed.Stop())
    hosted.hear("a", embed.Finished)
    hosted.begin("b", settings())


@multiprocess
def test_the_command_line_says_that_it_cannot_attach(embedding, settings):
    hosted = embedding(MULTI)
    hosted.begin("a", settings())
    for command in ("status", "tree", "stop"):
        told = callboard(command, settings())
        assert told.returncode == 1
        assert f"embedded in a host's actor system (process {hosted.pid})" in told.stderr
    refused = callboard("start", settings())
    assert refused.returncode == 1
    assert f"(process {hosted.pid}, embedded)" in refused.stderr


@multiprocess
def test_it_is_refused_where_a_system_runs(embedding, start, settings):
    running = start()
    hosted = embedding(MULTI)
    hosted.create("a", settings("data0"))
    assert str(running.process.pid) in hosted.hear("a", embed.GaveUp).reason


def test_what_cannot_be_asked_is_refused(hosted, settings):
    hosted.begin("a", settings())
    hosted.send("a", embed.Ask("no/such_actor", embed.ListHooks()))
    assert "no/such_actor" in hosted.hear(None, embed.Refused).reason
    located = hosted.ask("a", embed.Locate("deliveries/deliverer-1"), embed.Located)
    assert located.peer.path == "deliveries/deliverer-1"


def test_what_arrives_before_the_start_does_no_harm(hosted, settings):
    hosted.system.tell(hosted.host, Create("a", None))
    assert hosted.ask("a", embed.GetTree(), embed.TreeNode).children == ()
    assert hosted.ask("a", embed.SubscribeToNotices(), embed.Subscribed)
    hosted.send("a", embed.Ask("event_bridge", embed.PublishEvents(())))
    hosted.hear(None, embed.Refused)
    hosted.send("a", embed.begin(settings()))
    hosted.hear("a", Peer, 30)


def facts_of_this_process():
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "umask": mask,
        "folder": Path.cwd(),
        "environment": dict(os.environ),
        "signals": {n: signal.getsignal(n) for n in signal.valid_signals()},
        "handlers": {n: logging.getLogger(n).handlers for n in (None, "callboard", "pika")},
        "levels": {n: logging.getLogger(n).level for n in (None, "callboard", "pika")},
        "structlog": structlog.get_config(),
    }


def test_a_process_it_shares_with_the_host_is_left_as_it_was(
    embedding, settings, receiver, capfd, caplog, monkeypatch
):
    # As if no test before this one had configured logs, as our own processes do.
    ours = [handler for handler in logging.root.handlers if "callboard" in type(handler).__module__]
    monkeypatch.setattr(
        logging.root, "handlers", [h for h in logging.root.handlers if h not in ours]
    )
    structlog.reset_defaults()
    hosted = embedding(SIMPLE)
    caplog.set_level(logging.INFO, "callboard")
    before = facts_of_this_process()
    hosted.begin("a", settings())
    hosted.add_hook("a", f"{receiver.url}/status/500")
    hosted.publish("a", [1])
    hosted.wait(lambda: receiver.count == 1)
    assert facts_of_this_process() == before
    assert capfd.readouterr() == ("", "")
    lines = [record.getMessage() for record in caplog.records if record.name == "callboard"]
    assert any("event=child_started" in line and "event_bridge" in line for line in lines), lines


def test_a_hosts_own_structlog_is_used(embedding, settings):
    hosted = embedding(SIMPLE)
    logs = structlog.testing.LogCapture()
    structlog.configure(processors=[logs])
    try:
        hosted.begin("a", settings())
    finally:
        structlog.reset_defaults()
    assert {"hooks_loaded", "broker_up"} & {entry["event"] for entry in logs.entries}
