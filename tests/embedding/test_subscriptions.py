"""What subscribers hear, how much of it, and that nobody waits for them."""

import os
import signal
import time

import pytest

from callboard import embed
from callboard.actors.messages import FailedAttempts
from support.hosts import DeafListener
from support.running import ACCOUNT
from support.trees import MULTI

multiprocess = pytest.mark.multiprocess


def crash(hosted, name, path):
    """Make that actor raise."""
    hosted.send(name, embed.Ask(path, FailedAttempts(failures=None)))


def test_the_host_hears_of_deliveries_hooks_and_restarts(hosted, settings, receiver):
    hosted.begin("a", settings())
    hook = hosted.add_hook("a", f"{receiver.url}/status/500")
    kinds = hosted.ask("a", embed.SubscribeToNotices(), embed.Subscribed).kinds
    assert set(kinds) == {"hook_disabled", "child_restarted", "delivery_failed"}

    hosted.publish("a", [1])
    failed = hosted.notice(embed.DeliveryFailed)
    assert (failed.account_id, failed.hook_id) == (ACCOUNT, hook)
    assert (failed.uri, failed.reason) == (f"{receiver.url}/status/500", "status 500")
    assert receiver.requests[0].headers["webhook-id"] == failed.delivery_id
    assert len(failed.event_id) == 10

    hosted.send("a", embed.Ask("hook_listener", embed.DisableHook(ACCOUNT, hook, "enough")))
    assert hosted.notice(embed.HookDisabled) == embed.HookDisabled(ACCOUNT, hook, "enough")

    crash(hosted, "a", "failure_cache")
    restarted = hosted.notice(embed.ChildRestarted)
    assert (restarted.path, restarted.restarts) == ("failure_cache", 1)
    assert restarted.pid == hosted.tree("a").at("failure_cache").pid
    assert restarted.reason.startswith("it failed with TypeError: 'NoneType' object")


def test_only_what_was_asked_for_is_sent_and_no_longer_than_that(hosted, settings, receiver):
    hosted.begin("a", settings())
    hosted.add_hook("a", f"{receiver.url}/status/500")
    hosted.ask("a", embed.SubscribeToNotices(embed.DELIVERY_FAILED), embed.Subscribed)
    crash(hosted, "a", "failure_cache")
    hosted.wait(lambda: hosted.tree("a").at("failure_cache").restarts == 1)
    hosted.publish("a", [1])
    hosted.notice(embed.DeliveryFailed)
    assert {batch.kind for batch in hosted.batches()} == {embed.DELIVERY_FAILED}

    hosted.ask("a", embed.SubscribeToNotices((embed.CHILD_RESTARTED,)), embed.Subscribed)
    crash(hosted, "a", "failure_cache")
    assert hosted.notice(embed.ChildRestarted).restarts == 2
    hosted.ask("a", embed.Unsubscribe(), embed.Unsubscribed)
    before = len(hosted.batches("a"))
    hosted.listener("other", "a")
    crash(hosted, "a", "failure_cache")
    assert hosted.notice(embed.ChildRestarted, "other").restarts == 3
    assert len(hosted.batches("a")) == before
    told = [notice for batch in hosted.batches() for notice in batch.notices]
    assert [type(notice) for notice in told] == [
        embed.DeliveryFailed,
        embed.ChildRestarted,
        embed.ChildRestarted,
    ]


def test_a_kind_that_there_is_none_of_is_refused_at_once():
    with pytest.raises(ValueError, match="'hooks_disabled', only hook_disabled, child_restarted"):
        embed.SubscribeToNotices(("hooks_disabled",))


def test_failures_in_masses_come_in_few_messages(hosted, settings, receiver):
    events = 1000
    hosted.begin("a", settings(disabler__enabled="false"))
    hosted.add_hook("a", f"{receiver.url}/status/500")
    hosted.ask("a", embed.SubscribeToNotices(embed.DELIVERY_FAILED), embed.Subscribed)
    began = time.monotonic()
    for first in range(0, events, 100):
        hosted.publish("a", range(first, first + 100))

    def told():
        return sum(len(batch.notices) + batch.left_out for batch in hosted.batches())

    # What was left out last is told with the next batch, so there has to be one.
    hosted.wait(lambda: receiver.count >= events, 60)
    hosted.wait(lambda: hosted.figure("a", "deliveries/deliverer-1", "given_up") == events)
    hosted.publish("a", [events])
    hosted.wait(lambda: told() == events + 1, 60, "word of every failure")
    took = time.monotonic() - began
    batches = hosted.batches()
    print(f"{events} failures in {took:.1f} s: {len(batches)} messages")
    assert len(batches) <= 10 * took + 2
    assert max(len(batch.notices) for batch in batches) <= 100


@multiprocess
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_nobody_waits_for_a_subscriber_that_does_not_answer(embedding, settings, receiver, number):
    hosted = embedding(MULTI)
    hosted.begin("a", settings(disabler__enabled="false"))
    hosted.add_hook("a", f"{receiver.url}/a")
    hosted.add_hook("a", f"{receiver.url}/status/500")
    silent = hosted.listener("silent", "a")
    hosted.listener("lively", "a")
    os.kill(silent, number)
    try:
        for first in range(0, 1000, 100):
            hosted.publish("a", range(first, first + 100))
        hosted.wait_for_calls(receiver, "/a", range(1000), 60)
        # Changes of hooks are among what the bridge takes.
        hosted.wait(lambda: hosted.figure("a", "event_bridge", "acknowledged") >= 1000, 60)
        hosted.notice(embed.DeliveryFailed, "lively")
        assert {node.restarts for node in hosted.tree("a").below()} == {0}
    finally:
        if number == signal.SIGSTOP:
            os.kill(silent, signal.SIGCONT)


def test_who_confirms_nothing_gets_one_batch_and_the_others_all(hosted, settings, receiver):
    hosted.begin("a", settings(disabler__enabled="false"))
    hosted.add_hook("a", f"{receiver.url}/status/500")
    hosted.listener("deaf", "a", DeafListener)
    hosted.listener("lively", "a")
    for number in range(5):
        hosted.publish("a", [number])
        hosted.wait(
            lambda n=number: hosted.figure("a", "deliveries/deliverer-1", "given_up") == n + 1
        )
    hosted.wait(lambda: sum(len(b.notices) for b in hosted.batches("lively")) == 5)
    heard = [batch for batch in hosted.batches("deaf") if batch.notices]
    assert len(heard) == 1
