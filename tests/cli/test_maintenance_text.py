"""The tables and sentences of Kazoo's webhooks_maintenance, to the letter (section 11)."""

from callboard.admin import AccountHooks, ConfiguredHook, DefinitionsReset, FailingHook, Orphans
from callboard.cli.operations import maintenance_text as text

ACCOUNT, HOOK = "a1b2c3d4e5f60718293a4b5c6d7e8f90", "0123456789abcdef0123456789abcdef"


def test_the_table_of_hooks():
    hook = ConfiguredHook(ACCOUNT, HOOK, "https://crm.example.org/x", "post", "CHANNEL_CREATE", 2)
    assert text.hooks_header() == (
        "| URI                                           | VERB  | EVENT                "
        "| RETRIES    | ACCOUNT ID                       |"
    )
    assert text.hook_line(hook) == (
        "| https://crm.example.org/x                     | post  | CHANNEL_CREATE       "
        "| 2          | a1b2c3d4e5f60718293a4b5c6d7e8f90 |"
    )


def test_longer_text_is_cut():
    hook = ConfiguredHook("c" * 40, HOOK, "https://" + "u" * 80, "post", "e" * 30, 5)
    assert text.hook_line(hook) == (
        f"| https://{'u' * 37} | post  | {'e' * 20} | 5          | {'c' * 32} |"
    )


def test_nothing_in_a_table_moves_the_cursor():
    hook = ConfiguredHook("a", HOOK, "http://x/\x1b[2J\r\n", "get", "all", 1)
    assert text.hook_line(hook).startswith("| http://x/?[2J??    ")


def test_the_count_of_hooks():
    assert text.hooks_found(0) == "no webhooks configured"
    assert text.hooks_found(1) == "found 1 webhooks"
    assert text.hooks_found(1000000) == "found 1000000 webhooks"


def test_the_table_of_failures():
    rule = f"| {'-' * 32} | {'-' * 32} | ----- |"
    assert text.failures_rule() == rule
    assert text.failures_header() == f"| {'Account':32} | {'Hook':32} | Count |"
    assert text.failure_line(FailingHook(ACCOUNT, HOOK, 7)) == f"| {ACCOUNT} | {HOOK} |     7 |"
    assert text.failure_line(FailingHook("a", "h", 12345)) == f"| {'a':32} | {'h':32} | 12345 |"


def test_settings():
    assert text.expiry_set(500, None) == "set default expiry for failure attempts to 500ms"
    assert text.expiry_set(500, ACCOUNT) == (
        f"set default expiry for failure attempts to 500ms on account {ACCOUNT}"
    )
    assert text.threshold_set(4) == "set default count of failed attempts to disable hook to 4"


def test_flushes():
    assert text.failures_flushed(0) == "flushed 0 failure entries"
    assert text.failures_flushed(3, HOOK) == f"flushed 3 failure entries for {HOOK}"


def enabled(**fields):
    return list(text.account_enabled(AccountHooks(ACCOUNT, **fields)))


def test_enabling():
    assert enabled(seen=3, enabled=("x", "y")) == ["re-enabled 2 hooks", "IDs: x, y"]
    assert enabled(seen=3) == ["no hooks to re-enable"]
    assert enabled() == [f"account {ACCOUNT} has no webhooks configured"]
    assert enabled(problem="away") == [f"failed to load hooks for account {ACCOUNT}: away"]
    assert enabled(seen=2, enabled=("x",), failed=(("y", "conflict"),)) == [
        "re-enabled 1 hooks",
        "IDs: x",
        "failed to re-enable hook y: conflict",
    ]
    assert enabled(seen=1, failed=(("y", "conflict"),)) == ["failed to re-enable hook y: conflict"]
    assert text.checking_account("a") == "## checking account a for hooks to enable ##"


def test_an_account_of_many_hooks_is_told_of_once():
    parts = [
        AccountHooks("a", 1, ("h1",)),
        AccountHooks("b", 2, ("h2",), complete=False),
        AccountHooks("b", 2, (), (("h3", "conflict"),), complete=False),
        AccountHooks("b", 1, ("h4",)),
        AccountHooks("c"),
    ]
    assert list(text.whole_accounts(parts)) == [
        AccountHooks("a", 1, ("h1",)),
        AccountHooks("b", 5, ("h2", "h4"), (("h3", "conflict"),)),
        AccountHooks("c"),
    ]


def test_definitions():
    both = DefinitionsReset(("webhooks_a", "webhooks_b"))
    assert list(text.definitions_reset(both)) == ["reinitialized hooks: webhooks_a, webhooks_b"]
    assert list(text.definitions_reset(DefinitionsReset(("a",), ("b", "c")))) == [
        "failed to delete hook definitions: b, c",
        "reinitialized hooks: a",
    ]
    assert list(text.definitions_reset(DefinitionsReset(()))) == ["reinitialized hooks: "]


def test_orphans():
    gone = Orphans("a", 3)
    assert text.orphans_line(gone, deleted=True) == "deleted 3 hooks of account a, which is gone"
    assert text.orphans_line(gone, deleted=False) == "account a is gone and has 3 hooks"
    assert text.orphans_found(0, 0, deleted=True) == "no hooks of accounts that are gone"
    assert text.orphans_found(2, 5, deleted=True) == "deleted 5 hooks of 2 accounts"
    assert text.orphans_found(2, 5, deleted=False) == "found 5 hooks of 2 accounts"
