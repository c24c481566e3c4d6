"""The output of `callboard maintenance`, identical to that of Kazoo's webhooks_maintenance."""

from collections.abc import Iterable, Iterator, Sequence

import attrs

from callboard.admin import AccountHooks, ConfiguredHook, DefinitionsReset, FailingHook, Orphans

HOOK_WIDTHS = (45, 5, 20, 10, 32)
FAILURE_WIDTHS = (32, 32, 5)

NO_HOOKS = "no webhooks configured"


def _line(cells: Sequence[object], widths: Sequence[int]) -> str:
    """Cells truncated or padded to their widths, without control characters."""
    texts = ("".join(c if c.isprintable() else "?" for c in str(cell)) for cell in cells)
    filled = (text[:width].ljust(width) for text, width in zip(texts, widths, strict=True))
    return f"| {' | '.join(filled)} |"


def hooks_header() -> str:
    """The head of the table of hooks."""
    return _line(("URI", "VERB", "EVENT", "RETRIES", "ACCOUNT ID"), HOOK_WIDTHS)


def hook_line(hook: ConfiguredHook) -> str:
    """A row of the table."""
    return _line((hook.uri, hook.verb, hook.event, hook.tries, hook.account_id), HOOK_WIDTHS)


def hooks_found(count: int) -> str:
    """The end of the table of hooks."""
    return f"found {count} webhooks" if count else NO_HOOKS


def failures_rule() -> str:
    """The first and last line of the table of failures."""
    return _line(["-" * width for width in FAILURE_WIDTHS], FAILURE_WIDTHS)


def failures_header() -> str:
    """The head of the table of failures."""
    return _failures("Account", "Hook", "Count")


def failure_line(hook: FailingHook) -> str:
    """A row of the table."""
    return _failures(hook.account_id, hook.hook_id, str(hook.count))


def _failures(account: str, hook: str, count: str) -> str:
    return _line((account, hook, count.rjust(FAILURE_WIDTHS[2])), FAILURE_WIDTHS)


def failures_flushed(count: int, hook_id: str | None = None) -> str:
    """The output of flush_account_failures and flush_hook_failures."""
    return f"flushed {count} failure entries" + ("" if hook_id is None else f" for {hook_id}")


def expiry_set(expiry_ms: int, account_id: str | None) -> str:
    """The output of set_failure_expiry."""
    account = "" if account_id is None else f" on account {account_id}"
    return f"set default expiry for failure attempts to {expiry_ms}ms{account}"


def threshold_set(count: int) -> str:
    """The output of set_disable_threshold, with or without an account."""
    return f"set default count of failed attempts to disable hook to {count}"


def whole_accounts(reports: Iterable[AccountHooks]) -> Iterator[AccountHooks]:
    """Merges consecutive reports on one account with many hooks into one."""
    begun: AccountHooks | None = None
    for part in reports:
        whole = part
        if begun is not None:
            whole = attrs.evolve(
                part,
                seen=begun.seen + part.seen,
                enabled=begun.enabled + part.enabled,
                failed=begun.failed + part.failed,
            )
        begun = None if part.complete else whole
        if part.complete:
            yield whole


def checking_account(account_id: str) -> str:
    """The line of enable_descendant_hooks before each account."""
    return f"## checking account {account_id} for hooks to enable ##"


def account_enabled(report: AccountHooks) -> Iterator[str]:
    """The result for an account's hooks; Kazoo does not report hooks that could not be saved."""
    if report.enabled:
        yield f"re-enabled {len(report.enabled)} hooks"
        yield f"IDs: {', '.join(report.enabled)}"
    for hook_id, reason in report.failed:
        yield f"failed to re-enable hook {hook_id}: {reason}"
    if report.problem:
        yield f"failed to load hooks for account {report.account_id}: {report.problem}"
    elif not report.seen:
        yield f"account {report.account_id} has no webhooks configured"
    elif not report.enabled and not report.failed:
        yield "no hooks to re-enable"


def definitions_reset(answer: DefinitionsReset) -> Iterator[str]:
    """The output of reset_hook_definitions and reset_hook_definition."""
    if answer.failed:
        yield f"failed to delete hook definitions: {', '.join(answer.failed)}"
    yield f"reinitialized hooks: {', '.join(answer.reset)}"


def orphans_line(orphans: Orphans, *, deleted: bool) -> str:
    """The report of clean_up_orphans (Callboard's own command) for an account."""
    if deleted:
        return f"deleted {orphans.hooks} hooks of account {orphans.account_id}, which is gone"
    return f"account {orphans.account_id} is gone and has {orphans.hooks} hooks"


def orphans_found(accounts: int, hooks: int, *, deleted: bool) -> str:
    """The last line of clean_up_orphans."""
    if not accounts:
        return "no hooks of accounts that are gone"
    return f"{'deleted' if deleted else 'found'} {hooks} hooks of {accounts} accounts"
