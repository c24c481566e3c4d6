"""`callboard tokens`."""

import time
from datetime import UTC, datetime

import attrs
import click

from callboard.adapters.repositories.tokens import TokenFacts, add_token, list_tokens, revoke_token
from callboard.cli.terminal.account import ACCOUNT
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import Failure, print_json, print_table, say
from callboard.cli.terminal.store import opened_store
from callboard.config.loader import Loaded
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S


@click.group()
def tokens() -> None:
    """Manage the tokens that give accounts access to the API.

    A token gives access to its account and all its descendants. The admin's token, which gives
    access to everything, is in the file api.token of the data directory.
    """


@tokens.command()
@click.option("--account", "account_id", type=ACCOUNT, required=True, help="The token's account.")
@click.option("--name", default="", help="A name for people.")
@as_json
@with_settings()
def add(loaded: Loaded, account_id: str, name: str, json_: bool) -> None:
    """Create a token, and print it once."""
    with opened_store(loaded.settings) as store:
        made = add_token(store, account_id, name, time.time())
    if json_:
        print_json(_shown(made.facts) | {"token": made.text})
        return
    say(f"The token {made.facts.id} of account {made.facts.account_id}:\n\n  {made.text}\n")
    say("It is not shown again.")


@tokens.command("list")
@click.option("--account", "account_id", type=ACCOUNT, help="Only this account's.")
@as_json
@with_settings()
def list_(loaded: Loaded, account_id: str | None, json_: bool) -> None:
    """List the tokens; the tokens themselves are never shown."""
    with opened_store(loaded.settings) as store:
        found = [_shown(facts) for facts in list_tokens(store, account_id)]
    if json_:
        print_json(found)
    else:
        print_table(("token", "account", "name", "since"), (tuple(f.values()) for f in found))


@tokens.command()
@click.argument("token_id")
@with_settings()
def revoke(loaded: Loaded, token_id: str) -> None:
    """Revoke a token at once."""
    with opened_store(loaded.settings) as store:
        facts = revoke_token(store, token_id)
    if facts is None:
        raise Failure(f"there is no token {token_id}")
    say(f"revoked token {facts.id} of account {facts.account_id}")


def _shown(facts: TokenFacts) -> dict[str, object]:
    since = datetime.fromtimestamp(facts.created - GREGORIAN_OFFSET_S, UTC)
    shown = attrs.asdict(facts, filter=attrs.filters.exclude("created"))
    return shown | {"since": since.isoformat(timespec="seconds").replace("+00:00", "Z")}
