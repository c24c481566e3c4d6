"""`callboard maintenance`, of a system that answers as the actor of maintenance does."""

import json

import pytest

from callboard import admin
from callboard.cli.operations import maintenance_text as text

ACCOUNT = "a1" * 16
HOOK = "b2" * 16


@pytest.mark.parametrize(
    ("arguments", "request_", "said"),
    [
        (
            ("set_failure_expiry", "500"),
            admin.SetFailureExpiry(500),
            "set default expiry for failure attempts to 500ms\n",
        ),
        (
            ("set-failure-expiry", f"account/a1/a1/{ACCOUNT[4:]}", "500"),
            admin.SetFailureExpiry(500, ACCOUNT),
            f"set default expiry for failure attempts to 500ms on account {ACCOUNT}\n",
        ),
        (
            ("set_disable_threshold", "500"),
            admin.SetDisableThreshold(500),
            "set default count of failed attempts to disable hook to 500\n",
        ),
        (
            ("set-disable-threshold", ACCOUNT, "500"),
            admin.SetDisableThreshold(500, ACCOUNT),
            "set default count of failed attempts to disable hook to 500\n",
        ),
    ],
)
def test_a_setting_is_of_an_account_or_of_all(running, arguments, request_, said):
    running.answer(type(request_), admin.SettingSaved("key", 500, request_.account))
    ran = running.run("maintenance", *arguments)
    assert (ran.exit_code, ran.stdout) == (0, said)
    assert running.asked == [("maintenance", request_)]


@pytest.mark.parametrize("command", ["set_failure_expiry", "set_disable_threshold"])
@pytest.mark.parametrize("arguments", [(), (ACCOUNT, "5", "6")])
def test_a_setting_takes_an_account_and_a_number(running, command, arguments):
    ran = running.run("maintenance", command, *arguments)
    assert (ran.exit_code, running.asked) == (2, [])
    assert "give a number, or an account and a number" in ran.stderr


HOOKS = [admin.ConfiguredHook(ACCOUNT, id, "https://e.example/", "post", "all", 2) for id in "hi"]


def test_the_hooks_in_memory(running):
    pages = [admin.ConfiguredHooks((HOOKS[0],), ("x",)), admin.ConfiguredHooks((HOOKS[1],))]
    running.answer(admin.HooksConfigured, *pages, *pages, admin.ConfiguredHooks(()))
    ran = running.run("maintenance", "hooks_configured", ACCOUNT)
    lines = [text.hooks_header(), *map(text.hook_line, HOOKS), "found 2 webhooks"]
    assert (ran.exit_code, ran.stdout.splitlines()) == (0, lines)
    first = admin.HooksConfigured(ACCOUNT, limit=5000, ref="0")
    others = admin.HooksConfigured(ACCOUNT, ("x",), limit=5000, ref="1")
    assert running.asked == [("maintenance", first), ("maintenance", others)]
    shown = json.loads(running.run("maintenance", "hooks_configured", "--json").stdout)
    assert [one["hook_id"] for one in shown] == ["h", "i"]
    assert running.run("maintenance", "hooks_configured").stdout == "no webhooks configured\n"


def test_the_hooks_that_fail(running):
    failing = [admin.FailingHook(ACCOUNT, id, 7) for id in "hi"]
    pages = [admin.FailingHooks((failing[0],), ("x",)), admin.FailingHooks((failing[1],))]
    running.answer(admin.FailureStatus, *pages, *pages)
    lines = running.run("maintenance", "failure_status", ACCOUNT).stdout.splitlines()
    rule, rows = text.failures_rule(), map(text.failure_line, failing)
    assert lines == [rule, text.failures_header(), *rows, rule]
    first = admin.FailureStatus(ACCOUNT, limit=5000, ref="0")
    assert running.asked[0] == ("maintenance", first)
    shown = json.loads(running.run("maintenance", "failure_status", "--json").stdout)
    assert shown == [{"account_id": ACCOUNT, "hook_id": id, "count": 7} for id in "hi"]


def test_failures_are_cleared(running):
    running.answer(admin.FlushAccountFailures, admin.FailuresFlushed(3))
    running.answer(admin.FlushHookFailures, admin.FailuresFlushed(1))
    ran = running.run("maintenance", "flush_account_failures", ACCOUNT)
    assert ran.stdout == "flushed 3 failure entries\n"
    ran = running.run("maintenance", "flush_hook_failures", ACCOUNT, HOOK)
    assert ran.stdout == f"flushed 1 failure entries for {HOOK}\n"
    requests = [admin.FlushAccountFailures(ACCOUNT), admin.FlushHookFailures(ACCOUNT, HOOK)]
    assert running.asked == [("maintenance", request) for request in requests]


@pytest.mark.parametrize(
    "arguments",
    [
        ("hooks_configured", "a/b"),
        ("failure_status", "a/b"),
        ("set_failure_expiry", "a/b", "5"),
        ("set_failure_expiry", "x"),
        ("set_disable_threshold", "x"),
        ("enable_account_hooks", "a/b"),
        ("enable_descendant_hooks", "a/b"),
        ("flush_account_failures", "a/b"),
        ("flush_hook_failures", ACCOUNT, ""),
        ("reset_hook_definition", "teapot"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_asked(running, arguments):
    ran = running.run("maintenance", *arguments)
    assert (ran.exit_code, ran.stdout, running.asked) == (2, "", [])
    assert ran.stderr.count("\n") == 1
    assert not ran.stderr.startswith("error: ")


def test_views_are_stored_page_by_page(running):
    pages = [admin.ViewsRegistered(("a",), ("x",)), admin.ViewsRegistered(("b",))]
    running.answer(admin.RegisterViews, *pages)
    ran = running.run("maintenance", "register_views")
    assert (ran.exit_code, ran.stdout, len(running.asked)) == (0, "", 2)
