"""`callboard apply` and `callboard export`: hooks as a file."""

import os
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from callboard.actors.messages import HookList, ListHooks
from callboard.actors.messages.bulk import MAX_PUT, GetQuotas, HooksPut, PutHooks, QuotasFound
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.actors.system.actor_system import Client
from callboard.cli.system.attached import attached
from callboard.cli.terminal.options import with_settings
from callboard.cli.terminal.output import (
    DIFFERENT,
    Failure,
    WrongUsage,
    complain,
    counted,
    plain,
)
from callboard.cli.terminal.progress import Step, counting
from callboard.config.loader import Loaded
from callboard.webhooks.acknowledgement.outbox import cut
from callboard.webhooks.declarations.form import (
    Declarations,
    InvalidDeclaration,
    read_declarations,
    table_of,
)
from callboard.webhooks.declarations.plan import GivenSecret, Plan, PutHook, plan
from callboard.webhooks.declarations.toml_text import toml_text
from callboard.webhooks.deliveries.signing import InvalidSecret, parse_secret
from callboard.webhooks.hooks.hook import new_hook_id
from callboard.webhooks.hooks.secrets import SecretsRefused

PAGE = 1000
ACCOUNTS = 100
"""The most accounts whose hooks are read at once; the store is asked for each."""
PAGE_S = 60.0
"""Time limit for one request, in seconds."""
SHOWN = 50
"""The most hooks of each kind of change that are shown one by one."""


@click.command("apply")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only show the differences; exit code 3 if any.")
@click.option("--prune", is_flag=True, help="Remove hooks of its accounts that FILE lacks.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings()
def apply_(loaded: Loaded, file: Path, dry_run: bool, prune: bool, yes: bool) -> None:
    """Make the hooks and quotas of FILE's accounts as FILE says.

    It shows the differences and asks. Accounts that FILE does not name stay as they are. Exit code
    3: there are differences, and they were not removed.
    """
    wanted = _read(file)
    with attached(loaded) as client:
        changes = difference(client, wanted, file.parent, prune=prune)
        _show(changes)
        if not changes:
            return
        if dry_run:
            raise click.exceptions.Exit(DIFFERENT)
        if not yes:
            _ask()
        with counting("changing hooks") as done:
            refused = carry_out(client, changes, done)
    for id, reason in refused.items():
        complain(f"{id}: {reason}")
    if refused:
        raise Failure(f"{counted(len(refused), 'change')} refused, the others are made")
    plain("done")


@click.command("export")
@click.option("--account", "accounts", multiple=True, help="Only this account; may be repeated.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@with_settings()
def export(loaded: Loaded, accounts: tuple[str, ...], output: Path | None) -> None:
    """Print hooks and quotas in the form that `callboard apply` reads, by account and id."""
    with attached(loaded) as client, counting("reading hooks", quiet=output is None) as read:
        text = exported(client, accounts, read)
    try:
        if output is None:
            sys.stdout.writelines(text)
        else:
            with output.open("w", encoding="utf-8") as file:
                file.writelines(text)
    except SecretsRefused as problem:
        raise Failure(str(problem)) from None


def exported(client: Client, accounts: tuple[str, ...], read: Step) -> Iterator[str]:
    """The text of the file, in parts. They raise SecretsRefused."""
    stored = list(_stored(client, accounts, read))
    stored.sort(key=lambda document: (str(document.get("pvt_account_id")), document["_id"]))
    owners = sorted({*accounts, *(str(document.get("pvt_account_id")) for document in stored)})
    return toml_text(map(table_of, stored), _quotas(client, owners))


def difference(client: Client, wanted: Declarations, folder: Path, *, prune: bool) -> Plan:
    """The changes to make. `folder`: that of the files of secrets."""
    with counting("reading hooks") as read:
        stored = list(_stored(client, wanted.accounts, read)) if wanted.accounts else []
    quotas = _quotas(client, wanted.quotas)
    return _plan(wanted, stored, quotas, prune=prune, folder=folder)


def _quotas(client: Client, accounts: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for part in cut(accounts, PAGE, len):
        found |= client.ask_actor(HOOK_LISTENER, GetQuotas(part), QuotasFound, PAGE_S).quotas
    return found


def _read(file: Path) -> Declarations:
    try:
        with file.open("rb") as opened:
            return read_declarations(tomllib.load(opened))
    except (tomllib.TOMLDecodeError, InvalidDeclaration, UnicodeDecodeError) as problem:
        raise WrongUsage(f"{file}: {problem}") from None


def _stored(client: Client, accounts: Iterable[str], read: Step) -> Iterator[Mapping[str, Any]]:
    """The stored hooks of these accounts, or of all if none is named."""
    # Without accounts there is one part, which asks for all hooks.
    for part in [*cut(accounts, ACCOUNTS, lambda _one: 0)] or [()]:
        after: tuple[str, str] | None = None
        more = True
        while more:
            request = ListHooks(None, PAGE, after, secrets=True, accounts=part)
            page = client.ask_actor(HOOK_LISTENER, request, HookList, PAGE_S)
            yield from page.documents
            read(len(page.documents))
            more = page.more
            if more:
                last = page.documents[-1]
                after = str(last.get("pvt_account_id")), last["_id"]


def _plan(
    wanted: Declarations,
    stored: list[Mapping[str, Any]],
    quotas: Mapping[str, Mapping[str, Any]],
    *,
    prune: bool,
    folder: Path,
) -> Plan:
    def resolve(reference: str) -> GivenSecret:
        try:
            text = _secret_text(reference, folder)
            return GivenSecret(parse_secret(text).fingerprint, reference, text)
        except InvalidSecret as problem:
            raise InvalidDeclaration(f"{reference}: {problem}") from None

    try:
        return plan(
            wanted,
            stored,
            quotas,
            prune=prune,
            new_id=lambda: new_hook_id(time.time()),
            resolve=resolve,
        )
    except (InvalidDeclaration, SecretsRefused) as problem:
        raise WrongUsage(str(problem)) from None


def _secret_text(reference: str, folder: Path) -> str:
    """The secret that a reference names. Raises InvalidDeclaration."""
    kind, _colon, name = reference.partition(":")
    if kind == "env" and name in os.environ:
        return os.environ[name].strip()
    if kind == "file":
        try:
            return (folder / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise InvalidDeclaration(f"{reference}: {problem}") from None
    known = "is not set" if kind == "env" else "write env:NAME or file:PATH"
    raise InvalidDeclaration(f"{reference}: {known}")


def _show(changes: Plan) -> None:
    added = [f"+ {one.put.account_id}/{one.put.id} {_named(one.put)}" for one in changes.added]
    changed = [
        f"~ {one.put.account_id}/{one.put.id} {_named(one.put)}: {', '.join(one.members)}"
        for one in changes.changed
    ]
    removed = [f"- {one.account_id}/{one.id} {one.name}" for one in changes.removed]
    for lines in (added, changed, removed):
        for line in lines[:SHOWN]:
            plain(line)
        if len(lines) > SHOWN:
            plain(f"{lines[0][0]} and {len(lines) - SHOWN} more")
    for account_id, own in changes.quotas.items():
        quotas = ", ".join(f"{name} {value}" for name, value in own.items())
        plain(f"~ {account_id} quotas: {quotas or 'none of its own'}")
    plain(
        f"{len(added)} to add, {len(changed)} to change, {len(removed)} to remove, "
        f"{changes.unchanged} unchanged"
    )


def _named(put: PutHook) -> str:
    return str(put.members.get("name", ""))


def _ask() -> None:
    if not sys.stdin.isatty():
        plain("nothing was changed: give --yes where nobody can be asked", err=True)
        raise click.exceptions.Exit(DIFFERENT)
    if not click.confirm("Make these changes?"):
        raise click.exceptions.Exit(DIFFERENT)


def carry_out(client: Client, changes: Plan, done: Step) -> dict[str, str]:
    """Make the changes; the changes that were refused, with the reasons."""
    requests = [PutHooks(quotas=changes.quotas)] if changes.quotas else []
    # Hooks are removed first, since the others may need their room in a quota.
    requests += [PutHooks(removed=part) for part in cut(changes.removed, MAX_PUT, lambda _one: 0)]
    puts = [*(one.put for one in changes.changed), *(one.put for one in changes.added)]
    requests += [PutHooks(puts=part) for part in cut(puts, MAX_PUT, lambda put: put.size)]
    refused: dict[str, str] = {}
    for request in requests:
        result = client.ask_actor(HOOK_LISTENER, request, HooksPut, PAGE_S)
        refused |= result.refused
        done(len(result.done))
    return refused
