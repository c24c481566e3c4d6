"""`callboard hooks secret`."""

import sys
from datetime import UTC, datetime
from time import time
from typing import Any

import click

from callboard.actors.messages import (
    AddSecret,
    HookSecrets,
    ListSecrets,
    ReencryptSecrets,
    RetireSecret,
    SecretsReencrypted,
)
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.cli.system.attached import attached
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import (
    FAILED,
    WrongUsage,
    complain,
    counted,
    print_json,
    print_table,
    say,
)
from callboard.cli.terminal.progress import counting
from callboard.cli.terminal.times import span_s
from callboard.config.loader import Loaded
from callboard.webhooks.deliveries.signing import (
    ED25519,
    HMAC_SHA256,
    InvalidSecret,
    Secret,
    new_secret,
    parse_secret,
)
from callboard.webhooks.hooks.secrets import MAX_EXPIRY_S, StoredSecret
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, gregorian_s

MAX_INPUT_BYTES = 1000
PAGE_TIMEOUT_S = 120.0


@click.group()
def secret() -> None:
    """Manage the secrets that sign a hook's deliveries.

    To rotate, create a `new` one, give it to the receiver, and `retire` the old one, or let it end
    by itself (`--expires-in`). In between, deliveries carry both signatures.
    """


def _seconds(_context: Any, _parameter: Any, text: str | None) -> int | None:
    """A number of seconds, or of minutes, hours or days with `m`, `h` or `d` after it."""
    if text is None:
        return None
    seconds = span_s(text + "s" if text.isdecimal() else text)
    if seconds is None or not 1 <= seconds <= MAX_EXPIRY_S:
        raise click.BadParameter(f"{text!r} is no time from 1s to {MAX_EXPIRY_S // 86_400}d")
    return seconds


_expires_in = click.option(
    "--expires-in",
    "expires_in",
    callback=_seconds,
    metavar="TIME",
    help="Let the hook's other secrets end after this time, as 24h or 7d.",
)


@secret.command()
@click.argument("hook_id")
@click.option(
    "--ed25519", is_flag=True, help="Create a key pair; the receiver gets the public key."
)
@_expires_in
@as_json
@with_settings()
def new(loaded: Loaded, hook_id: str, ed25519: bool, expires_in: int | None, json_: bool) -> None:
    """Create a secret for a hook, and print it (or its public key) once, for the receiver."""
    made = new_secret(ED25519 if ed25519 else HMAC_SHA256)
    secrets = _add(loaded, hook_id, made, expires_in)
    shown = made.public_text or made.text
    if json_:
        name = "secret" if made.public_text is None else "public_key"
        print_json(_facts(hook_id, made) | {name: shown})
        return
    what = "secret" if made.public_text is None else "public key"
    say(f"The {what} of hook {hook_id}, fingerprint {made.fingerprint}:\n\n  {shown}\n")
    if made.public_text is None:
        say("It is not shown again. Give it to the receiver, and store it nowhere else.")
    else:
        say("Give it to the receiver; the private key stays here.")
    _say_what_signs(secrets)


@secret.command("import")
@click.argument("hook_id")
@_expires_in
@as_json
@with_settings()
def import_(loaded: Loaded, hook_id: str, expires_in: int | None, json_: bool) -> None:
    """Add a secret that the receiver already has, from standard input: whsec_… or whsk_…."""
    try:
        given = parse_secret(_read().strip())
    except InvalidSecret as problem:
        raise WrongUsage(str(problem)) from None
    secrets = _add(loaded, hook_id, given, expires_in)
    if json_:
        print_json(_facts(hook_id, given))
    else:
        say(f"added the secret with the fingerprint {given.fingerprint} to hook {hook_id}")
        _say_what_signs(secrets)


@secret.command("list")
@click.argument("hook_id")
@as_json
@with_settings()
def list_(loaded: Loaded, hook_id: str, json_: bool) -> None:
    """List a hook's secrets, newest first; the secrets themselves are never shown."""
    with attached(loaded) as client:
        found = client.ask_actor(HOOK_LISTENER, ListSecrets(hook_id), HookSecrets)
    if json_:
        print_json([_listed(stored) for stored in found.secrets])
    elif found.secrets:
        rows = (tuple(_listed(stored).values()) for stored in found.secrets)
        print_table(("fingerprint", "kind", "since", "public key", "until"), rows)
    else:
        _say_what_signs(found)


@secret.command()
@click.argument("hook_id")
@click.argument("fingerprint")
@as_json
@with_settings()
def retire(loaded: Loaded, hook_id: str, fingerprint: str, json_: bool) -> None:
    """Stop signing a hook's deliveries with the secret of this fingerprint."""
    with attached(loaded) as client:
        left = client.ask_actor(HOOK_LISTENER, RetireSecret(hook_id, fingerprint), HookSecrets)
    if json_:
        print_json([_listed(stored) for stored in left.secrets])
        return
    say(f"retired the secret with the fingerprint {fingerprint} of hook {hook_id}")
    _say_what_signs(left)


@secret.command()
@as_json
@with_settings()
def reencrypt(loaded: Loaded, json_: bool) -> None:
    """Encrypt all hooks' secrets with the newest key, so that older keys can be removed."""
    hooks, failed = 0, dict[str, str]()
    after: str | None = ""
    with (
        attached(loaded) as client,
        counting("encrypting the secrets of hooks", quiet=json_) as step,
    ):
        while after is not None:
            page = client.ask_actor(
                HOOK_LISTENER, ReencryptSecrets(after), SecretsReencrypted, PAGE_TIMEOUT_S
            )
            hooks, after = hooks + page.hooks, page.more
            step(page.hooks)
            failed |= page.failed
    if json_:
        print_json({"hooks": hooks, "failed": failed})
    else:
        for hook_id, reason in failed.items():
            complain(f"hook {hook_id}: {reason}")
        say(f"encrypted the secrets of {counted(hooks, 'hook')} with the newest key")
    if failed:
        raise SystemExit(FAILED)


def _read() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Secret", hide_input=True))
    return sys.stdin.buffer.read(MAX_INPUT_BYTES).decode(errors="replace")


def _add(loaded: Loaded, hook_id: str, added: Secret, expires_in: int | None) -> HookSecrets:
    with attached(loaded) as client:
        answer: HookSecrets = client.ask_actor(
            HOOK_LISTENER, AddSecret(hook_id, added.text, expires_in), HookSecrets
        )
    return answer


def _say_what_signs(left: HookSecrets) -> None:
    now = gregorian_s(time())
    count = sum(stored.is_active(now) for stored in left.secrets)
    if not count:
        say("[yellow]the hook has no secret: its deliveries are not signed[/]")
    elif count == 1:
        say("Deliveries carry one signature.")
    else:
        say(f"Deliveries carry {count} signatures: retire a secret that no receiver needs.")


def _facts(hook_id: str, about: Secret) -> dict[str, str]:
    return {"hook_id": hook_id, "fingerprint": about.fingerprint, "kind": about.kind}


def _listed(stored: StoredSecret) -> dict[str, Any]:
    return {
        "fingerprint": stored.fingerprint,
        "kind": stored.kind,
        "since": _utc(stored.since),
        "public_key": stored.public_key,
        "until": None if stored.until is None else _utc(stored.until),
    }


def _utc(at_gregorian_s: int) -> str | None:
    try:
        at = datetime.fromtimestamp(at_gregorian_s - GREGORIAN_OFFSET_S, UTC)
    except (ValueError, OverflowError, OSError):
        return None  # Somebody else wrote it.
    return at.isoformat().replace("+00:00", "Z")
