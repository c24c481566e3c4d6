"""Which failures count, for how long, and what becomes of a hook that fails too often."""

import json

import pytest
import structlog

from callboard.adapters.repositories.maintenance import enable_account
from callboard.webhooks.hooks.failure_window import FailureWindow, counting_pause_s, overdue
from support.attempts import recorded_attempts
from support.cluster import prepared
from support.kazoo import ACCOUNT, NODE, RESELLER, TOP, ZONE, database
from support.receiver import Receiver
from support.running import ACCOUNT as OURS
from support.running import RunningSystem, call_event

COUNT, EXPIRY = "attempt_failure_count", "attempt_failure_expiry_ms"
NOW = 63_930_000_000_000
DEFAULTS = {COUNT: 6, EXPIRY: 60_000}


def own(cluster, account=ACCOUNT, **settings):
    cluster.put(database(account), {"_id": "configs_webhooks", **settings})


def limits(cluster, account=ACCOUNT):
    found = cluster.directory.failure_limits([account])[account]
    return {COUNT: found.count, EXPIRY: found.expiry_ms}


def disabled(cluster, *ages_ms, account=ACCOUNT):
    """Whether a hook is disabled whose tries failed so long ago."""
    window = FailureWindow()
    for age_ms in ages_ms:
        window.record(account, "h", NOW - age_ms)
    return overdue(window.times(), cluster.directory.failure_limits([account]), NOW) == [
        (account, "h")
    ]


# Counting


@pytest.mark.parametrize(
    ("ages_ms", "is_disabled"),
    [
        pytest.param(range(5), False, id="five"),
        pytest.param(range(6), True, id="six are enough"),
        pytest.param(range(9), True, id="more than enough"),
        pytest.param([0] * 6, False, id="in the same millisecond they are one"),
        pytest.param([0, 1, 2, 3, 4, 59_999], True, id="within a minute"),
        pytest.param([0, 1, 2, 3, 4, 60_000], False, id="one of them a minute old"),
    ],
)
def test_six_failures_within_a_minute_disable(ages_ms, is_disabled, cluster):
    assert disabled(cluster, *ages_ms) is is_disabled


def test_each_hook_of_each_account_is_counted_for_itself(cluster):
    window = FailureWindow()
    for age_ms in range(5):
        for account, hook in ((ACCOUNT, "h"), (ACCOUNT, "i"), (TOP, "h")):
            window.record(account, hook, NOW - age_ms)
    assert overdue(window.times(), cluster.directory.failure_limits([ACCOUNT, TOP]), NOW) == []


# Whose threshold and whose window


def test_the_account_s_own_document_goes_first(cluster):
    own(cluster, **{COUNT: 2, EXPIRY: 500})
    own(cluster, RESELLER, **{COUNT: 3, EXPIRY: 700})
    cluster.configure("webhooks", **{COUNT: 4, EXPIRY: 900})
    assert limits(cluster) == {COUNT: 2, EXPIRY: 500}


def test_what_it_lacks_is_the_system_s_and_not_the_reseller_s(cluster):
    own(cluster, **{EXPIRY: 500})
    own(cluster, RESELLER, **{COUNT: 3})
    cluster.configure("webhooks", **{COUNT: 4})
    assert limits(cluster) == {COUNT: 4, EXPIRY: 500}


def test_without_a_document_of_its_own_the_reseller_s_counts(cluster):
    own(cluster, RESELLER, **{COUNT: 3})
    cluster.configure("webhooks", **{COUNT: 4, EXPIRY: 900})
    assert limits(cluster) == {COUNT: 3, EXPIRY: 900}


def test_only_the_reseller_s_and_not_another_ancestor_s(cluster):
    own(cluster, TOP, **{COUNT: 3})
    assert limits(cluster) == DEFAULTS


def test_an_account_that_is_its_own_reseller_asks_once(cluster):
    cluster.put("services", {"_id": ACCOUNT, "pvt_reseller_id": ACCOUNT})
    assert limits(cluster) == DEFAULTS


def test_with_neither_the_system_s_counts(cluster):
    cluster.configure("webhooks", **{COUNT: 4, EXPIRY: 900})
    assert limits(cluster) == {COUNT: 4, EXPIRY: 900}


def test_the_document_is_called_configs_webhooks_whatever_kazoo_s_page_says(cluster):
    cluster.put(database(ACCOUNT), {"_id": "config_webhooks", COUNT: 2})
    assert limits(cluster) == DEFAULTS


def test_it_is_flat(cluster):
    own(cluster, default={COUNT: 2})
    assert limits(cluster) == DEFAULTS


def test_an_account_s_threshold_decides(cluster):
    own(cluster, **{COUNT: 2, EXPIRY: 500})
    assert disabled(cluster, 0, 499)
    assert not disabled(cluster, 0, 500)


def test_a_window_that_is_no_integer_is_a_minute(cluster):
    own(cluster, **{COUNT: 1, EXPIRY: "long"})
    cluster.configure("webhooks", **{EXPIRY: 500})
    assert disabled(cluster, 59_999)
    assert not disabled(cluster, 60_000)


def test_a_threshold_that_is_no_integer_is_logged_and_more_than_the_system_s_disables(cluster):
    own(cluster, **{COUNT: "some"})
    cluster.configure("webhooks", **{COUNT: 4})
    with structlog.testing.capture_logs() as logs:
        assert not disabled(cluster, *range(4))
    assert [line["account"] for line in logs if "failure_count" in line["event"]] == [ACCOUNT]
    assert disabled(cluster, *range(5))


@pytest.mark.parametrize("value", ["3", 3.2])
def test_integers_may_be_written_otherwise(value, cluster):
    own(cluster, **{COUNT: value})
    assert limits(cluster)[COUNT] == 3


# system_config/webhooks


@pytest.mark.parametrize(
    ("sections", "wanted"),
    [
        pytest.param((NODE, ZONE, "default"), 1, id="the node's section goes first"),
        pytest.param((ZONE, "default"), 1, id="then the zone's"),
        pytest.param(("default",), 1, id="then default"),
        pytest.param(("another@node", "east"), 6, id="the sections of others do not count"),
    ],
)
def test_sections(sections, wanted, cluster):
    for number, section in enumerate(sections, start=1):
        cluster.configure("webhooks", section, **{COUNT: number})
    assert limits(cluster)[COUNT] == wanted


def test_they_are_looked_up_key_by_key(cluster):
    cluster.configure("webhooks", NODE, **{COUNT: 2})
    cluster.configure("webhooks", **{COUNT: 3, EXPIRY: 700})
    assert limits(cluster) == {COUNT: 2, EXPIRY: 700}


def test_a_default_that_is_set_nowhere_is_written_into_the_default_section(cluster):
    limits(cluster)
    assert cluster.store.get("system_config", "webhooks")["default"] == DEFAULTS


# When failures are counted


@pytest.mark.parametrize(
    ("expiry_ms", "wanted_s"),
    [
        pytest.param(60_000, 15, id="four times in every window"),
        pytest.param("8000", 2, id="integers may be written otherwise"),
        pytest.param("soon", 15, id="a window that is no integer is a minute"),
        pytest.param(None, 15, id="nor is nothing"),
        pytest.param(10**400, 7_905_600, id="at least every quarter of 366 days"),
        pytest.param(0, 1, id="not more often than every second"),
    ],
)
def test_failures_are_counted_four_times_in_the_system_s_window(expiry_ms, wanted_s):
    assert counting_pause_s(expiry_ms) == wanted_s


# Enabling again


def test_only_hooks_that_were_disabled_for_their_failures_are_enabled_again(cluster):
    failed = cluster.hook(enabled=False, pvt_disabled_message="too many failed attempts")
    by_hand = cluster.hook(enabled=False)
    other = cluster.hook(account=TOP, enabled=False, pvt_disabled_message="m")
    steps = list(enable_account(cluster.store, ACCOUNT, 63_930_000_000))
    assert [report.enabled for step in steps for report in step.found] == [(failed,)]
    after = {id: cluster.store.get("webhooks", id) for id in (failed, by_hand, other)}
    assert {id: document["enabled"] for id, document in after.items()} == {
        failed: True,
        by_hand: False,
        other: False,
    }
    assert "pvt_disabled_message" not in after[failed]


# One system whose hooks fail


def callflow(receiver, number):
    hook = {"_id": "made-up", "uri": f"{receiver.url}/status/500/flow", "hook": "notifications"}
    body = {"Event-Category": "notification", "Event-Name": "webhook", "App-Name": "callflow"}
    body |= {"App-Version": "4.0.0", "Msg-ID": f"m{number}", "Data": {"Call-ID": f"c{number}"}}
    hook |= {"pvt_account_id": OURS, "retries": 1}
    return "notifications", "notifications.webhook.callflow", body | {"Hook": hook}


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """What there is to see once a hook and a callflow's webhook have failed three times each."""
    folder = tmp_path_factory.mktemp("failures") / "data"
    folder.mkdir()
    store = prepared("sqlite://", folder, webhooks={COUNT: 3, EXPIRY: 8000})
    hook = {"pvt_type": "webhook", "pvt_account_id": OURS, "format": "json", "retries": 1}
    told = {"hook": "notifications", "custom_data": {"type": "webhook_disabled"}}
    seen = {}
    with Receiver() as receiver:
        for name, fields in {
            "bad": {
                "uri": f"{receiver.url}/status/500/bad",
                "hook": "channel_create",
                "group": "g",
            },
            "good": {"uri": f"{receiver.url}/good", "hook": "channel_create"},
            "told": {"uri": f"{receiver.url}/told"} | told,
        }.items():
            store.save("webhooks", hook | {"_id": name, "name": name} | fields)
        system = RunningSystem(folder, kazoo__modules="*")
        try:
            system.wait_hooks(3)
            for number in range(3):  # one by one: failures of one millisecond are one
                system.publish([call_event(number)])
                receiver.wait_for(2 * number + 2)
            system.wait(lambda: store.get("webhooks", "bad").get("enabled") is False)
            receiver.wait_for(7)
            system.wait(lambda: system.node("hook_table").stats["hooks"] == 2)
            system.wait(lambda: system.node("failure_cache").stats["failures"] == 0)
            seen["told"] = next(r for r in receiver.requests if r.path == "/told")
            seen["bad"] = store.get("webhooks", "bad")
            for number in range(3):
                system.send(callflow(receiver, number))
                receiver.wait_for(8 + number)
            asked = system.node("disabler").stats["asked"]
            system.wait(lambda: "it is not stored" in system.log.read_text(), timeout_s=20)
            system.wait(lambda: system.node("disabler").stats["asked"] > asked)
            seen["failures"] = system.node("failure_cache").stats["failures"]
            seen["made-up"] = store.get("webhooks", "made-up")
            seen["restarts"] = {node.restarts for node in system.tree().below()}
            system.wait(lambda: system.node("deliveries/attempt_log").stats["written"] == 6)
            seen["attempts"] = sorted(a["hook_id"] for a in recorded_attempts(store, OURS))
            seen["config"] = store.get("system_config", "webhooks")["default"]
        finally:
            system.close()
            store.close()
    return seen


system_test = pytest.mark.multiprocess


@system_test
def test_the_document_is_disabled_with_the_message_and_otherwise_left_alone(failed):
    document = failed["bad"]
    assert document["enabled"] is False
    assert document["pvt_disabled_message"] == "too many failed attempts"
    kept = {"_id": "bad", "hook": "channel_create", "group": "g", "pvt_account_id": OURS}
    assert kept.items() <= document.items()


@system_test
def test_a_hook_on_the_notification_that_it_was_disabled_fires(failed):
    payload = json.loads(failed["told"].body)
    assert payload["msg_id"]
    assert payload["node"].startswith("callboard@")
    assert {
        "account_id": OURS,
        "hook_id": "bad",
        "event_category": "notification",
        "event_name": "webhook_disabled",
        "app_name": "webhooks",
        "app_version": "4.0.0",
    }.items() <= payload.items()


@system_test
def test_by_default_only_failed_attempts_are_stored(failed):
    assert failed["attempts"] == ["bad"] * 3 + ["made-up"] * 3


@system_test
def test_of_a_hook_that_is_not_stored_nothing_is_created_and_its_failures_stay(failed):
    assert failed["made-up"] is None
    assert failed["failures"] == 3
    assert failed["restarts"] == {0}


@system_test
@pytest.mark.parametrize(
    ("key", "default"),
    [
        (COUNT, 3),  # as this system was configured
        (EXPIRY, 8000),
        ("connect_timeout_ms", 10_000),
        ("disable_disabler", False),
        ("log_successful_attempts", False),
    ],
)
def test_every_key_is_looked_up_in_system_config_and_its_default_written(key, default, failed):
    assert failed["config"].get(key) == default
