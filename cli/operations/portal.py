"""`callboard portal`."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.adapters.portal.links import (
    LEAST_S,
    MANAGE,
    MOST_S,
    RIGHTS,
    PortalLink,
    PortalLinks,
    link_url,
)
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import Failure, WrongUsage, plain, print_json, say
from callboard.cli.terminal.store import opened_store
from callboard.cli.terminal.times import shown, span_s
from callboard.config.loader import Loaded
from callboard.config.settings import Settings
from callboard.webhooks.hooks.arguments import BadArgument, account_argument


class Span(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """The life of a link, such as `90m`, in seconds."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The seconds; a number is returned unchanged."""
        if isinstance(value, int):
            return value
        seconds = span_s(value)
        if seconds is None or not LEAST_S <= seconds <= MOST_S:
            self.fail(f"{value!r} is no time from 1m to 7d, such as 90m, 8h or 2d", param, ctx)
        return seconds


@click.group()
def portal() -> None:
    """Give an account's users access to the dashboard."""


@portal.command()
@click.argument("account")
@click.option("--for", "for_s", type=Span(), default="1h", show_default=True, help="How long.")
@click.option(
    "--rights",
    type=click.Choice(RIGHTS),
    default=MANAGE,
    show_default=True,
    help="To look, or also to change hooks and send deliveries again.",
)
@as_json
@with_settings()
def link(loaded: Loaded, account: str, for_s: int, rights: str, json_: bool) -> None:
    """Print a link with which anybody can use the dashboard for ACCOUNT's hooks.

    All nodes with the same secrets.key accept it, until its end or `portal revoke`.
    """
    account_id, now = _account(account), time.time()
    made = PortalLink(account_id, rights, int(now) + for_s)
    with _links(loaded) as links:
        url = link_url(_dashboard(loaded.settings), links.token(made, now))
    if json_:
        print_json(
            {
                "url": url,
                "account_id": account_id,
                "rights": rights,
                "until": shown(made.until_s).replace(" ", "T"),
            }
        )
        return
    plain(url)
    plain(f"for account {account_id}, {rights}, until {shown(made.until_s)}", err=True)


@portal.command()
@click.argument("account")
@with_settings()
def revoke(loaded: Loaded, account: str) -> None:
    """End all links of ACCOUNT that were made up to now."""
    account_id = _account(account)
    with _links(loaded) as links:
        links.revoke(account_id, time.time())
    say(f"revoked the links of account {account_id}")


@contextmanager
def _links(loaded: Loaded) -> Iterator[PortalLinks]:
    """Links, made directly; no system need run."""
    secrets = loaded.settings.secrets
    with opened_store(loaded.settings) as store:
        try:
            yield PortalLinks(SecretBox(secrets.key, loaded.settings.secrets_key_file), store)
        except SecretBoxError as problem:
            raise Failure(str(problem)) from None


def _dashboard(settings: Settings) -> str:
    """The address of the dashboard: as set, as a running API has written it, or as it will be."""
    if settings.portal.url:
        return settings.portal.url
    try:
        return str(json.loads(settings.api_place_file.read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError):
        host = f"[{settings.api.bind}]" if ":" in settings.api.bind else settings.api.bind
        return f"http://{host}:{settings.api.port}"


def _account(written: str) -> str:
    try:
        return account_argument(written)
    except BadArgument as problem:
        raise WrongUsage(str(problem)) from None
