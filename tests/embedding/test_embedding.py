"""Callboard as a child of a host's actor, in the host's own actor system."""

import json
import os
import subprocess
import sys

import pytest

from callboard import embed
from support.hosts import Create
from support.running import ACCOUNT, call_event, outgoing
from support.trees import MULTI

multiprocess = pytest.mark.multiprocess


def add_hook(hosted, name, uri, **fields):
    document = {"pvt_account_id": ACCOUNT, "name": "n", "uri": uri, "hook": "channel_create"}
    message = embed.AddHook(document | {"format": "json"} | fields)
    saved = hosted.ask(name, embed.Ask("hook_listener", message), embed.HookSaved)
    return saved.document["_id"]


def publish(hosted, name, numbers):
    events = tuple(outgoing(call_event(number)) for number in numbers)
    message = embed.Ask("event_bridge", embed.PublishEvents(events))
    hosted.ask(name, message, embed.Published)


def calls(receiver, path):
    return {json.loads(r.body)["call_id"] for r in receiver.requests if r.path == path}


def names(numbers):
    return {f"call-{number}@switch" for number in numbers}


def callboard(command, settings):
    """A command of the CLI against that data directory."""
    return subprocess.run(
        [sys.executable, "-m", "callboard.run_system", command, "--data-dir", settings.data.dir],
        env=os.environ | {"CALLBOARD_CONFIG": os.devnull},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_starts_delivers_and_stops(hosted, settings, receiver):
    hosted.begin("a", settings())
    add_hook(hosted, "a", f"{receiver.url}/a")
    publish(hosted, "a", range(20))
    hosted.wait(lambda: calls(receiver, "/a") == names(range(20)))
    hosted.send("a", embed.Stop())
    hosted.hear("a", embed.Finished)
    hosted.hear("a", "ended")


def test_two_in_one_system_do_not_disturb_each_other(hosted, settings, receiver):
    for name in ("a", "b"):
        hosted.begin(name, settings(name))
        add_hook(hosted, name, f"{receiver.url}/{name}")
    publish(hosted, "a", range(10))
    publish(hosted, "b", range(10, 20))
    hosted.wait(lambda: calls(receiver, "/a") == names(range(10)))
    hosted.wait(lambda: calls(receiver, "/b") == names(range(10, 20)))
    hosted.send("a", embed.Stop())
    hosted.hear("a", "ended")
    publish(hosted, "b", range(20, 25))
    hosted.wait(lambda: calls(receiver, "/b") == names(range(10, 25)))
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
    hosted.hear("a", embed.Ready, 30)
