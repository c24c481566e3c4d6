"""Every hook can be tried with a payload that its module could have made."""

import json
from pathlib import Path

import pytest
from attrs import evolve

from callboard.webhooks.events.directory import Account
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.discovery import discover
from callboard.webhooks.modules.notification_types import NOTIFICATION_TYPES
from callboard.webhooks.modules.protocol import EventExchange
from callboard.webhooks.modules.samples import NoDirectory, sample_payload

ACCOUNT = "1b" * 16
BUS = BusModule("order_paid", EventExchange("shop"), ("paid",), account="a", fields={"order": "id"})
MODULES = discover((BUS,)).modules


def sample(directory, event, **custom_data):
    hook = Hook(id="h", account_id=ACCOUNT, uri="u", event=event, custom_data=custom_data)
    return sample_payload(hook, MODULES, directory, "cluster", 1_700_000_000.0)


@pytest.mark.parametrize("event", sorted({e for m in MODULES for e in m.events} | {"all"}))
def test_there_is_a_sample_for_every_event(event, directory):
    assert sample(directory, event)


@pytest.mark.parametrize("id", ["channel_create", "channel_answer", "channel_destroy"])
def test_calls(id, directory):
    payload = sample(directory, id.upper(), mine="yes")
    assert (payload["hook_event"], payload["account_id"]) == (id, ACCOUNT)
    assert (payload["mine"], payload["cluster_id"]) == ("yes", "cluster")
    assert sample(directory, "all")["hook_event"] == "channel_create"


def test_samples_are_those_that_were_released(directory):
    """Receivers' tests may hold them."""
    released = json.loads((Path(__file__).parents[1] / "data" / "hook_samples.json").read_text())
    assert {event: sample(directory, event) for event in released} == released


def test_messages_and_parking(directory):
    assert sample(directory, "sms")["body"] == "a sample"
    assert sample(directory, "parking")["event_name"] == "PARK_PARKED"


def test_what_an_object_hook_selects_is_obeyed(directory):
    assert sample(directory, "object")["action"] == "doc_edited"
    payload = sample(directory, "object", type="callflow", action="doc_deleted")
    assert (payload["type"], payload["action"]) == ("callflow", "doc_deleted")
    assert sample(directory, "object", type="all", action="all")["type"] == "device"


@pytest.mark.parametrize("name", [t.name for t in NOTIFICATION_TYPES.values() if t.routing_key])
def test_what_a_notification_hook_selects_is_obeyed(name, directory):
    payload = sample(directory, "notifications", type=name)
    if name != "webhook":  # A callflow's brings its own hook.
        assert (payload["event_name"], payload["account_id"]) == (name, ACCOUNT)


def test_a_module_for_another_bus_sends_the_keys_it_was_configured_with(directory):
    assert sample(directory, "order_paid") == {"order": "sample"}


def test_an_event_without_a_sample_says_what_it_is(directory):
    hook = Hook(id="h", account_id=ACCOUNT, uri="u", event="order_paid")
    modules = (evolve(BUS, fields={}),)
    assert sample_payload(hook, modules, directory, "cluster", 0.0) == {
        "hook_event": "order_paid", "account_id": ACCOUNT, "sample": True,
    }  # fmt: skip


def test_the_directory_of_samples_has_every_account_and_no_settings():
    directory = NoDirectory()
    assert directory.account("a") == Account("a")
    assert (directory.reseller_id("a"), directory.account_by_number("+1")) == (None, None)
    assert directory.setting("c", "k", 7) == 7
