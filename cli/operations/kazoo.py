"""`callboard kazoo`."""

import ssl
from collections.abc import Iterator
from operator import attrgetter

import attrs
import certifi
import click

from callboard.actors.base.event_modules import event_modules
from callboard.actors.delivery.transports import rules
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store import stores
from callboard.adapters.store.protocol import Document, StoreError
from callboard.cli.operations.changeover import at_endpoints, differences
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import Failure, print_json, print_table, say
from callboard.config.loader import Loaded
from callboard.webhooks.hooks.hook import is_enabled
from callboard.webhooks.hooks.migration import OLD_EVENTS

PAGE = 500
HANDSHAKE_S = 5.0
"""Time limit for connecting to an endpoint, and for its TLS handshake."""

REDIRECTS = (
    "Kazoo follows redirects, Callboard does not: delivery.follow_redirects = 5 keeps it as it was."
)


@click.group()
def kazoo() -> None:
    """Prepare to take the place of Kazoo's webhooks application."""


@kazoo.command()
@click.option("--account", help="Only this account's hooks.")
@click.option(
    "--endpoints",
    is_flag=True,
    help="Also look names up and make TLS handshakes; no request is sent.",
)
@as_json
@with_settings()
def check(loaded: Loaded, account: str | None, endpoints: bool, json_: bool) -> None:
    """List the enabled hooks that would behave differently than in Kazoo, and what keeps them.

    Reads the store directly and changes nothing; no system need run.
    """
    delivery = loaded.settings.delivery
    allowed = rules(delivery)
    modules = event_modules(loaded.settings).modules
    known = {event for module in modules for event in (module.id, *module.events)} | {*OLD_EVENTS}
    hooks = [document for document in _stored(loaded, account) if is_enabled(document)]
    found = [one for document in hooks for one in differences(document, allowed, known)]
    if endpoints:
        tls = ssl.create_default_context(cafile=delivery.ca_bundle or certifi.where())
        found += at_endpoints(hooks, allowed, tls, HANDSHAKE_S)
    found.sort(key=attrgetter("account_id", "hook_id", "kind"))
    notes = [] if delivery.follow_redirects else [REDIRECTS]
    if json_:
        shown = [attrs.asdict(difference) for difference in found]
        print_json({"hooks": len(hooks), "differences": shown, "notes": notes})
        return
    if found:
        rows = (attrs.astuple(difference) for difference in found)
        print_table(("account", "hook", "kind", "reason", "kept by"), rows)
    say(f"{len({one.hook_id for one in found})} of {len(hooks)} enabled hooks differ.")
    for note in notes:
        say(note)


def _stored(loaded: Loaded, account: str | None) -> Iterator[Document]:
    """The stored hooks, as they are: those of retired types are not migrated."""
    couchdb = loaded.settings.couchdb
    store = stores.connect(couchdb.url, loaded.settings.data.dir, couchdb.timeout_ms / 1000)
    hooks = HookStore(store)
    try:
        more, after = True, None
        while more:
            page, more = hooks.listed(account, PAGE, after)
            yield from page
            if page:
                after = str(page[-1].get("pvt_account_id")), page[-1]["_id"]
    except StoreError as problem:
        raise Failure(str(problem)) from None
    finally:
        store.close()
