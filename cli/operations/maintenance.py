"""`callboard maintenance`: the commands of Kazoo's `sup webhooks_maintenance`, and one more."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TypeVar

import attrs
import click

from callboard import admin
from callboard.actors.base.event_modules import event_modules
from callboard.actors.messages.paths import MAINTENANCE
from callboard.actors.system.actor_system import Client
from callboard.cli.operations import maintenance_text as text
from callboard.cli.system.attached import ask, attached, pages
from callboard.cli.terminal.completing import modules
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import FAILED, WrongUsage, plain, stream_json
from callboard.cli.terminal.progress import counting
from callboard.config.loader import Loaded
from callboard.webhooks.hooks.arguments import (
    BadArgument,
    account_argument,
    count_argument,
    definition_argument,
    expiry_argument,
    hook_argument,
)

Argument = TypeVar("Argument")


class _KazooNames(click.Group):
    """A group that accepts dashes for the underscores of Kazoo's names."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        return super().get_command(ctx, cmd_name.replace("-", "_"))


class _Refusal(WrongUsage):
    """An invalid argument, in Kazoo's wording."""

    def show(self, file: Any = None) -> None:
        """The value unchanged."""
        plain(self.message, err=True)


@click.group(cls=_KazooNames)
def maintenance() -> None:
    """Run the commands of Kazoo's `sup webhooks_maintenance`.

    An ACCOUNT is an id, or a database's name in either form.
    """


@maintenance.command("hooks_configured")
@click.argument("account", required=False)
@as_json
@with_settings()
def hooks_configured(loaded: Loaded, account: str | None, json_: bool) -> None:
    """List the hooks in memory, that is, hooks that may fire."""
    request = admin.HooksConfigured(_account(account), limit=admin.PAGE_LIMIT)
    with attached(loaded) as client:
        hooks = (
            h
            for page in pages(client, MAINTENANCE, request, admin.ConfiguredHooks)
            for h in page.hooks
        )
        if json_:
            _stream_json(hooks)
            return
        count = 0
        for count, hook in enumerate(hooks, 1):
            if count == 1:
                plain(text.hooks_header())
            plain(text.hook_line(hook))
        plain(text.hooks_found(count))


@maintenance.command("failure_status")
@click.argument("account", required=False)
@as_json
@with_settings()
def failure_status(loaded: Loaded, account: str | None, json_: bool) -> None:
    """List the hooks that failed recently, with the number of failures."""
    request = admin.FailureStatus(_account(account), limit=admin.PAGE_LIMIT)
    with attached(loaded) as client:
        hooks = (
            h
            for page in pages(client, MAINTENANCE, request, admin.FailingHooks)
            for h in page.hooks
        )
        if json_:
            _stream_json(hooks)
            return
        plain(text.failures_rule())
        plain(text.failures_header())
        for hook in hooks:
            plain(text.failure_line(hook))
        plain(text.failures_rule())


@maintenance.command("set_failure_expiry")
@click.argument("arguments", nargs=-1, metavar="[ACCOUNT] MILLISECONDS")
@with_settings()
def set_failure_expiry(loaded: Loaded, arguments: tuple[str, ...]) -> None:
    """Set how long failures count, for an account or by default."""
    account, value = _account_and_value(arguments)
    expiry_ms = _checked(expiry_argument, value)
    with attached(loaded) as client:
        request = admin.SetFailureExpiry(expiry_ms, account)
        saved = ask(client, MAINTENANCE, request, admin.SettingSaved)
    plain(text.expiry_set(saved.value, saved.account_id))


@maintenance.command("set_disable_threshold")
@click.argument("arguments", nargs=-1, metavar="[ACCOUNT] COUNT")
@with_settings()
def set_disable_threshold(loaded: Loaded, arguments: tuple[str, ...]) -> None:
    """Set how many failures disable a hook, for an account or by default."""
    account, value = _account_and_value(arguments)
    count = _checked(count_argument, value)
    with attached(loaded) as client:
        request = admin.SetDisableThreshold(count, account)
        saved = ask(client, MAINTENANCE, request, admin.SettingSaved)
    plain(text.threshold_set(saved.value))


@maintenance.command("enable_account_hooks")
@click.argument("account")
@with_settings()
def enable_account_hooks(loaded: Loaded, account: str) -> None:
    """Enable an account's hooks that were disabled for failures."""
    request = admin.EnableAccountHooks(_checked(account_argument, account))
    with attached(loaded) as client:
        _print_enabled(_enabled(client, request))


@maintenance.command("enable_descendant_hooks")
@click.argument("account")
@with_settings()
def enable_descendant_hooks(loaded: Loaded, account: str) -> None:
    """Enable such hooks of an account and all its descendants."""
    request = admin.EnableDescendantHooks(_checked(account_argument, account))
    with attached(loaded) as client:
        _print_enabled(_enabled(client, request), naming=True)


@maintenance.command("flush_account_failures")
@click.argument("account")
@with_settings()
def flush_account_failures(loaded: Loaded, account: str) -> None:
    """Clear the failures of an account's hooks."""
    request = admin.FlushAccountFailures(_checked(account_argument, account))
    with attached(loaded) as client:
        flushed = ask(client, MAINTENANCE, request, admin.FailuresFlushed)
    plain(text.failures_flushed(flushed.count))


@maintenance.command("flush_hook_failures")
@click.argument("account")
@click.argument("hook")
@with_settings()
def flush_hook_failures(loaded: Loaded, account: str, hook: str) -> None:
    """Clear the failures of one hook."""
    hook_id = _checked(hook_argument, hook)
    request = admin.FlushHookFailures(_checked(account_argument, account), hook_id)
    with attached(loaded) as client:
        flushed = ask(client, MAINTENANCE, request, admin.FailuresFlushed)
    plain(text.failures_flushed(flushed.count, hook_id))


@maintenance.command("register_views")
@with_settings()
def register_views(loaded: Loaded) -> None:
    """Store the views of the databases again; prints nothing."""
    with attached(loaded) as client, counting("storing views, page") as step:
        for _page in pages(client, MAINTENANCE, admin.RegisterViews(), admin.ViewsRegistered):
            step(1)


@maintenance.command("reset_hook_definitions")
@with_settings()
def reset_hook_definitions(loaded: Loaded) -> None:
    """Recreate the metadata documents of all event modules."""
    _reset(loaded, admin.ResetHookDefinitions())


@maintenance.command("reset_hook_definition")
@click.argument("definition", shell_complete=modules)
@with_settings()
def reset_hook_definition(loaded: Loaded, definition: str) -> None:
    """Recreate an event module's metadata document; the prefix `webhooks_` is optional."""
    known = {module.id for module in event_modules(loaded.settings).modules}
    id = _checked(lambda given: definition_argument(given, known), definition)
    _reset(loaded, admin.ResetHookDefinition(id))


@maintenance.command("clean_up_orphans")
@click.option("--dry-run", is_flag=True, help="Report the hooks without deleting them.")
@as_json
@with_settings()
def clean_up_orphans(loaded: Loaded, dry_run: bool, json_: bool) -> None:
    """Delete the hooks of deleted accounts, one account every few seconds."""
    request = admin.CleanUpOrphans(delete=not dry_run)
    with attached(loaded) as client:
        found = pages(client, MAINTENANCE, request, admin.OrphansCleanedUp)
        accounts = (orphans for page in found for orphans in page.accounts)
        if json_:
            _stream_json(accounts)
            return
        hooks = []
        for orphans in accounts:
            hooks.append(orphans.hooks)
            plain(text.orphans_line(orphans, deleted=not dry_run))
    plain(text.orphans_found(len(hooks), sum(hooks), deleted=not dry_run))


def _reset(loaded: Loaded, request: admin.AdminRequest) -> None:
    with attached(loaded) as client:
        answer = ask(client, MAINTENANCE, request, admin.DefinitionsReset)
    for line in text.definitions_reset(answer):
        plain(line)
    if answer.failed:
        raise SystemExit(FAILED)


def _enabled(client: Client, request: admin.AdminRequest) -> Iterator[admin.AccountHooks]:
    found = pages(client, MAINTENANCE, request, admin.HooksEnabled)
    return text.whole_accounts(report for page in found for report in page.accounts)


def _print_enabled(reports: Iterable[admin.AccountHooks], *, naming: bool = False) -> None:
    failed = False
    for report in reports:
        if naming:
            plain(text.checking_account(report.account_id))
        for line in text.account_enabled(report):
            plain(line)
        failed = failed or bool(report.problem or report.failed)
    if failed:
        raise SystemExit(FAILED)


# Arguments, before anything is asked of a system


def _checked(check: Callable[[str], Argument], value: str) -> Argument:
    try:
        return check(value)
    except BadArgument as problem:
        _refuse(problem)


def _refuse(problem: BadArgument) -> NoReturn:
    raise _Refusal(str(problem)) from None


def _account(value: str | None) -> str | None:
    return None if value is None else _checked(account_argument, value)


def _account_and_value(arguments: tuple[str, ...]) -> tuple[str | None, str]:
    if not 1 <= len(arguments) <= 2:
        raise click.UsageError("give a number, or an account and a number")
    account = arguments[0] if len(arguments) == 2 else None
    return _account(account), arguments[-1]


# Answers


def _stream_json(values: Iterable[Any]) -> None:
    stream_json(map(attrs.asdict, values))
