"""What `callboard maintenance` prints, to the letter as Kazoo's webhooks_maintenance does."""

from collections.abc import Iterable, Iterator, Sequence

import attrs

from callboard.admin import AccountHooks, ConfiguredHook, DefinitionsReset, FailingHook, Orphans

HOOK_WIDTHS = (45, 5, 20, 10, 32)
FAILURE_WIDTHS = (32, 32, 5)

NO_HOOKS = "no webhooks configured"


def _line(cells: Sequence[object], widths: Sequence[int]) -> str:
    """Cells cut or filled to their widths; nothing in them may move the cursor of a terminal."""
    texts = ("".join(c if c.isprintable() else "?" for c in str(cell)) for cell in cells)
    filled = (text[:width].ljust(width) for text, width in zip(texts, widths, strict=True))
    return f"| {' | '.join(filled)} |"


def hooks_header() -> str:
    """The head of the table of hooks."""
    return _line(("URI", "VERB", "EVENT", "RETRIES", "ACCOUNT ID"), HOOK_WIDTHS)


def hook_line(hook: ConfiguredHook) -> str:
    """A row of it."""
    return _line((hook.uri, hook.verb, hook.event, hook.tries, hook.account_id), HOOK_WIDTHS)


def hooks_found(count: int) -> str:
    """What follows the rows."""
    return f"found {count} webhooks" if count else NO_HOOKS


def failures_rule() -> str:
    """What the table of failures begins and ends with."""
    return _line(["-" * width for width in FAILURE_WIDTHS], FAILURE_WIDTHS)


def failures_header() -> str:
    """Its head."""
    return _failures("Account", "Hook", "Count")


def failure_line(hook: FailingHook) -> str:
    """A row of it."""
    return _failures(hook.account_id, hook.hook_id, str(hook.count))


def _failures(account: str, hook: str, count: str) -> str:
    return _line((account, hook, count.rjust(FAILURE_WIDTHS[2])), FAILURE_WIDTHS)


def failures_flushed(count: int, hook_id: str | None = None) -> str:
    """What flush_account_failures and flush_hook_failures say."""
    return f"flushed {count} failure entries" + ("" if hook_id is None else f" for {hook_id}")


def expiry_set(expiry_ms: int, account_id: str | None) -> str:
    """What set_failure_expiry says."""
    account = "" if account_id is None else f" on account {account_id}"
    return f"set default expiry for failure attempts to {expiry_ms}ms{account}"


def threshold_set(count: int) -> str:
    """What set_disable_threshold says, with an account or without."""
    return f"set default count of failed attempts to disable hook to {count}"


def whole_accounts(reports: Iterable[AccountHooks]) -> Iterator[AccountHooks]:
    """One report for each account, where several follow each other on an account of many hooks."""
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
    """What enable_descendant_hooks says before each account."""
    return f"## checking account {account_id} for hooks to enable ##"


def account_enabled(report: AccountHooks) -> Iterator[str]:
    """What became of an account's hooks; that some could not be saved, Kazoo does not say."""
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
    """What reset_hook_definitions and reset_hook_definition say."""
    if answer.failed:
        yield f"failed to delete hook definitions: {', '.join(answer.failed)}"
    yield f"reinitialized hooks: {', '.join(answer.reset)}"


def orphans_line(orphans: Orphans, *, deleted: bool) -> str:
    """What clean_up_orphans (no command of Kazoo's) says of an account."""
    if deleted:
        return f"deleted {orphans.hooks} hooks of account {orphans.account_id}, which is gone"
    return f"account {orphans.account_id} is gone and has {orphans.hooks} hooks"


def orphans_found(accounts: int, hooks: int, *, deleted: bool) -> str:
    """What clean_up_orphans ends with."""
    if not accounts:
        return "no hooks of accounts that are gone"
    return f"{'deleted' if deleted else 'found'} {hooks} hooks of {accounts} accounts"
