"""Every maintenance command against a live system: what it prints, and what comes of it."""

import json
import os
import re
import signal
import time

import pytest
from click.testing import CliRunner

from callboard import admin
from callboard.cli import main
from callboard.webhooks.values.kazoo_names import account_database, modb
from support import stores
from support.hooks import AUTO_DISABLED, prepared_store, save_account, save_hook
from support.running import ACCOUNT, RunningSystem, call_event

CHILD = "b2" * 16
GRANDCHILD = "c3" * 16
STRANGER = "d4" * 16
ENCODED = account_database(ACCOUNT).replace("/", "%2F")

HEADER = (
    "| URI                                           | VERB  | EVENT                "
    "| RETRIES    | ACCOUNT ID                       |"
)
RULE = f"| {'-' * 32} | {'-' * 32} | ----- |"
FAILURES = f"| {'Account':32} | {'Hook':32} | Count |"

pytestmark = pytest.mark.multiprocess


@pytest.fixture(params=["embedded"])
def urls(request):
    """The settings of a system: everything embedded, or on real servers."""
    return stores.urls(request)


@pytest.fixture
def store(urls, tmp_path):
    """The store of the system to be started."""
    store = of_three_generations(urls.get("couchdb__url", "sqlite://"), tmp_path / "data0")
    yield store
    store.close()


def of_three_generations(url, folder):
    """A store of an account with two generations below it."""
    store = prepared_store(url, folder)
    save_account(store, ACCOUNT)
    save_account(store, CHILD, ACCOUNT)
    save_account(store, GRANDCHILD, ACCOUNT, CHILD)
    store.save("system_config", {"_id": "accounts", "default": {"master_account_id": ACCOUNT}})
    store.ensure_database(account_database(ACCOUNT))
    return store


class Maintenance:
    """`callboard maintenance` and the system that it is for."""

    def __init__(self, start):
        self._start = start
        self._system = None
        self.errors = ""

    def start(self, **settings):
        """The system, started at the first call."""
        if self._system is None:
            self._system = self._start(**settings)
        return self._system

    def __call__(self, *arguments, exit_code=0):
        """Run a command; the lines that it prints."""
        done = self.start().run("maintenance", *arguments)
        self.errors = done.stderr
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def maintenance(urls, store, start):
    """The command; the store is ready before the system starts."""
    return Maintenance(lambda **settings: start(**urls, **settings))


def row(uri, account_id=ACCOUNT, verb="post", event="CHANNEL_CREATE", tries=2):
    return f"| {uri[:45]:45} | {verb:5} | {event:20} | {tries:<10} | {account_id:32} |"


# hooks_configured


def test_hooks_configured_when_there_are_none(maintenance):
    assert maintenance("hooks_configured") == ["no webhooks configured"]
    assert maintenance("hooks_configured", "--json") == ["[]"]


def test_hooks_configured_lists_what_may_fire(maintenance, store):
    save_hook(store, "https://crm.example.org/calls", ACCOUNT)
    long = "https://crm.example.org/" + "x" * 60
    save_hook(store, long, CHILD, "all", http_verb="get", retries=5)
    save_hook(store, "https://crm.example.org/off", ACCOUNT, **AUTO_DISABLED)
    system = maintenance.start()
    system.wait_hooks(2)
    mine, other = row("https://crm.example.org/calls"), row(long, CHILD, "get", "all", 5)

    assert maintenance("hooks_configured") == [HEADER, mine, other, "found 2 webhooks"]
    for account in (ACCOUNT, ENCODED, account_database(ACCOUNT)):
        assert maintenance("hooks-configured", account) == [HEADER, mine, "found 1 webhooks"]
    assert maintenance("hooks_configured", STRANGER) == ["no webhooks configured"]
    listed = json.loads("\n".join(maintenance("hooks_configured", "--json")))
    assert [(h["account_id"], h["uri"], h["tries"]) for h in listed] == [
        (ACCOUNT, "https://crm.example.org/calls", 2),
        (CHILD, long, 5),
    ]


def test_hooks_configured_goes_page_by_page(maintenance, store):
    ids = [
        save_hook(store, "https://crm.example.org/", account) for account in (CHILD, ACCOUNT) * 3
    ]
    system = maintenance.start()
    system.wait_hooks(6)
    found, after = [], ()
    while after is not None:
        request = admin.HooksConfigured(after=after, limit=4)
        page = system.client.ask_actor("maintenance", request, admin.ConfiguredHooks)
        assert len(page.hooks) <= 4
        found += [(hook.account_id, hook.hook_id) for hook in page.hooks]
        after = page.more
    assert found == sorted(found)
    assert sorted(id for _account, id in found) == sorted(ids)


# Failures


def test_failures_are_shown_and_flushed(maintenance, store, receiver):
    store.save("system_config", {"_id": "webhooks", "default": {"attempt_failure_count": 100}})
    bad, worse = (save_hook(store, f"{receiver.url}/status/500", ACCOUNT) for _ in range(2))
    other = save_hook(store, f"{receiver.url}/status/404", CHILD)
    system = maintenance.start()
    assert maintenance("failure_status") == [RULE, FAILURES, RULE]
    system.wait_hooks(3)
    for number, account in enumerate([ACCOUNT, CHILD, ACCOUNT]):
        system.publish([call_event(number, account=account)])
        wanted = [2, 3, 5][number]
        system.wait(lambda n=wanted: system.node("failure_cache").stats.get("failures") == n)

    lines = [
        f"| {ACCOUNT} | {bad} |     2 |",
        f"| {ACCOUNT} | {worse} |     2 |",
        f"| {CHILD} | {other} |     1 |",
    ]
    assert maintenance("failure_status") == [RULE, FAILURES, *lines, RULE]
    assert maintenance("failure_status", ENCODED) == [RULE, FAILURES, *lines[:2], RULE]
    assert maintenance("failure_status", STRANGER) == [RULE, FAILURES, RULE]
    listed = json.loads("\n".join(maintenance("failure-status", CHILD, "--json")))
    assert listed == [{"account_id": CHILD, "hook_id": other, "count": 1}]

    request = admin.FailureStatus(limit=2)
    page = system.client.ask_actor("maintenance", request, admin.FailingHooks)
    assert (len(page.hooks), page.more) == (2, (ACCOUNT, worse))

    flushed = maintenance("flush_hook_failures", ACCOUNT, bad)
    assert flushed == [f"flushed 2 failure entries for {bad}"]
    assert maintenance("flush-hook-failures", ENCODED, bad) == [
        f"flushed 0 failure entries for {bad}"
    ]
    assert maintenance("flush_account_failures", ENCODED) == ["flushed 2 failure entries"]
    assert maintenance("failure_status") == [RULE, FAILURES, lines[2], RULE]


def test_a_hook_that_is_enabled_again_begins_without_failures(maintenance, store, receiver):
    limits = {"attempt_failure_count": 2, "attempt_failure_expiry_ms": 20_000}
    store.save("system_config", {"_id": "webhooks", "default": limits})
    hook = save_hook(store, f"{receiver.url}/status/500", ACCOUNT)
    system = maintenance.start()
    system.wait_hooks()
    for number in range(2):
        system.publish([call_event(number)])
        receiver.wait_for(number + 1)
    system.wait(lambda: store.get("webhooks", hook)["enabled"] is False)
    assert maintenance("enable_account_hooks", ACCOUNT) == ["re-enabled 1 hooks", f"IDs: {hook}"]
    system.wait_hooks()
    assert maintenance("failure_status") == [RULE, FAILURES, RULE]
    assert store.get("webhooks", hook)["enabled"] is True


def test_failures_outside_the_window_are_not_counted(maintenance, store, receiver):
    store.save("system_config", {"_id": "webhooks", "default": {"attempt_failure_expiry_ms": 300}})
    save_hook(store, f"{receiver.url}/status/500", ACCOUNT)
    system = maintenance.start()
    system.wait_hooks()
    system.publish([call_event(1)])
    system.wait(lambda: system.node("failure_cache").stats.get("failures") == 1)
    system.wait(lambda: maintenance("failure_status") == [RULE, FAILURES, RULE])
    assert system.node("failure_cache").stats["failures"] == 1


# Settings


@pytest.mark.parametrize("urls", stores.BOTH, indirect=True)
def test_settings_are_stored_as_defaults(maintenance, store):
    assert maintenance("set_failure_expiry", "30000") == [
        "set default expiry for failure attempts to 30000ms"
    ]
    assert maintenance("set-disable-threshold", "3.4") == [
        "set default count of failed attempts to disable hook to 3"
    ]
    default = store.get("system_config", "webhooks")["default"]
    assert default["attempt_failure_expiry_ms"] == 30000
    assert default["attempt_failure_count"] == 3


@pytest.mark.parametrize("urls", stores.BOTH, indirect=True)
def test_settings_of_an_account_begin_with_all_that_held_for_it(maintenance, store):
    assert maintenance("set_disable_threshold", "9")
    assert maintenance("set_failure_expiry", ENCODED, "5000.5") == [
        f"set default expiry for failure attempts to 5001ms on account {ACCOUNT}"
    ]
    document = store.get(account_database(ACCOUNT), "configs_webhooks")
    assert document["attempt_failure_expiry_ms"] == 5001
    assert document["attempt_failure_count"] == 9
    assert document["pvt_type"] == "account_config"
    assert maintenance("set_disable_threshold", ACCOUNT, "4") == [
        "set default count of failed attempts to disable hook to 4"
    ]
    document = store.get(account_database(ACCOUNT), "configs_webhooks")
    assert (document["attempt_failure_count"], document["attempt_failure_expiry_ms"]) == (4, 5001)


# Enabling


@pytest.mark.parametrize("urls", stores.BOTH, indirect=True)
def test_hooks_of_an_account_are_enabled_again(maintenance, store, receiver):
    ids = [save_hook(store, f"{receiver.url}/{n}", ACCOUNT, **AUTO_DISABLED) for n in range(2)]
    by_hand = save_hook(store, f"{receiver.url}/off", ACCOUNT, enabled=False)
    save_hook(store, f"{receiver.url}/child", CHILD, **AUTO_DISABLED)
    system = maintenance.start()

    assert maintenance("enable_account_hooks", ENCODED) == [
        "re-enabled 2 hooks",
        f"IDs: {', '.join(ids)}",
    ]
    assert maintenance("enable-account-hooks", ACCOUNT) == ["no hooks to re-enable"]
    assert maintenance("enable_account_hooks", STRANGER) == [
        f"account {STRANGER} has no webhooks configured"
    ]
    document = store.get("webhooks", ids[0])
    assert document["enabled"] is True
    assert "pvt_disabled_message" not in document
    assert store.get("webhooks", by_hand)["enabled"] is False
    # Every node hears of it on the bus.
    system.wait(lambda: system.node("responders/channel_create").stats.get("hooks") == 2)
    system.publish([call_event(1)])
    assert sorted(r.path for r in receiver.wait_for(2)) == ["/0", "/1"]


@pytest.mark.parametrize("urls", stores.BOTH, indirect=True)
def test_hooks_of_descendants_are_enabled_again(maintenance, store, receiver):
    mine = save_hook(store, f"{receiver.url}/a", ACCOUNT, **AUTO_DISABLED)
    theirs = save_hook(store, f"{receiver.url}/c", GRANDCHILD, **AUTO_DISABLED)
    stranger = save_hook(store, f"{receiver.url}/d", STRANGER, **AUTO_DISABLED)
    save_hook(store, f"{receiver.url}/b", CHILD)

    assert maintenance("enable_descendant_hooks", CHILD) == [
        f"## checking account {CHILD} for hooks to enable ##",
        "no hooks to re-enable",
        f"## checking account {GRANDCHILD} for hooks to enable ##",
        "re-enabled 1 hooks",
        f"IDs: {theirs}",
    ]
    assert maintenance("enable-descendant-hooks", ENCODED) == [
        f"## checking account {ACCOUNT} for hooks to enable ##",
        "re-enabled 1 hooks",
        f"IDs: {mine}",
        f"## checking account {CHILD} for hooks to enable ##",
        "no hooks to re-enable",
        f"## checking account {GRANDCHILD} for hooks to enable ##",
        "no hooks to re-enable",
    ]
    assert maintenance("enable_descendant_hooks", STRANGER) == [
        f"## checking account {STRANGER} for hooks to enable ##",
        "re-enabled 1 hooks",
        f"IDs: {stranger}",
    ]


@pytest.mark.couchdb
@pytest.mark.parametrize("urls", [stores.BOTH[1]], indirect=True)
def test_what_cannot_be_read_is_reported(maintenance, store, couchdb_url):
    system = maintenance.start()
    system.wait(
        lambda: "initializer" in system.paths() and system.node("initializer").status == "ended"
    )
    accounts = store.get("accounts", "_design/accounts")
    store.delete("accounts", "_design/accounts", accounts["_rev"])
    assert maintenance("enable_descendant_hooks", CHILD, exit_code=1) == []
    assert f"failed to find descendants for account {CHILD}: " in maintenance.errors
    hooks = store.get("webhooks", "_design/webhooks")
    store.delete("webhooks", "_design/webhooks", hooks["_rev"])
    (line,) = maintenance("enable_account_hooks", CHILD, exit_code=1)
    assert line.startswith(f"failed to load hooks for account {CHILD}: ")
    assert maintenance("register_views") == []
    assert maintenance("enable_account_hooks", CHILD) == [
        f"account {CHILD} has no webhooks configured"
    ]


# The store


@pytest.mark.parametrize("urls", stores.BOTH, indirect=True)
def test_views_are_registered(maintenance, store, urls):
    save_hook(store, "https://crm.example.org/", ACCOUNT)
    month = ""
    while month != modb(ACCOUNT, time.time()):  # again where a month begins in between
        month = modb(ACCOUNT, time.time())
        store.ensure_database(month)
        assert maintenance("register_views") == []
    assert list(store.view(month, "webhooks/attempts_by_time_listing")) == []

    def listed():
        return store.view(account_database(ACCOUNT), "webhooks/webhook_meta_listing")

    # The initializer may still be writing the definitions.
    maintenance.start().wait(lambda: "Channel Create" in [row.key for row in listed()])


def test_definitions_are_reset(maintenance, store):
    database = account_database(ACCOUNT)
    ids = ["webhooks_channel_answer", "webhooks_channel_create", "webhooks_channel_destroy"]
    system = maintenance.start(kazoo__modules="*")
    system.wait(lambda: store.get_many(database, ids).keys() == set(ids))
    for document in store.get_many(database, ids).values():
        store.save(database, document | {"name": "spoilt", "junk": True})
    assert maintenance("reset_hook_definition", "channel_create") == [
        "reinitialized hooks: webhooks_channel_create"
    ]
    names = [store.get(database, id)["name"] for id in ids]
    assert names == ["spoilt", "Channel Create", "spoilt"]
    assert maintenance("reset-hook-definition", ids[0]) == [f"reinitialized hooks: {ids[0]}"]
    (line,) = maintenance("reset_hook_definitions")
    assert line.startswith("reinitialized hooks: webhooks_")
    assert set(ids) <= set(line.removeprefix("reinitialized hooks: ").split(", "))
    documents = store.get_many(database, ids).values()
    assert not any("junk" in document for document in documents)


def test_orphans_are_cleaned_up(maintenance, store):
    for account in (STRANGER, STRANGER, "e5" * 16):
        save_hook(store, "https://crm.example.org/", account)
    kept = save_hook(store, "https://crm.example.org/", ACCOUNT)
    system = maintenance.start()
    system.wait_hooks(4)
    assert maintenance("clean_up_orphans", "--dry-run") == [
        f"account {STRANGER} is gone and has 2 hooks",
        f"account {'e5' * 16} is gone and has 1 hooks",
        "found 3 hooks of 2 accounts",
    ]
    began = time.monotonic()
    assert maintenance("clean-up-orphans") == [
        f"deleted 2 hooks of account {STRANGER}, which is gone",
        f"deleted 1 hooks of account {'e5' * 16}, which is gone",
        "deleted 3 hooks of 2 accounts",
    ]
    assert time.monotonic() - began > 5  # one account every few seconds
    system.wait_hooks()
    assert maintenance("hooks_configured")[1:] == [
        row("https://crm.example.org/"),
        "found 1 webhooks",
    ]
    assert store.get("webhooks", kept)
    assert maintenance("clean_up_orphans", "--json") == ["[]"]


# Bad arguments, and a system that cannot answer


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["set_failure_expiry", "soon"],
            "error in expiry time, must be an integer (milliseconds)\n",
        ),
        (["set_failure_expiry", ACCOUNT, "1s"], "error in expiry time, must be an integer"),
        (["set_failure_expiry", "0"], "must be an integer (milliseconds) from 1 to 86400000"),
        (["set_failure_expiry"], "give a number, or an account and a number"),
        (["set_failure_expiry", "1", "2", "3"], "give a number, or an account and a number"),
        (["set_failure_expiry", "no account", "5"], "'no account' names no account"),
        (["set_disable_threshold", "few"], "error in count, must be an integer\n"),
        (["set_disable_threshold", ACCOUNT, "x"], "error in count, must be an integer\n"),
        (["hooks_configured", "account/a1"], "'account/a1' names no account"),
        (["failure_status", "a b"], "names no account"),
        (["enable_account_hooks", "a/b"], "names no account"),
        (["enable_account_hooks"], "missing argument"),
        (["enable_descendant_hooks", ""], "names no account"),
        (["flush_account_failures", "/"], "names no account"),
        (["flush_hook_failures", ACCOUNT], "missing argument"),
        (["flush_hook_failures", ACCOUNT, ""], "is no id of a hook"),
        (["register_views", "all"], "unexpected extra argument"),
        (
            ["reset_hook_definition", "nope"],
            "'nope' is no hook definition: there are callboard, channel_",
        ),
        (["clean_up_orphans", "now"], "unexpected extra argument"),
        (["hooks_configurated"], "no such command"),
    ],
)
def test_bad_arguments_are_wrong_usage(arguments, says):
    # Nothing is asked of any system, so none needs to run.
    refused = CliRunner().invoke(main, ["maintenance", *arguments])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert says in refused.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A system that runs, and its store."""
    folder = tmp_path_factory.mktemp("asked") / "data"
    store, system = of_three_generations("sqlite://", folder), RunningSystem(folder)
    yield system, store
    system.close()
    store.close()


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (admin.SetFailureExpiry("soon"), "error in expiry time, must be an integer (milliseconds)"),
        (admin.SetDisableThreshold(None), "error in count, must be an integer"),
        (admin.SetDisableThreshold(5, "e5" * 16), f"there is no account {'e5' * 16}"),
        (admin.EnableAccountHooks("a/b"), "names no account"),
        (admin.EnableDescendantHooks(None), "names no account"),
        (admin.EnableAccountHooks(ACCOUNT, after=("x",)), "give as `after` the `more`"),
        (admin.HooksConfigured(limit="many"), "no number of things"),
        (admin.ResetHookDefinition("nope"), "there are callboard, channel_create, object"),
        (admin.RegisterViews(version=2), "knows versions up to 1 of callboard.admin: update it"),
        (admin.AdminRequest(), "AdminRequest is not supported"),
    ],
)
def test_bad_messages_are_refused_and_change_nothing(asked, request_, says):
    system, store = asked
    before = store.get("system_config", "webhooks")
    refused = system.client.ask_actor("maintenance", request_, admin.Refused)
    assert says in refused.reason
    assert system.node("maintenance").restarts == 0
    after = store.get("system_config", "webhooks")
    assert (before or {}).get("default", {}).items() <= (after or {}).get("default", {}).items()


def test_the_top_supervisor_passes_requests_on(maintenance):
    system = maintenance.start()
    request = admin.FlushAccountFailures(ACCOUNT, ref="mine")
    answer = system.client.ask(system.client.top, request, admin.FailuresFlushed)
    assert answer == admin.FailuresFlushed(0, ref="mine")
    refused = system.client.ask(system.client.top, admin.SetFailureExpiry(""), admin.Refused)
    assert "must be an integer" in refused.reason


def test_an_actor_that_does_not_answer_leads_to_a_refusal(maintenance):
    system = maintenance.start()
    os.kill(system.node("failure_cache").pid, signal.SIGSTOP)
    request = admin.FlushAccountFailures(ACCOUNT)
    refused = system.client.ask(system.client.top, request, admin.Refused)
    # Whichever comes first: nobody answers, or it is found to hang.
    assert re.match("failure_cache (did not answer within|.*try again)", refused.reason)
    system.wait(lambda: system.node("failure_cache").restarts == 1)
    system.wait(lambda: maintenance("flush_account_failures", ACCOUNT))


def test_long_work_leaves_room_for_others(maintenance, store):
    accounts = [f"{n:032x}" for n in range(30)]
    for account in accounts:
        save_account(store, account, STRANGER)
        for _ in range(30):
            save_hook(store, "https://crm.example.org/", account, **AUTO_DISABLED)
    system = maintenance.start()
    maintenance("hooks_configured")
    answers = (admin.HooksEnabled, admin.ConfiguredHooks)
    system.client.system.tell(system.client.top, admin.EnableDescendantHooks(STRANGER))
    system.client.system.tell(system.client.top, admin.HooksConfigured())
    assert isinstance(system.client.hear(answers, 30), admin.ConfiguredHooks)
    pages = [system.client.hear(answers, 30)]
    while (more := pages[-1].more) is not None:
        request = admin.EnableDescendantHooks(STRANGER, after=more)
        pages.append(system.client.ask(system.client.top, request, admin.HooksEnabled, 30))
    assert sum(len(account.enabled) for page in pages for account in page.accounts) == 900


def test_a_killed_maintenance_comes_back(maintenance):
    system = maintenance.start()
    assert maintenance("hooks_configured") == ["no webhooks configured"]
    system.kill("maintenance")
    assert maintenance("hooks_configured") == ["no webhooks configured"]
    assert maintenance("set_disable_threshold", "7")
    assert system.node("maintenance").restarts == 1


def test_without_a_system_the_command_fails(tmp_path):
    nowhere = ["--data-dir", str(tmp_path)]
    failed = CliRunner().invoke(main, ["maintenance", "hooks_configured", *nowhere])
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "no system is running" in failed.stderr
